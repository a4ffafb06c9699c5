//! The registry by itself: what it keeps, and what it lets go.

use std::time::Duration;

use cloakroom_core::{Lifetime, Route, SessionId, SessionRecord, SessionToken, Timestamp};
use cloakroom_store::{Live, Parts, Version};

use super::duty::Finding;
use super::entry::Facts;
use super::registry::Registry;
use super::{StreamPolicy, Streams};
use crate::ActiveSession;
use crate::system::timer_now;

fn session(number: u64) -> ActiveSession {
    let mut random = [0; 32];
    random[..8].copy_from_slice(&number.to_le_bytes());
    let route = Route::from_bytes([number.to_le_bytes()[0], 7]);
    let id = SessionId::from_random(route, random[..14].try_into().unwrap());
    let lifetime = Lifetime::new(Duration::from_secs(60), Timestamp::from_millis(3_600_000), Duration::ZERO);
    let record = SessionRecord::new(id, Timestamp::EPOCH, lifetime);
    let live = Live { record: record.into(), version: Version::FIRST, last_seen_at: Timestamp::EPOCH };
    ActiveSession::new(SessionToken::from_random(route, random).digest(), live)
}

fn is_empty(registry: &Registry) -> bool {
    registry.sessions.is_empty()
        && registry.by_digest.is_empty()
        && registry.roaming.is_empty()
        && registry.dues.is_empty()
        && registry.ready.is_empty()
        && registry.touches.is_empty()
        && registry.suspects == 0
        && registry.in_part.iter().all(|count| *count == 0)
}

#[test]
fn what_closes_leaves_nothing_behind_whatever_it_was_waiting_for() {
    let now = timer_now();
    let mut registry = Registry::new(StreamPolicy::default());
    for number in 0..2_000 {
        let session = session(number);
        let key = registry.register(&session, now);
        let beside = registry.register_beside(key);
        match number % 6 {
            0 => {}
            1 => drop(registry.next_errand(now)),
            2 => registry.set_token(session.id(), None),
            3 => registry.end_at_absolute_instant(session.id()),
            4 => registry.exchanging(
                session.id(),
                session.digest(),
                self::session(number + 7_000).digest(),
                now,
            ),
            _ => {
                registry.gap(Parts::ALL);
                while registry.settle_parts() {}
                let _ = registry.note_activity(key, Timestamp::from_millis(50_000), Duration::from_secs(1));
            }
        }
        registry.unregister(key);
        assert_eq!(registry.sessions.len(), 1);
        registry.unregister(beside);
    }
    assert!(is_empty(&registry), "{registry:?}");
    assert!(registry.rest_where_quiet());
}

#[test]
fn a_place_that_is_free_again_is_taken_again() {
    let now = timer_now();
    let mut registry = Registry::new(StreamPolicy::default());
    let session = session(1);
    let held = registry.register(&session, now);
    for _ in 0..10_000 {
        let key = registry.register(&session, now);
        registry.unregister(key);
    }
    assert_eq!(registry.sessions.first_key_value().unwrap().1.slots.len(), 2);
    registry.unregister(held);
    assert!(is_empty(&registry));
}

#[test]
fn news_of_what_nobody_watches_cost_no_lock_and_change_nothing() {
    let streams = Streams::new(StreamPolicy::default());
    let held = streams.registry.lock();
    streams.told(cloakroom_store::News::Changed(&[session(1).digest()]));
    streams.over(&cloakroom_store::Ended {
        session: session(1).id(),
        principal: None,
        at: Timestamp::EPOCH,
        reason: cloakroom_core::EndReason::SignedOut,
    });
    drop(held);
    assert!(streams.is_quiet());
}

/// A session that was looked up after its part was covered, and of which nothing was told since.
fn proven(registry: &mut Registry, session: &ActiveSession) {
    let now = timer_now();
    registry.proven(registry.coverage.asked(now), Parts::ALL);
    while registry.settle_parts() {}
    let _ = registry.register(session, now);
    lives(registry, session);
    assert_eq!((registry.suspects, registry.stale_at(now).is_some_and(|at| at > now)), (0, true));
}

fn lives(registry: &mut Registry, session: &ActiveSession) {
    let errand = registry.next_errand(timer_now()).unwrap();
    registry.settle(&errand, Finding::Lives(Facts::of(session)), timer_now());
}

fn exchanged(session: &ActiveSession, number: u64) -> ActiveSession {
    let live = Live {
        record: session.record().clone(),
        version: Version::from_u64(session.version().as_u64() + 1),
        last_seen_at: session.last_seen_at(),
    };
    ActiveSession::new(self::session(number).digest(), live)
}

#[test]
fn an_exchange_that_nothing_but_itself_was_told_of_proves_the_session() {
    let mut registry = Registry::new(StreamPolicy::default());
    let (old, new) = (session(1), exchanged(&session(1), 257));
    proven(&mut registry, &old);
    registry.exchanging(old.id(), old.digest(), new.digest(), timer_now());
    registry.changed(&[old.digest()]);
    registry.exchanged(&new);
    assert_eq!((registry.suspects, registry.ready.len()), (0, 0));
    registry.changed(&[old.digest()]);
    assert_eq!(registry.suspects, 0, "the old token is nobody's any more");
    registry.changed(&[new.digest()]);
    assert_eq!(registry.suspects, 1);
}

#[test]
fn what_is_told_of_a_new_token_before_its_exchange_is_answered_is_looked_into() {
    let mut registry = Registry::new(StreamPolicy::default());
    let (old, new) = (session(1), exchanged(&session(1), 257));
    proven(&mut registry, &old);
    registry.exchanging(old.id(), old.digest(), new.digest(), timer_now());
    registry.changed(&[old.digest(), new.digest()]);
    registry.exchanged(&new);
    assert_eq!(registry.next_errand(timer_now()).unwrap().token, Some(new.digest()));
}

#[test]
fn a_gap_during_an_exchange_is_looked_into_after_it() {
    for settled in [true, false] {
        let mut registry = Registry::new(StreamPolicy::default());
        let (old, new) = (session(1), exchanged(&session(1), 257));
        proven(&mut registry, &old);
        registry.exchanging(old.id(), old.digest(), new.digest(), timer_now());
        registry.gap(Parts::ALL);
        while settled && registry.settle_parts() {}
        registry.exchanged(&new);
        assert_eq!(
            registry.next_errand(timer_now()).unwrap().token,
            Some(new.digest()),
            "settled: {settled}"
        );
    }
}

#[test]
fn a_session_is_looked_up_at_a_gap_and_again_once_its_part_is_covered() {
    let mut registry = Registry::new(StreamPolicy::default());
    let session = session(1);
    proven(&mut registry, &session);
    let early = registry.coverage.asked(timer_now());
    registry.gap(Parts::ALL);
    while registry.settle_parts() {}
    lives(&mut registry, &session);
    // A proof that was begun before the gap covers nothing; one that was begun after it does, from now on.
    registry.proven(early, Parts::ALL);
    while registry.settle_parts() {}
    assert_eq!(registry.suspects, 0);
    registry.proven(registry.coverage.asked(timer_now()), Parts::ALL);
    while registry.settle_parts() {}
    assert_eq!(registry.suspects, 1);
    lives(&mut registry, &session);
    assert_eq!(registry.suspects, 0);
}
