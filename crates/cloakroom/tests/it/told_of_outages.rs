//! What a guard says of an outage while it lasts: its metrics, and the lines of the log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{BreakerState, GuardPolicy, GuardedStore};
use cloakroom_conformance::FaultyStore;
use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{ErrorKind, Store};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const SECOND: Duration = Duration::from_secs(1);

/// Lines of the log: how urgent, and the name of the event, or the words where it has none.
type Lines = Arc<Mutex<Vec<(Level, String)>>>;

/// A guard over a store that fails on demand, and whoever listens to it.
struct Watched {
    faulty: Arc<FaultyStore>,
    store: GuardedStore,
    metrics: Snapshotter,
    lines: Lines,
    _recorder: metrics::LocalRecorderGuard<'static>,
    _log: tracing::subscriber::DefaultGuard,
}

impl Watched {
    fn new() -> Self {
        let recorder: &'static DebuggingRecorder = Box::leak(Box::new(DebuggingRecorder::new()));
        let metrics = recorder.snapshotter();
        let _recorder = metrics::set_default_local_recorder(recorder);
        let lines = Lines::default();
        let _log = tracing::subscriber::set_default(Log(Arc::clone(&lines)));
        let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default())));
        let policy = GuardPolicy::default().with_failures(3).with_rest(SECOND, 4 * SECOND);
        let store = GuardedStore::shared(faulty.clone(), policy);
        Self { faulty, store, metrics, lines, _recorder, _log }
    }

    /// Asks so often; how many of the answers were errors.
    async fn ask(&self, times: usize) -> usize {
        let digest =
            cloakroom::SessionToken::from_random(cloakroom_core::Route::from_bytes([7, 7]), [7; 32]).digest();
        let mut failed = 0;
        for _ in 0..times {
            failed += usize::from(look_up(&self.store, digest).await);
        }
        failed
    }

    /// The guard's gauge, and by how much its counters moved since the last look.
    fn metrics(&self) -> BTreeMap<String, f64> {
        let mut found = BTreeMap::new();
        for (key, _, _, value) in self.metrics.snapshot().into_vec() {
            let labels: Vec<&str> = key.key().labels().map(metrics::Label::value).collect();
            let name = format!("{} {}", key.key().name().trim_start_matches("cloakroom_"), labels.join(" "));
            match value {
                DebugValue::Counter(count) if count > 0 => {
                    found.insert(name, f64::from(u32::try_from(count).unwrap()));
                }
                DebugValue::Gauge(value) => {
                    found.insert(name, value.into_inner());
                }
                DebugValue::Counter(_) | DebugValue::Histogram(_) => {}
            }
        }
        found
    }

    #[track_caller]
    fn expect(&self, metrics: &[(&str, u32)], lines: &[(Level, &str)]) {
        let expected: BTreeMap<String, f64> =
            metrics.iter().map(|(name, value)| ((*name).to_owned(), f64::from(*value))).collect();
        assert_eq!(self.metrics(), expected);
        let told = std::mem::take(&mut *self.lines.lock());
        let told: Vec<_> = told.iter().map(|(level, words)| (*level, words.as_str())).collect();
        assert_eq!(told, lines);
    }
}

async fn look_up(store: &GuardedStore, digest: TokenDigest) -> bool {
    store.get(digest, Timestamp::EPOCH).await.is_err()
}

const STATE: &str = "store_breaker_state memory";
const OUTAGES: &str = "store_breaker_opened_total memory";
const RESTING: &str = "store_rejected_total memory resting";
const BEGINS: (Level, &str) = (Level::WARN, "session_store_left_alone");
const STILL_FAILS: (Level, &str) = (Level::DEBUG, "the session store was tried and still fails");
const ANSWERS: (Level, &str) = (Level::INFO, "session_store_answers");
const WELL: (Level, &str) = (Level::INFO, "session_store_well");

#[tokio::test(start_paused = true)]
async fn an_outage_is_counted_and_told_of_once_however_many_calls_try_the_store_in_vain() {
    let watched = Watched::new();
    watched.expect(&[(STATE, 0)], &[]);
    watched.faulty.go_down(ErrorKind::Unavailable);
    assert_eq!(watched.ask(3).await, 3);
    watched.expect(&[(STATE, 2), (OUTAGES, 1)], &[BEGINS]);
    for _ in 0..2 {
        tokio::time::advance(4 * SECOND).await;
        assert_eq!(watched.ask(6).await, 6);
        // One of the six tried it.
        watched.expect(&[(STATE, 2), (RESTING, 5)], &[STILL_FAILS]);
    }
    watched.faulty.heal();
    tokio::time::advance(4 * SECOND).await;
    assert_eq!(watched.ask(1).await, 0);
    watched.expect(&[(STATE, 1)], &[ANSWERS]);
    tokio::time::advance(10 * SECOND).await;
    assert_eq!(watched.ask(1).await, 0);
    watched.expect(&[(STATE, 0)], &[WELL]);

    watched.faulty.go_down(ErrorKind::Timeout);
    assert_eq!(watched.ask(4).await, 4);
    watched.expect(&[(STATE, 2), (OUTAGES, 1), (RESTING, 1)], &[BEGINS]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_again_before_it_was_well_is_told_of_but_counts_as_the_same_outage() {
    let watched = Watched::new();
    watched.faulty.go_down(ErrorKind::Unavailable);
    watched.ask(3).await;
    watched.expect(&[(STATE, 2), (OUTAGES, 1)], &[BEGINS]);
    watched.faulty.heal();
    tokio::time::advance(4 * SECOND).await;
    assert_eq!(watched.ask(40).await, 0);
    let told: Vec<_> =
        watched.lines.lock().iter().filter(|(level, _)| *level < Level::DEBUG).cloned().collect();
    assert_eq!(told.len(), 1, "once, however much more is let through: {told:?}");
    watched.lines.lock().clear();
    watched.expect(&[(STATE, 1)], &[]);
    watched.faulty.go_down(ErrorKind::Unavailable);
    assert_eq!(watched.ask(3).await, 3);
    assert_eq!(watched.store.state(), BreakerState::Open);
    watched.expect(&[(STATE, 2)], &[BEGINS]);
}

/// Keeps the events of this thread.
struct Log(Lines);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("cloakroom::guard")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        self.0.lock().push((*event.metadata().level(), words.event.unwrap_or(words.message)));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Words {
    event: Option<String>,
    message: String,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            self.event = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}
