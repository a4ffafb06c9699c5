//! Who may import whom: the architecture as tables, checked against the graph that cargo sees.

mod graph;

use std::fmt;

use cargo_metadata::{Metadata, Package};

use self::graph::{Graph, Node, When};
use crate::report::Check;

/// What a package of this workspace is, as far as imports depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Words and judgement, pure.
    Core,
    /// The store trait.
    Waist,
    /// The suite that every store passes.
    Conformance,
    /// One backend.
    Store,
    /// What people `cargo add`.
    Engine,
    /// The audit log.
    Audit,
    /// Signals of sessions in other hands, pure.
    Detection,
    /// Cookies, headers, origins: the types of the `http` crate only.
    Http,
    /// Real servers that tests start.
    Servers,
    /// The middleware.
    Axum,
    /// The session server.
    Server,
    /// A small program that uses the library.
    Example,
    /// Browser tests.
    EndToEnd,
    /// Benchmarks.
    Bench,
    /// This program.
    Tool,
}

/// Every package of the workspace, examples apart: those are known by their directory.
const PACKAGES: &[(&str, Kind)] = &[
    ("cloakroom-core", Kind::Core),
    ("cloakroom-store", Kind::Waist),
    ("cloakroom-conformance", Kind::Conformance),
    ("cloakroom-memory", Kind::Store),
    ("cloakroom-sqlite", Kind::Store),
    ("cloakroom-postgres", Kind::Store),
    ("cloakroom-mysql", Kind::Store),
    ("cloakroom-redis", Kind::Store),
    ("cloakroom-memcached", Kind::Store),
    ("cloakroom-sealed", Kind::Store),
    ("cloakroom-servers", Kind::Servers),
    ("cloakroom", Kind::Engine),
    ("cloakroom-audit", Kind::Audit),
    ("cloakroom-detection", Kind::Detection),
    ("cloakroom-http", Kind::Http),
    ("cloakroom-axum", Kind::Axum),
    ("cloakroom-server", Kind::Server),
    ("e2e", Kind::EndToEnd),
    ("cloakroom-bench", Kind::Bench),
    ("cloakroom-proof", Kind::EndToEnd),
    ("xtask", Kind::Tool),
];

/// Which packages of ours a kind may import.
struct Imports {
    by: Kind,
    always: &'static [Kind],
    /// In its own tests, besides.
    in_tests: &'static [Kind],
    because: &'static str,
}

const IMPORTS: &[Imports] = {
    use Kind::{
        Audit, Axum, Bench, Conformance, Core, Detection, EndToEnd, Engine, Example, Http, Server, Servers,
        Store, Tool, Waist,
    };
    &[
        Imports { by: Core, always: &[], in_tests: &[], because: "core imports nothing of ours" },
        Imports { by: Waist, always: &[Core], in_tests: &[], because: "the store trait knows only core" },
        Imports {
            by: Conformance,
            always: &[Core, Waist],
            in_tests: &[Store],
            because: "the suite knows only core and the store trait, so that any store can run it",
        },
        Imports {
            by: Store,
            always: &[Core, Waist],
            in_tests: &[Conformance, Servers],
            because: "a store imports core, the store trait and its driver; the suite only to be tested by it",
        },
        Imports {
            by: Engine,
            always: &[Core, Waist],
            in_tests: &[Store, Conformance],
            because: "the engine imports core and the store trait; which store is the application's choice",
        },
        Imports {
            by: Audit,
            always: &[Core, Engine],
            in_tests: &[Store, Servers],
            because: "the audit log records what the engine tells, and keeps it in a database of its own choice",
        },
        Imports {
            by: Detection,
            always: &[Core],
            in_tests: &[],
            because: "signals are judged from facts, without I/O; who acts on them is the application's choice",
        },
        Imports {
            by: Http,
            always: &[Core],
            in_tests: &[],
            because: "cookies and headers are read and written without an engine",
        },
        Imports {
            by: Axum,
            always: &[Core, Engine, Http],
            in_tests: &[Waist, Store, Conformance],
            because: "the middleware joins engine and HTTP; which store is the application's choice",
        },
        Imports {
            by: Server,
            always: &[Core, Waist, Conformance, Store, Engine, Audit, Detection, Http, Axum],
            in_tests: &[Servers],
            because: "the server is an application, not a tool's or a test's",
        },
        Imports {
            by: Example,
            always: &[Core, Store, Engine, Http, Axum, Servers],
            in_tests: &[],
            because: "an example shows what an application would import",
        },
        Imports {
            by: EndToEnd,
            always: &[Core, Waist, Store, Engine, Http, Axum, Server, Servers],
            in_tests: &[Conformance, Example],
            because: "end-to-end tests use the product",
        },
        Imports {
            by: Bench,
            always: &[Core, Waist, Conformance, Store, Engine, Http, Axum, Server, Servers],
            in_tests: &[Example],
            because: "benchmarks measure the product",
        },
        Imports {
            by: Servers,
            always: &[],
            in_tests: &[],
            because: "starting a server for a test needs nothing of the product",
        },
        Imports {
            by: Tool,
            always: &[Servers],
            in_tests: &[],
            because: "the chores build before everything else",
        },
    ]
};

/// The pairs whose reason deserves its own words.
const REASONS: &[(Kind, Kind, &str)] = &[
    (Kind::Store, Kind::Store, "stores never import each other"),
    (Kind::Store, Kind::Engine, "stores never import the engine"),
    (Kind::Http, Kind::Engine, "the layer below knows nothing of the engine"),
    (Kind::Engine, Kind::Http, "the engine does not know HTTP"),
    (Kind::Engine, Kind::Axum, "the engine does not know HTTP"),
];

/// Packages of others that only some of ours may import. `*` at the end stands for anything.
struct Reserved {
    packages: &'static [&'static str],
    to: &'static [Kind],
    because: &'static str,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        packages: &["http", "http-body*", "axum*", "hyper*", "tower*"],
        to: &[Kind::Http, Kind::Axum, Kind::Server, Kind::Example, Kind::EndToEnd, Kind::Bench],
        because: "only -http, -axum and -server know HTTP",
    },
    Reserved {
        packages: &["rusqlite", "tokio-postgres", "deadpool-postgres", "mysql_async", "redis"],
        to: &[Kind::Store, Kind::Audit, Kind::Server, Kind::Bench],
        because: "drivers stay in the crate of their store (and where accounts and audit log are kept)",
    },
];

/// Packages that must not be reachable, not even through the dependencies of dependencies.
struct Unreachable {
    from: Kind,
    packages: &'static [&'static str],
    because: &'static str,
}

const UNREACHABLE: &[Unreachable] = &[
    Unreachable {
        from: Kind::Core,
        packages: &[
            "tokio*",
            "async-*",
            "futures*",
            "mio",
            "getrandom",
            "rand*",
            "http",
            "hyper*",
            "axum*",
            "tower*",
        ],
        because: "core has no async, no I/O, no randomness and no HTTP",
    },
    Unreachable {
        from: Kind::Http,
        packages: &["tokio*", "futures*", "mio", "hyper*", "axum*", "tower*"],
        because: "-http is pure functions over the types of the `http` crate",
    },
];

impl Kind {
    /// What `package` is; `None` if the tables do not know it.
    pub(crate) fn of_package(metadata: &Metadata, package: &Package) -> Option<Self> {
        let examples = metadata.workspace_root.join("examples");
        if package.manifest_path.starts_with(examples) {
            Some(Self::Example)
        } else {
            Self::named(&package.name)
        }
    }

    fn named(package: &str) -> Option<Self> {
        PACKAGES.iter().find(|(name, _)| *name == package).map(|(_, kind)| *kind)
    }
}

/// Checks the whole workspace, rule by rule.
pub(crate) fn check(metadata: &Metadata) -> Vec<Check> {
    judge(&Graph::of(metadata))
}

fn judge(graph: &Graph) -> Vec<Check> {
    let rule = |name: &str, findings: Vec<Finding>| {
        Check::new(name, findings.iter().map(ToString::to_string).collect())
    };
    vec![
        rule("every package is in the tables", strangers(graph)),
        rule("packages import only the layers below", upward_imports(graph)),
        rule("packages of others stay where they belong", trespasses(graph)),
        rule("what must be pure reaches nothing impure", impurities(graph)),
    ]
}

/// `from imports to: because`.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    from: String,
    verb: &'static str,
    to: String,
    because: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: {}", self.from, self.verb, self.to, self.because)
    }
}

fn strangers(graph: &Graph) -> Vec<Finding> {
    let unknown = graph.nodes.iter().filter(|node| node.kind.is_none());
    unknown
        .map(|node| Finding {
            from: node.name.clone(),
            verb: "is not in",
            to: "the tables".to_owned(),
            because: "decide who may import it, and write that down in xtask/src/layers/mod.rs",
        })
        .collect()
}

fn upward_imports(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (node, kind) in graph.known() {
        for import in &node.imports {
            let Some(to) = graph.kind(&import.package) else { continue };
            let Some(rule) = IMPORTS.iter().find(|rule| rule.by == kind) else { continue };
            let is_allowed =
                rule.always.contains(&to) || (import.when == When::InTests && rule.in_tests.contains(&to));
            if !is_allowed {
                findings.push(finding(node, import.when, &import.package, reason(kind, to, rule)));
            }
        }
    }
    findings
}

fn reason(from: Kind, to: Kind, rule: &Imports) -> &'static str {
    let special = REASONS.iter().find(|(by, of, _)| (*by, *of) == (from, to));
    match (special, to) {
        (Some((_, _, because)), _) => because,
        (None, Kind::Server) => "nothing imports the server",
        _ => rule.because,
    }
}

fn trespasses(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (node, kind) in graph.known() {
        for import in node.imports.iter().filter(|import| graph.kind(&import.package).is_none()) {
            let rules = RESERVED.iter().filter(|rule| matches(rule.packages, &import.package));
            for rule in rules.filter(|rule| !rule.to.contains(&kind)) {
                findings.push(finding(node, import.when, &import.package, rule.because));
            }
        }
    }
    findings
}

fn impurities(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (node, kind) in graph.known() {
        for rule in UNREACHABLE.iter().filter(|rule| rule.from == kind) {
            for package in node.reaches.iter().filter(|package| matches(rule.packages, package)) {
                findings.push(Finding {
                    from: node.name.clone(),
                    verb: "reaches",
                    to: package.clone(),
                    because: rule.because,
                });
            }
        }
    }
    findings
}

fn finding(from: &Node, when: When, to: &str, because: &'static str) -> Finding {
    let verb = match when {
        When::Always => "imports",
        When::InTests => "imports (in tests)",
    };
    Finding { from: from.name.clone(), verb, to: to.to_owned(), because }
}

/// Whether one of `patterns` names `package`.
fn matches(patterns: &[&str], package: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => package.starts_with(start),
        None => *pattern == package,
    })
}

#[cfg(test)]
mod tests;
