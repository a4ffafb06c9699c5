//! Calls that the store never saw.

use std::time::Duration;

use cloakroom_store::StoreError;

/// The source of a [`StoreError`] of a call that a [`GuardedStore`](crate::GuardedStore) kept from the store, of a sealed
/// session that cannot be judged while the list of ends cannot be read, or of what one principal had done too often: nothing has
/// changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    why: Why,
    retry_after: Duration,
}

impl Refused {
    pub(super) fn new(why: Why, retry_after: Duration) -> Self {
        Self { why, retry_after }
    }

    /// The list of ends could not be read a moment ago.
    pub(crate) fn unread(retry_after: Duration) -> Self {
        Self::new(Why::Unread, retry_after)
    }

    /// A sealed token is from a future that this node does not know.
    pub(crate) fn ahead(retry_after: Duration) -> Self {
        Self::new(Why::Ahead, retry_after)
    }

    /// One principal's share of the list of ends is full.
    pub(crate) fn of_share(retry_after: Duration) -> Self {
        Self::new(Why::Share, retry_after)
    }

    /// Whether it is one principal's doing, and concerns nobody else: so much of theirs was ended, exchanged or changed that there is
    /// no room for more before [so long](Self::retry_after).
    #[must_use]
    pub fn is_of_share(&self) -> bool {
        self.why == Why::Share
    }

    /// The keys that open sealed tokens could not be read in time.
    pub(crate) fn unsealed(retry_after: Duration) -> Self {
        Self::new(Why::Unsealed, retry_after)
    }

    /// When another try may succeed.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// The refusal that caused `error`, if one did.
    #[must_use]
    pub fn cause_of(error: &StoreError) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }
}

/// Why a call was kept from the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Why {
    /// The store failed lately and rests.
    #[error("the store failed and is not asked again yet")]
    Resting,
    /// Too many calls wait already.
    #[error("too many calls wait for the store")]
    Crowded,
    /// Its turn did not come before its deadline.
    #[error("the store had no time for this before its deadline")]
    Waited,
    /// Nobody knows what was revoked: the list could not be read, and what is known of it is too old.
    #[error("the list of ends could not be read")]
    Unread,
    /// A token says more than can be so: this node's clock is behind, or another list is in use than when it was issued.
    #[error("the token is ahead of this node's clock, or of the list of ends")]
    Ahead,
    /// What one principal ends, exchanges or changes is written down so often and no more.
    #[error("too much of this principal's sessions was ended, exchanged or changed lately")]
    Share,
    /// Nobody knows whether there is a key for a token.
    #[error("the keys that open sealed tokens could not be read in time")]
    Unsealed,
}

impl Why {
    /// Those of a guard.
    pub(super) const ALL: [Self; 3] = [Self::Resting, Self::Crowded, Self::Waited];

    /// The name of this cause, for a metric's label.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Resting => "resting",
            Self::Crowded => "crowded",
            Self::Waited => "waited",
            Self::Unread => "unread",
            Self::Ahead => "ahead",
            Self::Share => "share",
            Self::Unsealed => "unsealed",
        }
    }
}

/// The source of a [`StoreError`] of a call that the store did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
pub(super) struct Overdue(pub(super) Duration);
