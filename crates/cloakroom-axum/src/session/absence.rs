//! Why there is no session to work with.

use cloakroom::{EndReason, RetiredToken, Tombstone};
use cloakroom_http::Refusal;

use crate::Rejection;

pub(super) enum Absence {
    Missing,
    Malformed,
    Unknown,
    Ended(Tombstone),
    Retired(RetiredToken),
    SignedOut,
    Refused(Refusal),
}

impl Absence {
    pub(super) fn rejection(&self) -> Rejection {
        match self {
            Self::Missing | Self::SignedOut => Rejection::Missing,
            Self::Malformed | Self::Unknown => Rejection::Unknown,
            Self::Ended(tombstone) => Rejection::Ended(tombstone.clone()),
            Self::Retired(_) => Rejection::Retired,
            Self::Refused(refusal) => Rejection::Conflicting(*refusal),
        }
    }

    /// Whether the client's token is known to be over for good, with no successor that a sibling request may have
    /// brought: only then may the cookie be removed, or another session be put in its place unasked.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown | Self::SignedOut => true,
            Self::Ended(tombstone) => tombstone.reason != EndReason::Replaced,
            Self::Retired(_) | Self::Refused(_) => false,
        }
    }
}
