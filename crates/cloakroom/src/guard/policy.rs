//! How patient a guard is.

use std::time::Duration;

use cloakroom_store::Verb;

/// How patient a [`GuardedStore`](crate::GuardedStore) is. The defaults suit a store on the same network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct GuardPolicy {
    /// Longest wait for an answer about single sessions, the time in the queue included. A backstop: longer than the
    /// store's own deadline, which knows better what failed.
    pub deadline: Duration,
    /// Longest wait for lists, counts, sweeps and pages to be moved.
    pub browsing_deadline: Duration,
    /// Failures in a row after which the store is left alone.
    pub failures: u32,
    /// First rest of a store that failed; each failed probe doubles it.
    pub rest: Duration,
    /// Longest rest, and so the longest time a store that is back goes unnoticed.
    pub longest_rest: Duration,
    /// Most calls in flight to the store.
    pub max_in_flight: usize,
    /// Most calls that wait for one of these to end; the rest is refused at once.
    pub max_waiting: usize,
}

impl GuardPolicy {
    /// The same, with this deadline for single sessions.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The same, with this deadline for lists, counts and sweeps.
    #[must_use]
    pub fn with_browsing_deadline(self, browsing_deadline: Duration) -> Self {
        Self { browsing_deadline, ..self }
    }

    /// The same, leaving the store alone after so many failures in a row; 64 at most, 0 means 1.
    #[must_use]
    pub fn with_failures(self, failures: u32) -> Self {
        Self { failures, ..self }
    }

    /// The same, resting `first` after the first failure and `longest` after many.
    #[must_use]
    pub fn with_rest(self, first: Duration, longest: Duration) -> Self {
        Self { rest: first, longest_rest: longest, ..self }
    }

    /// The same, with at most `in_flight` calls in flight and `waiting` behind them.
    #[must_use]
    pub fn with_room(self, in_flight: usize, waiting: usize) -> Self {
        Self { max_in_flight: in_flight, max_waiting: waiting, ..self }
    }

    pub(super) fn deadline_of(&self, verb: Verb) -> Duration {
        if is_browsing(verb) { self.browsing_deadline } else { self.deadline }
    }
}

/// Whether a verb looks at many sessions: how long that takes says little about how the store is.
pub(super) fn is_browsing(verb: Verb) -> bool {
    matches!(verb, Verb::List | Verb::Count | Verb::Sweep | Verb::Export)
}

impl Default for GuardPolicy {
    fn default() -> Self {
        Self {
            // Stores wait 2 s on the network and 5 s on a disk of their own accord.
            deadline: Duration::from_secs(8),
            browsing_deadline: Duration::from_secs(30),
            failures: 8,
            rest: Duration::from_millis(100),
            longest_rest: Duration::from_secs(3),
            max_in_flight: 512,
            max_waiting: 2_048,
        }
    }
}
