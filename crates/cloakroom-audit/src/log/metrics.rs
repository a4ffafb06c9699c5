//! What the log tells about itself.

use std::time::Duration;

use metrics::Unit;

pub(super) fn written(count: u64, took: Duration) {
    metrics::counter!(EVENTS, "result" => "written").increment(count);
    metrics::histogram!(SECONDS).record(took.as_secs_f64());
}

pub(super) fn summed() {
    metrics::counter!(EVENTS, "result" => "summed").increment(1);
}

pub(super) fn dropped(count: u64) {
    metrics::counter!(EVENTS, "result" => "dropped").increment(count);
}

/// Events removed: since they were old enough, and before their time since there were too many.
pub(super) fn removed(by_age: u64, by_number: u64) {
    metrics::counter!(REMOVED, "reason" => "age").increment(by_age);
    metrics::counter!(REMOVED, "reason" => "number").increment(by_number);
}

pub(super) fn failed() {
    metrics::counter!(FAILURES).increment(1);
}

pub(super) fn waiting(count: usize) {
    metrics::gauge!(QUEUE).set(u32::try_from(count).map_or(f64::INFINITY, f64::from));
}

pub(super) fn intact(is_intact: bool) {
    metrics::gauge!(INTACT).set(f64::from(u8::from(is_intact)));
}

pub(crate) fn sink(name: &'static str, result: &'static str, count: u64) {
    metrics::counter!(SINK_EVENTS, "sink" => name, "result" => result).increment(count);
}

/// Describes every metric of the log to the installed recorder. What counts trouble is there from the start: the first of it
/// is seen as an increase.
pub fn describe_metrics() {
    for result in ["written", "summed", "dropped"] {
        metrics::counter!(EVENTS, "result" => result).increment(0);
    }
    metrics::counter!(FAILURES).increment(0);
    removed(0, 0);
    metrics::describe_counter!(
        REMOVED,
        "Events removed from the audit log: by age, or by number before they were old enough"
    );
    metrics::describe_counter!(
        EVENTS,
        "Events for the audit log, by result: written, summed (repeats), dropped"
    );
    metrics::describe_counter!(FAILURES, "Attempts to write the audit log that failed");
    metrics::describe_gauge!(QUEUE, "Events that wait to be written to the audit log");
    metrics::describe_histogram!(SECONDS, Unit::Seconds, "Time to write a batch of events to the audit log");
    metrics::describe_gauge!(
        INTACT,
        "1 while the audit log is as this node left it, 0 once it was found changed"
    );
    metrics::describe_counter!(
        SINK_EVENTS,
        "Events for a sink besides the database, by result: sent, dropped, failed"
    );
}

const EVENTS: &str = "cloakroom_audit_events_total";
const REMOVED: &str = "cloakroom_audit_removed_total";
const FAILURES: &str = "cloakroom_audit_write_failures_total";
const QUEUE: &str = "cloakroom_audit_queue";
const SECONDS: &str = "cloakroom_audit_write_duration_seconds";
const INTACT: &str = "cloakroom_audit_intact";
const SINK_EVENTS: &str = "cloakroom_audit_sink_events_total";
