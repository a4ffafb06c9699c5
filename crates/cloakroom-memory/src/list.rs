//! Lists through the slots themselves: no memory of their own, every step in constant time.

use crate::slab::{Index, Slab};
use crate::slot::Slot;

/// A slot's neighbours in a list.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Links {
    pub(crate) before: Option<Index>,
    pub(crate) after: Option<Index>,
}

/// Slots in the order in which they were last active, or ended. A slot is in at most one list at a time.
#[derive(Default, Debug)]
pub(crate) struct List {
    first: Option<Index>,
    last: Option<Index>,
}

impl List {
    pub(crate) fn first(&self) -> Option<Index> {
        self.first
    }

    pub(crate) fn push(&mut self, slots: &mut Slab<Slot>, index: Index) {
        slots.get_mut(index).recency = Links { before: self.last, after: None };
        match self.last {
            Some(last) => slots.get_mut(last).recency.after = Some(index),
            None => self.first = Some(index),
        }
        self.last = Some(index);
    }

    pub(crate) fn remove(&mut self, slots: &mut Slab<Slot>, index: Index) {
        let Links { before, after } = std::mem::take(&mut slots.get_mut(index).recency);
        match before {
            Some(before) => slots.get_mut(before).recency.after = after,
            None => self.first = after,
        }
        match after {
            Some(after) => slots.get_mut(after).recency.before = before,
            None => self.last = before,
        }
    }

    pub(crate) fn move_to_end(&mut self, slots: &mut Slab<Slot>, index: Index) {
        if self.last != Some(index) {
            self.remove(slots, index);
            self.push(slots, index);
        }
    }

    /// All slots, first to last.
    pub(crate) fn iter<'a>(&self, slots: &'a Slab<Slot>) -> impl Iterator<Item = Index> + use<'a> {
        std::iter::successors(self.first, |index| slots.get(*index).recency.after)
    }
}
