//! A session outlives its tokens, and so do its streams.

use cloakroom::{ActiveSession, EndReason, Renewal, Renewed, SessionToken, Sessions};
use cloakroom_conformance::{Fault, Moment};
use cloakroom_store::Verb;

use super::{House, MILLI, MINUTE, SECOND, end_within, revoke, stays_open};
use crate::support::IDLE;

async fn rotate(sessions: &Sessions, session: &ActiveSession) -> (SessionToken, ActiveSession) {
    match sessions.rotate(session, Renewal::new()).await.unwrap() {
        Renewed::Done { token, session } => (token, session),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_exchanged_on_this_node_costs_its_streams_no_look_up() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    house.calls.take();
    let (_, renewed) = rotate(&house.here.sessions, &alice.session).await;
    stays_open(MINUTE, &mut watch).await;
    assert_eq!(house.looks(), 0);
    house.revoke_elsewhere(&renewed).await;
    let (end, after) = end_within(SECOND, &mut watch).await;
    assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin));
    assert!(after <= 2 * MILLI, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_end_told_of_the_new_token_before_the_exchange_is_answered_is_not_lost() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    let gate = house.gates.hold(Verb::Rekey, Moment::After);
    let sessions = house.here.sessions.clone();
    let session = alice.session.clone();
    let exchange = tokio::spawn(async move { sessions.rotate(&session, Renewal::new()).await });
    gate.reached().await;
    // The store has exchanged the token, this node does not know it yet; the session ends under the new one.
    revoke(&house.elsewhere.sessions, &alice.session).await;
    gate.release();
    assert!(matches!(exchange.await.unwrap().unwrap(), Renewed::Done { .. }));
    assert_eq!(end_within(SECOND, &mut watch).await.0.reason(), Some(EndReason::RevokedByAdmin));
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_nobody_knows_the_outcome_of_is_looked_into() {
    for fault in [Fault::FailBefore, Fault::FailAfterApply] {
        let house = House::new().with_feed().await;
        let (alice, mut watch) = house.open("alice").await;
        house.faults.script(Verb::Rekey, fault);
        assert!(house.here.sessions.rotate(&alice.session, Renewal::new()).await.is_err());
        stays_open(MINUTE, &mut watch).await;
        house.revoke_elsewhere(&alice.session).await;
        let (end, after) = end_within(SECOND, &mut watch).await;
        assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin), "{fault:?}");
        assert!(after <= 2 * MILLI, "{fault:?} {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_exchanged_on_another_node_leaves_streams_open_and_its_session_is_found_by_its_id() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    let (_, renewed) = rotate(&house.elsewhere.sessions, &alice.session).await;
    stays_open(MINUTE, &mut watch).await;
    house.calls.take();
    stays_open(MINUTE, &mut watch).await;
    assert_eq!(house.looks(), 0, "nothing is asked while nothing is told");
    // Twice more, under tokens that were never known here.
    let (_, renewed) = rotate(&house.elsewhere.sessions, &renewed).await;
    stays_open(MINUTE, &mut watch).await;
    assert!(house.looks() >= 1);
    house.revoke_elsewhere(&renewed).await;
    let (end, after) = end_within(SECOND, &mut watch).await;
    assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin));
    assert!(after <= 2 * MILLI, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_known_by_its_id_alone_still_goes_idle_and_is_still_kept_alive() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    house.clock.advance(IDLE / 2);
    let (token, _) = rotate(&house.elsewhere.sessions, &alice.session).await;
    house.clock.advance(IDLE / 2);
    stays_open(MINUTE, &mut watch).await;
    house.clock.advance(IDLE / 4);
    house.elsewhere.validate(&token).await;
    house.clock.advance(IDLE / 4);
    stays_open(MINUTE, &mut watch).await;
    house.clock.advance(IDLE);
    let (end, _) = end_within(2 * SECOND, &mut watch).await;
    assert!(matches!(end.as_str(), "idle_timeout" | "session_unknown"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_with_the_new_token_brings_it_to_the_others() {
    let house = House::new().with_feed().await;
    let (alice, mut first) = house.open("alice").await;
    let (_, renewed) = rotate(&house.elsewhere.sessions, &alice.session).await;
    house.rest().await;
    let second = house.watch(&renewed);
    house.rest().await;
    drop(second);
    house.calls.take();
    revoke(&house.elsewhere.sessions, &renewed).await;
    assert_eq!(end_within(SECOND, &mut first).await.0.reason(), Some(EndReason::RevokedByAdmin));
    assert_eq!(house.calls.take(), [Verb::Get], "found by its token again");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_with_an_old_token_finds_its_session_all_the_same() {
    let house = House::new().with_feed().await;
    let alice = house.here.sign_in("alice").await;
    let (_, renewed) = rotate(&house.elsewhere.sessions, &alice.session).await;
    let mut watch = house.watch(&alice.session);
    stays_open(MINUTE, &mut watch).await;
    house.revoke_elsewhere(&renewed).await;
    assert_eq!(end_within(SECOND, &mut watch).await.0.reason(), Some(EndReason::RevokedByAdmin));
}
