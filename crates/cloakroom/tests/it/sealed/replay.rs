//! Older copies of a token, and changes at the same time: what sealed sessions cannot promise, and what can be chosen.

use cloakroom::{ActiveSession, Attribute, Changes, Replay, SealedPolicy, Validation, Written};

use super::bounds::exchanged;
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

/// The names of what was told since the last time.
fn told(node: &World) -> Vec<&'static str> {
    node.ears.events().into_iter().map(|event| event.kind.name()).collect()
}

#[tokio::test]
async fn whoever_lost_the_answer_to_a_change_is_told_of_as_an_old_state_and_never_as_a_thief() {
    let pair = Pair::under(SealedPolicy::default().with_replay(Replay::Changes));
    let issued = pair.here.sign_in("alice").await;
    let changed = put(&pair.here, &issued.session, &CART, "umbrella").await;
    pair.pass(LEASE * 60);
    for node in [&pair.here, &pair.there] {
        told(node);
        assert!(matches!(node.look(&issued.token).await, Validation::Retired(_)));
        assert_eq!(told(node), ["session_old_state"]);
    }
    // Once it was exchanged, whoever has a copy of any of its states is somebody who took one.
    let (first, next) = exchanged(&pair.here, &changed, 1).await.remove(0);
    let later = put(&pair.here, &next, &CART, "coat").await;
    pair.read().await;
    for node in [&pair.here, &pair.there] {
        told(node);
        for exchanged in [&issued.token, changed.replacement().unwrap()] {
            assert!(matches!(node.look(exchanged).await, Validation::Retired(_)));
            assert_eq!(told(node), ["authn_token_reuse"]);
        }
        assert!(matches!(node.look(&first).await, Validation::Retired(_)));
        assert_eq!(told(node), ["session_old_state"]);
        assert!(node.is_active(later.replacement().unwrap()).await);
    }
}

#[tokio::test]
async fn with_floors_a_token_that_was_exchanged_by_a_floor_is_told_from_an_old_state() {
    let pair = Pair::under(SealedPolicy::default().with_replay(Replay::Changes));
    let issued = pair.here.sign_in("alice").await;
    let all = exchanged(&pair.here, &issued.session, 20).await;
    let last = put(&pair.here, &all[19].1, &CART, "umbrella").await;
    for (number, (token, _)) in all.iter().enumerate() {
        told(&pair.here);
        assert!(matches!(pair.here.look(token).await, Validation::Retired(_)));
        let expected = if number == 19 { "session_old_state" } else { "authn_token_reuse" };
        assert_eq!(told(&pair.here), [expected], "{number}");
    }
    assert!(pair.here.is_active(last.replacement().unwrap()).await);
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
