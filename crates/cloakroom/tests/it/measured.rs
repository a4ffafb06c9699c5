//! What happens, and by how much each metric moves: the named series by exactly so much, and no other counter at all.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{
    Activity, Attribute, Carry, Changes, EndReason, Issue, OnLimit, Policy, Revocation, Selector,
    SessionLimit, SessionToken, describe_metrics,
};
use cloakroom_conformance::FaultyStore;
use cloakroom_core::Route;
use cloakroom_memory::{MemoryOptions, MemoryStore};
use cloakroom_store::{ErrorKind, Store};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::support::{IDLE, TOUCH, World, policy};

const NOTE: Attribute<u32> = Attribute::new("note");

/// A world whose metrics can be read, until the guard goes.
struct Measured {
    world: World,
    store: Arc<FaultyStore>,
    metrics: Snapshotter,
    _recorder: metrics::LocalRecorderGuard<'static>,
}

impl Measured {
    fn new() -> Self {
        Self::over(Arc::new(MemoryStore::default()), policy())
    }

    fn over(store: Arc<dyn Store>, policy: Policy) -> Self {
        let recorder: &'static DebuggingRecorder = Box::leak(Box::new(DebuggingRecorder::new()));
        let metrics = recorder.snapshotter();
        let guard = metrics::set_default_local_recorder(recorder);
        describe_metrics();
        let store = Arc::new(FaultyStore::new(store));
        let world = World::over(store.clone(), policy);
        Self { world, store, metrics, _recorder: guard }
    }

    /// Every counter that moved since the last call, and how often each histogram of store calls was given something.
    fn moved(&self) -> BTreeMap<String, u64> {
        let mut moved = BTreeMap::new();
        for (key, _, _, value) in self.metrics.snapshot().into_vec() {
            let labels: Vec<String> =
                key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let name =
                format!("{}{{{}}}", key.key().name().trim_start_matches("cloakroom_"), labels.join(","));
            let by = match value {
                DebugValue::Counter(count) => count,
                // Look-ups are timed one in sixteen, so they are left to the counters.
                DebugValue::Histogram(samples)
                    if !name.contains("op=get") && !name.starts_with("validation_") =>
                {
                    samples.len().try_into().unwrap()
                }
                DebugValue::Histogram(_) | DebugValue::Gauge(_) => 0,
            };
            if by > 0 {
                moved.insert(name, by);
            }
        }
        moved
    }

    #[track_caller]
    fn expect(&self, what: &str, expected: &[(&str, u64)]) {
        let expected: BTreeMap<String, u64> =
            expected.iter().map(|(name, by)| ((*name).to_owned(), *by)).collect();
        assert_eq!(self.moved(), expected, "{what}");
    }

    fn gauge(&self, wanted: &str) -> Option<f64> {
        self.metrics.snapshot().into_vec().into_iter().find_map(|(key, _, _, value)| match value {
            DebugValue::Gauge(value) if key.key().name() == wanted => Some(value.into_inner()),
            _ => None,
        })
    }

    async fn end(&self, selector: Selector, reason: EndReason) {
        self.world.sessions.revoke(&selector, Revocation::by_system(reason)).await.unwrap();
    }
}

const ISSUED: (&str, u64) = ("sessions_issued_total{kind=signed_in}", 1);
const INSERT: (&str, u64) = ("store_operation_duration_seconds{store=memory,op=insert}", 1);
const END: (&str, u64) = ("store_operation_duration_seconds{store=memory,op=end}", 1);
const SWEEP: (&str, u64) = ("store_operation_duration_seconds{store=memory,op=sweep}", 1);

#[tokio::test]
async fn every_reason_for_which_a_session_ends_is_counted_as_itself_and_once() {
    let m = Measured::new();
    for reason in EndReason::ALL {
        let ended = format!("sessions_ended_total{{reason={}}}", reason.as_str());
        let alice = m.world.sign_in("alice").await;
        m.expect("a sign-in", &[ISSUED, INSERT]);
        match reason {
            EndReason::IdleTimeout => m.world.clock.step_to(alice.session.idle_expires_at()),
            EndReason::AbsoluteTimeout => {
                let over = alice.session.absolute_expires_at();
                while m.world.sessions.now().plus(IDLE) < over {
                    m.world.clock.advance(IDLE / 2);
                    let _ = m.world.validate(&alice.token).await;
                }
                m.world.clock.step_to(over);
                m.moved();
            }
            // Counted below, where it happens.
            EndReason::StoreFull => continue,
            _ => {
                m.end(Selector::One(alice.session.id()), reason).await;
                m.expect(reason.as_str(), &[(&ended, 1), END]);
                m.end(Selector::One(alice.session.id()), reason).await;
                m.expect("what is over does not end again", &[END]);
                continue;
            }
        }
        m.world.sessions.sweep().await.unwrap();
        m.expect(reason.as_str(), &[(&ended, 1), SWEEP]);
    }
}

#[tokio::test]
async fn sessions_that_make_room_are_counted_by_why() {
    let limit = |on_limit| policy().with_limit(Some(SessionLimit { max: NonZeroU32::MIN, on_limit }));
    let m = Measured::over(Arc::new(MemoryStore::default()), limit(OnLimit::EndOldest));
    m.world.sign_in("alice").await;
    m.moved();
    m.world.sign_in("alice").await;
    m.expect("one more", &[ISSUED, INSERT, ("sessions_ended_total{reason=session_limit}", 1)]);
    drop(m);

    let m = Measured::over(Arc::new(MemoryStore::default()), limit(OnLimit::Refuse));
    m.world.sign_in("alice").await;
    m.moved();
    let refused = m.world.sessions.issue(m.world.wish("alice")).await.unwrap();
    assert!(matches!(refused, cloakroom::IssueOutcome::LimitReached));
    m.expect("one more, refused", &[INSERT]);
    drop(m);

    let m = Measured::new();
    let visitor = m.world.visitor().await;
    m.moved();
    let wish = m.world.wish("alice").replacing(&visitor.session, &Carry::Nothing);
    let _ = Box::pin(m.world.sessions.issue(wish)).await.unwrap().expect_issued();
    m.expect("a visitor signs in", &[ISSUED, INSERT, END, ("sessions_ended_total{reason=replaced}", 1)]);
    drop(m);

    let small = MemoryStore::new(MemoryOptions::default().with_max_bytes(64 << 10));
    let m = Measured::over(Arc::new(small), policy());
    let mut put_out = 0;
    for _ in 0..2_000 {
        m.world.sessions.issue(Issue::anonymous()).await.unwrap();
        let moved = m.moved();
        put_out += moved.get("sessions_ended_total{reason=store_full}").copied().unwrap_or_default();
        assert!(
            moved.keys().all(|name| !name.starts_with("sessions_ended") || name.contains("store_full")),
            "{moved:?}"
        );
    }
    assert!(put_out > 0, "a full store puts out who was there");
    m.world.sessions.count().await.unwrap();
    assert_eq!(
        m.gauge("cloakroom_sessions_active"),
        Some(2_000.0 - f64::from(u32::try_from(put_out).unwrap()))
    );
}

#[tokio::test]
async fn what_a_store_cannot_do_is_counted_by_verb_and_kind_and_an_unreadable_record_as_nothing_else() {
    let m = Measured::new();
    let alice = m.world.sign_in("alice").await;
    m.moved();
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::Full,
        ErrorKind::ReadOnly,
        ErrorKind::Internal,
    ] {
        m.store.go_down(kind);
        let errors = |op: &str| format!("store_errors_total{{store=memory,op={op},kind={}}}", kind.as_str());
        assert!(m.world.sessions.validate(&alice.token, Activity::Ignored).await.is_err());
        m.expect("a look-up", &[("validations_total{outcome=error,source=store}", 1), (&errors("get"), 1)]);
        let change = Changes::new().set(&NOTE, &1).unwrap();
        assert!(m.world.sessions.apply(&alice.session, change).await.is_err());
        let replace = "store_operation_duration_seconds{store=memory,op=replace}";
        m.expect("a change", &[(&errors("replace"), 1), (replace, 1)]);
        m.store.heal();
        m.moved();
    }
    m.store.go_down(ErrorKind::Corrupt);
    let _ = m.world.look(&alice.token).await;
    m.expect(
        "a record that cannot be read",
        &[
            ("store_errors_total{store=memory,op=get,kind=corrupt}", 1),
            ("validations_total{outcome=unreadable,source=store}", 1),
        ],
    );
}

#[tokio::test]
async fn touches_are_counted_by_what_became_of_them() {
    let m = Measured::new();
    let alice = m.world.sign_in("alice").await;
    m.moved();
    let touch = "store_operation_duration_seconds{store=memory,op=touch}";
    let active = ("validations_total{outcome=active,source=store}", 1);
    m.world.clock.advance(TOUCH);
    let _ = m.world.validate(&alice.token).await;
    m.expect("activity", &[active, ("touches_total{result=written}", 1), (touch, 1)]);
    let _ = m.world.validate(&alice.token).await;
    m.expect("activity within the interval", &[active]);
    m.world.clock.advance(TOUCH);
    m.store.script(cloakroom_store::Verb::Touch, cloakroom_conformance::Fault::FailBefore);
    let _ = m.world.validate(&alice.token).await;
    let moved = m.moved();
    assert_eq!(moved.get("touches_total{result=failed}"), Some(&1), "{moved:?}");
    assert_eq!(moved.keys().filter(|name| name.starts_with("touches_total")).count(), 1, "{moved:?}");
}

#[tokio::test]
async fn an_old_token_is_counted_each_time_and_logged_once_a_minute() {
    let m = Measured::new();
    let alice = m.world.sign_in("alice").await;
    m.end(Selector::One(alice.session.id()), EndReason::SignedOut).await;
    m.moved();
    let ended = |times| ("validations_total{outcome=ended,source=store}", times);
    let left_out = |times| ("log_lines_left_out_total{event=session_use_after_expire}", times);
    let _ = m.world.look(&alice.token).await;
    m.expect("the first time", &[ended(1)]);
    for _ in 0..1_000 {
        let _ = m.world.look(&alice.token).await;
    }
    m.expect("and a thousand times more", &[ended(1_000), left_out(1_000)]);
    m.world.clock.advance(Duration::from_secs(60));
    let _ = m.world.look(&alice.token).await;
    m.expect("a minute later", &[ended(1)]);
}

#[tokio::test]
async fn ten_thousand_strangers_add_no_series() {
    let m = Measured::new();
    let series = |m: &Measured| m.metrics.snapshot().into_vec().len();
    // Everything that a stranger can bring about, once.
    let strange = async |number: u32| {
        let issued = m.world.sign_in(&format!("user {number} \u{202e} \"{{}}")).await;
        let mut random = [0; SessionToken::RANDOM_BYTES];
        random[..4].copy_from_slice(&number.to_le_bytes());
        let unknown = SessionToken::from_random(Route::from_bytes([0, 0]), random);
        let _ = m.world.look(&unknown).await;
        m.end(Selector::One(issued.session.id()), EndReason::SignedOut).await;
        let _ = m.world.look(&issued.token).await;
    };
    strange(0).await;
    let before = series(&m);
    for number in 1..10_000 {
        strange(number).await;
    }
    assert_eq!(series(&m), before);
}

#[tokio::test]
async fn a_store_without_a_clock_claims_no_skew() {
    let m = Measured::new();
    m.world.sessions.ping().await.unwrap();
    assert_eq!(m.gauge("cloakroom_store_clock_skew_seconds"), None);
}
