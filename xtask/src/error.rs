//! What stopped a chore: what was being done, and the cause.

use std::{error, fmt};

/// A chore could not be carried out. (A chore that was carried out and found faults is not an error.)
#[derive(Debug)]
pub(crate) struct Error {
    doing: String,
    cause: Box<dyn error::Error + Send + Sync>,
}

impl Error {
    /// An error whose cause is a sentence of our own.
    pub(crate) fn new(doing: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { doing: doing.into(), cause: cause.into().into() }
    }
}

/// The only place where these errors are shown is one line on a terminal, so the line holds the whole chain.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.cause)?;
        let mut cause = self.cause.source();
        while let Some(deeper) = cause {
            write!(f, ": {deeper}")?;
            cause = deeper.source();
        }
        Ok(())
    }
}

impl error::Error for Error {}

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: error::Error + Send + Sync + 'static> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|cause| Error { doing: what(), cause: Box::new(cause) })
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_error_says_what_was_being_done_and_why_it_failed() {
        let failed: Result<(), _> = Err(io::Error::other("disk on fire"));
        assert_eq!(
            failed.doing(|| "reading a".to_owned()).unwrap_err().to_string(),
            "reading a: disk on fire"
        );
        assert_eq!(Error::new("reading b", "no such area").to_string(), "reading b: no such area");
    }
}
