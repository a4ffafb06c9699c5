//! What the near cache tells about itself.

use std::time::Duration;

use cloakroom_store::Parts;
use metrics::{Counter, Gauge, Histogram, Unit};

use crate::observe::float;

/// The near cache's metrics, looked up once.
#[derive(Debug)]
pub(super) struct NearMetrics {
    entries: Gauge,
    bytes: Gauge,
    trusted: Gauge,
    pub(super) fills: Counter,
    pub(super) refused_fills: Counter,
    changed: Counter,
    pub(super) gaps: Counter,
    lag: Histogram,
}

impl NearMetrics {
    pub(super) fn new() -> Self {
        Self {
            entries: metrics::gauge!(ENTRIES),
            bytes: metrics::gauge!(BYTES),
            trusted: metrics::gauge!(TRUSTED),
            fills: metrics::counter!(FILLS, "result" => "kept"),
            refused_fills: metrics::counter!(FILLS, "result" => "refused"),
            changed: metrics::counter!(NEWS, "kind" => "changed"),
            gaps: metrics::counter!(NEWS, "kind" => "anything"),
            lag: metrics::histogram!(LAG),
        }
    }

    pub(super) fn changed(&self, digests: usize) {
        self.changed.increment(u64::try_from(digests).unwrap_or(u64::MAX));
    }

    pub(super) fn lags(&self, lags: &[u64]) {
        for lag in lags {
            self.lag.record(Duration::from_nanos(*lag).as_secs_f64());
        }
    }

    pub(super) fn stands(&self, entries: usize, bytes: u64, trusted: usize) {
        let share = |parts: usize| float(parts.try_into().unwrap_or(u64::MAX));
        self.entries.set(share(entries));
        self.bytes.set(float(bytes));
        self.trusted.set(share(trusted) / share(Parts::COUNT));
    }
}

/// Describes the metrics of the near cache.
pub(crate) fn describe() {
    metrics::describe_gauge!(ENTRIES, "Tokens whose sessions are in memory");
    metrics::describe_gauge!(BYTES, Unit::Bytes, "Memory that sessions in memory take");
    metrics::describe_gauge!(
        TRUSTED,
        "Share of all sessions for which memory may be believed: 1 while the lease is held"
    );
    metrics::describe_counter!(
        FILLS,
        "Answers of the store, by result: kept in memory, refused because of news meanwhile or because nothing is covered"
    );
    metrics::describe_counter!(
        NEWS,
        "News from the store, by kind: changed (digests), anything (gaps and ends of everything)"
    );
    metrics::describe_histogram!(
        LAG,
        Unit::Seconds,
        "Time from the acknowledgement of an end by this node until its news was known to be here"
    );
}

const ENTRIES: &str = "cloakroom_near_cache_entries";
const BYTES: &str = "cloakroom_near_cache_bytes";
const TRUSTED: &str = "cloakroom_near_cache_trusted";
const FILLS: &str = "cloakroom_near_cache_fills_total";
const NEWS: &str = "cloakroom_near_cache_news_total";
pub(crate) const LAG: &str = "cloakroom_revocation_lag_seconds";
