//! Signals that a session, or an account, may be in other hands.
//!
//! Pure: facts and instants go in, signals come out. Who acts on them, and how, is the application's business.

use std::fmt;

/// What is done about a signal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Grade {
    /// Nothing, not even counted.
    Ignore,
    /// It is recorded and counted.
    #[default]
    Log,
    /// Besides, the session has to prove identity again before it goes on.
    Reauthenticate,
    /// Besides, the session ends.
    End,
}

impl Grade {
    /// The word in configuration, audit and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Log => "log",
            Self::Reauthenticate => "reauthenticate",
            Self::End => "end",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
