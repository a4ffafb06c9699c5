//! Sessions without a record: what is known of one travels, sealed, in its token, and can be ended all the same.
//!
//! Nothing is looked up here. A token is opened, judged by time, and held against this node's copy of the list of
//! ends ([`mirror`]), which costs memory and no round trip while the copy may be believed. What changes is sealed anew,
//! and the session says what its client has to carry from now on ([`ActiveSession::replacement`]).
//!
//! What a store would promise and this cannot is said where it matters: nothing is listed, counted or limited; of changes made
//! at the same time the last one to reach the client stays; an older copy of a token brings back what it holds, unless the token
//! was exchanged since.
//!
//! The rest of the engine meets this room in one place per verb: [`Sessions::seals`] is asked once, and whatever follows is
//! here.
//!
//! [`ActiveSession::replacement`]: crate::ActiveSession::replacement
//! [`Sessions::seals`]: crate::Sessions::seals

mod doubts;
mod end;
mod entries;
mod issue;
mod judgement;
mod look;
mod mirror;
mod observe;
mod policy;
mod seal;
mod store;
mod tally;
mod validate;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{Policy, SessionToken, Timestamp, TokenCore};
use cloakroom_store::{NONCE_BYTES, RevocationList, SealedContents, Sealing};
use zeroize::Zeroize as _;

use crate::{Random, SessionError};

pub(crate) use self::mirror::{Bounds, Covered, Mirror, Need};
pub(crate) use self::observe::describe;
pub use self::policy::{Replay, SealedPolicy, WhenUnreachable};
pub(crate) use self::seal::Seal;
pub(crate) use self::store::SealedStore;
pub(crate) use self::validate::{By, Question};

use self::observe::SealedMetrics;
use self::tally::Tally;

/// What an engine is given instead of a store.
#[derive(Clone, Debug)]
pub(crate) struct SealedParts {
    pub(crate) sealing: Arc<dyn Sealing>,
    pub(crate) list: Option<Arc<dyn RevocationList>>,
    pub(crate) policy: SealedPolicy,
}

/// What an engine has instead of records.
#[derive(Debug)]
pub(crate) struct Seals {
    sealing: Arc<dyn Sealing>,
    random: Arc<dyn Random>,
    mirror: Option<Arc<Mirror>>,
    policy: SealedPolicy,
    longest_life: Duration,
    tally: Tally,
    metrics: SealedMetrics,
}

impl Seals {
    pub(crate) fn new(
        parts: &SealedParts,
        policy: &Policy,
        random: Arc<dyn Random>,
        mirror: Option<Arc<Mirror>>,
    ) -> Self {
        Self {
            sealing: Arc::clone(&parts.sealing),
            random,
            mirror,
            policy: parts.policy,
            longest_life: parts.policy.longest_life(policy),
            tally: Tally::default(),
            metrics: SealedMetrics::new(),
        }
    }

    pub(crate) fn mirror(&self) -> Option<&Arc<Mirror>> {
        self.mirror.as_ref()
    }

    pub(crate) fn policy(&self) -> SealedPolicy {
        self.policy
    }

    /// Seals `contents` as of `now`.
    fn seal(&self, contents: &SealedContents, now: Timestamp) -> Result<SessionToken, SessionError> {
        let mut nonce = [0; NONCE_BYTES];
        self.random.fill(&mut nonce).map_err(SessionError::Random)?;
        self.sealing.seal(contents, nonce, now).map_err(SessionError::Seal)
    }

    fn new_core(&self) -> Result<TokenCore, SessionError> {
        let mut bytes = [0; TokenCore::LENGTH];
        self.random.fill(&mut bytes).map_err(SessionError::Random)?;
        let core = TokenCore::from_random(bytes);
        bytes.zeroize();
        Ok(core)
    }
}
