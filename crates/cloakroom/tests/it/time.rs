//! When sessions end by themselves.

use std::time::Duration;

use cloakroom::{Activity, EndReason, Validation};

use crate::support::{ABSOLUTE, IDLE, MILLI, RETENTION, TOUCH, World};

#[tokio::test]
async fn a_session_ends_at_the_instant_of_its_idle_timeout() {
    let world = World::new();
    let issued = world.visitor().await;
    world.clock.advance(IDLE - MILLI);
    assert!(world.is_active(&issued.token).await);
    world.clock.advance(MILLI);
    let tombstone = world.ended(&issued.token).await;
    assert_eq!(tombstone.reason, EndReason::IdleTimeout);
    assert_eq!(tombstone.ended_at, issued.session.created_at().plus(IDLE));
}

#[tokio::test]
async fn activity_extends_and_polling_does_not() {
    let world = World::new();
    let (busy, polled) = (world.visitor().await, world.visitor().await);
    for _ in 0..4 {
        world.clock.advance(IDLE / 3);
        assert!(matches!(world.validate(&busy.token).await, Validation::Active(_)));
        let _ = world.sessions.validate(&polled.token, Activity::Ignored).await.unwrap();
    }
    assert!(world.is_active(&busy.token).await);
    assert_eq!(world.end_reason(&polled.token).await, EndReason::IdleTimeout);
}

#[tokio::test]
async fn nothing_extends_the_absolute_timeout() {
    let world = World::new();
    let issued = world.visitor().await;
    let end = issued.session.created_at().plus(ABSOLUTE);
    while world.sessions.now().plus(IDLE / 2) < end {
        world.clock.advance(IDLE / 2);
        assert!(matches!(world.validate(&issued.token).await, Validation::Active(_)));
    }
    world.clock.step_to(end.minus(MILLI));
    assert!(matches!(world.validate(&issued.token).await, Validation::Active(_)));
    world.clock.step_to(end);
    let tombstone = world.ended(&issued.token).await;
    assert_eq!((tombstone.reason, tombstone.ended_at), (EndReason::AbsoluteTimeout, end));
}

#[tokio::test]
async fn a_session_may_end_one_touch_interval_early_and_never_late() {
    let world = World::new();
    let issued = world.visitor().await;
    let issued_at = issued.session.created_at();
    // Just too early to be written down: the session ends as if it had not happened, which is one interval early.
    world.clock.advance(TOUCH - MILLI);
    let _ = world.validate(&issued.token).await;
    world.clock.step_to(issued_at.plus(IDLE));
    assert!(!world.is_active(&issued.token).await);

    let other = world.visitor().await;
    let other_at = other.session.created_at();
    world.clock.advance(TOUCH);
    let _ = world.validate(&other.token).await;
    world.clock.step_to(other_at.plus(IDLE));
    assert!(world.is_active(&other.token).await);
    world.clock.step_to(other_at.plus(TOUCH).plus(IDLE));
    assert!(!world.is_active(&other.token).await);
}

#[tokio::test]
async fn a_clock_that_steps_back_ends_nothing_and_extends_nothing() {
    let world = World::new();
    let issued = world.visitor().await;
    let start = issued.session.created_at();
    world.clock.step_to(start.minus(Duration::from_secs(86_400)));
    assert!(matches!(world.validate(&issued.token).await, Validation::Active(_)));
    world.clock.step_to(start.plus(IDLE));
    assert!(!world.is_active(&issued.token).await);
}

#[tokio::test]
async fn the_reason_is_known_for_the_retention_and_the_token_refused_for_ever() {
    let world = World::new();
    let issued = world.visitor().await;
    world.clock.advance(IDLE);
    let expired_at = world.sessions.now();
    while world.sessions.sweep().await.unwrap().more {}
    world.clock.step_to(expired_at.plus(RETENTION).minus(MILLI));
    while world.sessions.sweep().await.unwrap().more {}
    assert_eq!(world.end_reason(&issued.token).await, EndReason::IdleTimeout);
    world.clock.step_to(expired_at.plus(RETENTION));
    while world.sessions.sweep().await.unwrap().more {}
    assert_eq!(world.look(&issued.token).await, Validation::Unknown);
}
