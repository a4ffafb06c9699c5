//! Two nodes on one list: what one ends, the other refuses.

use std::time::Duration;

use cloakroom::{Activity, EndReason, Renewal, Renewed, Revocation, Selector, SessionToken, Validation};
use cloakroom_store::Verb;

use super::support::{LEASE, Pair, end, end_all_of};
use crate::support::{MILLI, World, principal};

const FAR: Duration = Duration::from_secs(240);

async fn authoritative(node: &World, token: &SessionToken) -> Validation {
    node.sessions.validate_authoritative(token, Activity::Ignored).await.unwrap()
}

#[tokio::test]
async fn what_was_ended_on_one_node_is_refused_by_the_other_at_the_lease_at_the_latest() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    end(&pair.here, &issued.session).await;
    assert!(!pair.here.is_active(&issued.token).await, "where it was ended, at once");
    pair.pass(LEASE - MILLI);
    assert!(pair.there.is_active(&issued.token).await, "nothing was read yet, and the lease holds");
    pair.pass(MILLI);
    assert_eq!(pair.there.end_reason(&issued.token).await, EndReason::Compromised);
}

#[tokio::test]
async fn whoever_asks_the_list_itself_knows_at_once() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    end(&pair.here, &issued.session).await;
    assert!(matches!(authoritative(&pair.there, &issued.token).await, Validation::Ended(_)));
    assert!(!pair.there.is_active(&issued.token).await, "and from then on from memory");
}

#[tokio::test]
async fn within_the_lease_no_request_asks_the_list() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    for _ in 0..100 {
        assert!(pair.there.is_active(&issued.token).await);
    }
    assert_eq!(pair.wire.calls(), []);
    pair.pass(LEASE);
    for _ in 0..100 {
        assert!(pair.there.is_active(&issued.token).await);
    }
    assert_eq!(pair.wire.calls(), [Verb::Watch], "one reading for all of them");
}

#[tokio::test]
async fn a_password_change_ends_all_other_sessions_and_whoever_signs_in_after_it_stays() {
    // The node that ends is ahead, or behind, or neither; and a millisecond holds it all.
    for (here_ahead, there_ahead) in
        [(Duration::ZERO, Duration::ZERO), (FAR, Duration::ZERO), (Duration::ZERO, FAR)]
    {
        let pair = Pair::new();
        pair.here.clock.advance(here_ahead);
        pair.there.clock.advance(there_ahead);
        let (current, stolen) = (pair.here.sign_in("alice").await, pair.there.sign_in("alice").await);
        let bob = pair.there.sign_in("bob").await;
        pair.read().await;
        end_all_of(&pair.here, "alice", Some(&current.session)).await;
        let later = pair.there.sign_in("alice").await;
        pair.read().await;
        for node in [&pair.here, &pair.there] {
            assert!(node.is_active(&current.token).await, "the one in which it was done");
            assert!(
                node.is_active(&later.token).await,
                "{here_ahead:?} {there_ahead:?}: signed in afterwards"
            );
            assert!(node.is_active(&bob.token).await, "somebody else");
            assert_eq!(node.end_reason(&stolen.token).await, EndReason::PasswordChanged);
        }
    }
}

#[tokio::test]
async fn several_ends_of_a_principal_leave_only_what_came_after_the_last() {
    let pair = Pair::new();
    let first = pair.here.sign_in("alice").await;
    end_all_of(&pair.here, "alice", Some(&first.session)).await;
    let second = pair.there.sign_in("alice").await;
    end_all_of(&pair.there, "alice", Some(&second.session)).await;
    let third = pair.here.sign_in("alice").await;
    pair.read().await;
    for node in [&pair.here, &pair.there] {
        assert!(!node.is_active(&first.token).await);
        assert!(node.is_active(&second.token).await && node.is_active(&third.token).await);
    }
    end_all_of(&pair.here, "alice", None).await;
    pair.read().await;
    for token in [&first.token, &second.token, &third.token] {
        assert!(!pair.here.is_active(token).await && !pair.there.is_active(token).await);
    }
}

#[tokio::test]
async fn an_end_of_everything_covers_whatever_did_not_know_of_it_even_issued_by_a_clock_that_is_ahead() {
    let pair = Pair::new();
    pair.there.clock.advance(FAR);
    let ahead = pair.there.sign_in("alice").await;
    let here = pair.here.sign_in("bob").await;
    let because = Revocation::by_system(EndReason::RevokedByAdmin);
    assert!(!pair.here.sessions.revoke(&Selector::All, because).await.unwrap().is_counted());
    let visit = pair.here.visitor().await;
    assert!(pair.here.is_active(&visit.token).await, "a stranger who comes after it");
    pair.read().await;
    let later = pair.there.sign_in("alice").await;
    for node in [&pair.here, &pair.there] {
        for token in [&ahead.token, &here.token] {
            assert_eq!(node.end_reason(token).await, EndReason::RevokedByAdmin);
        }
        assert!(matches!(authoritative(node, &later.token).await, Validation::Active(_)));
    }
}

#[tokio::test]
async fn what_was_issued_before_an_instant_ends_and_nobody_is_kept_from_signing_in_by_a_clock_that_is_behind()
{
    let pair = Pair::new();
    let early = pair.there.sign_in("alice").await;
    pair.here.clock.advance(FAR);
    let late = pair.here.sign_in("bob").await;
    let before = Selector::IssuedBefore(cloakroom::Clock::now(&*pair.here.clock));
    pair.here.sessions.revoke(&before, Revocation::by_system(EndReason::RevokedByAdmin)).await.unwrap();
    let again = pair.there.sign_in("alice").await;
    for node in [&pair.here, &pair.there] {
        assert!(matches!(authoritative(node, &early.token).await, Validation::Ended(_)));
        assert!(node.is_active(&late.token).await && node.is_active(&again.token).await);
    }
}

#[tokio::test]
async fn a_token_that_was_exchanged_is_dead_on_every_node_and_the_new_one_lives() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    let renewed = pair.here.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
    let Renewed::Done { token, .. } = renewed else { panic!("it lives") };
    assert!(matches!(pair.here.look(&issued.token).await, Validation::Retired(_)));
    pair.pass(LEASE);
    assert!(matches!(pair.there.look(&issued.token).await, Validation::Retired(_)));
    assert!(pair.there.is_active(&token).await);
}

#[tokio::test]
async fn a_token_from_a_clock_that_is_ahead_is_judged_by_the_node_that_it_is_shown_to() {
    let pair = Pair::new();
    pair.there.clock.advance(FAR);
    let issued = pair.there.sign_in("alice").await;
    let Validation::Active(session) = pair.here.validate(&issued.token).await else { panic!("it lives") };
    assert!(session.replacement().is_none(), "activity is not written back into the past");
    assert_eq!(session.last_seen_at(), issued.session.last_seen_at());
}

#[tokio::test]
async fn an_end_that_is_known_keeps_its_reason_and_is_not_told_again() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    end(&pair.here, &issued.session).await;
    pair.read().await;
    let because = Revocation::by_system(EndReason::SignedOut).of(&issued.session);
    let again = pair.there.sessions.revoke(&Selector::One(issued.session.id()), because).await.unwrap();
    assert_eq!(again.count(), 0);
    assert_eq!(pair.there.end_reason(&issued.token).await, EndReason::Compromised);
    assert_eq!(pair.wire.entries().await.len(), 1);
}

#[tokio::test]
async fn ending_a_principals_sessions_tells_of_the_one_by_which_it_was_done_and_of_the_decision() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.here.ears.events();
    let everywhere = Selector::Principal { principal: principal("alice"), except: None };
    let because = Revocation::by_system(EndReason::SignedOut).of(&issued.session);
    let revoked = pair.here.sessions.revoke(&everywhere, because).await.unwrap();
    assert_eq!((revoked.count(), revoked.is_counted()), (1, false));
    let told: Vec<_> =
        pair.here.ears.events().into_iter().map(|event| (event.session, event.principal)).collect();
    let alice = Some(principal("alice"));
    assert_eq!(told, [(Some(issued.session.id()), alice.clone()), (None, alice)]);
}
