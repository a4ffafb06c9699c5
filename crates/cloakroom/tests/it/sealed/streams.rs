//! Open streams of sealed sessions: there is nobody to ask for them but time and the list.

use std::time::Duration;

use cloakroom::{
    EndReason, Issued, Renewal, Renewed, Revocation, Selector, SessionWatch, StreamEnd, Validation,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::support::{Fate, LEASE, Pair, end, end_all_of};
use crate::support::{IDLE, TOUCH, World};

/// A node that reads the list all the time, and a stream of somebody who has just signed in there.
async fn open(pair: &Pair) -> (Issued, SessionWatch, JoinHandle<()>) {
    let sessions = pair.here.sessions.clone();
    let upkeep = tokio::spawn(async move { sessions.upkeep(std::future::pending()).await });
    let issued = pair.here.sign_in("alice").await;
    let watch = pair.here.sessions.watch_session(&issued.session);
    pass(pair, LEASE).await;
    (issued, watch, upkeep)
}

/// Time passes by all clocks, in steps shorter than whatever is to be noticed.
async fn pass(pair: &Pair, time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(Duration::from_millis(100));
        pair.pass(step);
        tokio::time::sleep(step).await;
        left -= step;
    }
}

async fn reason(watch: &mut SessionWatch) -> Option<EndReason> {
    timeout(LEASE, watch.ended()).await.expect("the stream ends").reason()
}

async fn touched(node: &World, issued: &Issued) {
    assert!(matches!(node.validate(&issued.token).await, Validation::Active(_)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_session_is_ended_here_or_on_another_node() {
    for elsewhere in [false, true] {
        let pair = Pair::new();
        let (issued, mut watch, upkeep) = open(&pair).await;
        let bob = pair.here.sign_in("bob").await;
        let mut other = pair.here.sessions.watch_session(&bob.session);
        end(if elsewhere { &pair.there } else { &pair.here }, &issued.session).await;
        assert_eq!(reason(&mut watch).await, Some(EndReason::Compromised), "elsewhere: {elsewhere}");
        assert!(timeout(LEASE * 3, other.ended()).await.is_err(), "somebody else's");
        upkeep.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_all_sessions_of_their_principal_and_with_everything() {
    let pair = Pair::new();
    let (_alice, mut watch, upkeep) = open(&pair).await;
    let bob = pair.here.sign_in("bob").await;
    let mut other = pair.here.sessions.watch_session(&bob.session);
    end_all_of(&pair.there, "alice", None).await;
    assert_eq!(reason(&mut watch).await, Some(EndReason::PasswordChanged));
    assert!(other.end().is_none());
    let because = Revocation::by_system(EndReason::RevokedByAdmin);
    pair.there.sessions.revoke(&Selector::All, because).await.unwrap();
    assert_eq!(reason(&mut other).await, Some(EndReason::RevokedByAdmin));
    upkeep.abort();
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_an_exchange_of_its_token_and_ends_with_its_session() {
    for elsewhere in [false, true] {
        let pair = Pair::new();
        let (issued, mut watch, upkeep) = open(&pair).await;
        let node = if elsewhere { &pair.there } else { &pair.here };
        let renewed = node.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
        assert!(matches!(renewed, Renewed::Done { .. }));
        pass(&pair, LEASE * 3).await;
        assert!(watch.end().is_none(), "elsewhere: {elsewhere}");
        end(&pair.there, &issued.session).await;
        assert_eq!(reason(&mut watch).await, Some(EndReason::Compromised));
        upkeep.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_session_is_idle_by_what_this_node_saw_and_requests_here_keep_it_open() {
    let pair = Pair::new();
    let (issued, mut watch, upkeep) = open(&pair).await;
    pass(&pair, IDLE / 2).await;
    touched(&pair.here, &issued).await;
    pass(&pair, IDLE / 2 + TOUCH).await;
    assert!(watch.end().is_none(), "a request came in between");
    watch.note_activity();
    pass(&pair, IDLE / 2).await;
    assert_eq!(reason(&mut watch).await, Some(EndReason::IdleTimeout));
    upkeep.abort();
}

#[tokio::test(start_paused = true)]
async fn while_the_list_cannot_be_read_a_stream_stays_open_up_to_its_patience() {
    let pair = Pair::new();
    let (_issued, watch, upkeep) = open(&pair).await;
    let patience = Duration::from_secs(60);
    let mut watch = watch.with_patience(patience);
    pair.wire.set(Fate::Cut);
    pass(&pair, patience / 2).await;
    assert!(watch.end().is_none(), "an outage is no sign-out");
    pass(&pair, patience).await;
    assert_eq!(timeout(LEASE, watch.ended()).await.expect("it gives up"), StreamEnd::Unproven);
    upkeep.abort();
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_given_up_end_unproven_and_may_come_again() {
    let pair = Pair::new();
    let (issued, mut watch, upkeep) = open(&pair).await;
    pair.here.sessions.give_up_streams();
    assert_eq!(timeout(LEASE, watch.ended()).await, Ok(StreamEnd::Unproven));
    let mut again = pair.here.sessions.watch_session(&issued.session);
    assert!(timeout(LEASE * 3, again.ended()).await.is_err(), "the session lives");
    upkeep.abort();
}
