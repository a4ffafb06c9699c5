//! Older copies of a token, and changes at the same time: what sealed sessions cannot promise, and what can be chosen.

use cloakroom::{ActiveSession, Attribute, Changes, Replay, SealedPolicy, Validation, Written};

use super::support::{LEASE, Pair};
use crate::support::World;

const CART: Attribute<String> = Attribute::new("cart");
const COLOUR: Attribute<String> = Attribute::new("colour");

async fn put(node: &World, session: &ActiveSession, key: &Attribute<String>, value: &str) -> ActiveSession {
    let changes = Changes::new().set(key, &value.to_owned()).unwrap();
    match node.sessions.apply(session, changes).await.unwrap() {
        Written::Done(session) => session,
        other => panic!("it lives: {other:?}"),
    }
}

#[tokio::test]
async fn an_older_copy_brings_back_what_it_holds() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    let changed = put(&pair.here, &issued.session, &CART, "umbrella").await;
    pair.pass(LEASE);
    assert_eq!(pair.there.active(&issued.token).await.get(&CART).unwrap(), None);
    assert!(pair.there.is_active(changed.replacement().unwrap()).await);
    assert_eq!(pair.wire.entries().await, [], "nothing is written down for a change");
}

#[tokio::test]
async fn with_floors_an_older_copy_counts_for_nothing_and_its_session_goes_on() {
    let pair = Pair::under(SealedPolicy::default().with_replay(Replay::Changes));
    let issued = pair.here.sign_in("alice").await;
    let changed = put(&pair.here, &issued.session, &CART, "umbrella").await;
    assert!(matches!(pair.here.look(&issued.token).await, Validation::Retired(_)), "here at once");
    pair.pass(LEASE);
    assert!(matches!(pair.there.look(&issued.token).await, Validation::Retired(_)));
    assert!(pair.there.is_active(changed.replacement().unwrap()).await);
    let newer = put(&pair.there, &changed, &CART, "coat").await;
    pair.pass(LEASE);
    assert!(matches!(pair.here.look(changed.replacement().unwrap()).await, Validation::Retired(_)));
    assert!(pair.here.is_active(newer.replacement().unwrap()).await);
    let stale = Changes::new().set(&CART, &"boots".to_owned()).unwrap();
    let refused = pair.here.sessions.apply(&changed, stale).await.unwrap();
    assert!(matches!(refused, Written::Retired(_)), "nothing is built on a state that counts for nothing");
}

#[tokio::test]
async fn strangers_have_no_floors() {
    let pair = Pair::under(SealedPolicy::default().with_replay(Replay::Changes));
    let visit = pair.here.visitor().await;
    put(&pair.here, &visit.session, &CART, "umbrella").await;
    assert_eq!(pair.wire.entries().await, []);
    assert!(pair.here.is_active(&visit.token).await);
}

#[tokio::test]
async fn of_two_changes_at_the_same_time_the_one_that_reaches_the_client_last_stays() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    let one = put(&pair.here, &issued.session, &CART, "umbrella").await;
    let other = put(&pair.there, &issued.session, &COLOUR, "red").await;
    assert_eq!(one.version(), other.version());
    let last = pair.here.active(other.replacement().unwrap()).await;
    assert_eq!(last.get(&COLOUR).unwrap().as_deref(), Some("red"));
    assert_eq!(last.get(&CART).unwrap(), None, "the other change is not in it");
}
