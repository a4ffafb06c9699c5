//! `cargo xtask ci`: what a change has to pass, cheapest first.

use std::process::Command;

use cargo_metadata::Metadata;

use crate::{conclude, error::Error, layers, process, test, tidy};

/// Runs every step, so that one run shows every fault; the answer says whether all of them held.
pub(crate) fn run(metadata: &Metadata, without_deny: bool) -> Result<bool, Error> {
    let root = metadata.workspace_root.as_std_path();
    let mut failed = Vec::new();
    let mut step = |name: &'static str, outcome: Result<bool, Error>| {
        match outcome {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => eprintln!("error: {error}"),
        }
        failed.push(name);
    };
    for (name, arguments) in COMMANDS {
        println!("\n── {name} ──");
        let mut cargo = process::cargo(root);
        cargo.args(*arguments);
        if *name == DOCUMENTATION {
            cargo.env("RUSTDOCFLAGS", "-D warnings");
        }
        step(name, process::succeeds(&mut cargo));
    }
    println!("\n── layers, tidy ──");
    step("layers", Ok(conclude(&layers::check(metadata))));
    step("tidy", tidy::check(root).map(|checks| conclude(&checks)));
    println!("\n── dependency policy ──");
    if without_deny {
        println!("left out, as asked");
    } else {
        step("dependency policy", deny(process::cargo(root)));
    }
    let tests_pass = test::run(metadata, &[])?;
    if !failed.is_empty() {
        eprintln!("\nfailed before the tests: {}", failed.join(", "));
    }
    Ok(tests_pass && failed.is_empty())
}

fn deny(mut cargo: Command) -> Result<bool, Error> {
    if process::which("cargo-deny").is_none() {
        println!("did not run: cargo-deny is missing; run: cargo install --locked cargo-deny");
        return Ok(false);
    }
    process::succeeds(cargo.args(["deny", "--workspace", "check"]))
}

const DOCUMENTATION: &str = "documentation";

/// What cargo does for us.
const COMMANDS: &[(&str, &[&str])] = &[
    ("formatting", &["fmt", "--all", "--check"]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    (DOCUMENTATION, &["doc", "--workspace", "--no-deps"]),
];
