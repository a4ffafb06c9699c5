//! Why a test stopped, and where.

use std::error::Error;
use std::fmt;
use std::panic::Location;

/// What a step of a test answers.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Something a test needed did not work; it remembers the line that asked for it, like a panic does.
pub struct Failure {
    what: String,
    at: &'static Location<'static>,
}

impl Failure {
    /// The failure described by `what`.
    #[track_caller]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: Location::caller() }
    }

    /// The same failure, met while doing something.
    #[must_use]
    pub fn while_doing(self, what: impl fmt::Display) -> Self {
        Self { what: format!("{what}: {}", self.what), ..self }
    }
}

/// Lets the failures of `step` point to the caller, who knows what the step was for.
#[track_caller]
pub(crate) fn from_here<T>(step: impl Future<Output = Outcome<T>>) -> impl Future<Output = Outcome<T>> {
    let at = Location::caller();
    async move { step.await.map_err(|failure| Failure { at, ..failure }) }
}

impl<E: Error> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            what = format!("{what}: {cause}");
            source = cause.source();
        }
        Self { what, at: Location::caller() }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {})", self.what, self.at)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
