//! At most so many sessions of one principal.

use std::num::NonZeroU32;
use std::time::Duration;

use cloakroom::{EndReason, EventKind, IssueOutcome, ListFilter, ListQuery, OnLimit, SessionLimit};

use crate::support::{World, policy, principal};

fn limited(max: u32, on_limit: OnLimit) -> World {
    World::under(policy().with_limit(Some(SessionLimit { max: NonZeroU32::new(max).unwrap(), on_limit })))
}

async fn live_sessions(world: &World, name: &str) -> usize {
    let mut filter = ListFilter::default();
    filter.principal = Some(principal(name));
    world.sessions.list(&ListQuery::new(filter)).await.unwrap().items.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_parallel_sign_ins_from_two_nodes_never_exceed_the_limit() {
    for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse] {
        let world = limited(3, on_limit);
        let node = world.other_node();
        let mut tasks = Vec::new();
        for number in 0..64 {
            let sessions = if number % 2 == 0 { world.sessions.clone() } else { node.sessions.clone() };
            let wish = world.wish("alice");
            tasks.push(tokio::spawn(async move { sessions.issue(wish).await.unwrap() }));
        }
        let mut issued = 0;
        for task in tasks {
            issued += usize::from(matches!(task.await.unwrap(), IssueOutcome::Issued(_)));
            assert!(live_sessions(&world, "alice").await <= 3, "{on_limit:?}");
        }
        assert_eq!(issued, if on_limit == OnLimit::Refuse { 3 } else { 64 });
        assert_eq!(live_sessions(&world, "alice").await, 3);
    }
}

#[tokio::test]
async fn the_oldest_session_makes_room_and_its_user_is_told_why() {
    let world = limited(2, OnLimit::EndOldest);
    let first = world.sign_in("alice").await;
    world.clock.advance(Duration::from_secs(60));
    let second = world.sign_in("alice").await;
    world.clock.advance(Duration::from_secs(60));
    let _ = world.validate(&first.token).await;
    let third = world.sign_in("alice").await;
    assert_eq!(third.ended.len(), 1);
    assert_eq!(world.end_reason(&first.token).await, EndReason::SessionLimit);
    assert!(world.is_active(&second.token).await);
}

#[tokio::test]
async fn the_idlest_session_makes_room_where_the_policy_says_so() {
    let world = limited(2, OnLimit::EndIdlest);
    let first = world.sign_in("alice").await;
    world.clock.advance(Duration::from_secs(60));
    let second = world.sign_in("alice").await;
    world.clock.advance(Duration::from_secs(60));
    let _ = world.validate(&first.token).await;
    world.sign_in("alice").await;
    assert_eq!(world.end_reason(&second.token).await, EndReason::SessionLimit);
    assert!(world.is_active(&first.token).await);
}

#[tokio::test]
async fn a_refused_sign_in_changes_nothing_and_is_seen() {
    let world = limited(1, OnLimit::Refuse);
    let first = world.sign_in("alice").await;
    world.ears.events();
    let outcome = world.sessions.issue(world.wish("alice")).await.unwrap();
    assert!(matches!(outcome, IssueOutcome::LimitReached));
    assert_eq!(world.ears.kinds(), [EventKind::LimitReached]);
    assert!(world.is_active(&first.token).await);
    assert!(matches!(world.sessions.issue(world.wish("bob")).await.unwrap(), IssueOutcome::Issued(_)));
}
