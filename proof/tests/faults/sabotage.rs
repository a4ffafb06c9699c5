//! Nodes in which a step of the protocol is broken: a run has to notice.

use cloakroom::Sabotage;
use cloakroom_proof::crew::Wish;
use cloakroom_proof::run::{Stage, run};
use cloakroom_servers::{Postgres, Redis, Relay};

use super::{by, plan};

#[test]
fn redis_a_node_that_does_not_listen_or_does_not_forget_is_caught() {
    let redis = Redis::start().unwrap();
    caught(
        "Redis",
        &redis.url(),
        redis.port(),
        &[Sabotage::ForgetNews, Sabotage::TrustAfterGap, Sabotage::KeepEntriesAfterGap],
    );
}

#[test]
fn postgres_a_node_that_does_not_listen_is_caught() {
    let postgres = Postgres::start().unwrap();
    caught("PostgreSQL", &postgres.url(), postgres.port(), &[Sabotage::ForgetNews]);
}

/// A node for each broken step; all have to be caught.
fn caught(name: &str, url: &str, port: u16, broken: &[Sabotage]) {
    let relays: Vec<Relay> = broken.iter().map(|_| Relay::to(port).unwrap()).collect();
    let mut plan = plan(url, 9, |_| String::new());
    let wish = |(sabotage, relay): (&Sabotage, &Relay)| Wish {
        store: by(relay, url, port),
        sabotage: Some(*sabotage),
    };
    plan.nodes = broken.iter().zip(&relays).map(wish).collect();
    let report = run(&plan, |stage| {
        stage.leases(3.0);
        let mut missed = 0;
        for _ in 0..MOST_GAPS {
            missed += harm(stage, &relays);
            if missed >= MISSED {
                return Ok(());
            }
        }
        Err(format!("{missed} sessions ended in {MOST_GAPS} gaps: nothing to catch anybody by").into())
    });
    let report = report.unwrap();
    println!("{name}, sabotaged nodes: {report}");
    for (number, sabotage) in broken.iter().enumerate() {
        assert!(report.is_caught(number), "{name}: {sabotage:?} is not noticed: {report}");
    }
}

/// Links are cut, and stay away for a while in which sessions end: a gap. How many ended in it.
fn harm(stage: &Stage<'_>, relays: &[Relay]) -> usize {
    let before = stage.ended();
    for relay in relays {
        relay.refuse();
        relay.cut();
    }
    stage.leases(0.5);
    let missed = stage.ended() - before;
    relays.iter().for_each(|relay| relay.accept().unwrap());
    stage.leases(1.2);
    missed
}

/// Ends that nodes have not heard of, enough of them for each broken step to show.
const MISSED: usize = 12;
const MOST_GAPS: usize = 100;
