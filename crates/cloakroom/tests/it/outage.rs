//! Stores that fail, and what the engine makes of it.

use std::sync::Arc;

use cloakroom::{
    Activity, Attribute, Carry, Changes, EndReason, EventKind, Issue, Renewal, Renewed, Revocation, Selector,
    SessionError, Validation, Written,
};
use cloakroom_conformance::{Fault, FaultyStore, GatedStore, Moment};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{ErrorKind, Verb};

use crate::support::{World, policy};

const VISITS: Attribute<u32> = Attribute::new("visits");

fn faulty() -> (World, Arc<FaultyStore>) {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default())));
    (World::over(store.clone(), policy()), store)
}

fn gated() -> (World, Arc<GatedStore>) {
    let store = Arc::new(GatedStore::new(Arc::new(MemoryStore::default())));
    (World::over(store.clone(), policy()), store)
}

fn visit() -> Changes {
    Changes::new().update(&VISITS, |visits| *visits += 1)
}

#[tokio::test]
async fn an_outage_is_neither_a_sign_out_nor_a_let_in() {
    let (world, store) = faulty();
    let issued = world.sign_in("alice").await;
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::Full,
        ErrorKind::ReadOnly,
        ErrorKind::Internal,
    ] {
        store.go_down(kind);
        let sessions = &world.sessions;
        let answers = [
            sessions.validate(&issued.token, Activity::Counts).await.map(drop),
            sessions.issue(Issue::anonymous()).await.map(drop),
            sessions.apply(&issued.session, visit()).await.map(drop),
            sessions.rotate(&issued.session, Renewal::new()).await.map(drop),
        ];
        for answer in answers {
            assert!(matches!(&answer, Err(SessionError::Store(error)) if error.kind() == kind), "{answer:?}");
        }
        store.heal();
        assert!(world.is_active(&issued.token).await, "recovered without a restart after {kind:?}");
    }
}

#[tokio::test]
async fn an_unreadable_record_is_an_unknown_token_and_an_event() {
    let (world, store) = faulty();
    let issued = world.sign_in("alice").await;
    world.ears.events();
    store.go_down(ErrorKind::Corrupt);
    assert_eq!(world.validate(&issued.token).await, Validation::Unknown);
    assert_eq!(world.ears.kinds(), [EventKind::UnreadableRecord]);
}

#[tokio::test]
async fn a_sign_in_whose_predecessor_cannot_be_ended_is_taken_back() {
    let (world, store) = faulty();
    let visit = world.visitor().await;
    store.script(Verb::End, Fault::FailBefore);
    let wish = world.wish("alice").replacing(&visit.session, &Carry::All);
    let outcome = world.sessions.issue(wish).await;
    assert!(matches!(outcome, Err(SessionError::Store(_))), "{outcome:?}");
    assert!(world.is_active(&visit.token).await);
    assert_eq!(world.sessions.count().await.unwrap().signed_in, 0);
}

#[tokio::test]
async fn a_slow_write_does_not_bring_an_ended_session_back() {
    let (world, store) = gated();
    let issued = world.sign_in("alice").await;
    let gate = store.hold(Verb::Replace, Moment::Before);
    let (sessions, session) = (world.sessions.clone(), issued.session.clone());
    let write = tokio::spawn(async move { sessions.apply(&session, visit()).await.unwrap() });
    gate.reached().await;
    end(&world, &issued.session).await;
    world.ears.events();
    gate.release();
    assert!(matches!(write.await.unwrap(), Written::Ended(_)));
    assert_eq!(world.end_reason(&issued.token).await, EndReason::SignedOut);
    assert_eq!(world.ears.kinds()[0], EventKind::ResurrectionBlocked);
}

#[tokio::test]
async fn a_slow_rotation_does_not_bring_an_ended_session_back() {
    let (world, store) = gated();
    let issued = world.sign_in("alice").await;
    let gate = store.hold(Verb::Rekey, Moment::Before);
    let (sessions, session) = (world.sessions.clone(), issued.session.clone());
    let rotation = tokio::spawn(async move { sessions.rotate(&session, Renewal::new()).await.unwrap() });
    gate.reached().await;
    end(&world, &issued.session).await;
    gate.release();
    assert!(matches!(rotation.await.unwrap(), Renewed::Ended(_)));
    assert!(!world.is_active(&issued.token).await);
}

#[tokio::test]
async fn ending_everybody_reaches_the_session_that_is_just_getting_a_new_token() {
    let (world, store) = gated();
    let issued = world.sign_in("alice").await;
    let gate = store.hold(Verb::Rekey, Moment::After);
    let (sessions, session) = (world.sessions.clone(), issued.session.clone());
    let rotation = tokio::spawn(async move { sessions.rotate(&session, Renewal::new()).await.unwrap() });
    gate.reached().await;
    end(&world, &issued.session).await;
    gate.release();
    let Renewed::Done { token, .. } = rotation.await.unwrap() else { panic!("it was done before the end") };
    assert_eq!(
        world.end_reason(&token).await,
        EndReason::SignedOut,
        "the new token is as dead as the old one"
    );
}

#[tokio::test]
async fn a_sweep_that_fails_goes_on_the_next_time() {
    let (world, store) = faulty();
    let issued = world.visitor().await;
    world.clock.step_to(issued.session.idle_expires_at());
    store.script(Verb::Sweep, Fault::FailBefore);
    world.sessions.sweep().await.unwrap_err();
    assert_eq!(world.sessions.sweep().await.unwrap().ended, 1);
}

#[tokio::test]
async fn changes_survive_a_store_that_fails_now_and_then_and_none_counts_twice() {
    for seed in 0..50 {
        let inner = Arc::new(MemoryStore::default());
        let faults = [Fault::FailBefore, Fault::Delay, Fault::StaleRead];
        let store = Arc::new(FaultyStore::seeded(inner, seed, &faults, 200));
        let world = World::over(store.clone(), policy());
        let issued = loop {
            if let Ok(outcome) = world.sessions.issue(world.wish("alice")).await {
                break outcome.expect_issued();
            }
        };
        let mut done = 0;
        for _ in 0..20 {
            done += u32::from(matches!(
                world.sessions.apply(&issued.session, visit()).await,
                Ok(Written::Done(_))
            ));
        }
        store.heal();
        assert_eq!(world.active(&issued.token).await.get(&VISITS).unwrap().unwrap_or(0), done, "seed {seed}");
    }
}

async fn end(world: &World, session: &cloakroom::ActiveSession) {
    let revocation = Revocation::by_system(EndReason::SignedOut);
    assert_eq!(world.sessions.revoke(&Selector::One(session.id()), revocation).await.unwrap().count(), 1);
}
