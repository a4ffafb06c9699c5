//! The list cannot be read, or does not answer.

use cloakroom::{
    Activity, EndReason, ErrorKind, Renewal, Renewed, Revocation, SealedPolicy, Selector, SessionError,
    Validation, WhenUnreachable,
};

use super::support::{Fate, LEASE, Pair, end, end_all_of};
use crate::support::{MILLI, TOUCH, World};

async fn refused(node: &World, token: &cloakroom::SessionToken) -> SessionError {
    node.sessions.validate(token, cloakroom::Activity::Counts).await.unwrap_err()
}

#[tokio::test]
async fn within_the_lease_an_outage_is_not_noticed_and_after_it_nobody_is_let_in_or_signed_out() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    pair.wire.set(Fate::Cut);
    pair.pass(LEASE - MILLI);
    assert!(pair.here.is_active(&issued.token).await);
    pair.pass(MILLI);
    let error = refused(&pair.here, &issued.token).await;
    assert!(error.is_unavailable() && error.retry_after().is_some(), "{error}");
    pair.pass(TOUCH);
    assert!(matches!(refused(&pair.here, &issued.token).await, SessionError::Store(_)));
    pair.wire.set(Fate::Answered);
    pair.pass(LEASE);
    assert!(pair.here.is_active(&issued.token).await, "it was an outage, not a sign-out");
}

#[tokio::test]
async fn whoever_is_known_to_be_over_is_told_so_whatever_can_be_read() {
    let pair = Pair::new();
    let (ended, idle) = (pair.here.sign_in("alice").await, pair.here.sign_in("bob").await);
    end(&pair.here, &ended.session).await;
    pair.wire.set(Fate::Cut);
    pair.pass(crate::support::IDLE);
    assert_eq!(pair.here.end_reason(&ended.token).await, EndReason::Compromised);
    assert_eq!(pair.here.end_reason(&idle.token).await, EndReason::IdleTimeout);
}

fn open() -> Pair {
    Pair::under(SealedPolicy::default().with_when_unreachable(WhenUnreachable::Open))
}

#[tokio::test]
async fn while_an_end_cannot_be_read_back_whoever_may_have_come_after_it_is_not_signed_out_by_it() {
    for pair in [Pair::new(), open()] {
        let is_open = pair.site.sealed.when_unreachable() == WhenUnreachable::Open;
        let before = pair.here.sign_in("alice").await;
        pair.read().await;
        pair.pass(MILLI);
        end_all_of(&pair.here, "alice", None).await;
        let after = pair.there.sign_in("alice").await;
        pair.wire.set(Fate::Cut);
        assert_eq!(pair.here.end_reason(&before.token).await, EndReason::PasswordChanged);
        let answer = pair.here.sessions.validate(&after.token, Activity::Ignored).await;
        if is_open {
            assert!(matches!(answer, Ok(Validation::Active(_))), "it is open: {answer:?}");
        } else {
            assert!(answer.unwrap_err().is_unavailable());
        }
        let asked = pair.here.sessions.validate_authoritative(&after.token, Activity::Ignored).await;
        assert!(asked.unwrap_err().is_unavailable(), "who asks the list itself is not told a guess");
        pair.wire.set(Fate::Answered);
        pair.pass(LEASE);
        assert!(pair.here.is_active(&after.token).await);
        assert_eq!(pair.here.end_reason(&before.token).await, EndReason::PasswordChanged);
    }
}

#[tokio::test]
async fn where_it_is_open_nobody_is_locked_out_of_the_node_that_cannot_read_back_what_it_has_ended() {
    let pair = open();
    let before = pair.here.sign_in("alice").await;
    pair.read().await;
    pair.wire.set(Fate::ReadsCut);
    pair.pass(MILLI);
    end_all_of(&pair.here, "alice", None).await;
    let after = pair.here.sign_in("alice").await;
    let Validation::Active(session) = pair.here.validate(&after.token).await else { panic!("locked out") };
    assert!(!pair.here.sessions.is_over(&session));
    let renewed = pair.here.sessions.rotate(&session, Renewal::new()).await.unwrap();
    assert!(matches!(renewed, Renewed::Done { .. }), "{renewed:?}");
    assert_eq!(pair.here.end_reason(&before.token).await, EndReason::PasswordChanged);
}

#[tokio::test]
async fn nobody_is_given_a_session_that_would_be_over_because_an_end_cannot_be_read_back() {
    let pair = Pair::new();
    pair.here.sign_in("alice").await;
    pair.read().await;
    end_all_of(&pair.here, "alice", None).await;
    // The list has lost it, and takes nothing.
    pair.wire.lose_everything();
    end(&pair.there, &pair.there.visitor().await.session).await;
    pair.wire.set(Fate::AddsRefused);
    let signed_in = pair.here.sessions.issue(pair.here.wish("alice")).await;
    assert!(signed_in.unwrap_err().is_unavailable(), "rather than a session that is over at once");
    pair.wire.set(Fate::Answered);
    let after = pair.here.sign_in("alice").await;
    assert!(pair.here.is_active(&after.token).await);
}

#[tokio::test]
async fn where_it_is_open_who_asks_the_list_itself_is_told_that_it_cannot_be_asked() {
    let pair = open();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    end(&pair.there, &issued.session).await;
    pair.wire.set(Fate::Cut);
    pair.pass(LEASE);
    assert!(pair.here.is_active(&issued.token).await, "by what was last known");
    let asked = pair.here.sessions.validate_authoritative(&issued.token, Activity::Ignored).await;
    assert!(asked.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn after_one_try_has_failed_a_crowd_is_answered_without_another() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.wire.set(Fate::Cut);
    pair.pass(LEASE);
    pair.wire.calls();
    for _ in 0..50 {
        refused(&pair.here, &issued.token).await;
    }
    assert_eq!(pair.wire.calls().len(), 1);
    pair.pass(LEASE / 4);
    refused(&pair.here, &issued.token).await;
    assert_eq!(pair.wire.calls().len(), 1, "it is tried again after a while");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_hangs_keeps_nobody_for_long() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.wire.set(Fate::Hangs);
    pair.pass(LEASE);
    let longest = std::time::Duration::from_secs(3);
    let error = tokio::time::timeout(longest, refused(&pair.here, &issued.token)).await;
    assert!(error.expect("in virtual time").is_unavailable());
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_no_longer_than_is_said_for_whoever_reads_a_long_list() {
    let pair = Pair::new();
    for _ in 0..30 {
        end(&pair.here, &pair.here.visitor().await.session).await;
    }
    let issued = pair.here.sign_in("alice").await;
    let cold = pair.site.node(&pair.here.clock);
    pair.wire.set(Fate::Crawls(LEASE));
    let reads = cold.sessions.clone();
    let upkeep = tokio::spawn(async move { reads.upkeep(std::future::pending()).await });
    tokio::time::sleep(MILLI).await;
    for _ in 0..5 {
        let longest = std::time::Duration::from_secs(2) + MILLI;
        let error = tokio::time::timeout(longest, refused(&cold, &issued.token)).await;
        assert!(error.expect("in virtual time").is_unavailable());
    }
    tokio::time::sleep(LEASE * 30).await;
    assert!(cold.is_active(&issued.token).await, "it was read to its end all the while");
    upkeep.abort();
}

#[tokio::test]
async fn where_it_is_open_requests_go_on_by_what_was_last_known() {
    let pair = Pair::under(SealedPolicy::default().with_when_unreachable(WhenUnreachable::Open));
    let (one, other) = (pair.here.sign_in("alice").await, pair.here.sign_in("bob").await);
    pair.read().await;
    end(&pair.here, &one.session).await;
    pair.wire.set(Fate::Cut);
    pair.pass(TOUCH);
    assert!(!pair.here.is_active(&one.token).await, "what is known is known");
    let Validation::Active(session) = pair.there.validate(&one.token).await else { panic!("it is open") };
    assert!(session.replacement().is_some());
    assert!(pair.there.is_active(&other.token).await);
    let late = pair.there.sign_in("carol").await;
    assert!(pair.there.is_active(&late.token).await);
    let because = Revocation::by_system(EndReason::SignedOut);
    let ended = pair.there.sessions.revoke(&Selector::One(late.session.id()), because).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Unavailable, "an end is never claimed");
    pair.wire.set(Fate::Answered);
    pair.pass(LEASE);
    assert!(!pair.there.is_active(&one.token).await);
}

#[tokio::test]
async fn nobody_signs_in_and_no_token_is_exchanged_while_the_list_cannot_be_asked() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    pair.wire.set(Fate::Cut);
    let signed_in = pair.here.sessions.issue(pair.here.wish("bob")).await;
    assert!(matches!(signed_in.unwrap_err(), SessionError::Store(_)));
    let rotated = pair.here.sessions.rotate(&issued.session, Renewal::new()).await;
    assert!(matches!(rotated.unwrap_err(), SessionError::Store(_)));
    assert!(pair.here.is_active(&issued.token).await, "the old token is as good as before");
    assert!(
        pair.here
            .sessions
            .revoke(&Selector::All, Revocation::by_system(EndReason::Compromised))
            .await
            .is_err()
    );
    assert!(pair.here.is_active(&issued.token).await, "nothing was ended, as was said");
    let visit = pair.here.visitor().await;
    assert!(pair.here.is_active(&visit.token).await, "strangers need no list");
}

#[tokio::test(start_paused = true)]
async fn where_nobody_knows_whether_the_old_token_is_dead_the_new_one_is_handed_out_and_the_old_one_dies() {
    for fate in [Fate::AddsUnheard, Fate::AddsLost] {
        let pair = Pair::new();
        let issued = pair.here.sign_in("alice").await;
        pair.read().await;
        pair.wire.set(fate);
        let renewed = pair.here.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
        let Renewed::Done { token, .. } = renewed else { panic!("it lives") };
        assert!(matches!(pair.here.look(&issued.token).await, Validation::Retired(_)), "here at once");
        assert!(pair.here.is_active(&token).await && pair.there.is_active(&token).await, "never neither");
        pair.wire.set(Fate::Answered);
        let sessions = pair.here.sessions.clone();
        let upkeep = tokio::spawn(async move { sessions.upkeep(std::future::pending()).await });
        tokio::time::sleep(LEASE).await;
        upkeep.abort();
        pair.pass(LEASE);
        assert!(
            matches!(pair.there.look(&issued.token).await, Validation::Retired(_)),
            "{fate:?}: and everywhere"
        );
        assert!(pair.there.is_active(&token).await);
    }
}
