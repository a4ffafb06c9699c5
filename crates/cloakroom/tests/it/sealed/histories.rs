//! The list loses what it had: nothing comes back that this node, or another, knew to be over.

use std::sync::Arc;

use cloakroom::{Activity, EndReason, Renewal, Renewed, Validation};
use cloakroom_store::{Place, Reading, RevocationList};
use tokio::task::JoinHandle;

use super::support::{Fate, LEASE, Pair, Site, Wire, end, end_all_of};
use crate::support::World;

fn keep_up(node: &World) -> JoinHandle<()> {
    let sessions = node.sessions.clone();
    tokio::spawn(async move { sessions.upkeep(std::future::pending()).await })
}

#[tokio::test(start_paused = true)]
async fn a_list_that_lost_everything_is_told_again_and_nobody_comes_back() {
    let pair = Pair::new();
    let (ended, changed, renewed) =
        (pair.here.sign_in("alice").await, pair.here.sign_in("bob").await, pair.there.sign_in("carol").await);
    end(&pair.here, &ended.session).await;
    end_all_of(&pair.here, "bob", None).await;
    let Renewed::Done { token, .. } =
        pair.there.sessions.rotate(&renewed.session, Renewal::new()).await.unwrap()
    else {
        panic!("it lives")
    };
    let after = pair.here.sign_in("bob").await;
    pair.read().await;
    pair.wire.lose_everything();
    pair.pass(LEASE);
    for node in [&pair.here, &pair.there] {
        assert_eq!(node.end_reason(&ended.token).await, EndReason::Compromised, "what is known stays known");
    }
    let upkeep = [keep_up(&pair.here), keep_up(&pair.there)];
    tokio::time::sleep(LEASE).await;
    upkeep.iter().for_each(JoinHandle::abort);
    let fresh = pair.site.node(&pair.here.clock);
    for node in [&pair.here, &pair.there, &fresh] {
        let authoritative =
            async |token| node.sessions.validate_authoritative(token, Activity::Ignored).await.unwrap();
        assert!(matches!(authoritative(&ended.token).await, Validation::Ended(_)));
        assert!(matches!(authoritative(&changed.token).await, Validation::Ended(_)));
        assert!(matches!(authoritative(&renewed.token).await, Validation::Retired(_)));
        assert!(matches!(authoritative(&token).await, Validation::Active(_)));
    }
    for node in [&pair.here, &pair.there] {
        assert!(
            node.is_active(&after.token).await,
            "who knew of the end is not covered by it under another number"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_vanished_behind_the_place_that_was_read_is_offered_again() {
    let pair = Pair::new();
    let (first, second) = (pair.here.sign_in("alice").await, pair.here.sign_in("bob").await);
    end(&pair.here, &first.session).await;
    pair.read().await;
    let upkeep = keep_up(&pair.here);
    // What the list acknowledges now is lost in a crash, together with nothing that was read before.
    let before = pair.wire.inside();
    let copy = Arc::new(cloakroom_memory::MemoryRevocations::default());
    let Reading::Entries { entries, .. } = before.read(Place::START, 100).await.unwrap() else { panic!() };
    let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
    copy.add(&entries).await.unwrap();
    end(&pair.here, &second.session).await;
    pair.wire.becomes(copy);
    tokio::time::sleep(LEASE).await;
    upkeep.abort();
    pair.pass(LEASE);
    assert_eq!(pair.there.end_reason(&second.token).await, EndReason::Compromised);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_begins_on_an_empty_list_ends_what_was_issued_before_and_nothing_after() {
    let pair = Pair::new();
    let ended = pair.here.sign_in("alice").await;
    end(&pair.here, &ended.session).await;
    // Every node is restarted, on another list: nobody remembers what was ended.
    let list: Arc<dyn RevocationList> = Arc::<Wire>::default();
    let restarted = Site { list: Some(list), ..pair.site.clone() }.node(&pair.here.clock);
    pair.here.clock.advance(LEASE);
    let upkeep = keep_up(&restarted);
    tokio::time::sleep(LEASE / 10).await;
    let said = restarted.sessions.validate(&ended.token, Activity::Ignored).await.unwrap();
    assert!(matches!(said, Validation::Ended(_)), "{said:?}");
    let later = restarted.sign_in("alice").await;
    assert!(restarted.is_active(&later.token).await);
    upkeep.abort();
}

/// Every node is restarted, on another list that has nothing; somebody had ended their session before.
async fn restarted_on_an_empty_list() -> (cloakroom::Issued, Arc<Wire>, World) {
    let pair = Pair::new();
    let ended = pair.here.sign_in("alice").await;
    end(&pair.here, &ended.session).await;
    let wire = Arc::<Wire>::default();
    let list: Arc<dyn RevocationList> = Arc::<Wire>::clone(&wire);
    pair.here.clock.advance(LEASE);
    let node = Site { list: Some(list), ..pair.site.clone() }.node(&pair.here.clock);
    (ended, wire, node)
}

async fn is_over(node: &World, issued: &cloakroom::Issued) -> bool {
    let said = node.sessions.validate(&issued.token, Activity::Ignored).await.unwrap();
    matches!(said, Validation::Ended(_))
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_that_takes_nothing_lets_nobody_in_who_was_ended() {
    let (ended, wire, node) = restarted_on_an_empty_list().await;
    wire.set(Fate::AddsRefused);
    let upkeep = keep_up(&node);
    for turn in 0..20 {
        tokio::time::sleep(LEASE / 4).await;
        node.clock.advance(LEASE / 4);
        assert!(is_over(&node, &ended).await, "turn {turn}");
    }
    assert_eq!(wire.entries().await, []);
    wire.set(Fate::Answered);
    tokio::time::sleep(LEASE).await;
    upkeep.abort();
    assert_eq!(wire.entries().await.len(), 1, "it is written as soon as it can be");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_first_reading_of_an_empty_list_is_not_let_in_before_its_beginning_is_marked() {
    let (ended, wire, node) = restarted_on_an_empty_list().await;
    wire.set(Fate::Late(LEASE / 10));
    let upkeep = keep_up(&node);
    tokio::task::yield_now().await;
    assert!(is_over(&node, &ended).await);
    upkeep.abort();
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_that_a_request_has_read_before_upkeep_began_is_marked_at_once() {
    let (ended, wire, node) = restarted_on_an_empty_list().await;
    wire.set(Fate::AddsRefused);
    assert!(!is_over(&node, &ended).await, "nobody keeps it yet");
    wire.set(Fate::Cut);
    let upkeep = keep_up(&node);
    tokio::task::yield_now().await;
    assert!(is_over(&node, &ended).await, "whatever becomes of its first turn");
    upkeep.abort();
}

#[tokio::test]
async fn without_upkeep_an_empty_list_is_left_as_it_is() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    assert!(pair.here.is_active(&issued.token).await);
    assert_eq!(pair.wire.entries().await, []);
}

#[tokio::test]
async fn a_token_that_knows_more_than_there_is_in_the_list_is_not_judged() {
    let pair = Pair::new();
    end(&pair.here, &pair.here.sign_in("bob").await.session).await;
    pair.read().await;
    let knowing = pair.here.sign_in("alice").await;
    pair.wire.lose_everything();
    let fresh = pair.site.node(&pair.here.clock);
    let error = fresh.sessions.validate(&knowing.token, Activity::Counts).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(pair.there.is_active(&knowing.token).await, "a node that knows as much judges it");
}
