//! Exchanges of one token of which nobody can tell at once which came first.

use cloakroom::{ActiveSession, Renewal, Renewed, SessionToken};

use super::support::{Fate, LEASE, Pair};
use crate::support::World;

async fn exchange(node: &World, session: &ActiveSession) -> (SessionToken, ActiveSession) {
    match node.sessions.rotate(session, Renewal::new()).await.unwrap() {
        Renewed::Done { token, session } => (token, session),
        other => panic!("nobody knows better: {other:?}"),
    }
}

/// A thief exchanges `copy` of a token so many times where the list takes what is added and cannot be read; then it can be.
async fn steals(pair: &Pair, copy: &ActiveSession, times: usize) -> SessionToken {
    pair.wire.set(Fate::ReadsCut);
    let mut last = exchange(&pair.here, copy).await;
    for _ in 1..times {
        last = exchange(&pair.here, &last.1).await;
    }
    pair.wire.set(Fate::Answered);
    let sessions = pair.here.sessions.clone();
    let upkeep = tokio::spawn(async move { sessions.upkeep(std::future::pending()).await });
    tokio::time::sleep(LEASE * 2).await;
    upkeep.abort();
    pair.pass(LEASE);
    pair.read().await;
    last.0
}

#[tokio::test(start_paused = true)]
async fn whoever_exchanged_second_while_nobody_could_tell_is_over_when_somebody_can() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    let (owners, _) = exchange(&pair.there, &issued.session).await;
    let thiefs = steals(&pair, &issued.session, 1).await;
    for node in [&pair.here, &pair.there] {
        assert!(!node.is_active(&thiefs).await);
        assert!(node.is_active(&owners).await, "who came first keeps theirs");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_that_exchanged_one_token_at_most_one_lives_however_often_the_second_went_on_meanwhile() {
    for times in 2..5 {
        let pair = Pair::new();
        let issued = pair.here.sign_in("alice").await;
        pair.read().await;
        let _owners = exchange(&pair.there, &issued.session).await;
        let thiefs = steals(&pair, &issued.session, times).await;
        for node in [&pair.here, &pair.there] {
            assert!(!node.is_active(&thiefs).await, "after {times}");
        }
    }
}
