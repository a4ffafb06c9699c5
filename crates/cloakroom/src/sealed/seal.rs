//! What a session carries besides what a store would keep.

use std::fmt;

use cloakroom_core::{SessionToken, TokenCore};
use cloakroom_store::SealedContents;

use crate::ActiveSession;

/// The sealed side of a session that was opened.
pub(crate) struct Seal {
    pub(crate) core: TokenCore,
    /// The number of the last entry of the list that its issuer knew.
    pub(crate) known: u64,
    /// Stands for the core inside the server.
    pub(crate) binding: SessionToken,
    /// What its client has to carry from now on.
    pub(crate) replacement: Option<SessionToken>,
}

impl Seal {
    /// Of `contents`; its client has to carry `replacement` from now on, where there is one.
    pub(crate) fn of(contents: &SealedContents, replacement: Option<SessionToken>) -> Self {
        let binding = contents.core.token(contents.record.id.route());
        Self { core: contents.core.clone(), known: contents.known, binding, replacement }
    }
}

impl ActiveSession {
    /// What would be sealed for this session now; `None` where a store keeps it.
    pub(crate) fn contents(&self) -> Option<SealedContents> {
        let seal = self.seal()?;
        Some(SealedContents {
            record: self.record().clone(),
            version: self.version(),
            last_seen_at: self.last_seen_at(),
            known: seal.known,
            core: seal.core.clone(),
        })
    }
}

/// The same core, and the same need to hand something out. Whoever compares sessions has compared all else.
impl PartialEq for Seal {
    fn eq(&self, other: &Self) -> bool {
        let digest = |token: &SessionToken| token.digest();
        self.known == other.known
            && self.binding.digest() == other.binding.digest()
            && self.replacement.as_ref().map(digest) == other.replacement.as_ref().map(digest)
    }
}

impl Eq for Seal {}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replaced = self.replacement.is_some();
        f.debug_struct("Seal")
            .field("known", &self.known)
            .field("replaced", &replaced)
            .finish_non_exhaustive()
    }
}

/// What is compared with the list of a session: everything that an entry may be about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) contents: &'a SealedContents,
    /// The beginning of the digest of what stands for the core.
    pub(crate) core: CoreName,
}

/// How the list names a core.
pub(crate) type CoreName = [u8; 16];
