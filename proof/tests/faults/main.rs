//! The law on real servers, while servers, links and nodes are harmed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "every function here is part of a test, which the lints cannot see without #[test]"
)]

mod nodes;
mod postgres;
mod redis;
mod sabotage;
mod shards;
mod sqlite;

use std::path::PathBuf;
use std::time::Duration;

use cloakroom_proof::Fallible;
use cloakroom_proof::crew::Wish;
use cloakroom_proof::report::Report;
use cloakroom_proof::run::{Plan, Stage, run};
use cloakroom_servers::Relay;

/// Short, so that a run of seconds has many: the law is the same for any.
const LEASE: Duration = Duration::from_millis(400);

/// Three nodes over the store at `url`, each by the URL that `seen_by` gives it.
fn plan(url: &str, seed: u64, seen_by: impl Fn(usize) -> String) -> Plan {
    Plan {
        program: PathBuf::from(env!("CARGO_BIN_EXE_cloakroom-proof")),
        direct: url.to_owned(),
        nodes: (0..3).map(|number| Wish { store: seen_by(number), sabotage: None }).collect(),
        lease: LEASE,
        seed,
        sign_ins_may_be_lost: false,
    }
}

/// `url` by way of a relay.
fn by(relay: &Relay, url: &str, port: u16) -> String {
    url.replace(&format!(":{port}"), &format!(":{}", relay.port()))
}

/// Runs it until there is something to judge, and demands that the law was kept.
fn lawful(name: &str, plan: &Plan, violence: impl FnOnce(&Stage<'_>) -> Fallible) -> Report {
    let report = run(plan, |stage| {
        violence(stage)?;
        stage.until_enough(ENDS, LET_IN)
    });
    let report = report.unwrap();
    println!("{name}: {report}");
    assert_eq!(report.breaches, 0, "{name}: {report}");
    assert!(report.ends >= ENDS, "{name}: too little happened: {report}");
    report
}

/// What has to happen in a run at least, to be judged.
const ENDS: usize = 10;
const LET_IN: u64 = 100;
