//! What keeps the engine from answering.

use std::time::Duration;

use cloakroom_core::{AttributeError, InvalidName};
use cloakroom_store::{SealError, StoreError};

use crate::{RandomError, Refused};

/// The engine could not do what it was asked. Nothing has changed, unless a [`StoreError`] says it may have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store could not answer. Say "unavailable": neither let anyone in nor sign anyone out (promise G9).
    #[error("sessions are unavailable")]
    Store(#[source] StoreError),
    /// The attributes would be larger than the policy allows.
    #[error("the attributes would have {size} bytes; at most {limit} are allowed")]
    AttributesTooLarge {
        /// Bytes of all keys and values after the change.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The value of an attribute could not be read or written.
    #[error("an attribute could not be used")]
    Attribute(#[source] AttributeError),
    /// A list of roles cannot be a principal's.
    #[error("the roles cannot be used")]
    Name(#[source] InvalidName),
    /// Other requests kept changing the session. Try again.
    #[error("the session was changed by others {attempts} times in a row")]
    Contended {
        /// How often it was tried.
        attempts: usize,
    },
    /// The session cannot travel in its token: it is too large, or there is no key. The client's token holds what it held.
    #[error("the session could not be sealed")]
    Seal(#[source] SealError),
    /// The generator gave no random bytes, so there is no token.
    #[error("no token could be made")]
    Random(#[source] RandomError),
}

impl SessionError {
    /// Whether trying again later may help, without anything being changed first.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Store(_) | Self::Contended { .. } | Self::Random(_) | Self::Seal(SealError::NoKey)
        )
    }

    /// When trying again may help, where a [`GuardedStore`](crate::GuardedStore) knows, or whoever reads the list of
    /// ends.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store(error) => Refused::cause_of(error).map(Refused::retry_after),
            _ => None,
        }
    }
}
