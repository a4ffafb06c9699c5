//! Starting sessions, anonymous and signed in.

use std::collections::HashSet;

use cloakroom::{
    Attribute, AttributeKey, Carry, Changes, EndReason, EventKind, Issue, Persistence, Random, RandomError,
    SessionError, SessionToken, Sessions, Validation,
};
use cloakroom_memory::MemoryStore;

use crate::support::{World, principal};

const CART: Attribute<Vec<String>> = Attribute::new("cart");
const CSRF: Attribute<String> = Attribute::new("form_secret");

#[tokio::test]
async fn a_visitor_keeps_the_cart_across_sign_in_and_the_visit_is_over() {
    let world = World::new();
    let visit = world.visitor().await;
    let changes = Changes::new().set(&CART, &vec!["hat".into()]).unwrap().set(&CSRF, &"x".into()).unwrap();
    world.sessions.apply(&visit.session, changes).await.unwrap();
    let visitor = world.active(&visit.token).await;
    let carry = Carry::Only(vec![AttributeKey::from(&CART)]);
    let alice =
        world.sessions.issue(world.wish("alice").replacing(&visitor, &carry)).await.unwrap().expect_issued();

    let session = world.active(&alice.token).await;
    assert_eq!(session.get(&CART).unwrap().unwrap(), ["hat"]);
    assert_eq!(session.get(&CSRF).unwrap(), None, "only what was chosen comes along");
    assert_ne!(session.id(), visitor.id());
    assert_eq!(world.end_reason(&visit.token).await, EndReason::Replaced);
}

#[tokio::test]
async fn signing_in_again_in_the_same_browser_replaces_the_session_in_one_step() {
    let world = World::new();
    let first = world.sign_in("alice").await;
    let second = world.wish("alice").replacing(&first.session, &Carry::Nothing);
    let second = world.sessions.issue(second).await.unwrap().expect_issued();
    assert_eq!(second.ended.len(), 1);
    assert_eq!(world.end_reason(&first.token).await, EndReason::Replaced);
    assert!(world.is_active(&second.token).await);
}

#[tokio::test]
async fn signing_in_as_somebody_else_ends_the_session_of_the_one_before() {
    let world = World::new();
    let alice = world.sign_in("alice").await;
    let bob = world.wish("bob").replacing(&alice.session, &Carry::Nothing);
    let bob = world.sessions.issue(bob).await.unwrap().expect_issued();
    assert_eq!(world.end_reason(&alice.token).await, EndReason::Replaced);
    assert_eq!(world.active(&bob.token).await.principal().unwrap().id(), &principal("bob"));
}

#[tokio::test]
async fn a_token_that_was_not_issued_names_nothing_and_creates_nothing() {
    let world = World::new();
    let alice = world.sign_in("alice").await;
    let mut forged = alice.token.expose().as_str().as_bytes().to_vec();
    forged[20] = if forged[20] == b'A' { b'B' } else { b'A' };
    let forged = SessionToken::parse(&forged).unwrap();
    world.ears.events();
    assert_eq!(world.validate(&forged).await, Validation::Unknown);
    assert_eq!(world.ears.kinds(), [EventKind::UnknownToken]);
    assert_eq!(world.sessions.count().await.unwrap().signed_in, 1);
}

#[tokio::test]
async fn every_token_and_id_is_new() {
    let world = World::new();
    let mut seen = HashSet::new();
    for _ in 0..1_000 {
        let issued = world.visitor().await;
        assert!(seen.insert(issued.token.expose().as_str().to_owned()));
        assert!(seen.insert(issued.session.id().to_string()));
    }
}

#[tokio::test]
async fn nothing_the_engine_prints_holds_a_token() {
    let world = World::new();
    let issued = world.sign_in("alice").await;
    let secret = issued.token.expose().as_str()[4..].to_owned();
    let validation = world.validate(&issued.token).await;
    for printed in [
        format!("{issued:?}"),
        format!("{validation:?}"),
        format!("{:?}", world.sessions),
        format!("{:?}", world.ears),
    ] {
        assert!(!printed.contains(&secret), "{printed}");
    }
}

#[tokio::test]
async fn remember_me_is_a_longer_life_where_the_policy_has_one() {
    let world = World::new();
    let remembered = world.wish("alice").persistence(Persistence::Remembered);
    let remembered = world.sessions.issue(remembered).await.unwrap().expect_issued().session;
    let ordinary = world.sign_in("alice").await.session;
    assert_eq!(remembered.persistence(), Persistence::Remembered);
    assert!(remembered.absolute_expires_at() > ordinary.absolute_expires_at());
}

#[derive(Debug)]
struct Silent;

impl Random for Silent {
    fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError::new("the generator is gone"))
    }
}

#[tokio::test]
async fn without_random_bytes_nothing_is_issued() {
    let sessions = Sessions::builder(MemoryStore::default()).random(Silent).build().unwrap();
    let outcome = sessions.issue(Issue::anonymous()).await;
    assert!(matches!(outcome, Err(SessionError::Random(_))), "{outcome:?}");
    assert_eq!(sessions.count().await.unwrap().anonymous, 0);
}
