//! What stopped us: what was being done, why it failed, what to do about it, and the server's own last words.

use std::{error, fmt, fs, path::Path};

/// The outcome of harming, asking or starting a server.
pub type Outcome<T = ()> = Result<T, Failure>;

/// A server could not be started, or did not answer as it should.
///
/// `Debug` writes the same text as `Display`, so that `unwrap` in a test and `?` in a test's `main` both show it readably.
pub struct Failure {
    doing: String,
    cause: String,
    remedy: Option<String>,
    last_words: Option<String>,
}

impl Failure {
    /// A failure of what was being done, and its cause.
    pub fn new(doing: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self { doing: doing.into(), cause: cause.to_string(), remedy: None, last_words: None }
    }

    /// Adds what a person can do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds the end of the log at `path`, if there is one.
    #[must_use]
    pub fn with_log(mut self, path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default();
        self.last_words = (!tail.is_empty()).then(|| tail.join("\n    "));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.cause)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        if let Some(words) = &self.last_words {
            write!(f, "\n  its log ends:\n    {words}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Failure {}

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|cause| Failure::new(what(), cause))
    }
}

/// Lines of a log that a failure repeats.
const LAST_WORDS: usize = 15;
