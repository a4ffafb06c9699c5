//! What sessions cost, measured on the machine at hand.
//!
//! Nothing here passes or fails: it prints a table, with the aims beside it, and leaves the numbers as JSON under
//! `target/bench/`. Whoever reads them compares within one run: everything is measured in rounds that take turns, and
//! what is told is the median, as a ratio wherever there is something to compare with. Numbers of different machines,
//! or of different days on a shared one, do not compare.
//!
//! The program runs itself in other roles, so that a server's processor time is its own and a population's memory is
//! nobody else's.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

mod allocator;
mod child;
mod effort;
mod error;
mod machine;
mod population;
mod report;
mod requests;
mod sizes;
mod statistics;
mod stopwatch;
mod stores;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::effort::Effort;
use crate::error::Outcome;
use crate::report::Report;

/// Counts on the thread that allocates; the cost is a few instructions, the same for whatever is compared.
#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

#[derive(Parser)]
#[command(name = "cloakroom-bench", about = "What sessions cost on this machine")]
struct Arguments {
    /// Smaller and shorter: to see that it works, not to quote
    #[arg(long)]
    quick: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this process is: without one, the one that measures.
#[derive(Subcommand)]
enum Role {
    /// What verbs cost in small stores and in large ones, on every kind of store
    Sizes(sizes::Task),
    /// Fills a store with sessions and asks for them
    #[command(hide = true)]
    Population(population::Task),
    /// Answers requests, with sessions and without
    #[command(hide = true)]
    Serve(requests::ServerTask),
    /// Makes requests
    #[command(hide = true)]
    Load(requests::LoadTask),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    let done = match arguments.role {
        None => measure(effort),
        Some(Role::Sizes(task)) => measure_sizes(effort, &task),
        Some(Role::Population(task)) => population::run(&task),
        Some(Role::Serve(task)) => requests::serve(&task),
        Some(Role::Load(task)) => requests::load(&task),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(effort: Effort) -> Outcome {
    let mut report = Report::new(effort)?;
    report.section("populations", &population::measure(effort)?)?;
    report.section("round-trips", &requests::count_round_trips()?)?;
    report.section("requests", &requests::measure(effort)?)?;
    report.conclude();
    Ok(())
}

fn measure_sizes(effort: Effort, task: &sizes::Task) -> Outcome {
    let mut report = Report::new(effort)?;
    report.section("sizes", &sizes::measure(effort, task)?)?;
    report.conclude();
    Ok(())
}
