//! What is done about a signal.

use std::fmt;
use std::str::FromStr;

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
    /// All of them, the mildest first.
    pub const ALL: [Self; 4] = [Self::Ignore, Self::Log, Self::Reauthenticate, Self::End];

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

/// A word is no grade.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownGrade;

impl fmt::Display for UnknownGrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not one of ignore, log, reauthenticate, end")
    }
}

impl std::error::Error for UnknownGrade {}

impl FromStr for Grade {
    type Err = UnknownGrade;

    fn from_str(word: &str) -> Result<Self, UnknownGrade> {
        Self::ALL.into_iter().find(|grade| grade.as_str() == word).ok_or(UnknownGrade)
    }
}
