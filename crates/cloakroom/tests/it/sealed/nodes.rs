//! Two nodes on one list: what one ends, the other refuses.

use std::time::Duration;

use cloakroom::{Activity, EndReason, Renewal, Renewed, Revocation, Selector, SessionToken, Validation};
use cloakroom_store::Verb;

use super::support::{Fate, LEASE, Pair, end, end_all_of};
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
async fn whoever_signs_in_elsewhere_after_an_end_is_let_in_before_its_own_node_has_read_it() {
    for everything in [false, true] {
        let pair = Pair::new();
        let before = pair.here.sign_in("alice").await;
        pair.read().await;
        if everything {
            let because = Revocation::by_system(EndReason::Compromised);
            pair.here.sessions.revoke(&Selector::All, because).await.unwrap();
        } else {
            end_all_of(&pair.here, "alice", None).await;
        }
        let after = pair.there.sign_in("alice").await;
        assert!(!pair.here.is_active(&before.token).await, "where it was ended, at once");
        assert!(pair.here.is_active(&after.token).await, "it came later, and knows of the end");
        assert!(!pair.here.is_active(&before.token).await);
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

#[tokio::test]
async fn of_several_that_exchange_one_token_at_the_same_time_one_is_given_another() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    pair.wire.set(Fate::Slow);
    let rotate = |node: &World| {
        let (sessions, session) = (node.sessions.clone(), issued.session.clone());
        async move { sessions.rotate(&session, Renewal::new()).await.unwrap() }
    };
    let (one, two, three, four) =
        tokio::join!(rotate(&pair.here), rotate(&pair.there), rotate(&pair.here), rotate(&pair.there));
    let mut given = Vec::new();
    for renewed in [one, two, three, four] {
        match renewed {
            Renewed::Done { token, .. } => given.push(token),
            Renewed::Retired(retired) => assert_eq!(retired.session, issued.session.id()),
            other => panic!("it lives: {other:?}"),
        }
    }
    assert_eq!(given.len(), 1);
    pair.read().await;
    assert!(pair.here.is_active(&given[0]).await && pair.there.is_active(&given[0]).await);
}

#[tokio::test]
async fn an_exchange_that_reads_the_end_of_its_session_says_that_it_has_ended() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    end(&pair.there, &issued.session).await;
    assert!(pair.here.is_active(&issued.token).await, "nothing was read yet");
    let renewed = pair.here.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
    assert!(
        matches!(&renewed, Renewed::Ended(tombstone) if tombstone.reason == EndReason::Compromised),
        "{renewed:?}"
    );
}

#[tokio::test]
async fn whoever_exchanges_a_token_within_the_lease_after_another_node_did_is_given_none() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    let owner = pair.here.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
    assert!(pair.there.is_active(&issued.token).await, "the lease holds");
    let thief = pair.there.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
    assert!(matches!(owner, Renewed::Done { .. }) && matches!(thief, Renewed::Retired(_)), "{thief:?}");
}

#[tokio::test(start_paused = true)]
async fn two_exchanges_after_which_the_list_could_not_be_read_leave_one_successor() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.read().await;
    pair.wire.set(Fate::ReadsCut);
    let mut given = Vec::new();
    for node in [&pair.here, &pair.there] {
        let renewed = node.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
        let Renewed::Done { token, .. } = renewed else { panic!("nobody is left with neither") };
        given.push(token);
    }
    pair.wire.set(Fate::Answered);
    let keep_up = |node: &World| {
        let sessions = node.sessions.clone();
        tokio::spawn(async move { sessions.upkeep(std::future::pending()).await })
    };
    let upkeep = [keep_up(&pair.here), keep_up(&pair.there)];
    tokio::time::sleep(LEASE).await;
    upkeep.iter().for_each(tokio::task::JoinHandle::abort);
    pair.pass(LEASE);
    for node in [&pair.here, &pair.there] {
        assert!(node.is_active(&given[0]).await, "it stands first in the list");
        assert!(matches!(node.look(&given[1]).await, Validation::Retired(_)), "and the other does not");
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_for_a_moment_forgets_nothing() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    let newest = pair.here.sign_in("bob").await;
    end(&pair.here, &issued.session).await;
    end(&pair.here, &newest.session).await;
    pair.read().await;
    let now = cloakroom::Clock::now(&*pair.there.clock);
    pair.there.clock.step_to(now.plus(Duration::from_secs(365 * 86_400)));
    assert_eq!(pair.there.sessions.sweep().await.unwrap().removed, 0);
    pair.there.clock.step_to(now);
    let fresh = pair.site.node(&pair.here.clock);
    for node in [&pair.here, &pair.there, &fresh] {
        assert!(matches!(authoritative(node, &issued.token).await, Validation::Ended(_)));
    }
}

#[tokio::test]
async fn a_token_that_is_further_ahead_than_clocks_can_be_is_not_judged_and_its_client_keeps_it() {
    let pair = Pair::new();
    let apart = Duration::from_secs(600);
    pair.there.clock.advance(apart);
    let near = pair.there.sign_in("alice").await;
    pair.there.clock.advance(MILLI);
    let far = pair.there.sign_in("bob").await;
    assert!(pair.here.is_active(&near.token).await);
    let error = pair.here.sessions.validate(&far.token, Activity::Counts).await.unwrap_err();
    assert!(error.is_unavailable() && error.retry_after().is_some(), "{error}");
    pair.here.clock.advance(MILLI);
    assert!(pair.here.is_active(&far.token).await);
}

#[tokio::test]
async fn whoever_signs_in_after_an_end_by_a_clock_that_is_far_ahead_is_let_in() {
    let pair = Pair::new();
    pair.there.clock.advance(Duration::from_secs(86_400));
    end_all_of(&pair.there, "alice", None).await;
    let later = pair.here.sign_in("alice").await;
    assert!(matches!(authoritative(&pair.here, &later.token).await, Validation::Active(_)));
    let (issues, asks) = (pair.site.node(&pair.here.clock), pair.site.node(&pair.here.clock));
    let visit = asks.visitor().await;
    assert!(asks.is_active(&visit.token).await);
    end_all_of(&pair.there, "alice", None).await;
    let again = issues.sign_in("alice").await;
    assert!(asks.is_active(&again.token).await, "by a node that had not read of the end yet");
}

#[tokio::test]
async fn what_was_forgotten_by_a_clock_that_was_ahead_from_the_start_is_read_again_when_it_is_set() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    end(&pair.here, &issued.session).await;
    let clock = std::sync::Arc::new(cloakroom::ManualClock::default());
    let now = cloakroom::Clock::now(&*clock);
    // It begins two years ahead, and what it forgets is in the list all the same.
    clock.step_to(now.plus(Duration::from_secs(2 * 365 * 86_400)));
    let node = pair.site.node(&clock);
    let visit = node.visitor().await;
    assert!(matches!(authoritative(&node, &visit.token).await, Validation::Active(_)));
    node.sessions.sweep().await.unwrap();
    let cloakroom::Reach::Sealed(state) = node.sessions.reach() else { panic!("it is sealed") };
    assert_eq!(state.list.unwrap().entries, 0, "forgotten");
    clock.step_to(now);
    assert_eq!(node.end_reason(&issued.token).await, EndReason::Compromised);
}
