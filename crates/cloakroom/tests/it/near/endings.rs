//! How fast an end is known here (G5), and that nothing brings back what is over (G4).

use cloakroom::{Activity, EndReason, Revocation, Selector, Validation};
use cloakroom_conformance::{Fault, Moment};
use cloakroom_store::{Parts, Verb};

use super::{LEASE, Pair, end};
use crate::support::{MILLI, principal};

#[tokio::test(start_paused = true)]
async fn an_end_elsewhere_is_known_when_its_news_is_here() {
    let pair = Pair::trusting().await;
    let (token, session) = pair.warm("alice").await;
    end(&pair.elsewhere.sessions, &session).await;
    assert_eq!(pair.lives(&token).await, (false, 1));
}

#[tokio::test(start_paused = true)]
async fn without_news_an_end_elsewhere_is_known_a_lease_later_and_not_after() {
    let pair = Pair::trusting().await;
    let (token, session) = pair.warm("alice").await;
    pair.feed.hold_news();
    end(&pair.elsewhere.sessions, &session).await;
    pair.pass(LEASE - MILLI).await;
    // Perhaps it is believed still, perhaps not; from the lease on, it is not.
    pair.pass(MILLI).await;
    assert_eq!(pair.state().trusted, 0);
    assert_eq!(pair.lives(&token).await, (false, 1));
}

#[tokio::test(start_paused = true)]
async fn without_news_memory_is_believed_until_the_lease_is_over() {
    let pair = Pair::trusting().await;
    let (token, session) = pair.warm("alice").await;
    pair.feed.hold_news();
    end(&pair.elsewhere.sessions, &session).await;
    assert_eq!(pair.lives(&token).await, (true, 0), "this is what the lease allows");
    let authoritative = pair.here.sessions.validate_authoritative(&token, Activity::Ignored).await.unwrap();
    assert!(matches!(authoritative, Validation::Ended(_)), "the store itself knows better");
    assert_eq!(pair.lives(&token).await, (false, 0), "and what it has said is remembered");
}

#[tokio::test(start_paused = true)]
async fn an_end_by_this_node_is_known_at_once_whatever_the_feed_does() {
    let pair = Pair::trusting().await;
    let (token, session) = pair.warm("alice").await;
    let (bobs, _) = pair.warm("bob").await;
    pair.feed.hold_news();
    end(&pair.here.sessions, &session).await;
    assert!(!pair.lives(&token).await.0);
    assert_eq!(
        pair.state().trusted,
        Parts::COUNT - 1,
        "only its part is asked of the store until the next proof"
    );
    assert_eq!(pair.lives(&bobs).await, (true, 0));
    pair.feed.let_through();
    pair.until_trusted().await;
    assert!(!pair.lives(&token).await.0);
}

#[tokio::test(start_paused = true)]
async fn an_end_of_all_or_of_a_principal_by_this_node_is_known_at_once() {
    let pair = Pair::trusting().await;
    let (alices, _) = pair.warm("alice").await;
    let (bobs, _) = pair.warm("bob").await;
    pair.feed.hold_news();
    let because = || Revocation::by_system(EndReason::Compromised);
    let selector = Selector::Principal { principal: principal("alice"), except: None };
    assert_eq!(pair.here.sessions.revoke(&selector, because()).await.unwrap().count(), 1);
    assert!(!pair.lives(&alices).await.0);
    assert!(pair.lives(&bobs).await.0);
    assert_eq!(pair.here.sessions.revoke(&Selector::All, because()).await.unwrap().count(), 1);
    assert!(!pair.lives(&bobs).await.0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_overtaken_by_news_is_not_remembered() {
    let pair = Pair::trusting().await;
    let alice = pair.elsewhere.sign_in("alice").await;
    let gate = pair.gates.hold(Verb::Get, Moment::After);
    let (sessions, token) = (pair.here.sessions.clone(), alice.token);
    let reader = tokio::spawn(async move {
        let said = sessions.validate(&token, Activity::Ignored).await.unwrap();
        (said, token)
    });
    gate.reached().await;
    end(&pair.elsewhere.sessions, &alice.session).await;
    gate.release();
    let (said, token) = reader.await.unwrap();
    assert!(matches!(said, Validation::Active(_)), "it was asked before the end");
    assert_eq!(pair.lives(&token).await, (false, 1));
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_caller_gave_up_is_known_all_the_same() {
    let pair = Pair::trusting().await;
    let (token, session) = pair.warm("alice").await;
    pair.feed.hold_news();
    let gate = pair.gates.hold(Verb::End, Moment::After);
    let sessions = pair.here.sessions.clone();
    let caller = tokio::spawn(async move { end(&sessions, &session).await });
    gate.reached().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert!(!pair.lives(&token).await.0);
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_answer_was_lost_is_known_all_the_same() {
    let pair = Pair::trusting().await;
    let (token, session) = pair.warm("alice").await;
    pair.feed.hold_news();
    pair.faults.script(Verb::End, Fault::FailAfterApply);
    let because = Revocation::by_system(EndReason::Compromised);
    assert!(pair.here.sessions.revoke(&Selector::One(session.id()), because).await.is_err());
    assert!(!pair.lives(&token).await.0);
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_nobody_watched_is_not_believed_when_somebody_watches_again() {
    let mut pair = Pair::trusting().await;
    let (token, session) = pair.warm("alice").await;
    pair.stop_watching().await;
    assert_eq!(pair.state().trusted, 0);
    end(&pair.elsewhere.sessions, &session).await;
    pair.watch().await;
    assert_eq!(pair.lives(&token).await, (false, 1));
}
