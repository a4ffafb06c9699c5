//! Whether a stream keeps its session from going idle is its user's doing, not the stream's.

use cloakroom::EndReason;
use cloakroom_store::Verb;

use super::{House, MILLI, SECOND, end_within, stays_open};
use crate::support::{IDLE, TOUCH};

#[tokio::test(start_paused = true)]
async fn an_open_stream_is_no_activity() {
    let house = House::new().with_feed().await;
    let (_, mut watch) = house.open("alice").await;
    house.pass(IDLE + 2 * SECOND).await;
    assert_eq!(end_within(SECOND, &mut watch).await.0.reason(), Some(EndReason::IdleTimeout));
}

#[tokio::test(start_paused = true)]
async fn what_a_user_does_by_way_of_a_stream_keeps_the_session_from_going_idle() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    for _ in 0..3 {
        house.pass(IDLE / 2).await;
        watch.note_activity();
    }
    house.pass(IDLE / 2).await;
    stays_open(2 * SECOND, &mut watch).await;
    assert!(house.elsewhere.is_active(&alice.token).await);
    house.pass(IDLE).await;
    assert_eq!(end_within(SECOND, &mut watch).await.0.reason(), Some(EndReason::IdleTimeout));
}

#[tokio::test(start_paused = true)]
async fn activity_is_written_once_in_a_touch_interval_with_or_without_upkeep() {
    for upkeep in [false, true] {
        let house = if upkeep { House::new().with_feed().await } else { House::new() };
        let (_, watch) = house.open("alice").await;
        house.pass(TOUCH).await;
        house.calls.take();
        for _ in 0..1_000 {
            watch.note_activity();
        }
        house.pass(SECOND).await;
        watch.note_activity();
        house.pass(SECOND).await;
        let touches = house.calls.take().into_iter().filter(|verb| *verb == Verb::Touch).count();
        assert_eq!(touches, 1, "upkeep: {upkeep}");
    }
}

#[tokio::test(start_paused = true)]
async fn activity_revives_nothing() {
    let house = House::new();
    let (alice, mut watch) = house.open("alice").await;
    house.clock.advance(IDLE);
    watch.note_activity();
    house.clock.advance(MILLI);
    assert_eq!(end_within(2 * SECOND, &mut watch).await.0.reason(), Some(EndReason::IdleTimeout));
    assert_eq!(house.elsewhere.end_reason(&alice.token).await, EndReason::IdleTimeout);
}
