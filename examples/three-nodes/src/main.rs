//! Plays the scenarios and prints a table: `cargo run -p three-nodes`, after `cargo build --bin cloakroom`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use three_nodes::{Balancing, Effort, Outage, Outcome, Row, Scenario, Store, play, play_outage};

#[derive(Parser)]
#[command(
    name = "three-nodes",
    about = "Which stores need sticky routing, shown by the sign-ins that are lost"
)]
struct Arguments {
    /// Only scenarios with these stores
    #[arg(long = "store")]
    stores: Vec<Store>,
    /// People, each with two browsers
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..=100))]
    people: u8,
    /// Requests of each browser in each act
    #[arg(long, default_value_t = 30)]
    requests: u32,
    /// The session server; beside this program where nothing is said
    #[arg(long, env = "CLOAKROOM_BIN")]
    server: Option<PathBuf>,
    /// Rows as JSON, one in a line
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Outcome {
    let server = match &arguments.server {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("cloakroom"),
    };
    if !server.is_file() {
        eprintln!("there is no session server at {}; run: cargo build --bin cloakroom", server.display());
    }
    let effort = Effort { people: arguments.people, requests: arguments.requests };
    if !arguments.json {
        println!("{}", Row::heading());
    }
    for scenario in Scenario::all() {
        if arguments.stores.is_empty() || arguments.stores.contains(&scenario.store) {
            let row = play(scenario, &server, effort).await?;
            if arguments.json {
                println!("{}", serde_json::json!(row));
            } else {
                println!("{row}");
            }
        }
    }
    if arguments.stores.is_empty() || arguments.stores.contains(&Store::Redis) {
        outages(&server, effort, arguments.json).await?;
    }
    Ok(())
}

/// The store killed behind each balancer.
async fn outages(server: &Path, effort: Effort, as_json: bool) -> Outcome {
    if !as_json {
        println!("\n{}", Outage::heading());
    }
    for balancing in [Balancing::RoundRobin, Balancing::NginxRoundRobin] {
        let outage = play_outage(balancing, server, effort).await?;
        if as_json {
            println!("{}", serde_json::json!(outage));
        } else {
            println!("{outage}");
        }
    }
    Ok(())
}
