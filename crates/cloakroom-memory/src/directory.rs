//! Slots by digest and by session id.

use cloakroom_core::{SessionId, TokenDigest};
use hashbrown::HashTable;

use crate::slab::{Index, Slab};
use crate::slot::Slot;

/// Tables of indices: the keys are in the slots, so an entry takes five bytes.
#[derive(Default, Debug)]
pub(crate) struct Directory {
    by_digest: HashTable<Index>,
    /// Live sessions and tombstones; a retired token is found by its digest alone.
    by_id: HashTable<Index>,
}

impl Directory {
    pub(crate) fn find(&self, slots: &Slab<Slot>, digest: &TokenDigest) -> Option<Index> {
        let same = |index: &Index| slots.get(*index).is_filed_under(digest);
        self.by_digest.find(hash_of_digest(digest.hash()), same).copied()
    }

    pub(crate) fn find_id(&self, slots: &Slab<Slot>, id: SessionId) -> Option<Index> {
        self.by_id.find(hash_of_id(id), |index| slots.get(*index).id == id).copied()
    }

    /// Files the slot under its digest, which is free.
    pub(crate) fn add_digest(&mut self, slots: &Slab<Slot>, index: Index) {
        let hash = hash_of_digest(&slots.get(index).hash);
        self.by_digest.insert_unique(hash, index, |index| hash_of_digest(&slots.get(*index).hash));
    }

    /// Files the slot under its id, which is free.
    pub(crate) fn add_id(&mut self, slots: &Slab<Slot>, index: Index) {
        let hash = hash_of_id(slots.get(index).id);
        self.by_id.insert_unique(hash, index, |index| hash_of_id(slots.get(*index).id));
    }

    pub(crate) fn remove_digest(&mut self, slots: &Slab<Slot>, index: Index) {
        take(&mut self.by_digest, hash_of_digest(&slots.get(index).hash), index);
    }

    pub(crate) fn remove_id(&mut self, slots: &Slab<Slot>, index: Index) {
        take(&mut self.by_id, hash_of_id(slots.get(index).id), index);
    }
}

#[cfg(test)]
impl Directory {
    /// How many slots are filed under a digest, and how many under an id.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.by_digest.len(), self.by_id.len())
    }
}

fn take(table: &mut HashTable<Index>, hash: u64, index: Index) {
    let entry = table.find_entry(hash, |other| *other == index);
    entry.expect("a slot is in its tables until it is removed").remove();
}

/// A digest is uniformly distributed, and nobody can choose one: eight of its bytes are a hash.
fn hash_of_digest(hash: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// An id is random but for its first two bytes, which all sessions of a principal share; all of it is mixed, since
/// one may come from elsewhere with the random bytes anywhere.
fn hash_of_id(id: SessionId) -> u64 {
    let mixed = u128::from_ne_bytes(*id.as_bytes()).wrapping_mul(ODD);
    let folded = mixed ^ (mixed >> 64);
    let [a, b, c, d, e, f, g, h, ..] = folded.to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// An odd constant whose multiples spread well (the golden ratio, 128 bits).
const ODD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
