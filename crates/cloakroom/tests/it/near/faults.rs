//! Lines that are cut, stores that are away, proofs that do not come.

use cloakroom::{Activity, SessionError};
use cloakroom_conformance::Fault;
use cloakroom_store::{ErrorKind, News, Parts, Verb};

use super::{LEASE, Pair, end};
use crate::support::MILLI;

#[tokio::test(start_paused = true)]
async fn after_a_cut_memory_is_believed_for_a_lease_and_read_anew_when_the_feed_is_back() {
    let pair = Pair::trusting().await;
    let (token, _) = pair.warm("alice").await;
    let (bobs, bob) = pair.warm("bob").await;
    pair.feed.cut();
    end(&pair.elsewhere.sessions, &bob).await;
    assert_eq!(pair.lives(&token).await, (true, 0));
    pair.pass(LEASE).await;
    assert_eq!(pair.lives(&token).await, (true, 1), "nothing is believed any more");
    assert_eq!(pair.lives(&token).await, (true, 1), "nor remembered");
    pair.feed.mend();
    pair.until_trusted().await;
    assert_eq!(pair.lives(&bobs).await, (false, 1));
    assert_eq!(pair.lives(&token).await, (true, 1), "what was known before the cut is not used again");
    assert_eq!(pair.lives(&token).await, (true, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_not_noticed_by_warm_reads_until_the_lease_is_over() {
    let pair = Pair::trusting().await;
    let (token, _) = pair.warm("alice").await;
    pair.faults.go_down(ErrorKind::Unavailable);
    assert!(pair.lives(&token).await.0);
    pair.pass(LEASE).await;
    let answer = pair.here.sessions.validate(&token, Activity::Ignored).await;
    assert!(matches!(answer, Err(SessionError::Store(_))), "neither in nor out (G9): {answer:?}");
    pair.faults.heal();
    pair.until_trusted().await;
    assert!(pair.lives(&token).await.0);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_not_proven_is_asked_of_the_store_and_the_others_are_not() {
    let pair = Pair::trusting().await;
    let (alices, alice) = pair.warm("alice").await;
    let (bobs, _) = pair.warm("bob").await;
    pair.feed.prove_only(Parts::ALL.without(Parts::one(Parts::number_of(alice.id().route()))));
    pair.pass(LEASE * 2).await;
    assert_eq!(pair.state().trusted, Parts::COUNT - 1);
    assert_eq!(pair.lives(&alices).await, (true, 1));
    assert_eq!(pair.lives(&bobs).await, (true, 0));
}

/// As a server that evicts all the time.
#[tokio::test(start_paused = true)]
async fn a_store_that_answers_each_proof_with_news_of_anything_is_not_asked_faster_for_that() {
    let pair = Pair::trusting().await;
    let (token, _) = pair.warm("alice").await;
    let first = pair.feed.proofs();
    let mut answered = first;
    pair.feed.hold_proofs();
    for _ in 0..2_000 {
        if pair.feed.proofs() > answered {
            answered = pair.feed.proofs();
            pair.feed.tell(News::Anything(Parts::ALL));
            pair.feed.let_through();
            for _ in 0..16 {
                tokio::task::yield_now().await;
            }
            pair.feed.hold_proofs();
        }
        pair.clock.advance(MILLI);
        tokio::time::sleep(MILLI).await;
    }
    let asked = answered - first;
    assert!((8..=24).contains(&asked), "asked {asked} times in two seconds");
    assert_eq!(pair.lives(&token).await, (true, 1), "nothing is believed");
    pair.feed.let_through();
    pair.until_trusted().await;
}

#[tokio::test(start_paused = true)]
async fn proofs_go_on_while_a_sweep_hangs() {
    let pair = Pair::trusting().await;
    let (token, _) = pair.warm("alice").await;
    let gate = pair.gates.hold(Verb::Sweep, cloakroom_conformance::Moment::Before);
    // The next sweep is due within ten seconds.
    for _ in 0..11 {
        pair.pass(LEASE).await;
    }
    gate.reached().await;
    pair.pass(LEASE * 2).await;
    assert!(pair.state().is_trusted());
    assert_eq!(pair.lives(&token).await, (true, 0));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_be_opened_is_tried_again() {
    let mut pair = Pair::unwatched();
    for _ in 0..3 {
        pair.faults.script(Verb::Watch, Fault::FailBefore);
    }
    pair.watch().await;
    let (token, _) = pair.warm("alice").await;
    assert_eq!(pair.lives(&token).await, (true, 0));
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_hangs_is_given_up_and_the_next_one_counts() {
    let pair = Pair::trusting().await;
    pair.feed.hold_proofs();
    pair.pass(LEASE * 3).await;
    assert_eq!(pair.state().trusted, 0);
    pair.feed.let_through();
    pair.until_trusted().await;
}

#[tokio::test(start_paused = true)]
async fn proofs_are_made_four_times_in_a_lease_and_no_more() {
    let pair = Pair::trusting().await;
    let before = pair.feed.proofs();
    tokio::time::sleep(LEASE * 10 + MILLI).await;
    let made = pair.feed.proofs() - before;
    assert!((38..=41).contains(&made), "{made} proofs in ten leases");
}

#[tokio::test(start_paused = true)]
async fn many_ends_at_once_want_few_proofs() {
    let pair = Pair::trusting().await;
    let mut sessions = Vec::new();
    for number in 0..100 {
        sessions.push(pair.elsewhere.sign_in(&format!("user{number}")).await.session);
    }
    let before = pair.feed.proofs();
    for session in &sessions {
        end(&pair.here.sessions, session).await;
    }
    pair.rest().await;
    let made = pair.feed.proofs() - before;
    assert!((1..=3).contains(&made), "{made} proofs for a hundred ends in one moment");
    assert!(pair.state().is_trusted());
}
