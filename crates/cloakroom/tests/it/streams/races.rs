//! What happens between two steps is not lost.

use cloakroom::EndReason;
use cloakroom_conformance::Moment;
use cloakroom_store::Verb;
use tokio::time::timeout;

use super::{House, MILLI, MINUTE, SECOND, end_within, stays_open};

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_before_its_stream_was_registered_ends_it() {
    let house = House::new().with_feed().await;
    // Another stream is open already: nothing but its own registration has hers looked up.
    let (_, _bobs) = house.open("bob").await;
    let alice = house.here.sign_in("alice").await;
    house.revoke_elsewhere(&alice.session).await;
    let mut watch = house.watch(&alice.session);
    assert_eq!(end_within(SECOND, &mut watch).await.0.reason(), Some(EndReason::RevokedByAdmin));
}

#[tokio::test(start_paused = true)]
async fn news_that_come_while_an_older_answer_is_on_its_way_are_looked_into() {
    let house = House::new().with_feed().await;
    let alice = house.here.sign_in("alice").await;
    let gate = house.gates.hold(Verb::Get, Moment::After);
    let mut watch = house.watch(&alice.session);
    gate.reached().await;
    // The answer "it lives" is on its way; then the session ends, and that is told.
    house.revoke_elsewhere(&alice.session).await;
    gate.release();
    let (end, after) = end_within(SECOND, &mut watch).await;
    assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin));
    assert!(after <= 2 * MILLI, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_end_during_a_gap_is_found_once_the_feed_is_back_at_the_latest() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    house.feed.cut();
    house.revoke_elsewhere(&alice.session).await;
    house.feed.mend();
    let (end, after) = end_within(SECOND, &mut watch).await;
    assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin));
    assert!(after <= 2 * MILLI, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_came_between_the_look_after_a_gap_and_the_next_proof_is_found_after_that_proof() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    let gate = house.gates.hold(Verb::Get, Moment::After);
    house.feed.tell(cloakroom_store::News::Anything(cloakroom_store::Parts::ALL));
    gate.reached().await;
    house.feed.hold_news();
    house.revoke_elsewhere(&alice.session).await;
    gate.release();
    stays_open(10 * MILLI, &mut watch).await;
    house.feed.cut();
    house.feed.mend();
    assert_eq!(end_within(SECOND, &mut watch).await.0.reason(), Some(EndReason::RevokedByAdmin));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_and_begun_again_loses_nothing() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    for _ in 0..100 {
        assert!(timeout(MILLI, watch.ended()).await.is_err());
    }
    // It ends while nobody waits.
    house.revoke_elsewhere(&alice.session).await;
    house.rest().await;
    assert_eq!(watch.ended().await.reason(), Some(EndReason::RevokedByAdmin));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_moves_to_another_task_wakes_that_one() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    assert!(timeout(MILLI, &mut watch).await.is_err());
    let waiting = tokio::spawn(watch);
    house.rest().await;
    house.revoke_elsewhere(&alice.session).await;
    assert_eq!(timeout(SECOND, waiting).await.unwrap().unwrap().reason(), Some(EndReason::RevokedByAdmin));
}

#[tokio::test(start_paused = true)]
async fn one_stream_that_closes_takes_nothing_from_the_others_of_its_session() {
    let house = House::new().with_feed().await;
    let (alice, first) = house.open("alice").await;
    let mut second = house.watch(&alice.session);
    let third = first.clone();
    drop((first, third));
    stays_open(MINUTE, &mut second).await;
    house.revoke_elsewhere(&alice.session).await;
    assert_eq!(end_within(SECOND, &mut second).await.0.reason(), Some(EndReason::RevokedByAdmin));
}

#[test]
fn a_watch_outlives_the_runtime_that_served_it() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let first = runtime();
    let (house, alice, mut watch) = first.block_on(async {
        let house = House::new();
        let (alice, watch) = house.open("alice").await;
        (house, alice, watch)
    });
    drop(first);
    runtime().block_on(async {
        house.revoke_elsewhere(&alice.session).await;
        let (end, _) = end_within(MINUTE, &mut watch).await;
        assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin));
    });
}
