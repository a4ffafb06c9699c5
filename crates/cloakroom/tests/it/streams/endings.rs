//! Whatever ends a session ends its streams, and says why.

use cloakroom::{Clock as _, EndReason, Issue, Revocation, Selector, StreamEnd};

use super::{House, MILLI, MINUTE, SECOND, end_within, revoke, stays_open};
use crate::support::{ABSOLUTE, IDLE, principal};

#[tokio::test(start_paused = true)]
async fn a_session_revoked_on_another_node_ends_its_streams_at_once_and_says_why() {
    let house = House::new().with_feed().await;
    let (alice, mut hers) = house.open("alice").await;
    let (_, mut bobs) = house.open("bob").await;
    house.revoke_elsewhere(&alice.session).await;
    let (end, after) = end_within(SECOND, &mut hers).await;
    assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin));
    assert!(after <= 2 * MILLI, "{after:?}");
    let StreamEnd::Ended(tombstone) = end else { panic!("{end}") };
    assert_eq!((tombstone.session, tombstone.principal), (alice.session.id(), Some(principal("alice"))));
    assert_eq!(tombstone.ended_at, house.clock.now());
    stays_open(MINUTE, &mut bobs).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_revoked_on_this_node_ends_its_streams_without_any_feed_or_look_up() {
    let house = House::new();
    let (alice, mut watch) = house.open("alice").await;
    house.calls.take();
    revoke(&house.here.sessions, &alice.session).await;
    assert_eq!(watch.end().and_then(|end| end.reason()), Some(EndReason::RevokedByAdmin));
    assert_eq!(watch.ended().await.reason(), Some(EndReason::RevokedByAdmin));
    assert_eq!(house.looks(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_end_of_everything_ends_every_stream_on_every_node() {
    let house = House::new().with_feed().await;
    let (_, mut hers) = house.open("alice").await;
    let (_, mut his) = house.open("bob").await;
    let everything = Revocation::by_system(EndReason::Compromised);
    house.elsewhere.sessions.revoke(&Selector::All, everything).await.unwrap();
    for watch in [&mut hers, &mut his] {
        let (end, after) = end_within(SECOND, watch).await;
        assert_eq!(end.reason(), Some(EndReason::Compromised));
        assert!(after <= 2 * MILLI, "{after:?}");
    }
    // Somebody who came later stays.
    house.clock.advance(SECOND);
    let (_, mut later) = house.open("carol").await;
    stays_open(MINUTE, &mut later).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_of_everything_by_this_node_needs_no_feed() {
    let house = House::new();
    let (_, mut watch) = house.open("alice").await;
    let everything = Revocation::by_system(EndReason::Compromised);
    house.here.sessions.revoke(&Selector::All, everything).await.unwrap();
    let (end, after) = end_within(SECOND, &mut watch).await;
    assert_eq!(end.reason(), Some(EndReason::Compromised));
    assert!(after <= 2 * MILLI, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_the_idle_instant_of_its_session() {
    let house = House::new().with_feed().await;
    let (_, mut watch) = house.open("alice").await;
    house.clock.advance(IDLE - 10 * MILLI);
    stays_open(9 * MILLI, &mut watch).await;
    house.clock.advance(10 * MILLI);
    let (end, after) = end_within(2 * SECOND, &mut watch).await;
    assert_eq!(end.reason(), Some(EndReason::IdleTimeout));
    assert!(after <= SECOND, "a clock that was set is noticed within a second, not after {after:?}");
}

#[tokio::test(start_paused = true)]
async fn activity_on_another_node_keeps_a_session_and_its_streams_from_going_idle() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    house.clock.advance(IDLE / 2);
    house.elsewhere.validate(&alice.token).await;
    house.clock.advance(IDLE / 2);
    stays_open(MINUTE, &mut watch).await;
    house.clock.advance(IDLE / 2);
    assert_eq!(end_within(2 * SECOND, &mut watch).await.0.reason(), Some(EndReason::IdleTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_the_absolute_instant_even_where_nobody_can_be_asked() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    while house.clock.now().plus(IDLE / 2) < alice.session.absolute_expires_at() {
        house.clock.advance(IDLE / 2);
        house.here.validate(&alice.token).await;
        stays_open(2 * SECOND, &mut watch).await;
    }
    house.faults.go_down(cloakroom_store::ErrorKind::Unavailable);
    let left = alice.session.absolute_expires_at().since(house.clock.now());
    house.clock.advance(left - MILLI);
    stays_open(2 * SECOND, &mut watch).await;
    house.clock.advance(MILLI);
    let (end, after) = end_within(2 * SECOND, &mut watch).await;
    let StreamEnd::Ended(tombstone) = end else { panic!("{end}") };
    assert_eq!(tombstone.reason, EndReason::AbsoluteTimeout);
    assert_eq!(tombstone.ended_at, alice.session.created_at().plus(ABSOLUTE));
    assert!(after <= SECOND, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_ends_nothing_and_one_that_is_set_forward_does() {
    let house = House::new().with_feed().await;
    let (_, mut watch) = house.open("alice").await;
    let start = house.clock.now();
    house.clock.step_to(start.minus(2 * ABSOLUTE));
    stays_open(MINUTE, &mut watch).await;
    house.clock.step_to(start.plus(IDLE));
    let (end, after) = end_within(2 * SECOND, &mut watch).await;
    assert_eq!(end.reason(), Some(EndReason::IdleTimeout));
    assert!(after <= SECOND, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_sign_in_replaced_ends_its_streams() {
    let house = House::new();
    let visit = house.here.visitor().await;
    let mut watch = house.watch(&visit.session);
    let wish = house.here.wish("alice").replacing(&visit.session, &cloakroom::Carry::All);
    let _ = house.here.sessions.issue(wish).await.unwrap().expect_issued();
    assert_eq!(end_within(SECOND, &mut watch).await.0.reason(), Some(EndReason::Replaced));
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_session_that_nobody_knows_ends_as_unknown() {
    let (house, other) = (House::new(), House::new());
    let strange = other.here.sessions.issue(Issue::anonymous()).await.unwrap().expect_issued();
    let mut watch = house.watch(&strange.session);
    let (end, _) = end_within(SECOND, &mut watch).await;
    assert_eq!((end.clone(), end.as_str(), end.reason()), (StreamEnd::Unknown, "session_unknown", None));
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_again_to_whoever_asks_again_and_to_every_stream() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    let mut clone = watch.clone();
    let mut second = house.watch(&alice.session);
    house.revoke_elsewhere(&alice.session).await;
    for watch in [&mut watch, &mut clone, &mut second] {
        assert_eq!(end_within(SECOND, watch).await.0.reason(), Some(EndReason::RevokedByAdmin));
        assert_eq!(watch.ended().await.reason(), Some(EndReason::RevokedByAdmin));
    }
    let mut late = house.watch(&alice.session);
    assert_eq!(late.end().and_then(|end| end.reason()), Some(EndReason::RevokedByAdmin));
    assert_eq!(late.ended().await.reason(), Some(EndReason::RevokedByAdmin));
}
