//! Why a measurement could not be made.

use std::fmt;

/// What a step of a measurement answers.
pub(crate) type Outcome<T = ()> = Result<T, Error>;

/// A measurement could not be made: what was being done, and what came in between.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {cause}")]
pub(crate) struct Error {
    doing: String,
    cause: String,
}

impl Error {
    pub(crate) fn new(doing: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self { doing: doing.into(), cause: cause.to_string() }
    }
}

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: &str) -> Outcome<T>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Outcome<T> {
        self.map_err(|cause| Error::new(what, cause))
    }
}

impl<T> Doing<T> for Option<T> {
    fn doing(self, what: &str) -> Outcome<T> {
        self.ok_or_else(|| Error::new(what, "there is none"))
    }
}
