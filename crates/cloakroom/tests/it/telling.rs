//! One event, one metric, one log line for each thing that happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloakroom::{
    Activity, Attribute, Changes, EndReason, EventKind, Issue, Renewal, Renewed, Revocation, Selector,
    describe_metrics,
};
use cloakroom_memory::MemoryStore;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::support::{World, policy};

const NOTE: Attribute<u32> = Attribute::new("note");

/// A world whose metrics can be read.
fn measured() -> (World, Snapshotter) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let world = metrics::with_local_recorder(&recorder, || {
        describe_metrics();
        World::over(Arc::new(MemoryStore::default()), policy())
    });
    (world, snapshotter)
}

/// Counters that moved since the last call, with their labels, and gauges.
fn moved(snapshotter: &Snapshotter) -> BTreeMap<String, u64> {
    let mut moved = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<String> =
            key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.key().name().trim_start_matches("cloakroom_"), labels.join(","));
        match value {
            DebugValue::Counter(count) if count > 0 => {
                moved.insert(name, count);
            }
            _ => {}
        }
    }
    moved
}

fn expect(snapshotter: &Snapshotter, expected: &[(&str, u64)]) {
    let expected: BTreeMap<String, u64> =
        expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(moved(snapshotter), expected);
}

#[tokio::test]
async fn a_life_moves_each_metric_by_what_happened() {
    let (world, metrics) = measured();
    let visit = world.visitor().await;
    expect(&metrics, &[("sessions_issued_total{kind=anonymous}", 1)]);
    let alice = world.sign_in("alice").await;
    expect(&metrics, &[("sessions_issued_total{kind=signed_in}", 1)]);
    let _ = world.look(&alice.token).await;
    expect(&metrics, &[("validations_total{outcome=active,source=store}", 1)]);
    let _ = world.sessions.apply(&alice.session, Changes::new().set(&NOTE, &1).unwrap()).await.unwrap();
    let _ = world.sessions.apply(&alice.session, Changes::new().set(&NOTE, &2).unwrap()).await.unwrap();
    expect(&metrics, &[("conflicts_total{op=replace}", 1)]);
    let Renewed::Done { session, .. } = world.sessions.rotate(&alice.session, Renewal::new()).await.unwrap()
    else {
        panic!()
    };
    expect(&metrics, &[("conflicts_total{op=rekey}", 1)]);
    let _ = world.look(&alice.token).await;
    expect(&metrics, &[("validations_total{outcome=retired,source=store}", 1)]);
    let revocation = Revocation::by_system(EndReason::Compromised);
    world.sessions.revoke(&Selector::One(session.id()), revocation).await.unwrap();
    expect(&metrics, &[("sessions_ended_total{reason=compromised}", 1)]);
    let _ = world.sessions.apply(&session, Changes::new().set(&NOTE, &3).unwrap()).await.unwrap();
    expect(&metrics, &[("resurrections_blocked_total{}", 1)]);
    world.clock.step_to(visit.session.idle_expires_at());
    let _ = world.look(&visit.token).await;
    expect(&metrics, &[("validations_total{outcome=ended,source=store}", 1)]);
    world.sessions.sweep().await.unwrap();
    expect(&metrics, &[("sessions_ended_total{reason=idle_timeout}", 1)]);
}

#[tokio::test]
async fn a_touch_and_an_unknown_token_are_counted() {
    let (world, metrics) = measured();
    let issued = world.visitor().await;
    let stranger = World::new().visitor().await;
    moved(&metrics);
    world.clock.advance(crate::support::TOUCH);
    let _ = world.validate(&issued.token).await;
    expect(
        &metrics,
        &[("touches_total{result=written}", 1), ("validations_total{outcome=active,source=store}", 1)],
    );
    let _ = world.look(&stranger.token).await;
    expect(
        &metrics,
        &[("unknown_tokens_total{}", 1), ("validations_total{outcome=unknown,source=store}", 1)],
    );
}

#[tokio::test]
async fn the_number_of_sessions_is_what_the_store_counted() {
    let (world, metrics) = measured();
    world.visitor().await;
    world.sign_in("alice").await;
    world.sessions.count().await.unwrap();
    let gauges: Vec<f64> = metrics
        .snapshot()
        .into_vec()
        .into_iter()
        .filter(|(key, ..)| key.key().name() == "cloakroom_sessions_active")
        .map(|(.., value)| match value {
            DebugValue::Gauge(value) => value.into_inner(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(gauges, [2.0]);
}

#[tokio::test]
async fn an_expiry_is_told_once_however_many_nodes_sweep() {
    let world = World::new();
    let node = world.other_node();
    let issued = world.sign_in("alice").await;
    world.clock.step_to(issued.session.idle_expires_at());
    world.ears.events();
    for _ in 0..3 {
        world.sessions.sweep().await.unwrap();
        node.sessions.sweep().await.unwrap();
    }
    let mut told = world.ears.events();
    told.extend(node.ears.events());
    let [event] = &told[..] else { panic!("{told:?}") };
    assert_eq!(event.kind, EventKind::Ended(EndReason::IdleTimeout));
    assert_eq!(event.at, issued.session.idle_expires_at(), "the exact instant, not the sweep's");
}

#[tokio::test]
async fn a_life_is_told_in_order() {
    let world = World::new();
    let issued = world.sessions.issue(Issue::anonymous()).await.unwrap().expect_issued();
    let _ = world.sessions.validate(&issued.token, Activity::Counts).await.unwrap();
    let _ = world.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
    let revocation = Revocation::by_system(EndReason::SignedOut);
    world.sessions.revoke(&Selector::One(issued.session.id()), revocation).await.unwrap();
    let names: Vec<&str> = world.ears.kinds().into_iter().map(EventKind::name).collect();
    assert_eq!(names, ["session_created", "session_renewed", "session_logout"]);
}
