//! Rules about manifests.

use toml::{Table, Value};

use super::{Finding, tree::Tree};

/// Finds crates that opt out of the workspace's lints.
pub(super) fn crates_without_lints(tree: &Tree) -> Vec<Finding> {
    let takes_lints = |manifest: &Table| {
        manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) == Some(true)
    };
    packages(tree)
        .filter(|(_, manifest)| !takes_lints(manifest))
        .map(|(path, _)| Finding::new(path, 0, "add `[lints] workspace = true`"))
        .collect()
}

/// Finds dependencies in the workspace's manifest that do not say why they are there. Our own packages need no reason.
pub(super) fn dependencies_without_reason(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut is_inside = false;
    for (line, content) in (1..).zip(tree.text(ROOT).unwrap_or_default().lines()) {
        if content.starts_with('[') {
            is_inside = content.trim() == "[workspace.dependencies]";
        } else if let Some((name, rest)) = content.split_once('=').filter(|_| is_inside) {
            let has_reason =
                rest.rsplit_once('#').is_some_and(|(_, reason)| reason.trim().split(' ').count() > 1);
            let is_ours = rest.contains("path =");
            if !has_reason && !is_ours && !name.starts_with([' ', '#']) {
                findings.push(Finding::new(
                    ROOT,
                    line,
                    format!("say why {} is needed, beside it", name.trim()),
                ));
            }
        }
    }
    findings
}

/// Finds dependencies in the workspace's manifest that no crate takes. Our own packages are there for whoever wants them.
pub(super) fn unused_dependencies(tree: &Tree) -> Vec<Finding> {
    let Some(root) = tree.text(ROOT).and_then(|text| text.parse::<Table>().ok()) else { return Vec::new() };
    let offered = root.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let manifests: Vec<_> = packages(tree).map(|(_, manifest)| manifest).collect();
    let is_taken = |name: &str| manifests.iter().any(|manifest| takes(manifest, name));
    offered
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
        .filter(|(name, dependency)| dependency.get("path").is_none() && !is_taken(name))
        .map(|(name, _)| Finding::new(ROOT, 0, format!("no crate uses {name}: remove it")))
        .collect()
}

/// Whether a package takes `name` from the workspace, for any purpose on any platform.
fn takes(manifest: &Table, name: &str) -> bool {
    const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let here = SECTIONS.iter().filter_map(|section| manifest.get(*section)?.as_table());
    let per_target = manifest.get("target").and_then(Value::as_table);
    here.into_iter().any(|section| section.contains_key(name))
        || per_target
            .into_iter()
            .flat_map(Table::values)
            .filter_map(Value::as_table)
            .any(|target| takes(target, name))
}

/// The manifests of packages, by path. One that cannot be parsed is cargo's to complain about.
fn packages(tree: &Tree) -> impl Iterator<Item = (&str, Table)> {
    tree.texts()
        .filter(|(path, _)| path.ends_with("/Cargo.toml"))
        .filter_map(|(path, text)| Some((path, text.parse::<Table>().ok()?)))
        .filter(|(_, manifest)| manifest.contains_key("package"))
}

const ROOT: &str = "Cargo.toml";

#[cfg(test)]
mod tests {
    use super::{super::check_rule, *};

    #[test]
    fn a_crate_without_the_workspaces_lints_is_found() {
        let expected = "a/Cargo.toml: add `[lints] workspace = true`";
        let check = |lints: &str, expected: &[&str]| {
            let manifest = format!("[package]\nname = \"a\"\n{lints}");
            check_rule(crates_without_lints, &[("a/Cargo.toml", &manifest)], expected);
        };
        check("", &[expected]);
        check("[lints]\nworkspace = false\n", &[expected]);
        check("[lints.rust]\nunsafe_code = \"allow\"\n", &[expected]);
        check("[lints]\nworkspace = true\n", &[]);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest = "\
[workspace.dependencies]
# -- part --
ours = { path = \"crates/ours\" }
good = \"1\" # parses what we must
bad = \"1\"
lazy = { version = \"1\" } # useful

[profile.dev]
debug = 1
";
        check_rule(
            dependencies_without_reason,
            &[("Cargo.toml", manifest)],
            &[
                "Cargo.toml:5: say why bad is needed, beside it",
                "Cargo.toml:6: say why lazy is needed, beside it",
            ],
        );
    }

    #[test]
    fn a_dependency_that_nobody_takes_is_found() {
        let root = "[workspace.dependencies]\none = \"1\"\ntwo = \"1\"\nthree = \"1\"\nfour = \"1\"\n[workspace.dependencies.ours]\npath = \"o\"\n";
        let package = "\
[package]
name = \"a\"
[dependencies]
one.workspace = true
[dev-dependencies]
two = { workspace = true }
[target.'cfg(unix)'.dependencies]
three.workspace = true
";
        check_rule(
            unused_dependencies,
            &[("Cargo.toml", root), ("a/Cargo.toml", package)],
            &["Cargo.toml: no crate uses four: remove it"],
        );
    }
}
