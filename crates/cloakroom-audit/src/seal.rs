//! Seals and checkpoints: heads of the chain that somebody vouches for.

use cloakroom_core::Timestamp;

use crate::{ChainHash, Head, KeyId, SealingKey, Signature, TrustedKeys};

/// A signature for the chain up to one event. Hashes alone can be made anew by whoever can write the database; a seal
/// cannot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seal {
    /// The last event that it covers.
    pub seq: u64,
    /// The hash of that event.
    pub hash: ChainHash,
    /// When it was sealed.
    pub at: Timestamp,
    /// Whose signature it is.
    pub key: KeyId,
    /// The signature over all of this.
    pub signature: Signature,
}

impl Seal {
    /// Seals the chain up to `head`.
    #[must_use]
    pub fn new(head: Head, at: Timestamp, key: &SealingKey) -> Self {
        let id = key.public().id();
        let signature = key.sign(&Self::message(head, at, &id));
        Self { seq: head.seq, hash: head.hash, at, key: id, signature }
    }

    /// Whether a believed key signed this.
    #[must_use]
    pub fn is_genuine(&self, trusted: &TrustedKeys) -> bool {
        trusted.verify(&self.key, &Self::message(self.head(), self.at, &self.key), &self.signature)
    }

    /// The head that it vouches for.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }

    fn message(head: Head, at: Timestamp, key: &KeyId) -> Vec<u8> {
        message(SEAL_TAG, head, 0, at, key)
    }
}

/// What is left of events that were removed: where the rest of the chain begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The last event that was removed.
    pub through: u64,
    /// Its hash: the first event that is left has it as `prev`.
    pub hash: ChainHash,
    /// How many events were removed so far.
    pub removed: u64,
    /// When.
    pub at: Timestamp,
    /// Whose signature it is.
    pub key: KeyId,
    /// The signature over all of this.
    pub signature: Signature,
}

impl Checkpoint {
    /// Vouches for the removal of `removed` events in all, up to `head`.
    #[must_use]
    pub fn new(head: Head, removed: u64, at: Timestamp, key: &SealingKey) -> Self {
        let id = key.public().id();
        let signature = key.sign(&message(CHECKPOINT_TAG, head, removed, at, &id));
        Self { through: head.seq, hash: head.hash, removed, at, key: id, signature }
    }

    /// Whether a believed key signed this.
    #[must_use]
    pub fn is_genuine(&self, trusted: &TrustedKeys) -> bool {
        let message = message(CHECKPOINT_TAG, self.head(), self.removed, self.at, &self.key);
        trusted.verify(&self.key, &message, &self.signature)
    }

    /// The head that the rest of the chain follows.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { seq: self.through, hash: self.hash }
    }
}

/// What is signed: a tag, then fields of fixed length, then the key's name.
fn message(tag: &[u8], head: Head, removed: u64, at: Timestamp, key: &KeyId) -> Vec<u8> {
    let numbers = [head.seq.to_be_bytes(), removed.to_be_bytes(), at.as_millis().to_be_bytes()];
    [tag, head.hash.as_bytes(), numbers.as_flattened(), key.as_str().as_bytes()].concat()
}

const SEAL_TAG: &[u8] = b"cloakroom audit seal 1\n";
const CHECKPOINT_TAG: &[u8] = b"cloakroom audit checkpoint 1\n";
