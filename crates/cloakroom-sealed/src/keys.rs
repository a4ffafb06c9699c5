//! The keys that seal, and those that still open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, LessSafeKey, UnboundKey};
use cloakroom_core::Timestamp;

/// Tells keys apart; stands in clear in each token.
pub type KeyId = u32;

/// One key, and until when it opens.
pub struct SealKey {
    pub(crate) id: KeyId,
    pub(crate) cipher: LessSafeKey,
    pub(crate) seals_from: Timestamp,
    pub(crate) opens_until: Option<Timestamp>,
}

impl SealKey {
    /// The key of these bytes, which must come from a cryptographic generator. It seals from `seals_from` on, unless a newer one
    /// does, and opens until `opens_until`.
    #[must_use]
    pub fn new(id: KeyId, bytes: &[u8; 32], seals_from: Timestamp, opens_until: Option<Timestamp>) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, bytes).expect("a key of AES-256 has 32 bytes");
        Self { id, cipher: LessSafeKey::new(key), seals_from, opens_until }
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The keys of an application.
#[derive(Debug)]
pub struct KeyRing {
    keys: Vec<SealKey>,
}

impl KeyRing {
    /// These keys.
    #[must_use]
    pub fn new(keys: Vec<SealKey>) -> Self {
        Self { keys }
    }

    /// The key that seals at `now`: of those that may, the newest.
    pub(crate) fn sealing(&self, now: Timestamp) -> Option<&SealKey> {
        let may = |key: &&SealKey| key.seals_from <= now && key.opens_until.is_none_or(|until| now < until);
        self.keys.iter().filter(may).max_by_key(|key| key.seals_from)
    }

    pub(crate) fn of(&self, id: KeyId) -> Option<&SealKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}
