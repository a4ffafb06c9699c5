//! Reading on beside the requests.

use std::collections::BTreeMap;
use std::time::Duration;

use cloakroom::{
    EndReason, Reach, Renewal, Renewed, Revocation, SealedState, Selector, Validation, WhenUnreachable,
    describe_metrics,
};
use cloakroom_store::Verb;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::task::JoinHandle;

use super::support::{Fate, LEASE, Pair, Site, end};
use crate::support::{ABSOLUTE, MILLI, World};

fn keep_up(node: &World) -> JoinHandle<()> {
    let sessions = node.sessions.clone();
    tokio::spawn(async move { sessions.upkeep(std::future::pending()).await })
}

/// Time passes by all clocks.
async fn pass(pair: &Pair, time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(LEASE / 50);
        pair.pass(step);
        tokio::time::sleep(step).await;
        left -= step;
    }
}

fn state(node: &World) -> SealedState {
    match node.sessions.reach() {
        Reach::Sealed(state) => state,
        other => panic!("it is sealed: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_list_is_read_four_times_in_a_lease_and_no_request_asks_it() {
    let pair = Pair::new();
    let upkeep = keep_up(&pair.there);
    pass(&pair, LEASE).await;
    let issued = pair.here.sign_in("alice").await;
    pass(&pair, LEASE).await;
    pair.wire.calls();
    for _ in 0..100 {
        pass(&pair, LEASE / 10).await;
        for _ in 0..10 {
            assert!(pair.there.is_active(&issued.token).await);
        }
    }
    let reads = pair.wire.calls().into_iter().filter(|verb| *verb == Verb::Watch).count();
    assert!((38..=42).contains(&reads), "{reads} in ten leases, with a thousand requests");
    upkeep.abort();
}

#[tokio::test(start_paused = true)]
async fn a_list_that_takes_nearly_half_a_lease_to_answer_is_believed_all_the_time() {
    let pair = Pair::new();
    pair.wire.set(Fate::Late(LEASE * 2 / 5));
    let upkeep = keep_up(&pair.there);
    pass(&pair, LEASE).await;
    for _ in 0..200 {
        pass(&pair, LEASE / 20).await;
        assert!(state(&pair.there).list.unwrap().trusted);
    }
    upkeep.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_is_offered_before_a_node_goes_and_for_no_longer_than_a_while() {
    for is_back in [true, false] {
        let pair = Pair::new();
        let issued = pair.here.sign_in("alice").await;
        pair.read().await;
        pair.wire.set(Fate::AddsLost);
        let renewed = pair.here.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
        let Renewed::Done { token, .. } = renewed else { panic!("it lives") };
        pair.wire.set(if is_back { Fate::Answered } else { Fate::Cut });
        let leaves = pair.here.sessions.upkeep(std::future::ready(()));
        tokio::time::timeout(Duration::from_secs(10), leaves).await.expect("it goes");
        pair.wire.set(Fate::Answered);
        pair.pass(LEASE);
        let is_told = matches!(pair.there.look(&issued.token).await, Validation::Retired(_));
        assert_eq!(is_told, is_back);
        assert!(pair.there.is_active(&token).await);
    }
}

#[tokio::test]
async fn what_is_over_is_forgotten_once_in_a_turn_however_many_rounds_it_has() {
    let pair = Pair::new();
    let entries = || state(&pair.here).list.unwrap().entries;
    let (one, other) = (pair.here.sign_in("alice").await, pair.here.sign_in("bob").await);
    pair.here.clock.advance(LEASE);
    let later = pair.here.sign_in("carol").await;
    for issued in [&one, &other, &later] {
        let because = Revocation::by_system(EndReason::SignedOut).of(&issued.session);
        pair.here.sessions.revoke(&Selector::One(issued.session.id()), because).await.unwrap();
    }
    pair.pass(ABSOLUTE + Duration::from_secs(600) - LEASE);
    pair.here.sessions.sweep().await.unwrap();
    assert_eq!(entries(), 1);
    pair.pass(LEASE);
    pair.here.sessions.sweep().await.unwrap();
    assert_eq!(entries(), 1, "in the same turn");
    pair.pass(Duration::from_secs(5));
    pair.here.sessions.sweep().await.unwrap();
    assert_eq!(entries(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_end_elsewhere_is_read_as_soon_as_it_is_told() {
    let pair = Pair::new();
    let upkeep = keep_up(&pair.there);
    pass(&pair, LEASE).await;
    let issued = pair.here.sign_in("alice").await;
    pass(&pair, LEASE).await;
    end(&pair.here, &issued.session).await;
    pass(&pair, LEASE / 50).await;
    assert!(!pair.there.is_active(&issued.token).await);
    upkeep.abort();
}

#[tokio::test(start_paused = true)]
async fn reach_says_how_the_copy_stands() {
    let pair = Pair::new();
    let before = state(&pair.there).list.unwrap();
    assert!(!before.trusted && before.read_ago.is_none());
    assert_eq!(
        (before.kind, before.lease, before.when_unreachable),
        ("memory", LEASE, WhenUnreachable::Closed)
    );
    let issued = pair.here.sign_in("alice").await;
    end(&pair.here, &issued.session).await;
    let upkeep = keep_up(&pair.there);
    pass(&pair, MILLI).await;
    let read = state(&pair.there).list.unwrap();
    assert!(read.trusted && read.entries == 1, "{read:?}");
    pair.wire.set(Fate::Cut);
    pass(&pair, LEASE * 2).await;
    let cut = state(&pair.there).list.unwrap();
    assert!(!cut.trusted && cut.read_ago.unwrap() >= LEASE, "{cut:?}");
    upkeep.abort();
    let listless = Site::without_list().node(&pair.here.clock);
    assert_eq!(state(&listless).list, None);
}

#[tokio::test(start_paused = true)]
async fn settled_waits_a_lease_where_others_read_the_list() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    let because = cloakroom::Revocation::by_system(cloakroom::EndReason::Compromised);
    let selector = cloakroom::Selector::One(issued.session.id());
    let revoking = pair.here.sessions.revoke(&selector, because).settled();
    let early = tokio::time::timeout(LEASE - MILLI, revoking).await;
    assert!(early.is_err(), "not before a lease has passed");
    tokio::time::timeout(LEASE, pair.here.sessions.settle()).await.expect("and not much later");
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    describe_metrics();
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    let foreign = cloakroom_core::SessionToken::from_sealed(&[7; 60]);
    pair.here.look(&foreign).await;
    end(&pair.here, &issued.session).await;
    pair.here.look(&issued.token).await;
    pair.wire.set(Fate::Cut);
    pair.pass(LEASE);
    let visit = pair.here.visitor().await;
    assert!(
        pair.here.sessions.validate_authoritative(&visit.token, cloakroom::Activity::Counts).await.is_err()
    );
    let mut counted = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        if let DebugValue::Counter(count) = value
            && count > 0
        {
            let labels: Vec<_> =
                key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            counted.insert(format!("{}{{{}}}", key.key().name(), labels.join(",")), count);
        }
    }
    for (series, count) in [
        ("cloakroom_sealed_refused_total{reason=forged}", 1),
        ("cloakroom_validations_total{outcome=unknown,source=sealed}", 1),
        ("cloakroom_validations_total{outcome=ended,source=sealed}", 1),
        ("cloakroom_validations_total{outcome=error,source=sealed}", 1),
        ("cloakroom_revocation_list_reads_total{result=read}", 1),
        ("cloakroom_revocation_list_reads_total{result=failed}", 1),
        ("cloakroom_sessions_ended_total{reason=compromised}", 1),
    ] {
        assert_eq!(counted.get(series), Some(&count), "{series} in {counted:?}");
    }
}
