//! Nodes in which a step of the protocol is broken: a run has to notice.

use cloakroom::Sabotage;
use cloakroom_proof::crew::Wish;
use cloakroom_proof::run::run;
use cloakroom_servers::{Redis, Relay};

use super::{by, plan};

#[test]
fn a_node_that_leaves_a_step_of_the_protocol_out_is_caught() {
    let redis = Redis::start().unwrap();
    let relays: Vec<Relay> = NODES.iter().map(|_| Relay::to(redis.port()).unwrap()).collect();
    let mut plan = plan(&redis.url(), 9, |_| String::new());
    let wish = |(sabotage, relay): (&Sabotage, &Relay)| Wish {
        store: by(relay, &redis.url(), redis.port()),
        sabotage: Some(*sabotage),
    };
    plan.nodes = NODES.iter().zip(&relays).map(wish).collect();
    let report = run(&plan, |stage| {
        stage.leases(5.0);
        // Links are cut and late all the time: gaps, and proofs that come back when they are worth nothing.
        for turn in 0..10 {
            if turn % 2 == 0 {
                relays.iter().for_each(Relay::cut);
            } else {
                relays.iter().for_each(Relay::stall_replies);
                stage.leases(0.9);
                relays.iter().for_each(Relay::flow);
            }
            stage.leases(0.8);
        }
        Ok(())
    });
    let report = report.unwrap();
    println!("sabotaged nodes: {report}");
    for (number, sabotage) in NODES.iter().enumerate() {
        let caught = report.is_caught(number);
        println!("{sabotage:?}: {}", if caught { "caught" } else { "not seen this time" });
        assert!(caught || !RELIABLE.contains(sabotage), "{sabotage:?} is not noticed: {report}");
    }
}

/// What can show between processes at all; what needs two threads within a microsecond is the model's.
const NODES: &[Sabotage] = &[
    Sabotage::ForgetNews,
    Sabotage::TrustAfterGap,
    Sabotage::KeepEntriesAfterGap,
    Sabotage::KeepTrustAfterOwnEnd,
    Sabotage::ForgetOwnChanges,
    Sabotage::LeaseFromReply,
];
/// What shows in every run.
const RELIABLE: &[Sabotage] = &[Sabotage::ForgetNews];
