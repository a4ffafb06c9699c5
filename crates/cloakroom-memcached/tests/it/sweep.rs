//! Sweeps find whoever is over, though nothing is listed.

use std::collections::BTreeSet;
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, at};
use cloakroom_core::EndReason::{IdleTimeout, RevokedByAdmin};
use cloakroom_core::{EndReason, SessionId, Timestamp};
use cloakroom_servers::{Look, until};
use cloakroom_store::{Lookup, Selector, Store as _, SweepRequest, Swept};

use crate::fleet::{Fleet, Node, PATIENCE, hexadecimal};

fn sessions(node: &Node, count: usize) -> Vec<Filing> {
    sessions_of(node, count, 1)
}

fn sessions_of(node: &Node, count: usize, seed: u64) -> Vec<Filing> {
    let mut fixtures = Fixtures::new(seed);
    let filings: Vec<Filing> = (0..count)
        .map(|number| {
            if number % 3 == 0 {
                fixtures.anonymous()
            } else {
                fixtures.signed_in(&format!("user{number}of{seed}"))
            }
        })
        .collect();
    for filing in &filings {
        node.file(filing).unwrap();
    }
    filings
}

fn round(node: &Node, now: Timestamp, limit: usize) -> Swept {
    node.run(node.store().sweep(SweepRequest { now, limit, lease: Duration::ZERO })).unwrap()
}

/// Everything a sweep reports, in rounds of at most `limit`: each once, for this reason.
fn sweep(node: &Node, now: Timestamp, limit: usize, reason: EndReason) -> BTreeSet<SessionId> {
    let mut reported = BTreeSet::new();
    for _ in 0..10_000 {
        let swept = round(node, now, limit);
        assert!(swept.ended.len() <= limit, "{swept:?}");
        for ended in swept.ended {
            assert_eq!(ended.reason, reason);
            assert!(reported.insert(ended.session), "reported twice: {ended:?}");
        }
        if !swept.more {
            return reported;
        }
    }
    panic!("rounds come to an end")
}

fn ids(filings: &[Filing]) -> BTreeSet<SessionId> {
    filings.iter().map(Filing::id).collect()
}

#[test]
fn whoever_time_ended_is_reported_once_on_every_server_in_rounds_of_any_size() {
    let fleet = Fleet::start(3);
    let node = fleet.node();
    let filings = sessions(&node, 60);
    assert_eq!(sweep(&node, at(999), 7, IdleTimeout), BTreeSet::new());
    assert_eq!(sweep(&node, at(1_000), 7, IdleTimeout), ids(&filings));
    assert_eq!(sweep(&node, at(1_000), 7, IdleTimeout), BTreeSet::new());
    for filing in &filings {
        let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)));
        assert_eq!(node.get(filing.digest, at(10)).unwrap(), over, "by a clock behind, too");
    }
}

#[test]
fn whoever_an_end_of_everything_ended_is_counted_and_reported_once() {
    let fleet = Fleet::start(3);
    let node = fleet.node();
    let filings = sessions(&node, 30);
    let ending = node.end(&Selector::All, at(10)).unwrap();
    assert_eq!(ending.swept_later, 30);
    let fresh = Fixtures::new(2).signed_in("alice").issued_at(at(10));
    node.file(&fresh).unwrap();
    assert_eq!(sweep(&node, at(11), 8, RevokedByAdmin), ids(&filings));
    assert_eq!(sweep(&node, at(11), 8, RevokedByAdmin), BTreeSet::new());
    assert_eq!(node.get(fresh.digest, at(11)).unwrap(), Lookup::Live(fresh.live()));
    assert!(matches!(node.get(filings[0].digest, at(11)).unwrap(), Lookup::Ended(_)), "it keeps its end");
}

/// By the next sweep, or by the next session that comes to a page.
#[test]
fn a_directory_that_was_lost_is_made_anew_from_what_is_there() {
    for has_more in [false, true] {
        let fleet = Fleet::start(1);
        let node = fleet.node_beside();
        let mut filings = sessions(&node, 40);
        let command = |line: &str| fleet.servers[0].command(line).unwrap();
        for page in 0..64_u8 {
            assert_eq!(command(&format!("md cloakroom:d{page:02x}")), "HD");
        }
        if has_more {
            filings.extend(sessions_of(&node, 40, 2));
        }
        assert_eq!(sweep(&node, at(1_000), 100, IdleTimeout), ids(&filings));
        assert_eq!(command("mg cloakroom:d00"), "HD", "there is a page again");
    }
}

/// Whoever ended somebody, and died before it was written down where their token points.
#[test]
fn a_sweep_writes_down_what_somebody_who_died_had_ended() {
    let fleet = Fleet::start(1);
    let options = cloakroom_memcached::MemcachedOptions::new([fleet.servers[0].address()]);
    let (dying, other) = (Node::connect_alone(options), fleet.node_beside());
    let filing = Fixtures::new(1).signed_in("alice");
    other.file(&filing).unwrap();
    // Its runtime does nothing more after the answer.
    dying.end_one(&filing, at(1)).unwrap();
    drop(dying);
    let key = format!("mg cloakroom:i{}", hexadecimal(filing.id().as_bytes()));
    assert!(fleet.servers[0].command(&key).unwrap().starts_with("EN"), "it is not written down");
    assert!(matches!(other.get(filing.digest, at(2)).unwrap(), Lookup::Ended(_)), "and is over all the same");
    assert_eq!(round(&other, at(2), 100), Swept::default(), "nothing new is reported");
    let is_written = || match fleet.servers[0].command(&key).unwrap() {
        found if found.starts_with("HD") => Look::Done(()),
        other => Look::NotYet(other),
    };
    until("it to be written down", PATIENCE, is_written).unwrap();
    assert!(matches!(other.get(filing.digest, at(2)).unwrap(), Lookup::Ended(_)));
}

#[test]
fn a_server_that_is_away_does_not_keep_the_others_from_being_swept() {
    let fleet = Fleet::start(3);
    let node = fleet.node();
    let filings = sessions(&node, 45);
    let lost = 1;
    let elsewhere: Vec<Filing> =
        filings.iter().filter(|filing| fleet.server_of(filing.digest) != lost).cloned().collect();
    fleet.part(lost);
    let mut reported = BTreeSet::new();
    let look = || {
        reported.extend(round(&node, at(1_000), 100).ended.into_iter().map(|ended| ended.session));
        if reported.len() >= elsewhere.len() {
            Look::Done(())
        } else {
            Look::NotYet(format!("{} found", reported.len()))
        }
    };
    until("the others to be swept", PATIENCE, look).unwrap();
    assert_eq!(reported, ids(&elsewhere));
    fleet.join(lost);
    node.is_well(&mut Fixtures::new(9));
    let rest = sweep(&node, at(1_000), 100, IdleTimeout);
    assert_eq!(rest.len(), filings.len() - elsewhere.len());
}
