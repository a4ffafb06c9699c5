//! Ending sessions by decision.

use std::time::Duration;

use cloakroom::{
    Actor, EndReason, EventKind, ListFilter, ListQuery, Revocation, Selector, StateFilter, Validation,
};

use crate::support::{World, principal};

fn everywhere(name: &str) -> Selector {
    Selector::Principal { principal: principal(name), except: None }
}

fn because(reason: EndReason) -> Revocation {
    Revocation::by_system(reason)
}

#[tokio::test]
async fn log_this_person_out_now_everywhere() {
    let world = World::new();
    let node = world.other_node();
    let (desk, phone, bob) =
        (world.sign_in("alice").await, node.sign_in("alice").await, world.sign_in("bob").await);
    let revoked =
        world.sessions.revoke(&everywhere("alice"), because(EndReason::RevokedByAdmin)).await.unwrap();
    assert_eq!(revoked.count(), 2);
    for token in [&desk.token, &phone.token] {
        assert_eq!(world.end_reason(token).await, EndReason::RevokedByAdmin);
        assert_eq!(node.end_reason(token).await, EndReason::RevokedByAdmin);
    }
    assert!(world.is_active(&bob.token).await);
}

#[tokio::test]
async fn all_but_this_one() {
    let world = World::new();
    let (here, there) = (world.sign_in("alice").await, world.sign_in("alice").await);
    let others = Selector::Principal { principal: principal("alice"), except: Some(here.session.id()) };
    world.sessions.revoke(&others, because(EndReason::RevokedByUser)).await.unwrap();
    assert!(world.is_active(&here.token).await);
    assert!(!world.is_active(&there.token).await);
}

#[tokio::test]
async fn ending_twice_counts_once_and_keeps_the_first_reason() {
    let world = World::new();
    let issued = world.sign_in("alice").await;
    let one = Selector::One(issued.session.id());
    assert_eq!(world.sessions.revoke(&one, because(EndReason::SignedOut)).await.unwrap().count(), 1);
    assert_eq!(world.sessions.revoke(&one, because(EndReason::Compromised)).await.unwrap().count(), 0);
    assert_eq!(world.end_reason(&issued.token).await, EndReason::SignedOut);
}

#[tokio::test]
async fn everything_ends_at_once_and_each_end_is_told_once() {
    let world = World::new();
    let before: Vec<_> =
        [world.sign_in("alice").await, world.sign_in("bob").await, world.visitor().await].into();
    let revoked = world.sessions.revoke(&Selector::All, because(EndReason::Compromised)).await.unwrap();
    assert_eq!(revoked.count(), 3);
    let after = world.sign_in("alice").await;
    for issued in &before {
        assert_eq!(world.end_reason(&issued.token).await, EndReason::Compromised);
    }
    while world.sessions.sweep().await.unwrap().more {}
    let ends =
        world.ears.kinds().into_iter().filter(|kind| *kind == EventKind::Ended(EndReason::Compromised));
    assert_eq!(ends.count(), 3);
    assert!(
        world.is_active(&after.token).await,
        "issued in the same millisecond, after the end of everything"
    );
}

#[tokio::test]
async fn everything_before_an_instant() {
    let world = World::new();
    let old = world.sign_in("alice").await;
    world.clock.advance(Duration::from_secs(60));
    let young = world.sign_in("alice").await;
    let selector = Selector::IssuedBefore(young.session.created_at());
    world.sessions.revoke(&selector, because(EndReason::Compromised)).await.unwrap();
    assert!(!world.is_active(&old.token).await);
    assert!(world.is_active(&young.token).await);
}

#[tokio::test]
async fn everything_before_an_instant_in_the_future_means_before_now() {
    let world = World::new();
    let old = world.sign_in("alice").await;
    world.clock.advance(Duration::from_secs(1));
    let selector = Selector::IssuedBefore(world.sessions.now().plus(Duration::from_secs(3_600)));
    world.sessions.revoke(&selector, because(EndReason::Compromised)).await.unwrap();
    let new = world.sign_in("alice").await;
    assert!(!world.is_active(&old.token).await);
    assert!(world.is_active(&new.token).await);
}

#[tokio::test]
async fn who_ended_a_session_is_told() {
    let world = World::new();
    let issued = world.sign_in("alice").await;
    world.ears.events();
    let actor = Actor::Admin(principal("root"));
    let revocation = Revocation::new(EndReason::RevokedByAdmin, actor.clone());
    world.sessions.revoke(&Selector::One(issued.session.id()), revocation).await.unwrap();
    let events = world.ears.events();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.kind.name(), "session_revoked");
    assert_eq!((&event.actor, event.session), (&actor, Some(issued.session.id())));
    assert_eq!(event.principal, Some(principal("alice")));
}

#[tokio::test]
async fn an_ended_session_is_found_by_its_id_and_listed_as_ended() {
    let world = World::new();
    let issued = world.sign_in("alice").await;
    let id = issued.session.id();
    assert!(matches!(world.sessions.find(id).await.unwrap(), Some(cloakroom::ListItem::Live(_))));
    world.sessions.revoke(&Selector::One(id), because(EndReason::SignedOut)).await.unwrap();
    assert!(matches!(world.sessions.find(id).await.unwrap(), Some(cloakroom::ListItem::Ended { .. })));
    let mut filter = ListFilter::default();
    filter.principal = Some(principal("alice"));
    filter.state = StateFilter::Active;
    assert_eq!(world.sessions.list(&ListQuery::new(filter)).await.unwrap().items, []);
}

#[tokio::test]
async fn the_use_of_a_dead_token_is_seen_with_its_reason() {
    let world = World::new();
    let issued = world.sign_in("alice").await;
    world.sessions.revoke(&everywhere("alice"), because(EndReason::Compromised)).await.unwrap();
    world.ears.events();
    assert!(matches!(world.validate(&issued.token).await, Validation::Ended(_)));
    assert_eq!(world.ears.kinds(), [EventKind::UsedAfterEnd(EndReason::Compromised)]);
}
