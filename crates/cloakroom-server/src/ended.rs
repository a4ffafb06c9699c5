//! What came of ending sessions, as far as anybody can know.

use cloakroom::Revoked;
use serde_json::Value;

use crate::cli::counted;
use crate::config::{Config, StoreUrl};

/// What came of ending sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// So many ended.
    Counted(u64),
    /// They are refused from now on, and nobody knows how many there were: they are sealed, in their cookies.
    Uncounted,
    /// Nothing could be ended: they are sealed, and no list says what was ended. They go on until their time is over.
    LiveOn,
}

impl Ended {
    /// Nothing was to be ended.
    pub(crate) const NONE: Self = Self::Counted(0);

    /// What `sessions` has ended.
    pub(crate) fn of(revoked: &Revoked) -> Self {
        if revoked.is_counted() { Self::Counted(revoked.count()) } else { Self::Uncounted }
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::LiveOn, _) | (_, Self::LiveOn) => Self::LiveOn,
            (Self::Uncounted, _) | (_, Self::Uncounted) => Self::Uncounted,
            (Self::Counted(one), Self::Counted(more)) => Self::Counted(one.saturating_add(more)),
        }
    }

    /// How many, where that is known.
    pub(crate) const fn count(self) -> Option<u64> {
        match self {
            Self::Counted(count) => Some(count),
            Self::Uncounted | Self::LiveOn => None,
        }
    }

    /// Whether nothing ended, as far as is known.
    pub(crate) const fn is_none(self) -> bool {
        matches!(self, Self::Counted(0))
    }

    /// The same for the audit log: a number, or a word where there is none.
    pub(crate) fn in_log(self) -> Value {
        match self {
            Self::Counted(count) => count.into(),
            Self::Uncounted => "not_counted".into(),
            Self::LiveOn => "live_on".into(),
        }
    }

    /// The same for a terminal, after the name of an account or alone: `3 sessions ended`.
    pub(crate) fn sentence(self) -> String {
        match self {
            Self::Counted(count) => format!("{} ended", counted(count, "session")),
            Self::Uncounted => "the sessions ended; how many there were is not known".to_owned(),
            Self::LiveOn => "the sessions go on until their time is over".to_owned(),
        }
    }
}

/// Whether sessions of this configuration can be ended before their time.
pub(crate) fn can_end(config: &Config) -> bool {
    !matches!(config.store, StoreUrl::Sealed { revocations: None })
}

/// Why they cannot, for whoever runs the server.
pub(crate) const LIVE_ON: &str =
    "sessions are sealed, and no list says what was ended: they go on until their time is over";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_a_part_is_not_known_of_the_whole() {
        let two = Ended::Counted(2);
        assert_eq!(two.plus(Ended::Counted(1)), Ended::Counted(3));
        assert_eq!(two.plus(Ended::Uncounted), Ended::Uncounted);
        assert_eq!(Ended::LiveOn.plus(Ended::Uncounted), Ended::LiveOn);
        assert_eq!((Ended::Uncounted.count(), Ended::LiveOn.count(), two.count()), (None, None, Some(2)));
        assert!(Ended::NONE.is_none() && !Ended::Uncounted.is_none() && !Ended::LiveOn.is_none());
    }
}
