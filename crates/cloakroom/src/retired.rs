//! Tokens that were exchanged.

use cloakroom_core::{SessionId, Timestamp};
use cloakroom_store::Retired;

use crate::revoke::Known;

/// A token that was exchanged for another; its session may live on under the new one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetiredToken {
    /// Which session it named.
    pub session: SessionId,
    /// When it was exchanged.
    pub rotated_at: Timestamp,
    /// What a sealed one says of its session.
    pub(crate) known: Option<Box<Known>>,
}

impl From<Retired> for RetiredToken {
    fn from(retired: Retired) -> Self {
        let Retired { session, rotated_at } = retired;
        Self { session, rotated_at, known: None }
    }
}
