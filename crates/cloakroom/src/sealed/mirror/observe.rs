//! What the mirror tells about itself.

use std::time::Duration;

use cloakroom_store::StoreError;
use metrics::{Counter, Gauge, Histogram};

use crate::observe::float;

/// The mirror's metrics, looked up once.
#[derive(Debug)]
pub(crate) struct MirrorMetrics {
    entries: Gauge,
    owed: Gauge,
    trusted: Gauge,
    read: Counter,
    failed: Counter,
    lost: Counter,
    offered: Counter,
    lag: Histogram,
    /// Requests that went on although the list could not be read.
    pub(crate) unproven: Counter,
    /// Ends that were left to time.
    pub(crate) left_to_time: Counter,
}

impl MirrorMetrics {
    pub(super) fn new() -> Self {
        let reads = |result| metrics::counter!(READS, "result" => result);
        Self {
            entries: metrics::gauge!(ENTRIES),
            owed: metrics::gauge!(OWED),
            trusted: metrics::gauge!(TRUSTED),
            read: reads("read"),
            failed: reads("failed"),
            lost: reads("lost"),
            offered: metrics::counter!(OFFERED),
            lag: metrics::histogram!(crate::near::LAG),
            unproven: metrics::counter!(UNPROVEN),
            left_to_time: metrics::counter!(LEFT_TO_TIME),
        }
    }

    pub(super) fn read(&self, read: &Result<(), StoreError>, list: &'static str) {
        match read {
            Ok(()) => self.read.increment(1),
            Err(error) => {
                self.failed.increment(1);
                tracing::debug!(list, kind = error.kind().as_str(), "the list of ends could not be read");
            }
        }
    }

    pub(super) fn lost(&self) {
        self.lost.increment(1);
    }

    pub(super) fn offered(&self, entries: usize) {
        self.offered.increment(u64::try_from(entries).unwrap_or(u64::MAX));
    }

    pub(super) fn lags(&self, lags: &[u64]) {
        for lag in lags {
            self.lag.record(Duration::from_nanos(*lag).as_secs_f64());
        }
    }

    pub(super) fn stands(&self, entries: usize, owed: usize, trusted: bool) {
        let count = |many: usize| float(u64::try_from(many).unwrap_or(u64::MAX));
        self.entries.set(count(entries));
        self.owed.set(count(owed));
        self.trusted.set(if trusted { 1.0 } else { 0.0 });
    }
}

/// Describes the metrics of the mirror.
pub(crate) fn describe() {
    metrics::describe_gauge!(ENTRIES, "Ends of sealed sessions that are known here");
    metrics::describe_gauge!(OWED, "Ends that hold here and that the list of ends is still to be told of");
    metrics::describe_gauge!(
        TRUSTED,
        "Whether the copy of the list of ends may be believed: 1 while the lease is held"
    );
    metrics::describe_counter!(
        READS,
        "Readings of the list of ends, by result: read, failed, lost (its history was; it is read anew)"
    );
    metrics::describe_counter!(
        OFFERED,
        "Ends that were offered to the list of ends again because it did not have them"
    );
    metrics::describe_counter!(UNPROVEN, "Requests that went on although the list of ends could not be read");
    metrics::describe_counter!(
        LEFT_TO_TIME,
        "Ends of sealed sessions that were not written down because there are too many"
    );
}

const ENTRIES: &str = "cloakroom_revocation_list_entries";
const OWED: &str = "cloakroom_revocation_list_owed";
const TRUSTED: &str = "cloakroom_revocation_list_trusted";
const READS: &str = "cloakroom_revocation_list_reads_total";
const OFFERED: &str = "cloakroom_revocation_list_offered_total";
const UNPROVEN: &str = "cloakroom_sealed_unproven_total";
const LEFT_TO_TIME: &str = "cloakroom_sealed_left_to_time_total";
