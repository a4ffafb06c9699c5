//! Waiting for something to become true: looked at again and again, never for ever.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Failure, Outcome};

/// What a look at something showed.
#[derive(Debug)]
pub enum Look<T> {
    /// It is so.
    Done(T),
    /// Not yet, and what was seen instead: the words of the failure if it stays that way.
    NotYet(String),
    /// It never will be.
    Hopeless(Failure),
}

impl<T> From<Outcome<T>> for Look<T> {
    /// A failure is taken as "not yet".
    fn from(outcome: Outcome<T>) -> Self {
        match outcome {
            Ok(value) => Self::Done(value),
            Err(failure) => Self::NotYet(failure.to_string()),
        }
    }
}

/// Looks until it is so, for `patience` at most.
///
/// # Errors
/// When patience has run out, with what the last look showed; at once when a look was hopeless.
pub fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Look<T>) -> Outcome<T> {
    let deadline = now() + patience;
    loop {
        let seen = match look() {
            Look::Done(value) => return Ok(value),
            Look::Hopeless(failure) => return Err(failure),
            Look::NotYet(seen) => seen,
        };
        if now() >= deadline {
            let cause = format!("not so after {} s: {seen}", patience.as_secs());
            return Err(Failure::new(format!("waiting for {what}"), cause));
        }
        thread::park_timeout(GLANCE);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "real servers live in real time; nothing of the product runs here"
)]
fn now() -> Instant {
    Instant::now()
}

/// How long to wait between two looks.
const GLANCE: Duration = Duration::from_millis(10);

/// How long a server may take for what normally takes a moment, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
