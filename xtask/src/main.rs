//! The project's own chores, run as `cargo xtask`.
//!
//! `test` proves the product and brings what it needs; `servers` starts the stores' servers for using them by hand;
//! `bench` measures what it costs; `layers` checks who imports whom; `tidy` checks the rules of house style that no lint
//! knows; `ci` runs all of it, and the lints. A check here is a test: it is counted, it can fail, and each rule has a unit
//! test which shows it failing.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

mod ci;
mod error;
mod layers;
mod process;
mod report;
mod secrets;
mod servers;
mod test;
mod tidy;

use std::process::ExitCode;

use cargo_metadata::MetadataCommand;
use clap::{Parser, Subcommand};

use crate::{
    error::{Doing as _, Error},
    report::Tally,
    test::Area,
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run everything that proves the product; the last line is `N passed, M failed, K skipped`
    Test {
        /// Only this area, repeatable: unit, store=NAME, http, faults, telemetry, browser, secrets, tidy, layers
        #[arg(long, value_name = "AREA")]
        only: Vec<Area>,
    },
    /// Run formatting, lints, layers, tidy, documentation, dependency policy, then every test
    Ci {
        /// Leave out the dependency policy, which needs cargo-deny and a network
        #[arg(long)]
        without_deny: bool,
    },
    /// Start, stop and list the real servers that the tests use, for using them by hand
    Servers {
        #[command(subcommand)]
        action: Option<servers::Action>,
    },
    /// Measure what sessions cost on this machine; nothing here passes or fails by the clock
    Bench {
        /// Smaller and shorter: to see that it works, not to quote
        #[arg(long)]
        quick: bool,
        /// What else to tell the benchmarks, for example `sizes --store redis`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check who may import whom
    Layers,
    /// Check the rules of house style that no lint knows
    Tidy {
        /// Lower xtask/ratchet.toml to what the code needs today; it never adds or raises an entry
        #[arg(long)]
        lower_ratchet: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does the chore; the answer says whether everything held.
fn run(chore: Chore) -> Result<bool, Error> {
    let metadata = MetadataCommand::new().exec().doing(|| "asking cargo for the workspace".to_owned())?;
    match chore {
        Chore::Test { only } => test::run(&metadata, &only),
        Chore::Ci { without_deny } => ci::run(&metadata, without_deny),
        Chore::Servers { action } => {
            let status = servers::Action::Status { names: Vec::new(), json: false };
            servers::run(metadata.target_directory.as_std_path(), action.as_ref().unwrap_or(&status))
        }
        Chore::Bench { quick, arguments } => {
            let mut cargo = process::cargo(metadata.workspace_root.as_std_path());
            cargo.args(["run", "--release", "--package", "cloakroom-bench", "--"]);
            cargo.args(quick.then_some("--quick")).args(arguments);
            process::succeeds(&mut cargo)
        }
        Chore::Layers => Ok(conclude(&layers::check(&metadata))),
        Chore::Tidy { lower_ratchet } => {
            let root = metadata.workspace_root.as_std_path();
            if lower_ratchet {
                tidy::lower_ratchet(root)?;
            }
            Ok(conclude(&tidy::check(root)?))
        }
    }
}

/// Prints the findings of a chore that consists of checks alone, and the sum.
fn conclude(checks: &[report::Check]) -> bool {
    let mut tally = Tally::default();
    tally.add_checks(checks);
    println!("{tally}");
    tally.is_good()
}
