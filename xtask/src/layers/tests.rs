//! Every rule of the tables bites on a graph that breaks it, and none bites on one that keeps them all.

use std::{fs, path::Path};

use cargo_metadata::MetadataCommand;

use super::{
    graph::{Graph, Import, Node, When},
    *,
};

/// A package of the fabricated workspace: its name, what it imports, what it imports in tests, what it reaches.
struct Fake(&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

fn graph(extra: &[Fake]) -> Graph {
    let import = |when| move |package: &&str| Import { package: (*package).to_owned(), when };
    let sound = PACKAGES.iter().map(|(name, _)| Fake(name, &[], &[], &[]));
    let mut graph = Graph::default();
    for fake in sound.chain(extra.iter().map(|fake| Fake(fake.0, fake.1, fake.2, fake.3))) {
        graph.nodes.retain(|node| node.name != fake.0);
        let mut imports: Vec<_> = fake.1.iter().map(import(When::Always)).collect();
        imports.extend(fake.2.iter().map(import(When::InTests)));
        let kind = if fake.0 == "shop" { Some(Kind::Example) } else { Kind::named(fake.0) };
        let reaches = fake.3.iter().map(|package| (*package).to_owned()).collect();
        graph.nodes.push(Node { name: fake.0.to_owned(), kind, imports, reaches });
    }
    graph
}

/// Checks that a workspace which contains `fake` has exactly these faults.
fn check(fake: Fake, expected: &[&str]) {
    let findings: Vec<_> = judge(&graph(&[fake])).into_iter().flat_map(|check| check.findings).collect();
    assert_eq!(findings, expected);
}

#[test]
fn a_sound_workspace_passes() {
    let checks = judge(&graph(&[
        Fake("cloakroom-core", &["serde", "base64"], &["proptest"], &["serde", "base64", "cfg-if"]),
        Fake("cloakroom-store", &["cloakroom-core"], &[], &[]),
        Fake("cloakroom-conformance", &["cloakroom-core", "cloakroom-store"], &["cloakroom-memory"], &[]),
        Fake(
            "cloakroom-sqlite",
            &["cloakroom-core", "cloakroom-store", "rusqlite"],
            &["cloakroom-conformance"],
            &["rusqlite"],
        ),
        Fake("cloakroom", &["cloakroom-core", "cloakroom-store", "tokio"], &["cloakroom-memory"], &["tokio"]),
        Fake("cloakroom-http", &["cloakroom-core", "http"], &[], &["http"]),
        Fake("cloakroom-axum", &["cloakroom", "cloakroom-http", "axum"], &["cloakroom-memory"], &["axum"]),
        Fake("cloakroom-server", &["cloakroom-axum", "cloakroom-sqlite", "axum"], &[], &[]),
        Fake("shop", &["cloakroom", "cloakroom-axum", "cloakroom-memory", "axum"], &["tower"], &[]),
        Fake("e2e", &["cloakroom-server"], &[], &[]),
    ]));
    assert_eq!(checks.iter().flat_map(|check| &check.findings).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_package_that_the_tables_do_not_know_is_an_error() {
    check(
        Fake("cloakroom-misc", &[], &[], &[]),
        &[
            "cloakroom-misc is not in the tables: decide who may import it, and write that down in xtask/src/layers/mod.rs",
        ],
    );
}

#[test]
fn stores_import_neither_each_other_nor_the_engine() {
    check(
        Fake("cloakroom-memory", &["cloakroom-sqlite"], &[], &[]),
        &["cloakroom-memory imports cloakroom-sqlite: stores never import each other"],
    );
    check(
        Fake("cloakroom-memory", &[], &["cloakroom-sqlite"], &[]),
        &["cloakroom-memory imports (in tests) cloakroom-sqlite: stores never import each other"],
    );
    check(
        Fake("cloakroom-sqlite", &["cloakroom"], &[], &[]),
        &["cloakroom-sqlite imports cloakroom: stores never import the engine"],
    );
}

#[test]
fn the_conformance_suite_is_for_tests_of_stores() {
    check(
        Fake("cloakroom-memory", &["cloakroom-conformance"], &[], &[]),
        &[
            "cloakroom-memory imports cloakroom-conformance: a store imports core, the store trait and its driver; the suite only to be tested by it",
        ],
    );
}

#[test]
fn core_and_the_store_trait_import_nothing_above_them() {
    check(
        Fake("cloakroom-core", &["cloakroom-store"], &[], &[]),
        &["cloakroom-core imports cloakroom-store: core imports nothing of ours"],
    );
    check(
        Fake("cloakroom-core", &[], &["cloakroom-memory"], &[]),
        &["cloakroom-core imports (in tests) cloakroom-memory: core imports nothing of ours"],
    );
    check(
        Fake("cloakroom-store", &["cloakroom"], &[], &[]),
        &["cloakroom-store imports cloakroom: the store trait knows only core"],
    );
}

#[test]
fn the_engine_chooses_no_store_and_knows_no_http() {
    check(
        Fake("cloakroom", &["cloakroom-memory"], &[], &[]),
        &[
            "cloakroom imports cloakroom-memory: the engine imports core and the store trait; which store is the application's choice",
        ],
    );
    check(
        Fake("cloakroom", &["cloakroom-http"], &[], &[]),
        &["cloakroom imports cloakroom-http: the engine does not know HTTP"],
    );
    check(
        Fake("cloakroom-http", &["cloakroom"], &[], &[]),
        &["cloakroom-http imports cloakroom: the layer below knows nothing of the engine"],
    );
    check(
        Fake("cloakroom-axum", &["cloakroom-sqlite"], &[], &[]),
        &[
            "cloakroom-axum imports cloakroom-sqlite: the middleware joins engine and HTTP; which store is the application's choice",
        ],
    );
}

#[test]
fn nothing_imports_the_server() {
    for importer in ["cloakroom-axum", "shop"] {
        check(
            Fake(importer, &["cloakroom-server"], &[], &[]),
            &[&format!("{importer} imports cloakroom-server: nothing imports the server")],
        );
    }
    check(
        Fake("xtask", &[], &["cloakroom-server"], &[]),
        &["xtask imports (in tests) cloakroom-server: nothing imports the server"],
    );
}

#[test]
fn http_and_drivers_stay_where_they_belong() {
    for package in ["http", "http-body-util", "axum", "axum-core", "hyper-util", "tower", "tower-http"] {
        let package: &'static str = package;
        let mut graph = graph(&[]);
        let engine = graph.nodes.iter_mut().find(|node| node.name == "cloakroom").unwrap();
        engine.imports.push(Import { package: package.to_owned(), when: When::InTests });
        let findings: Vec<_> = trespasses(&graph).iter().map(ToString::to_string).collect();
        let expected =
            format!("cloakroom imports (in tests) {package}: only -http, -axum and -server know HTTP");
        assert_eq!(findings, [expected]);
    }
    check(
        Fake("cloakroom", &["rusqlite"], &[], &[]),
        &[
            "cloakroom imports rusqlite: drivers stay in the crate of their store (and where accounts and audit log are kept)",
        ],
    );
}

#[test]
fn core_reaches_nothing_impure_however_far_away() {
    for package in ["tokio", "futures-util", "async-trait", "getrandom", "rand_core", "http"] {
        let mut graph = graph(&[]);
        let core = graph.nodes.iter_mut().find(|node| node.name == "cloakroom-core").unwrap();
        core.reaches.insert(package.to_owned());
        let findings: Vec<_> = impurities(&graph).iter().map(ToString::to_string).collect();
        let expected =
            format!("cloakroom-core reaches {package}: core has no async, no I/O, no randomness and no HTTP");
        assert_eq!(findings, [expected]);
    }
    check(
        Fake("cloakroom-http", &[], &[], &["http", "tokio"]),
        &["cloakroom-http reaches tokio: -http is pure functions over the types of the `http` crate"],
    );
}

#[test]
fn a_pattern_matches_names_and_not_parts_of_them() {
    assert!(matches(&["http"], "http"));
    assert!(!matches(&["http"], "httparse"));
    assert!(matches(&["tower*"], "tower-layer"));
    assert!(!matches(&["tower*"], "watchtower"));
}

#[test]
fn every_kind_has_one_row_of_imports() {
    for (name, kind) in PACKAGES {
        assert_eq!(IMPORTS.iter().filter(|rule| rule.by == *kind).count(), 1, "{name}");
    }
    assert_eq!(IMPORTS.iter().filter(|rule| rule.by == Kind::Example).count(), 1);
}

#[test]
fn the_graph_is_the_one_cargo_sees() {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let package =
        |name: &str, rest: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\n{rest}");
    write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"a\", \"examples/*\"]\n");
    write(
        "a/Cargo.toml",
        &package(
            "cloakroom-memory",
            "[dependencies]\nmiddle = { path = \"../middle\" }\n[dev-dependencies]\ntester = { path = \"../tester\" }\n",
        ),
    );
    write("middle/Cargo.toml", &package("middle", "[dependencies]\nfar = { path = \"../far\" }\n"));
    write("far/Cargo.toml", &package("far", ""));
    write("tester/Cargo.toml", &package("tester", ""));
    write("examples/shop/Cargo.toml", &package("shop", ""));
    for crate_directory in ["a", "middle", "far", "tester", "examples/shop"] {
        write(&format!("{crate_directory}/src/lib.rs"), "");
    }
    let graph = Graph::of(&metadata(directory.path()));
    let memory = graph.nodes.iter().find(|node| node.name == "cloakroom-memory").unwrap();
    assert_eq!(memory.kind, Some(Kind::Store));
    let imports: Vec<_> =
        memory.imports.iter().map(|import| (import.package.as_str(), import.when)).collect();
    assert_eq!(imports, [("middle", When::Always), ("tester", When::InTests)]);
    assert_eq!(memory.reaches.iter().collect::<Vec<_>>(), ["far", "middle"]);
    assert_eq!(graph.kind("shop"), Some(Kind::Example));
}

fn metadata(root: &Path) -> cargo_metadata::Metadata {
    let mut command = MetadataCommand::new();
    command.current_dir(root).other_options(["--offline".to_owned()]);
    command.exec().unwrap()
}
