//! A store that is full: who goes, in which order, and who is told.

use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::{EndReason, SessionId, Timestamp};
use cloakroom_memory::{MemoryOptions, MemoryStore};
use cloakroom_store::{
    Applied, EndRequest, Ended, ErrorKind, InsertRequest, Inserted, Lookup, ReplaceRequest, Replaced,
    Selector, Store, SweepRequest, Touch, Version,
};
use futures_util::FutureExt;

use crate::answer;

const MAX_BYTES: usize = 64 << 10;

fn full_store() -> (MemoryStore, Fixtures) {
    (MemoryStore::new(MemoryOptions::default().with_max_bytes(MAX_BYTES)), Fixtures::new(5))
}

/// A session that no time ends here.
fn lasting(filing: Filing, issued_at: Timestamp) -> Filing {
    let day = Duration::from_secs(86_400);
    filing.issued_at(issued_at).with_idle_timeout(day).with_absolute_at(issued_at.plus(day))
}

fn insert(store: &MemoryStore, filing: &Filing) -> Vec<Ended> {
    let Filing { record, digest } = filing;
    let now = record.created_at;
    let request = InsertRequest { record, digest: *digest, limit: None, replaces: None, now };
    match answer(store.insert(request)) {
        Inserted::Done { ended } => {
            assert!(store.bytes() <= MAX_BYTES, "the store keeps its bound");
            ended
        }
        other => panic!("{other:?}"),
    }
}

/// Sessions, filed a millisecond after each other from `from` on, until the store is full.
fn fill(store: &MemoryStore, from: i64, mut next: impl FnMut() -> Filing) -> (Vec<Filing>, Vec<Ended>) {
    let mut filed = Vec::new();
    for millis in from.. {
        let filing = lasting(next(), at(millis));
        let ended = insert(store, &filing);
        filed.push(filing);
        if !ended.is_empty() {
            return (filed, ended);
        }
    }
    unreachable!("every store is full some day")
}

fn sweep(store: &MemoryStore, now: Timestamp) -> Vec<Ended> {
    answer(store.sweep(SweepRequest { now, limit: 10_000, lease: Duration::ZERO })).ended
}

fn ids(ended: &[Ended]) -> Vec<SessionId> {
    ended.iter().map(|ended| ended.session).collect()
}

fn is_live(store: &MemoryStore, filing: &Filing, now: Timestamp) -> bool {
    matches!(answer(store.get(filing.digest, now)), Lookup::Live(_))
}

#[test]
fn the_anonymous_session_idle_for_longest_goes_first_and_is_told_of() {
    let (store, mut fixtures) = full_store();
    let signed_in = lasting(fixtures.signed_in("alice"), at(-1_000));
    insert(&store, &signed_in);
    let idle = lasting(fixtures.anonymous(), at(-900));
    let active = lasting(fixtures.anonymous(), at(-800));
    for filing in [&active, &idle] {
        insert(&store, filing);
    }
    let touch = Touch { digest: active.digest, seen_at: at(-1) };
    answer(store.touch(&[touch], at(-1)));
    let (filed, ended) = fill(&store, 0, || fixtures.anonymous());
    let now = filed.last().unwrap().record.created_at;
    let order: Vec<SessionId> =
        [&idle, &active].into_iter().chain(&filed).map(|filing| filing.record.id).collect();
    assert_eq!(ids(&ended), order[..ended.len()], "idlest first, across all shards");
    assert!(ended.iter().all(|ended| ended.reason == EndReason::StoreFull && ended.at == now), "{ended:?}");
    assert_eq!(answer(store.get(idle.digest, now)), Lookup::Ended(idle.tombstone(EndReason::StoreFull, now)));
    assert!(is_live(&store, &signed_in, now), "this one was idle for longer, but matters more");
    assert!(is_live(&store, filed.last().unwrap(), now), "the newest is not its own victim");
    assert_eq!(sweep(&store, now), [], "each end is told of once");
}

#[test]
fn signed_in_sessions_go_when_no_anonymous_one_is_left() {
    let (store, mut fixtures) = full_store();
    let mut names = (0..).map(|number| format!("user-{number}"));
    let (filed, ended) = fill(&store, 0, || fixtures.signed_in(&names.next().unwrap()));
    let oldest: Vec<SessionId> = filed.iter().take(ended.len()).map(|filing| filing.record.id).collect();
    assert_eq!(ids(&ended), oldest, "idlest first, across all shards");
    let visitors = (0..50).map(|millis| lasting(fixtures.anonymous(), at(50_000 + millis)));
    let put_out: Vec<Ended> = visitors.flat_map(|visitor| insert(&store, &visitor)).collect();
    let signed_in = put_out.iter().filter(|ended| ended.principal.is_some()).count();
    assert!(signed_in <= 1 && put_out.len() >= 45, "a flood of visitors puts out visitors: {put_out:?}");
}

#[test]
fn what_is_over_goes_before_what_lives() {
    let (store, mut fixtures) = full_store();
    let brief = lasting(fixtures.signed_in("brief"), at(0)).with_idle_timeout(Duration::from_millis(10));
    insert(&store, &brief);
    let ended_before = lasting(fixtures.signed_in("gone"), at(1));
    insert(&store, &ended_before);
    let selector = Selector::One(ended_before.record.id);
    answer(store.end(EndRequest { selector: &selector, reason: EndReason::SignedOut, now: at(2) }));
    let (_, ended) = fill(&store, 100, || fixtures.anonymous());
    let expired: Vec<&Ended> = ended.iter().filter(|ended| ended.reason == EndReason::IdleTimeout).collect();
    assert_eq!(expired, [&brief.tombstone(EndReason::IdleTimeout, at(10)).into()]);
    assert!(sweep(&store, at(20_000)).is_empty(), "each end is told of once");
}

#[test]
fn tombstones_beyond_their_share_go_before_what_lives() {
    let (store, mut fixtures) = full_store();
    let mut ended = Vec::new();
    for millis in 0..200 {
        let filing = lasting(fixtures.signed_in("alice"), at(millis));
        insert(&store, &filing);
        let selector = Selector::One(filing.record.id);
        answer(store.end(EndRequest { selector: &selector, reason: EndReason::SignedOut, now: at(millis) }));
        ended.push(filing);
    }
    let known = |filing: &Filing, now| matches!(answer(store.get(filing.digest, now)), Lookup::Ended(_));
    assert!(ended.iter().all(|filing| known(filing, at(200))), "as long as there is room");
    let (filed, put_out) = fill(&store, 300, || fixtures.anonymous());
    let now = filed.last().unwrap().record.created_at;
    assert_eq!(put_out.first().map(|ended| ended.session), filed.first().map(|filing| filing.record.id));
    let known = ended.iter().filter(|filing| known(filing, now)).count();
    assert!((1..50).contains(&known), "{known} of the latest tombstones are left");
    assert!(ended.iter().all(|filing| !is_live(&store, filing, now)));
}

#[test]
fn whoever_ends_because_a_record_grew_is_told_of_by_the_next_sweep() {
    let (store, mut fixtures) = full_store();
    let (filed, _) = fill(&store, 0, || fixtures.anonymous());
    let now = filed.last().unwrap().record.created_at;
    let grown = filed.last().unwrap().clone().with_attribute("a", vec![0; 2_000]);
    let request =
        ReplaceRequest { digest: grown.digest, version: Version::FIRST, record: &grown.record, now };
    assert_eq!(answer(store.replace(request)), Replaced::Done(Version::FIRST.next()));
    assert!(store.bytes() <= MAX_BYTES, "the store keeps its bound");
    assert!(is_live(&store, &grown, now), "what grew does not make room for itself");
    let told = sweep(&store, now);
    assert!(!told.is_empty() && told.iter().all(|ended| ended.reason == EndReason::StoreFull));
    assert_eq!(sweep(&store, now), [], "each end is told of once");
}

#[test]
fn a_record_that_does_not_fit_even_alone_is_refused_and_puts_nobody_out() {
    let (store, mut fixtures) = full_store();
    let other = lasting(fixtures.anonymous(), T0);
    insert(&store, &other);
    let large = lasting(fixtures.anonymous(), T0).with_attribute("a", vec![0; MAX_BYTES]);
    let Filing { record, digest } = &large;
    let request = InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 };
    let error = store.insert(request).now_or_never().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, Applied::No));
    let grown = other.clone().with_attribute("a", vec![0; MAX_BYTES]);
    let request =
        ReplaceRequest { digest: other.digest, version: Version::FIRST, record: &grown.record, now: T0 };
    let error = store.replace(request).now_or_never().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, Applied::No));
    assert_eq!(answer(store.get(other.digest, T0)), Lookup::Live(other.live()));
}
