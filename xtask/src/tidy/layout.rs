//! Rules about what has to be where.

use std::collections::BTreeSet;

use super::{Finding, tree::Tree};

/// Finds stores whose files are not where those of every other store are. A crate with a test named `conformance`
/// is a store.
pub(super) fn store_crates(tree: &Tree) -> Vec<Finding> {
    let suites = tree.texts().filter_map(|(path, _)| path.strip_suffix("/tests/conformance.rs"));
    let stores: BTreeSet<_> = suites.filter(|store| tree.contains(&format!("{store}/Cargo.toml"))).collect();
    let mut findings = Vec::new();
    for store in stores {
        let in_process = tree.text(&format!("{store}/Cargo.toml")).is_some_and(|text| !reaches_outside(text));
        let outside: &[&[&str]] = if in_process { &[] } else { OUTSIDE };
        for alternatives in EVERYWHERE.iter().chain(outside) {
            if !alternatives.iter().any(|path| tree.contains(&format!("{store}/{path}"))) {
                findings.push(Finding::new(store, 0, format!("a store has {}", alternatives.join(" or "))));
            }
        }
        let keeps_list =
            tree.text(&format!("{store}/src/lib.rs")).is_some_and(|text| text.contains("Revocations;"));
        if keeps_list && !tree.contains(&format!("{store}/tests/lists.rs")) {
            findings.push(Finding::new(store, 0, "a store with a list of ends has tests/lists.rs"));
        }
        for suite in ["conformance", "lists"].map(|suite| format!("{store}/tests/{suite}.rs")) {
            let length = tree.text(&suite).map_or(0, |text| text.lines().count());
            if length > LONGEST_CONFORMANCE {
                let what = format!("{length} lines: a new rule goes into the suite, not beside it");
                findings.push(Finding::new(&suite, 0, what));
            }
        }
    }
    findings
}

/// Finds promises that the README does not state together with a link to what proves them.
pub(super) fn promises(tree: &Tree) -> Vec<Finding> {
    let Some(readme) = tree.text(README) else { return Vec::new() };
    let states = |line: &str, promise: &str| {
        line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == promise) && line.contains("](")
    };
    (1..=PROMISES)
        .map(|number| format!("G{number}"))
        .filter(|promise| !readme.lines().any(|line| states(line, promise)))
        .map(|promise| Finding::new(README, 0, format!("state promise {promise}, with a link to its test")))
        .collect()
}

/// Whether a store keeps its records outside its process: then it has a driver.
fn reaches_outside(manifest: &str) -> bool {
    manifest.lines().any(|line| DRIVERS.iter().any(|driver| line.starts_with(driver)))
}

/// What every store has; of each row, one is enough.
const EVERYWHERE: &[&[&str]] = &[&["src/lib.rs"], &["src/store.rs"], &["tests/conformance.rs"]];

/// What a store has besides if its records leave the process: a mapping, statements or scripts as files, and a way
/// to fail.
const OUTSIDE: &[&[&str]] = &[
    &["src/map.rs"],
    &["src/error.rs"],
    &["schema", "scripts", "src/schema", "src/scripts", "src/protocol.rs"],
];

const DRIVERS: &[&str] = &["rusqlite", "tokio-postgres", "mysql_async", "redis"];

/// Enough to build a store, on as many arrangements of servers as it knows, and hand it to the suite.
const LONGEST_CONFORMANCE: usize = 80;

const README: &str = "README.md";

/// The promises G1 to G12.
const PROMISES: usize = 12;

#[cfg(test)]
mod tests {
    use super::{super::check_rule, *};

    #[test]
    fn a_store_that_is_laid_out_differently_is_found() {
        let memory = [
            ("m/Cargo.toml", "[dependencies]\nhashbrown.workspace = true\n"),
            ("m/src/lib.rs", ""),
            ("m/src/store.rs", ""),
            ("m/tests/conformance.rs", ""),
        ];
        check_rule(store_crates, &memory, &[]);
        check_rule(
            store_crates,
            &[
                ("s/Cargo.toml", "[dependencies]\nrusqlite.workspace = true\n"),
                ("s/tests/conformance.rs", ""),
            ],
            &[
                "s: a store has src/lib.rs",
                "s: a store has src/store.rs",
                "s: a store has src/map.rs",
                "s: a store has src/error.rs",
                "s: a store has schema or scripts or src/schema or src/scripts or src/protocol.rs",
            ],
        );
    }

    #[test]
    fn a_store_with_a_suite_of_its_own_is_found() {
        let suite = "fn f() {}\n".repeat(LONGEST_CONFORMANCE + 1);
        check_rule(
            store_crates,
            &[
                ("m/Cargo.toml", ""),
                ("m/src/lib.rs", ""),
                ("m/src/store.rs", ""),
                ("m/tests/conformance.rs", &suite),
            ],
            &["m/tests/conformance.rs: 81 lines: a new rule goes into the suite, not beside it"],
        );
    }

    #[test]
    fn a_list_of_ends_without_the_suite_for_lists_is_found() {
        let store = [
            ("m/Cargo.toml", ""),
            ("m/src/lib.rs", "pub use ends::Revocations;\n"),
            ("m/src/store.rs", ""),
            ("m/tests/conformance.rs", ""),
        ];
        check_rule(store_crates, &store, &["m: a store with a list of ends has tests/lists.rs"]);
        let suite = "fn f() {}\n".repeat(LONGEST_CONFORMANCE + 1);
        check_rule(
            store_crates,
            &[&store[..], &[("m/tests/lists.rs", &suite)]].concat(),
            &["m/tests/lists.rs: 81 lines: a new rule goes into the suite, not beside it"],
        );
    }

    #[test]
    fn a_promise_without_a_link_is_found() {
        let line = |number: usize| format!("- **G{number} Word.** Text ([test](tests/g{number}.rs))\n");
        let whole: String = (1..=PROMISES).map(line).collect();
        check_rule(promises, &[("README.md", &whole)], &[]);
        check_rule(promises, &[], &[]);
        let unlinked = whole.replace("([test](tests/g1.rs))", "");
        check_rule(
            promises,
            &[("README.md", &unlinked)],
            &["README.md: state promise G1, with a link to its test"],
        );
        let unsaid = whole.replace("**G12", "**X12");
        check_rule(
            promises,
            &[("README.md", &unsaid)],
            &["README.md: state promise G12, with a link to its test"],
        );
    }
}
