//! What a guard tells about itself.

use std::time::Duration;

use metrics::{Counter, Gauge};

use super::breaker::{BreakerState, Change, Opening};
use super::refused::Why;

/// The metrics of one guard, looked up once.
#[derive(Debug)]
pub(super) struct Watch {
    store: &'static str,
    state: Gauge,
    openings: Counter,
    rejected: Vec<(Why, Counter)>,
}

impl Watch {
    pub(super) fn new(store: &'static str) -> Self {
        let rejected = |why: Why| (why, metrics::counter!(REJECTED, "store" => store, "why" => why.as_str()));
        let state = metrics::gauge!(STATE, "store" => store);
        state.set(BreakerState::Closed.as_gauge());
        Self {
            store,
            state,
            openings: metrics::counter!(OPENINGS, "store" => store),
            rejected: Why::ALL.into_iter().map(rejected).collect(),
        }
    }

    /// Shows how the store is seen now.
    pub(super) fn shows(&self, state: BreakerState) {
        self.state.set(state.as_gauge());
    }

    /// Tells of a change. An outage is counted once, and told of when it begins, when the store answers, and when it is well:
    /// what happens in between is for those who look closely.
    pub(super) fn tell(&self, change: Change) {
        let store = self.store;
        match change {
            Change::None => {}
            Change::Opened { rest, by } => self.tell_of_opening(rest, by),
            Change::Allows { state: BreakerState::Closed, .. } => {
                tracing::info!(event = "session_store_well", store, "the session store is well again");
            }
            Change::Allows { limit, first: true, .. } => tracing::info!(
                event = "session_store_answers",
                store,
                limit,
                "the session store answers again"
            ),
            Change::Allows { limit, .. } => {
                tracing::debug!(store, limit, "the session store may be asked more")
            }
        }
    }

    fn tell_of_opening(&self, rest: Duration, by: Opening) {
        let (store, rest) = (self.store, rest.as_secs_f64());
        match by {
            Opening::Outage => {
                self.openings.increment(1);
                tracing::warn!(
                    event = "session_store_left_alone",
                    store,
                    rest,
                    "the session store fails and is left alone"
                );
            }
            // It was said that it answers, and that holds no more.
            Opening::Relapse => tracing::warn!(
                event = "session_store_left_alone",
                store,
                rest,
                "the session store fails again before it was well, and is left alone"
            ),
            Opening::Probe => tracing::debug!(store, rest, "the session store was tried and still fails"),
        }
    }

    pub(super) fn rejected(&self, why: Why) {
        if let Some((_, counter)) = self.rejected.iter().find(|(of, _)| *of == why) {
            counter.increment(1);
        }
    }
}

/// Describes the metrics of a guard.
pub(crate) fn describe() {
    metrics::describe_gauge!(STATE, "How the guard sees the store: 0 well, 1 recovering, 2 left alone");
    metrics::describe_counter!(
        OPENINGS,
        "Outages: how often a store that was well failed and was left alone"
    );
    metrics::describe_counter!(
        REJECTED,
        "Calls kept from the store, by why: resting (it failed lately), crowded (too many wait), waited (its turn never came)"
    );
}

const STATE: &str = "cloakroom_store_breaker_state";
const OPENINGS: &str = "cloakroom_store_breaker_opened_total";
const REJECTED: &str = "cloakroom_store_rejected_total";
