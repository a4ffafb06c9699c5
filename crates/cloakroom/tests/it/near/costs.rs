//! What asking costs (G12), and when nobody is asked.

use std::num::NonZeroU32;
use std::sync::Arc;

use cloakroom::{
    Attribute, Because, Changes, EndReason, Issue, NearCachePolicy, OnLimit, Reach, Renewal, Renewed,
    SessionLimit, Sessions, Validation, Written,
};
use cloakroom_conformance::SwitchedStore;
use cloakroom_memory::MemoryStore;
use cloakroom_store::{Capabilities, Verb};

use super::{Pair, end};
use crate::support::World;

const NOTE: Attribute<u32> = Attribute::new("note");

#[tokio::test(start_paused = true)]
async fn a_cold_read_asks_once_and_warm_ones_never() {
    let pair = Pair::trusting().await;
    let alice = pair.elsewhere.sign_in("alice").await;
    assert_eq!(pair.lives(&alice.token).await, (true, 1));
    for _ in 0..10 {
        assert_eq!(pair.lives(&alice.token).await, (true, 0));
    }
    let state = pair.state();
    assert_eq!(state.entries, 1);
    assert!(state.bytes > 0 && state.bytes < 4_096, "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_asks_once_and_is_read_back_at_once() {
    let pair = Pair::trusting().await;
    let (token, session) = pair.warm("alice").await;
    // The feed is silent: what a node has done itself it knows without being told.
    pair.feed.hold_news();
    let changed = pair.here.sessions.apply(&session, Changes::new().set(&NOTE, &7).unwrap()).await.unwrap();
    assert!(matches!(changed, Written::Done(_)));
    assert_eq!(pair.calls.take(), [Verb::Replace]);
    assert_eq!(pair.here.active(&token).await.get(&NOTE).unwrap(), Some(7));
}

#[tokio::test(start_paused = true)]
async fn after_a_rotation_the_old_token_is_dead_and_the_new_one_alive_at_once() {
    let pair = Pair::trusting().await;
    let (old, session) = pair.warm("alice").await;
    pair.feed.hold_news();
    let renewed = pair.here.sessions.rotate(&session, Renewal::new()).await.unwrap();
    let Renewed::Done { token, .. } = renewed else { panic!("{renewed:?}") };
    assert_eq!(pair.calls.take(), [Verb::Rekey]);
    assert!(matches!(pair.look(&old).await.0, Validation::Retired(_)));
    assert!(pair.lives(&token).await.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_remembered_and_what_is_unknown_is_not() {
    let pair = Pair::trusting().await;
    let (token, session) = pair.warm("alice").await;
    end(&pair.elsewhere.sessions, &session).await;
    assert_eq!(pair.lives(&token).await, (false, 1));
    for _ in 0..3 {
        let (said, calls) = pair.look(&token).await;
        assert!(matches!(said, Validation::Ended(tombstone) if tombstone.reason == EndReason::Compromised));
        assert_eq!(calls, 0);
    }
    let strange = World::new().sign_in("bob").await.token;
    for _ in 0..3 {
        assert_eq!(pair.look(&strange).await, (Validation::Unknown, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn without_upkeep_every_read_asks() {
    let pair = Pair::unwatched();
    let alice = pair.elsewhere.sign_in("alice").await;
    for _ in 0..3 {
        assert_eq!(pair.lives(&alice.token).await, (true, 1));
    }
    assert_eq!((pair.state().trusted, pair.state().proven_ago), (0, None));
}

#[tokio::test(start_paused = true)]
async fn an_end_by_a_limit_is_true_on_this_node_at_once() {
    let pair = Pair::trusting().await;
    let policy = crate::support::policy()
        .with_limit(Some(SessionLimit { max: NonZeroU32::MIN, on_limit: OnLimit::EndOldest }));
    let limited = Sessions::builder_shared(Arc::clone(pair.here.sessions.store())).policy(policy);
    let limited = limited.clock(Arc::clone(&pair.clock)).build().unwrap();
    let upkeep = limited.clone();
    drop(tokio::spawn(async move { upkeep.upkeep(std::future::pending()).await }));
    while !matches!(limited.reach(), Reach::NearCache(state) if state.is_trusted()) {
        pair.rest().await;
    }
    let issue = || async { limited.issue(pair.here.wish("alice")).await.unwrap().expect_issued() };
    let first = issue().await;
    let activity = cloakroom::Activity::Ignored;
    for _ in 0..2 {
        assert!(matches!(limited.validate(&first.token, activity).await, Ok(Validation::Active(_))));
    }
    pair.feed.hold_news();
    assert_eq!(issue().await.ended.len(), 1);
    assert!(matches!(limited.validate(&first.token, activity).await, Ok(Validation::Ended(_))));
}

#[test]
fn an_engine_says_why_every_read_asks() {
    let store = |claims| SwitchedStore::new(Arc::new(MemoryStore::default())).claiming(claims);
    let because = |claims, policy| {
        let sessions = Sessions::builder(store(claims)).near_cache(policy).build().unwrap();
        match sessions.reach() {
            Reach::EveryReadAsks { because } => Some(because),
            _ => None,
        }
    };
    let (on, off) = (NearCachePolicy::default(), NearCachePolicy::off());
    assert_eq!(because(Capabilities::ALL, on), None);
    assert_eq!(because(Capabilities::ALL, off), Some(Because::SwitchedOff));
    assert_eq!(because(Capabilities::ALL.unwatched(), on), Some(Because::Untold));
    assert_eq!(because(Capabilities::ALL.in_process(), on), Some(Because::InProcess));
}

#[tokio::test(start_paused = true)]
async fn memory_stays_within_its_bounds() {
    let pair = Pair::trusting().await;
    let text: Attribute<String> = Attribute::new("text");
    for _ in 0..1_200 {
        let mut attributes = cloakroom::Attributes::new();
        attributes.set(&text, &"x".repeat(2_000)).unwrap();
        let issue = Issue::anonymous().attributes(attributes);
        let issued = pair.elsewhere.sessions.issue(issue).await.unwrap().expect_issued();
        assert!(pair.here.is_active(&issued.token).await);
    }
    let state = pair.state();
    assert!(state.bytes <= state.max_bytes && state.entries < 500 && state.entries > 100, "{state:?}");
}
