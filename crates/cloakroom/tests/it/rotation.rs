//! New tokens for the same session.

use std::time::Duration;

use cloakroom::{
    ActiveSession, Attribute, AuthLevel, Changes, Clock as _, FreshnessDemand, Method, Policy, Renewal,
    Renewed, Role, SessionToken, Sessions, Timeouts, Validation,
};

use crate::support::{ABSOLUTE, World, policy};

async fn rotated(
    sessions: &Sessions,
    session: &ActiveSession,
    renewal: Renewal,
) -> (SessionToken, ActiveSession) {
    match sessions.rotate(session, renewal).await.unwrap() {
        Renewed::Done { token, session } => (token, session),
        other => panic!("expected a new token, found {other:?}"),
    }
}

#[tokio::test]
async fn after_a_rotation_the_old_token_is_dead_and_the_session_the_same() {
    let world = World::new();
    let before = world.sign_in("alice").await;
    let (token, after) = rotated(&world.sessions, &before.session, Renewal::new()).await;
    assert_eq!(after.id(), before.session.id());
    assert!(world.is_active(&token).await);
    assert!(
        matches!(world.look(&before.token).await, Validation::Retired(retired) if retired.session == after.id())
    );
}

#[tokio::test]
async fn of_two_rotations_at_once_one_wins_and_the_other_learns_that_the_token_was_exchanged() {
    let world = World::new();
    let issued = world.sign_in("alice").await;
    let (token, _) = rotated(&world.sessions, &issued.session, Renewal::new()).await;
    let late = world.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
    assert!(matches!(late, Renewed::Retired(_)), "{late:?}");
    assert!(world.is_active(&token).await);
}

#[tokio::test]
async fn proving_identity_again_makes_the_session_fresh_and_changes_its_token() {
    let world = World::new();
    let demand = FreshnessDemand::within(Duration::from_secs(300));
    let issued = world.sign_in("alice").await;
    world.clock.advance(Duration::from_secs(300));
    let stale = world.active(&issued.token).await;
    assert!(!stale.meets(&demand, world.clock.now()));
    let renewed =
        world.sessions.reauthenticate(&stale, AuthLevel::Two, Method::new("totp").unwrap()).await.unwrap();
    let Renewed::Done { token, session } = renewed else { panic!("{renewed:?}") };
    assert!(session.meets(&demand.at_level(AuthLevel::Two), world.clock.now()));
    assert_eq!(session.absolute_expires_at(), issued.session.absolute_expires_at());
    assert_eq!(session.last_seen_at(), world.clock.now());
    assert_eq!(world.active(&token).await.authentication().unwrap().methods().len(), 2);
    assert!(!world.is_active(&issued.token).await);
}

#[tokio::test]
async fn a_change_of_roles_changes_the_token_and_shortens_the_session() {
    let admin = Role::new("admin").unwrap();
    let short = Timeouts { idle: Duration::from_secs(60), absolute: Duration::from_secs(120) };
    let world = World::under(policy().with_role(admin.clone(), short));
    let issued = world.sign_in("alice").await;
    let (_, session) = rotated(&world.sessions, &issued.session, Renewal::new().roles(vec![admin])).await;
    assert!(session.principal().unwrap().has_role("admin"));
    assert_eq!(session.absolute_expires_at(), session.created_at().plus(short.absolute));
    let (_, session) = rotated(&world.sessions, &session, Renewal::new().roles(vec![])).await;
    assert_eq!(
        session.absolute_expires_at(),
        session.created_at().plus(short.absolute),
        "it never grows again"
    );
    assert!(short.absolute < ABSOLUTE);
}

#[tokio::test]
async fn a_rotation_keeps_what_others_wrote_in_between() {
    const SEEN: Attribute<bool> = Attribute::new("seen");
    let world = World::under(Policy::default());
    let issued = world.sign_in("alice").await;
    let changes = Changes::new().set(&SEEN, &true).unwrap();
    world.sessions.apply(&issued.session, changes).await.unwrap();
    let (token, _) = rotated(&world.sessions, &issued.session, Renewal::new()).await;
    assert_eq!(world.active(&token).await.get(&SEEN).unwrap(), Some(true));
}
