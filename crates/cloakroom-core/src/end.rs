//! Why a session ended, and what is left of it.

use std::fmt;
use std::str::FromStr;

use crate::{PrincipalId, SessionId, Timestamp};

/// Why a session ended. The names are part of the public contract (`end_reason`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum EndReason {
    /// Its user signed out.
    SignedOut,
    /// Nothing was heard for the idle timeout.
    IdleTimeout,
    /// Its longest life was over.
    AbsoluteTimeout,
    /// Its user ended it from another session.
    RevokedByUser,
    /// An administrator ended it.
    RevokedByAdmin,
    /// A back end ended it.
    RevokedByService,
    /// Its principal signed in elsewhere and the limit of parallel sessions was reached.
    SessionLimit,
    /// The password of its principal changed.
    PasswordChanged,
    /// The account of its principal was disabled.
    AccountDisabled,
    /// A sign-in took its place.
    Replaced,
    /// It was believed to be in wrong hands.
    Compromised,
    /// The store was full and this session mattered least.
    StoreFull,
}

impl EndReason {
    /// Every reason, in the order of the contract.
    pub const ALL: [Self; 12] = [
        Self::SignedOut,
        Self::IdleTimeout,
        Self::AbsoluteTimeout,
        Self::RevokedByUser,
        Self::RevokedByAdmin,
        Self::RevokedByService,
        Self::SessionLimit,
        Self::PasswordChanged,
        Self::AccountDisabled,
        Self::Replaced,
        Self::Compromised,
        Self::StoreFull,
    ];

    /// The name of this reason in API, audit, metrics and stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::IdleTimeout => "idle_timeout",
            Self::AbsoluteTimeout => "absolute_timeout",
            Self::RevokedByUser => "revoked_by_user",
            Self::RevokedByAdmin => "revoked_by_admin",
            Self::RevokedByService => "revoked_by_service",
            Self::SessionLimit => "session_limit",
            Self::PasswordChanged => "password_changed",
            Self::AccountDisabled => "account_disabled",
            Self::Replaced => "replaced",
            Self::Compromised => "compromised",
            Self::StoreFull => "store_full",
        }
    }

    /// Whether time ended the session, not a decision.
    #[must_use]
    pub const fn is_expiry(self) -> bool {
        matches!(self, Self::IdleTimeout | Self::AbsoluteTimeout)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EndReason {
    type Err = UnknownEndReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownEndReason)
    }
}

/// A text names no [`EndReason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reason for which sessions end")]
pub struct UnknownEndReason;

/// What is left of an ended session for the retention period: enough to say why, nothing to come back with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// Which session this was.
    pub session: SessionId,
    /// Whom it spoke for; `None` where it was anonymous.
    pub principal: Option<PrincipalId>,
    /// The instant it ended: for a timeout the exact instant, however late that was noticed.
    pub ended_at: Timestamp,
    /// Why.
    pub reason: EndReason,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_reasons_read_back() {
        for reason in EndReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
        assert_eq!("bored".parse::<EndReason>(), Err(UnknownEndReason));
    }
}
