//! Connections that end in the middle of an answer: what was asked happened whole or not at all, and the error says
//! which, or that nobody knows.

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::TokenDigest;
use cloakroom_store::{Applied, Lookup, Selector, StoreError, Version};

use crate::fleet::{Fleet, Node, all_of};

/// What a session and its next token look like.
type State = (Lookup, Lookup);

/// A call whose answers are cut.
struct Cut {
    name: &'static str,
    call: fn(&Node, &Filing, &Filing) -> Result<(), StoreError>,
    /// Whether this is how it looks when the call has happened.
    has_happened: fn(&State) -> bool,
}

const CUTS: &[Cut] = &[
    Cut {
        name: "replace",
        call: |node, filing, _| {
            let changed = filing.clone().with_attribute("cart", *b"a hat");
            node.change(&changed, Version::FIRST, at(1)).map(drop)
        },
        has_happened: |(old, _)| matches!(old, Lookup::Live(live) if live.version == Version::from_u64(2)),
    },
    Cut {
        name: "touch",
        call: |node, filing, _| node.note(filing.digest, at(1)).map(drop),
        has_happened: |(old, _)| matches!(old, Lookup::Live(live) if live.last_seen_at == at(1)),
    },
    Cut {
        name: "rekey",
        call: |node, filing, next| node.exchange(filing.digest, Version::FIRST, next, at(1)).map(drop),
        has_happened: |(old, new)| matches!((old, new), (Lookup::Retired(_), Lookup::Live(_))),
    },
    Cut {
        name: "end",
        call: |node, filing, _| node.end_one(filing, at(1)).map(drop),
        has_happened: |(old, _)| matches!(old, Lookup::Ended(_)),
    },
    Cut {
        name: "end of a principal",
        call: |node, _, _| node.end(&all_of("alice"), at(1)).map(drop),
        has_happened: |(old, _)| matches!(old, Lookup::Ended(_)),
    },
    Cut {
        name: "end of everything",
        call: |node, _, _| node.end(&Selector::All, at(1)).map(drop),
        has_happened: |(old, _)| matches!(old, Lookup::Ended(_)),
    },
];

fn state(beside: &Node, old: TokenDigest, new: TokenDigest) -> State {
    (beside.get(old, at(1)).unwrap(), beside.get(new, at(1)).unwrap())
}

#[test]
fn wherever_an_answer_is_cut_the_call_happened_whole_or_not_at_all() {
    let (fleet, mut fixtures) = (Fleet::start(1), Fixtures::new(1));
    let (node, beside) = (fleet.node(), fleet.node_beside());
    let (mut failed, mut uncertain) = (0, 0);
    for cut in CUTS {
        for after in (0..700).step_by(23) {
            let filing = fixtures.signed_in("alice");
            let next = filing.rotated(fixtures.next_digest(&filing), at(1));
            beside.file(&filing).unwrap();
            node.answers_for(filing.digest, T0);
            fleet.relays[0].cut_replies_after(after);
            let answer = (cut.call)(&node, &filing, &next);
            let found = state(&beside, filing.digest, next.digest);
            let before = (Lookup::Live(filing.live()), Lookup::Unknown);
            let has_happened = (cut.has_happened)(&found);
            assert!(has_happened || found == before, "{} cut after {after}: {found:?}", cut.name);
            match answer {
                Ok(()) => assert!(has_happened, "{} cut after {after}: it said so", cut.name),
                Err(error) => {
                    failed += 1;
                    uncertain += usize::from(error.applied() == Applied::Unknown);
                    let fits = error.applied() == Applied::Unknown || !has_happened;
                    assert!(fits, "{} cut after {after}: {error:?}, but {found:?}", cut.name);
                }
            }
            beside.end(&all_of("alice"), at(1)).unwrap();
        }
    }
    assert!(
        failed > 20 && uncertain > 5 && uncertain < failed,
        "{failed} failed, {uncertain} of them uncertain"
    );
}

#[test]
fn wherever_the_answer_to_a_sign_in_is_cut_it_is_filed_whole_or_not_at_all() {
    let (fleet, mut fixtures) = (Fleet::start(1), Fixtures::new(1));
    let (node, beside) = (fleet.node(), fleet.node_beside());
    for after in (0..400).step_by(11) {
        let filing = fixtures.signed_in("alice");
        node.answers_for(filing.digest, T0);
        fleet.relays[0].cut_replies_after(after);
        let answer = node.file(&filing);
        let found = beside.get(filing.digest, T0).unwrap();
        let is_filed = found == Lookup::Live(filing.live());
        assert!(is_filed || found == Lookup::Unknown, "cut after {after}: {found:?}");
        match answer {
            Ok(_) => assert!(is_filed, "cut after {after}"),
            Err(error) => {
                assert!(error.applied() == Applied::Unknown || !is_filed, "cut after {after}: {error:?}")
            }
        }
    }
}

#[test]
fn answers_never_reach_another_callers_question() {
    let (fleet, mut fixtures) = (Fleet::start(1), Fixtures::new(1));
    let node = fleet.node();
    let filings: Vec<Filing> = (0..40).map(|number| fixtures.signed_in(&format!("user{number}"))).collect();
    for filing in &filings {
        node.file(filing).unwrap();
    }
    for round in 0..30 {
        // Callers that go away after a poll leave their answers behind.
        node.run(async {
            for filing in &filings {
                let mut call = std::pin::pin!(cloakroom_store::Store::get(node.store(), filing.digest, T0));
                std::future::poll_fn(|context| {
                    let _ = call.as_mut().poll(context);
                    std::task::Poll::Ready(())
                })
                .await;
            }
        });
        for filing in &filings {
            assert_eq!(node.get(filing.digest, T0).unwrap(), Lookup::Live(filing.live()), "round {round}");
        }
    }
}
