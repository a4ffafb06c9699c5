//! The signals, and which answers to them make sense.

use std::fmt;

use crate::Grade;

/// A sign that a session, or an account, may be in other hands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Signal {
    /// A session comes with another program than identity was proved with: another browser, system or kind of device. A
    /// newer version is no other program.
    UserAgentChanged,
    /// A session comes from another network than identity was proved in, and not simply since its device moved.
    NetworkChanged,
    /// A session was in two places between which nobody travels that fast.
    ImpossibleTravel,
    /// A session is used from several places alternately within minutes.
    ParallelUse,
    /// The token of an ended session is used by somebody who was told, or by several.
    UsedAfterEnd,
    /// A token that was exchanged for another is used again.
    TokenReplayed,
    /// Many unknown tokens come from one address.
    TokenGuessing,
    /// Many sign-ins to one account fail.
    SignInFailures,
    /// One principal signs in many times.
    SignInBurst,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::UserAgentChanged,
        Self::NetworkChanged,
        Self::ImpossibleTravel,
        Self::ParallelUse,
        Self::UsedAfterEnd,
        Self::TokenReplayed,
        Self::TokenGuessing,
        Self::SignInFailures,
        Self::SignInBurst,
    ];

    /// The word in configuration, audit and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserAgentChanged => "user_agent_changed",
            Self::NetworkChanged => "network_changed",
            Self::ImpossibleTravel => "impossible_travel",
            Self::ParallelUse => "parallel_use",
            Self::UsedAfterEnd => "used_after_end",
            Self::TokenReplayed => "token_replayed",
            Self::TokenGuessing => "token_guessing",
            Self::SignInFailures => "sign_in_failures",
            Self::SignInBurst => "sign_in_burst",
        }
    }

    /// What is done where nobody says otherwise. Only a replayed token ends anything: it is the one sign that ordinary
    /// traffic does not give.
    #[must_use]
    pub const fn default_grade(self) -> Grade {
        match self {
            Self::TokenReplayed => Grade::End,
            _ => Grade::Log,
        }
    }

    /// Why this signal cannot be answered by `grade`; `None` where it can.
    ///
    /// # Security
    /// What an outsider can bring about without any token of a session never touches that session: nobody is locked out
    /// by noise that somebody else makes.
    #[must_use]
    pub const fn objection(self, grade: Grade) -> Option<&'static str> {
        match (self, grade) {
            (_, Grade::Ignore | Grade::Log) => None,
            (
                Self::UserAgentChanged | Self::NetworkChanged | Self::ImpossibleTravel | Self::ParallelUse,
                Grade::Reauthenticate | Grade::End,
            )
            | (Self::TokenReplayed, Grade::End) => None,
            (Self::TokenReplayed, Grade::Reauthenticate) => Some(
                "whoever used the old token has no session to prove identity in, and whoever has the new one may be \
                      the thief",
            ),
            (Self::UsedAfterEnd, _) => Some("the session has ended already"),
            (Self::TokenGuessing, _) => Some("unknown tokens name no session"),
            (Self::SignInFailures, _) => {
                Some("anybody can fail to sign in to an account: its owner would be put out by strangers")
            }
            (Self::SignInBurst, Grade::Reauthenticate) => Some("a sign-in is a proof of identity"),
            (Self::SignInBurst, Grade::End) => Some(
                "whoever knows the password would be signed out for using it; disable the account instead",
            ),
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::UserAgentChanged => 0,
            Self::NetworkChanged => 1,
            Self::ImpossibleTravel => 2,
            Self::ParallelUse => 3,
            Self::UsedAfterEnd => 4,
            Self::TokenReplayed => 5,
            Self::TokenGuessing => 6,
            Self::SignInFailures => 7,
            Self::SignInBurst => 8,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is done about each signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grades([Grade; Signal::ALL.len()]);

impl Default for Grades {
    fn default() -> Self {
        Self(Signal::ALL.map(Signal::default_grade))
    }
}

/// A signal cannot be answered so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pointless {
    /// The signal.
    pub signal: Signal,
    /// The answer.
    pub grade: Grade,
    /// Why it makes no sense.
    pub because: &'static str,
}

impl fmt::Display for Pointless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signal, grade, because } = self;
        write!(f, "{signal} cannot be answered with {grade}: {because}")
    }
}

impl std::error::Error for Pointless {}

impl Grades {
    /// What is done about `signal`.
    #[must_use]
    pub fn of(&self, signal: Signal) -> Grade {
        self.0.get(signal.index()).copied().unwrap_or_default()
    }

    /// The same, but `grade` is done about `signal`.
    ///
    /// # Errors
    /// [`Pointless`] where that makes no sense.
    pub fn with(mut self, signal: Signal, grade: Grade) -> Result<Self, Pointless> {
        if let Some(because) = signal.objection(grade) {
            return Err(Pointless { signal, grade, because });
        }
        if let Some(place) = self.0.get_mut(signal.index()) {
            *place = grade;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_is_answered_by_what_makes_sense_and_by_nothing_else() {
        use Grade::{End, Ignore, Log, Reauthenticate};
        for (signal, sensible) in [
            (Signal::UserAgentChanged, &[Ignore, Log, Reauthenticate, End][..]),
            (Signal::NetworkChanged, &[Ignore, Log, Reauthenticate, End]),
            (Signal::ImpossibleTravel, &[Ignore, Log, Reauthenticate, End]),
            (Signal::ParallelUse, &[Ignore, Log, Reauthenticate, End]),
            (Signal::UsedAfterEnd, &[Ignore, Log]),
            (Signal::TokenReplayed, &[Ignore, Log, End]),
            (Signal::TokenGuessing, &[Ignore, Log]),
            (Signal::SignInFailures, &[Ignore, Log]),
            (Signal::SignInBurst, &[Ignore, Log]),
        ] {
            for grade in Grade::ALL {
                let graded = Grades::default().with(signal, grade);
                assert_eq!(graded.is_ok(), sensible.contains(&grade), "{signal} {grade}");
                match graded {
                    Ok(grades) => assert_eq!(grades.of(signal), grade),
                    Err(pointless) => assert!(pointless.to_string().contains(pointless.because)),
                }
            }
        }
    }

    #[test]
    fn only_a_replayed_token_ends_anything_by_default() {
        for signal in Signal::ALL {
            let expected = if signal == Signal::TokenReplayed { Grade::End } else { Grade::Log };
            assert_eq!(Grades::default().of(signal), expected);
            assert_eq!(signal.objection(signal.default_grade()), None);
        }
    }
}
