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

mod affinity;
mod allocator;
mod book;
mod child;
mod client;
mod cookies;
mod effort;
mod error;
mod lag;
mod lists;
mod machine;
mod many;
mod monitor;
mod peers;
mod population;
mod report;
mod requests;
mod sizes;
mod statistics;
mod stopwatch;
mod stores;
mod table;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::effort::Effort;
use crate::error::Outcome;
use crate::report::{Report, Section};

/// Counts on the thread that allocates; the cost is a few instructions, the same for whatever is compared.
#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

#[derive(Parser)]
#[command(name = "cloakroom-bench", about = "What sessions cost on this machine")]
struct Arguments {
    /// Smaller and shorter: to see that it works, not to quote
    #[arg(long)]
    quick: bool,
    /// Only what the book shows, and write it there: tables and pictures
    #[arg(long)]
    book: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this process is: without one, the one that measures.
#[derive(Subcommand)]
enum Role {
    /// What verbs cost in small stores and in large ones, on every kind of store
    Sizes(sizes::Task),
    /// Rows looked at and time for a page of a list or a search, in small stores and in large ones
    Lists(lists::Task),
    /// Sessions that travel in their cookies: bytes, and time to seal and to open them, beside others
    Cookies(cookies::Task),
    /// Side by side with other libraries: processor time, store commands, memory
    Peers(peers::Task),
    /// Makes requests of a peer's server
    #[command(hide = true)]
    PeersLoad(peers::LoadTask),
    /// Nanoseconds of a validation, in small stores and in large ones
    Validate(validate::Task),
    /// Fills a store and validates
    #[command(hide = true)]
    ValidatePopulation(validate::PopulationTask),
    /// How long the end of a session takes to reach other nodes
    Lag(lag::Task),
    /// Is one of several nodes
    #[command(hide = true)]
    LagNode(lag::NodeTask),
    /// Lists and ends a thousand sessions of a principal, among very many
    Many(many::Task),
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
        None if arguments.book => measure_for_book(if arguments.quick { effort } else { Effort::BOOK }),
        None => measure(effort),
        Some(Role::Sizes(task)) => tell(effort, "sizes", |effort| sizes::measure(effort, &task)),
        Some(Role::Lists(task)) => tell(effort, "lists", |effort| lists::measure(effort, &task)),
        Some(Role::Cookies(task)) => tell(effort, "cookies", |_| cookies::measure(&task)),
        Some(Role::Peers(task)) => tell(effort, "peers", |effort| peers::measure(effort, &task)),
        Some(Role::Validate(task)) => tell(effort, "validate", |effort| validate::measure(effort, &task)),
        Some(Role::ValidatePopulation(task)) => validate::population(&task),
        Some(Role::Lag(task)) => tell(effort, "lag", |effort| lag::measure(effort, &task)),
        Some(Role::LagNode(task)) => lag::node(&task),
        Some(Role::Many(task)) => tell(effort, "many", |effort| many::measure(effort, &task)),
        Some(Role::PeersLoad(task)) => peers::load(&task),
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
    compare(&mut report, effort, None)?;
    report.conclude();
    Ok(())
}

fn measure_for_book(effort: Effort) -> Outcome {
    let mut report = Report::new(effort)?;
    compare(&mut report, effort, Some(book::pictures()))?;
    report.write_book()?;
    report.conclude();
    Ok(())
}

/// What there is something to compare with, or a value to reach.
fn compare(report: &mut Report, effort: Effort, pictures: Option<PathBuf>) -> Outcome {
    let plot = |name: &str| pictures.as_ref().map(|directory| directory.join(name));
    let peers = peers::Task::drawn(plot("benchmarks-peers.svg"));
    report.section("peers", &peers::measure(effort, &peers)?)?;
    let validate = validate::Task::drawn(plot("benchmarks-validate.svg"));
    report.section("validate", &validate::measure(effort, &validate)?)?;
    let lag = lag::Task::drawn(plot("benchmarks-lag.svg"));
    report.section("lag", &lag::measure(effort, &lag)?)?;
    report.section("many", &many::measure(effort, &many::Task::default())?)?;
    report.section("cookies", &cookies::measure(&cookies::Task::default())?)
}

/// One part of the measurements alone.
fn tell(effort: Effort, name: &str, measure: impl FnOnce(Effort) -> Outcome<Section>) -> Outcome {
    let mut report = Report::new(effort)?;
    report.section(name, &measure(effort)?)?;
    report.conclude();
    Ok(())
}
