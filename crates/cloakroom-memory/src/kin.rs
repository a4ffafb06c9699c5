//! The slots of each principal, in rings through the slots themselves.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, OccupiedEntry};

use crate::list::Links;
use crate::slab::{Index, Slab};
use crate::slot::Slot;

/// For each principal a ring of its slots: live sessions first, tombstones after them.
///
/// Names are chosen by whoever signs up, so their hash is seeded, each store its own.
#[derive(Debug)]
pub(crate) struct Kin {
    rings: HashTable<Index>,
    hasher: RandomState,
}

impl Kin {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self { rings: HashTable::new(), hasher }
    }

    /// Puts a live session at the front of its principal's ring. An anonymous one has none.
    pub(crate) fn add(&mut self, slots: &mut Slab<Slot>, index: Index) {
        let Some(name) = slots.get(index).packed.principal() else { return };
        let hasher = &self.hasher;
        let rehash = |first: &Index| hasher.hash_one(slots.get(*first).packed.principal());
        let same = |first: &Index| slots.get(*first).packed.principal() == Some(name);
        match self.rings.entry(hasher.hash_one(Some(name)), same, rehash) {
            Entry::Vacant(vacant) => {
                vacant.insert(index);
                slots.get_mut(index).kin = Links { before: Some(index), after: Some(index) };
            }
            Entry::Occupied(mut ring) => {
                let first = std::mem::replace(ring.get_mut(), index);
                insert_before(slots, index, first);
            }
        }
    }

    /// Takes the slot out of its ring.
    pub(crate) fn remove(&mut self, slots: &mut Slab<Slot>, index: Index) {
        let Links { before: Some(before), after: Some(after) } = slots.get(index).kin else { return };
        let mut ring = self.ring_of(slots, index);
        if after == index {
            ring.remove();
        } else {
            if *ring.get() == index {
                *ring.get_mut() = after;
            }
            slots.get_mut(before).kin.after = Some(after);
            slots.get_mut(after).kin.before = Some(before);
        }
        slots.get_mut(index).kin = Links::default();
    }

    /// Moves the slot behind all others of its ring.
    pub(crate) fn move_to_end(&mut self, slots: &mut Slab<Slot>, index: Index) {
        let Links { before: Some(before), after: Some(after) } = slots.get(index).kin else { return };
        if after == index {
            return;
        }
        let mut ring = self.ring_of(slots, index);
        if *ring.get() == index {
            *ring.get_mut() = after;
            return;
        }
        let first = *ring.get();
        slots.get_mut(before).kin.after = Some(after);
        slots.get_mut(after).kin.before = Some(before);
        insert_before(slots, index, first);
    }

    /// All slots of a principal, live sessions first.
    pub(crate) fn of<'a>(&self, slots: &'a Slab<Slot>, name: &[u8]) -> impl Iterator<Item = Index> + use<'a> {
        let same = |first: &Index| slots.get(*first).packed.principal() == Some(name);
        let first = self.rings.find(self.hasher.hash_one(Some(name)), same).copied();
        std::iter::successors(first, move |index| {
            slots.get(*index).kin.after.filter(|after| Some(*after) != first)
        })
    }

    fn ring_of(&mut self, slots: &Slab<Slot>, index: Index) -> OccupiedEntry<'_, Index> {
        let name = slots.get(index).packed.principal();
        let same = |first: &Index| slots.get(*first).packed.principal() == name;
        self.rings.find_entry(self.hasher.hash_one(name), same).expect("whoever has neighbours has a ring")
    }
}

#[cfg(test)]
impl Kin {
    /// How many principals there are.
    pub(crate) fn len(&self) -> usize {
        self.rings.len()
    }
}

/// Links the slot in before `first`: at the end of its ring, or as its new first.
fn insert_before(slots: &mut Slab<Slot>, index: Index, first: Index) {
    let last = slots.get_mut(first).kin.before.replace(index).expect("a ring is closed");
    slots.get_mut(last).kin.after = Some(index);
    slots.get_mut(index).kin = Links { before: Some(last), after: Some(first) };
}
