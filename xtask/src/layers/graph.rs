//! The part of cargo's dependency graph that the rules speak of.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, PackageId};

use super::Kind;

/// Our packages and what they import.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
}

/// One package of the workspace.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) kind: Option<Kind>,
    /// What its manifest names.
    pub(super) imports: Vec<Import>,
    /// Every package that is compiled into it, its own tests and its build scripts apart.
    pub(super) reaches: BTreeSet<String>,
}

/// One line of a manifest's dependencies.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) package: String,
    pub(super) when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Also in what users build.
    Always,
    /// Only in tests, examples and benchmarks.
    InTests,
}

impl Graph {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let reaching = Reaching::of(metadata);
        let nodes = metadata
            .workspace_packages()
            .into_iter()
            .map(|package| Node {
                name: package.name.to_string(),
                kind: Kind::of_package(metadata, package),
                imports: package
                    .dependencies
                    .iter()
                    .map(|dependency| Import {
                        package: dependency.name.clone(),
                        when: match dependency.kind {
                            DependencyKind::Development => When::InTests,
                            _ => When::Always,
                        },
                    })
                    .collect(),
                reaches: reaching.from(&package.id),
            })
            .collect();
        Self { nodes }
    }

    /// The packages that the tables know, with what they are.
    pub(super) fn known(&self) -> impl Iterator<Item = (&Node, Kind)> {
        self.nodes.iter().filter_map(|node| Some((node, node.kind?)))
    }

    /// What the package called `name` is, if it is one of ours and known.
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        self.nodes.iter().find(|node| node.name == name)?.kind
    }
}

/// Which package is compiled into which, over any number of steps.
struct Reaching<'a> {
    names: BTreeMap<&'a PackageId, String>,
    steps: BTreeMap<&'a PackageId, Vec<&'a PackageId>>,
}

impl<'a> Reaching<'a> {
    fn of(metadata: &'a Metadata) -> Self {
        let names = metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
        let resolved = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
        let steps = resolved
            .map(|node| {
                let compiled_in = node.deps.iter().filter(|dependency| {
                    dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
                });
                (&node.id, compiled_in.map(|dependency| &dependency.pkg).collect())
            })
            .collect();
        Self { names, steps }
    }

    fn from(&self, start: &'a PackageId) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(package) = open.pop() {
            for next in self.steps.get(package).into_iter().flatten() {
                if seen.insert(*next) {
                    open.push(next);
                }
            }
        }
        seen.into_iter().filter_map(|package| self.names.get(package).cloned()).collect()
    }
}
