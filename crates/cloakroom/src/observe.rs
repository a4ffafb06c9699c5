//! What the engine tells about itself: metrics, logs, and spans around the store.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use cloakroom_core::{EndReason, Timestamp};
use cloakroom_store::{ErrorKind, StoreError, Verb};
use metrics::{Counter, Gauge, Histogram, Unit};
use tracing::field::Empty;
use tracing::{Span, debug_span};

use crate::event::Masked;
use crate::repeats::{Line, Repeats};
use crate::{Clock, Event, EventKind, Refused};

/// The engine's metrics, looked up once: moving one costs an atomic addition.
///
/// Labels are bounded: states, reasons, verbs. No label ever carries a token, digest, id, address or user agent.
#[derive(Debug)]
pub(crate) struct Metrics {
    store: &'static str,
    active: Gauge,
    issued_anonymous: Counter,
    issued_signed_in: Counter,
    ended: Vec<(EndReason, Counter)>,
    pub(crate) from_store: Validated,
    pub(crate) from_cache: Validated,
    pub(crate) touches_written: Counter,
    pub(crate) touches_ignored: Counter,
    pub(crate) touches_failed: Counter,
    conflicts_replace: Counter,
    conflicts_rekey: Counter,
    resurrections_blocked: Counter,
    unknown_tokens: Counter,
    operations: Vec<(Verb, Histogram)>,
    repeats: Repeats,
    repeated_ended: Counter,
    repeated_retired: Counter,
}

impl Metrics {
    pub(crate) fn new(store: &'static str) -> Self {
        let touches = |result| metrics::counter!(TOUCHES, "result" => result);
        let operation = |verb: Verb| {
            (verb, metrics::histogram!(OPERATION_SECONDS, "store" => store, "op" => verb.as_str()))
        };
        Self {
            store,
            active: metrics::gauge!(ACTIVE),
            issued_anonymous: metrics::counter!(ISSUED, "kind" => "anonymous"),
            issued_signed_in: metrics::counter!(ISSUED, "kind" => "signed_in"),
            ended: EndReason::ALL
                .into_iter()
                .map(|reason| (reason, metrics::counter!(ENDED, "reason" => reason.as_str())))
                .collect(),
            from_store: Validated::from("store"),
            from_cache: Validated::from("cache"),
            touches_written: touches("written"),
            touches_ignored: touches("ignored"),
            touches_failed: touches("failed"),
            conflicts_replace: metrics::counter!(CONFLICTS, "op" => Verb::Replace.as_str()),
            conflicts_rekey: metrics::counter!(CONFLICTS, "op" => Verb::Rekey.as_str()),
            resurrections_blocked: metrics::counter!(RESURRECTIONS_BLOCKED),
            unknown_tokens: metrics::counter!(UNKNOWN_TOKENS),
            operations: VERBS.into_iter().map(operation).collect(),
            repeats: Repeats::default(),
            repeated_ended: metrics::counter!(LINES_LEFT_OUT, "event" => USED_AFTER_END),
            repeated_retired: metrics::counter!(LINES_LEFT_OUT, "event" => RETIRED_TOKEN_USED),
        }
    }

    /// The store's name, as labels and spans have it.
    #[inline]
    pub(crate) fn store(&self) -> &'static str {
        self.store
    }

    /// Sets how many sessions there are, as the store counted them.
    pub(crate) fn active_is(&self, count: u64) {
        self.active.set(float(count));
    }

    /// Shows how far the store's clock is ahead of this node's. It read `theirs` at some moment between `asked` and
    /// `answered`, and the middle is the best guess.
    pub(crate) fn clocks_differ(&self, theirs: Timestamp, asked: Timestamp, answered: Timestamp) {
        let ours = asked.plus(answered.since(asked) / 2);
        let ahead = theirs.since(ours).as_secs_f64() - ours.since(theirs).as_secs_f64();
        // Looked up here and not before: a store that has no clock has no such series.
        metrics::gauge!(CLOCK_SKEW, "store" => self.store).set(ahead);
    }

    pub(crate) fn conflict(&self, verb: Verb) {
        match verb {
            Verb::Rekey => self.conflicts_rekey.increment(1),
            _ => self.conflicts_replace.increment(1),
        }
    }

    /// Awaits a store's answer, measuring it and counting its failure.
    pub(crate) async fn timed<T>(
        &self,
        clock: &dyn Clock,
        verb: Verb,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = self.begin(clock, verb);
        let answer = answer.await;
        self.finish(clock, verb, begun, &answer);
        answer
    }

    /// Begins to measure a store's answer, if it is one of those that are measured.
    #[inline]
    pub(crate) fn begin(&self, clock: &dyn Clock, verb: Verb) -> Begun {
        Begun((verb != Verb::Get || is_timed()).then(|| clock.monotonic()))
    }

    /// Notes what was measured, and counts a failure.
    #[inline]
    pub(crate) fn finish<T>(
        &self,
        clock: &dyn Clock,
        verb: Verb,
        begun: Begun,
        answer: &Result<T, StoreError>,
    ) {
        if let Begun(Some(begun)) = begun {
            let seconds = clock.monotonic().saturating_sub(begun).as_secs_f64();
            if let Some((_, histogram)) = self.operations.iter().find(|(of, _)| *of == verb) {
                histogram.record(seconds);
            }
            if verb == Verb::Get {
                self.from_store.seconds.record(seconds);
            }
        }
        if let Err(error) = answer {
            self.store_failed(error);
        }
    }

    /// Begins to measure a look at a session that no store is asked for, if it is one of those that are measured.
    pub(crate) fn begin_look(&self, clock: &dyn Clock) -> Begun {
        Begun(is_timed().then(|| clock.monotonic()))
    }

    /// Counts a proof of the watch that failed. Logged is what comes of it: that trust is lost.
    pub(crate) fn proof_failed(&self, error: &StoreError) {
        let (op, kind) = (error.verb().as_str(), error.kind().as_str());
        metrics::counter!(STORE_ERRORS, "store" => self.store, "op" => op, "kind" => kind).increment(1);
    }

    fn store_failed(&self, error: &StoreError) {
        self.proof_failed(error);
        let (op, kind) = (error.verb().as_str(), error.kind().as_str());
        // A record that cannot be read is an event of its own; what a store never claimed to do is no failure of it; what a guard
        // refused was logged when it began to refuse.
        let is_told_elsewhere = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported);
        if !is_told_elsewhere && Refused::cause_of(error).is_none() {
            let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(store = self.store, op, kind, cause, "the session store failed");
        }
    }

    /// Makes a look into memory, timing some of them.
    pub(crate) fn timed_in_cache<T>(&self, clock: &dyn Clock, look: impl FnOnce() -> Option<T>) -> Option<T> {
        if !is_timed() {
            return look();
        }
        let started = clock.monotonic();
        let found = look()?;
        self.from_cache.seconds.record(clock.monotonic().saturating_sub(started).as_secs_f64());
        Some(found)
    }

    /// Moves the metric and writes the log line that belong to an event.
    pub(crate) fn note(&self, event: &Event) {
        let name = event.kind.name();
        let session = Masked(event.session);
        let principal = Masked(event.principal.as_ref());
        let actor = event.actor.kind();
        match event.kind {
            EventKind::Issued => {
                if event.principal.is_some() { &self.issued_signed_in } else { &self.issued_anonymous }
                    .increment(1);
                tracing::info!(event = name, %session, %principal, actor, "session issued");
            }
            EventKind::Ended(reason) => {
                if let Some((_, counter)) = self.ended.iter().find(|(of, _)| *of == reason) {
                    counter.increment(1);
                }
                tracing::info!(event = name, %session, %principal, actor, %reason, "session ended");
            }
            EventKind::Rotated | EventKind::Reauthenticated => {
                tracing::info!(event = name, %session, %principal, actor, "session has a new token");
            }
            EventKind::UnknownToken => {
                self.unknown_tokens.increment(1);
                tracing::debug!(event = name, "a token that names nothing was used");
            }
            EventKind::OldStateUsed => {
                tracing::debug!(event = name, %session, "a state of a session was presented that a change has replaced");
            }
            EventKind::ResurrectionBlocked => {
                self.resurrections_blocked.increment(1);
                tracing::info!(event = name, %session, %principal, "a change of an ended session was refused");
            }
            EventKind::UsedAfterEnd(reason) => match self.repeats.line(event) {
                Line::Written { left_out } => {
                    tracing::warn!(event = name, %session, %principal, %reason, left_out, "the token of an ended session was used");
                }
                Line::LeftOut => self.repeated_ended.increment(1),
            },
            EventKind::RetiredTokenUsed => match self.repeats.line(event) {
                Line::Written { left_out } => {
                    tracing::warn!(event = name, %session, left_out, "a token was used that had been exchanged for another");
                }
                Line::LeftOut => self.repeated_retired.increment(1),
            },
            _ => tracing::warn!(event = name, %session, %principal, actor, "noticed"),
        }
    }
}

/// When a store was asked, where its answer is measured.
#[derive(Clone, Copy)]
pub(crate) struct Begun(Option<Duration>);

/// Validations by outcome, for one source of answers.
#[derive(Debug)]
pub(crate) struct Validated {
    pub(crate) active: Counter,
    pub(crate) ended: Counter,
    pub(crate) retired: Counter,
    pub(crate) unknown: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) failed: Counter,
    seconds: Histogram,
}

impl Validated {
    /// Notes how long a look took, where that was measured.
    pub(crate) fn took(&self, clock: &dyn Clock, begun: Begun) {
        if let Begun(Some(begun)) = begun {
            self.seconds.record(clock.monotonic().saturating_sub(begun).as_secs_f64());
        }
    }

    pub(crate) fn from(source: &'static str) -> Self {
        let validated = |outcome| metrics::counter!(VALIDATIONS, "outcome" => outcome, "source" => source);
        Self {
            active: validated("active"),
            ended: validated("ended"),
            retired: validated("retired"),
            unknown: validated("unknown"),
            unreadable: validated("unreadable"),
            failed: validated("error"),
            seconds: metrics::histogram!(VALIDATION_SECONDS, "source" => source),
        }
    }
}

/// The span around one call of the store, below whatever span asks. [`told`] completes it.
pub(crate) fn store_span(verb: Verb, store: &'static str) -> Span {
    /// A span's name and fields are part of its call site: one for each verb.
    macro_rules! span {
        ($name:literal) => {
            debug_span!($name, otel.kind = "client", store, outcome = Empty, otel.status_code = Empty)
        };
    }
    match verb {
        Verb::Open => span!("store.open"),
        Verb::Insert => span!("store.insert"),
        Verb::Get => span!("store.get"),
        Verb::Replace => span!("store.replace"),
        Verb::Rekey => span!("store.rekey"),
        Verb::Touch => span!("store.touch"),
        Verb::End => span!("store.end"),
        Verb::List => span!("store.list"),
        Verb::Sweep => span!("store.sweep"),
        Verb::Count => span!("store.count"),
        Verb::Export => span!("store.export"),
        Verb::Import => span!("store.import"),
        Verb::Watch => span!("store.watch"),
        Verb::Ping => span!("store.ping"),
    }
}

/// Writes into a store's span what the store answered: `ok`, or the kind of its error.
#[inline]
pub(crate) fn told<T>(span: &Span, answer: &Result<T, StoreError>) {
    if span.is_disabled() {
        return;
    }
    match answer {
        Ok(_) => {
            span.record("outcome", "ok");
        }
        Err(error) => {
            span.record("outcome", error.kind().as_str());
            span.record("otel.status_code", "error");
        }
    }
}

/// Whether this look-up is one of those that are timed. Two readings of a clock cost as much as looking a session up in
/// memory; one in sixteen shows the same distribution.
#[inline]
fn is_timed() -> bool {
    TURN.with(|turn| {
        let next = turn.get().wrapping_add(1);
        turn.set(next);
        next.is_multiple_of(TIMED_ONE_IN)
    })
}

thread_local! {
    static TURN: Cell<u8> = const { Cell::new(0) };
}

/// Look-ups for each one that is timed. All of them are counted.
const TIMED_ONE_IN: u8 = 16;

/// `number` as metrics have it: exact up to 2^53.
pub(crate) fn float(number: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX));
    half(number >> 32).mul_add(f64::from(u32::MAX) + 1.0, half(number))
}

/// Describes every metric of the engine to the installed recorder (the `# HELP` lines of Prometheus).
pub fn describe_metrics() {
    metrics::describe_gauge!(ACTIVE, "Live sessions, as the store last counted them");
    metrics::describe_counter!(ISSUED, "Sessions issued, by kind: anonymous, signed_in");
    metrics::describe_counter!(ENDED, "Sessions ended, by reason");
    metrics::describe_counter!(VALIDATIONS, "Tokens looked up, by outcome and by where the answer came from");
    metrics::describe_histogram!(
        VALIDATION_SECONDS,
        Unit::Seconds,
        "Time to look a token up, of one look-up in sixteen"
    );
    metrics::describe_histogram!(
        OPERATION_SECONDS,
        Unit::Seconds,
        "Time the store took to answer, by verb; of one get in sixteen"
    );
    metrics::describe_counter!(STORE_ERRORS, "Failures of the store, by verb and kind");
    metrics::describe_counter!(TOUCHES, "Activity to be written down, by result: written, ignored, failed");
    metrics::describe_counter!(CONFLICTS, "Changes made again because another request was faster");
    metrics::describe_counter!(RESURRECTIONS_BLOCKED, "Changes refused because their session had ended");
    metrics::describe_counter!(UNKNOWN_TOKENS, "Well-formed tokens that name no session");
    metrics::describe_gauge!(
        CLOCK_SKEW,
        Unit::Seconds,
        "How far the store's clock is ahead of this node's, as last seen; give or take half a round trip"
    );
    metrics::describe_counter!(
        LINES_LEFT_OUT,
        "Log lines left out because they repeat what was said of the same session within a minute, by event"
    );
    crate::guard::describe();
    crate::near::describe();
    crate::sealed::describe();
    crate::streams::describe();
}

const ACTIVE: &str = "cloakroom_sessions_active";
const ISSUED: &str = "cloakroom_sessions_issued_total";
const ENDED: &str = "cloakroom_sessions_ended_total";
const VALIDATIONS: &str = "cloakroom_validations_total";
const VALIDATION_SECONDS: &str = "cloakroom_validation_duration_seconds";
const OPERATION_SECONDS: &str = "cloakroom_store_operation_duration_seconds";
const STORE_ERRORS: &str = "cloakroom_store_errors_total";
const TOUCHES: &str = "cloakroom_touches_total";
const CONFLICTS: &str = "cloakroom_conflicts_total";
const RESURRECTIONS_BLOCKED: &str = "cloakroom_resurrections_blocked_total";
const UNKNOWN_TOKENS: &str = "cloakroom_unknown_tokens_total";
const CLOCK_SKEW: &str = "cloakroom_store_clock_skew_seconds";
const LINES_LEFT_OUT: &str = "cloakroom_log_lines_left_out_total";
const USED_AFTER_END: &str = EventKind::UsedAfterEnd(EndReason::SignedOut).name();
const RETIRED_TOKEN_USED: &str = EventKind::RetiredTokenUsed.name();

const VERBS: [Verb; 13] = [
    Verb::Get,
    Verb::Insert,
    Verb::Replace,
    Verb::Rekey,
    Verb::Touch,
    Verb::End,
    Verb::List,
    Verb::Sweep,
    Verb::Count,
    Verb::Export,
    Verb::Import,
    Verb::Watch,
    Verb::Ping,
];

#[cfg(test)]
mod tests {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;

    #[test]
    fn how_far_a_stores_clock_is_off_is_shown_with_its_sign_and_without_half_the_round_trip() {
        let at = Timestamp::from_millis;
        for (theirs, asked, answered, ahead) in
            [(5_000, 0, 0, 5.0), (0, 5_000, 5_000, -5.0), (1_000, 0, 2_000, 0.0), (3_000, 0, 2_000, 2.0)]
        {
            let recorder = DebuggingRecorder::new();
            let snapshotter = recorder.snapshotter();
            metrics::with_local_recorder(&recorder, || {
                Metrics::new("redis").clocks_differ(at(theirs), at(asked), at(answered));
            });
            let shown =
                snapshotter.snapshot().into_vec().into_iter().find_map(|(key, _, _, value)| match value {
                    DebugValue::Gauge(value) if key.key().name() == CLOCK_SKEW => Some(value.into_inner()),
                    _ => None,
                });
            assert_eq!(shown, Some(ahead), "{theirs} read between {asked} and {answered}");
        }
    }

    #[test]
    fn numbers_are_exact_as_far_as_a_float_is() {
        for number in [0, 1, u64::from(u32::MAX), u64::from(u32::MAX) + 1, (1 << 53) - 1] {
            assert_eq!(format!("{:.0}", float(number)), number.to_string());
        }
    }
}
