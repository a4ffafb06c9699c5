//! What a trial of a store, or of a list, finds out.

use std::time::Duration;

use cloakroom::Clock;
use cloakroom_store::{StoreError, Verb};

/// What one rule came to.
pub(super) struct Finding {
    pub(super) verb: Verb,
    pub(super) rule: &'static str,
    pub(super) took: Duration,
    /// What was answered instead.
    pub(super) wrong: Option<String>,
}

impl Finding {
    /// Asks, measures, and says whether the answer is the right one. Only what cannot answer stops the trial.
    pub(super) async fn of<T: std::fmt::Debug>(
        clock: &dyn Clock,
        verb: Verb,
        rule: &'static str,
        answer: impl Future<Output = Result<T, StoreError>>,
        is_right: impl FnOnce(&T) -> bool,
    ) -> (Self, Result<(), StoreError>) {
        let before = clock.monotonic();
        let answer = answer.await;
        let took = clock.monotonic().saturating_sub(before);
        let (wrong, go_on) = match answer {
            Ok(answer) if is_right(&answer) => (None, Ok(())),
            Ok(answer) => (Some(format!("{answer:?}")), Ok(())),
            Err(error) => (Some(error.to_string()), Err(error)),
        };
        (Self { verb, rule, took, wrong }, go_on)
    }
}
