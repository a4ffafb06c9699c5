//! Whoever signs in and out all day takes no more than their share of every node's memory, and locks nobody out.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{
    ActiveSession, Attribute, Changes, EndReason, OnLimit, PolicyError, Renewal, Renewed, Revocation,
    SealedPolicy, Selector, SessionLimit, SessionToken, Timeouts, Written,
};
use cloakroom_store::Scope;

use super::support::{Pair, Site};
use crate::support::{ABSOLUTE, IDLE, World, policy, principal};

/// More than one principal's share, as is written in the engine.
const MANY: usize = 1_100;

pub(crate) async fn sign_out(node: &World, session: &cloakroom::ActiveSession) {
    let because = Revocation::by_system(EndReason::SignedOut).of(session);
    node.sessions.revoke(&Selector::One(session.id()), because).await.unwrap();
}

#[tokio::test]
async fn ends_of_one_principal_become_an_end_of_all_theirs_and_nobody_elses() {
    let pair = Pair::new();
    let bob = pair.here.sign_in("bob").await;
    let mut first = None;
    for _ in 0..MANY {
        let issued = pair.here.sign_in("alice").await;
        sign_out(&pair.here, &issued.session).await;
        assert!(!pair.here.is_active(&issued.token).await);
        first = first.or(Some(issued));
    }
    let entries = pair.wire.entries().await;
    let wide = entries.iter().filter(|entry| matches!(entry.scope, Scope::Principal { .. })).count();
    assert!((1..MANY / 4).contains(&wide), "{wide} of {}", entries.len());
    assert!(!pair.here.is_active(&first.unwrap().token).await);
    assert!(pair.here.is_active(&bob.token).await);
    let again = pair.there.sign_in("alice").await;
    pair.read().await;
    assert!(pair.here.is_active(&again.token).await, "nobody is locked out");
}

/// Exchanges a session's token so many times; every token that it was given.
pub(crate) async fn exchanged(
    node: &World,
    first: &ActiveSession,
    times: usize,
) -> Vec<(SessionToken, ActiveSession)> {
    let mut all: Vec<(SessionToken, ActiveSession)> = Vec::new();
    for _ in 0..times {
        let present = all.last().map_or(first, |(_, session)| session);
        let renewed = node.sessions.rotate(present, Renewal::new()).await.unwrap();
        let Renewed::Done { token, session } = renewed else { panic!("it lives: {renewed:?}") };
        all.push((token, session));
    }
    all
}

pub(crate) fn entries_of(node: &World) -> usize {
    let cloakroom::Reach::Sealed(state) = node.sessions.reach() else { panic!("it is sealed") };
    state.list.unwrap().entries
}

#[tokio::test]
async fn a_session_whose_token_is_exchanged_all_the_time_takes_no_more_memory_than_a_few_and_no_old_token_lives()
 {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    let all = exchanged(&pair.here, &issued.session, 300).await;
    pair.read().await;
    for node in [&pair.here, &pair.there] {
        assert!(entries_of(node) <= 17, "{} entries", entries_of(node));
        for (number, (token, _)) in all.iter().enumerate() {
            let validation = node.validate(token).await;
            match validation {
                cloakroom::Validation::Active(_) => assert_eq!(number, 299),
                cloakroom::Validation::Retired(_) => assert_ne!(number, 299),
                other => panic!("{number}: {other:?}"),
            }
        }
    }
    // Copies of exchanged tokens are idle before long, and then nothing is left of them.
    pair.pass(IDLE + Duration::from_secs(1_300));
    pair.here.sessions.sweep().await.unwrap();
    assert!(!pair.here.is_active(&all[299].0).await, "idle");
    assert_eq!(entries_of(&pair.here), 0);
}

#[tokio::test]
async fn a_copy_that_was_changed_again_and_again_is_no_better_than_the_token_it_was_copied_from() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    let all = exchanged(&pair.here, &issued.session, 20).await;
    let present = &all[19].1;
    let mut copy = present.clone();
    for number in 0..50_u64 {
        let changes = Changes::new().set(&Attribute::new("cart"), &number).unwrap();
        copy = match pair.there.sessions.apply(&copy, changes).await.unwrap() {
            Written::Done(session) => session,
            other => panic!("it lives: {other:?}"),
        };
    }
    let newer = exchanged(&pair.here, present, 1).await;
    pair.read().await;
    assert!(pair.there.is_active(&newer[0].0).await);
    let copied = pair.there.validate(copy.replacement().unwrap()).await;
    assert!(matches!(copied, cloakroom::Validation::Retired(_)), "{copied:?}");
}

#[tokio::test]
async fn what_no_token_can_meet_any_more_is_forgotten_here_and_in_the_list() {
    let pair = Pair::new();
    for name in ["alice", "bob"] {
        let issued = pair.here.sign_in(name).await;
        sign_out(&pair.here, &issued.session).await;
    }
    let apart = Duration::from_secs(600);
    pair.pass(ABSOLUTE + apart - Duration::from_millis(1));
    assert_eq!(pair.here.sessions.sweep().await.unwrap().removed, 0, "clocks may differ by so much");
    pair.pass(Duration::from_millis(1));
    assert_eq!(
        pair.here.sessions.sweep().await.unwrap().removed,
        1,
        "the newest stays: it is where nodes stand"
    );
}

#[tokio::test]
async fn a_limit_of_sessions_cannot_be_kept_and_building_says_so() {
    let limit = SessionLimit { max: NonZeroU32::MIN, on_limit: OnLimit::EndOldest };
    let site = Site { policy: policy().with_limit(Some(limit)), ..Site::without_list() };
    let error = site.builder().build().unwrap_err();
    assert_eq!(error, PolicyError::LimitWithoutRecords);
    assert!(error.to_string().contains("per_principal_max"), "{error}");
}

#[tokio::test]
async fn who_was_ended_under_a_stricter_policy_does_not_come_back_when_it_is_generous_again() {
    let site = Site::with_list(Arc::<super::support::Wire>::default());
    let clock = Arc::default();
    let generous = site.node(&clock);
    let (alice, bob) = (generous.sign_in("alice").await, generous.sign_in("bob").await);
    let short = Timeouts { idle: Duration::from_secs(60), absolute: Duration::from_secs(60) };
    let strict = Site { policy: policy().with_timeouts(short).with_remember_me(None), ..site.clone() };
    let strict = strict.node(&clock);
    let same = strict.active(&alice.token).await;
    assert_eq!(same.absolute_expires_at(), alice.session.absolute_expires_at(), "limits are fixed at issue");
    let everywhere = Selector::Principal { principal: principal("alice"), except: None };
    strict.sessions.revoke(&everywhere, Revocation::by_system(EndReason::Compromised)).await.unwrap();
    sign_out(&strict, &strict.active(&bob.token).await).await;
    // Longer than the strict policy lets anybody live, and than clocks may differ; and not idle yet by the generous one.
    clock.advance(Duration::from_secs(60 + 600) - Duration::from_secs(120));
    strict.sessions.sweep().await.unwrap();
    let generous = site.node(&clock);
    for token in [alice.token, bob.token] {
        assert!(!generous.is_active(&token).await);
    }
    let cloakroom::Reach::Sealed(state) = generous.sessions.reach() else { panic!("it is sealed") };
    assert_eq!(state.list.unwrap().entries, 2, "both ends are still remembered");
}

#[tokio::test]
async fn no_token_lives_longer_than_ends_are_remembered() {
    let year = Duration::from_secs(365 * 86_400);
    let long = Timeouts { idle: year * 3, absolute: year * 3 };
    let site = Site::with_list(Arc::<super::support::Wire>::default());
    let clock = Arc::default();
    let issued =
        Site { policy: policy().with_timeouts(long), ..site.clone() }.node(&clock).sign_in("alice").await;
    let bounded = site.node(&clock).active(&issued.token).await;
    assert_eq!(
        bounded.absolute_expires_at(),
        issued.session.created_at().plus(Duration::from_secs(400 * 86_400))
    );
    let lenient = site.sealed(SealedPolicy::default().with_longest_life(year * 3)).node(&clock);
    let whole = lenient.active(&issued.token).await;
    assert_eq!(whole.absolute_expires_at(), issued.session.absolute_expires_at());
}

#[tokio::test]
async fn whoever_signs_in_again_and_again_in_place_of_their_own_session_is_always_let_in() {
    let pair = Pair::new();
    let mut current = pair.here.sign_in("alice").await;
    for number in 0..MANY {
        let wish = pair.here.wish("alice").replacing(&current.session, &cloakroom::Carry::All);
        let newer = pair.here.sessions.issue(wish).await.unwrap().expect_issued();
        assert!(!pair.here.is_active(&current.token).await, "{number}");
        assert!(pair.here.is_active(&newer.token).await, "{number}");
        current = newer;
    }
    pair.read().await;
    assert!(pair.there.is_active(&current.token).await);
    // When the ends of that day are over, each session ends by itself again.
    pair.pass(ABSOLUTE + Duration::from_secs(60));
    let (one, other) = (pair.here.sign_in("alice").await, pair.here.sign_in("alice").await);
    sign_out(&pair.here, &one.session).await;
    assert!(!pair.here.is_active(&one.token).await && pair.here.is_active(&other.token).await);
}
