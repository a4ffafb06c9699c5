//! Slots in the order of every list: by instant of issue, then by id.

use std::collections::BTreeMap;

use cloakroom_store::Cursor;

use crate::slab::{Index, Slab};
use crate::slot::Slot;

/// Live sessions and tombstones from the first issued to the latest, in leaves of indices: a session takes four bytes in a
/// leaf and next to nothing above it. The keys are in the slots.
///
/// A leaf's key is not greater than the place of any of its slots, and greater than every place in the leaves before it.
#[derive(Default, Debug)]
pub(crate) struct Order {
    leaves: BTreeMap<Cursor, Vec<Index>>,
}

impl Order {
    /// Puts a slot in its place, which no other has.
    pub(crate) fn add(&mut self, slots: &Slab<Slot>, index: Index) {
        let place = place(slots, index);
        let Some((_, leaf)) = self.leaves.range_mut(..=place).next_back() else {
            return self.add_first(slots, index);
        };
        // Most sessions are the latest of all.
        let at = match leaf.last() {
            Some(last) if self::place(slots, *last) < place => leaf.len(),
            _ => leaf.partition_point(|other| self::place(slots, *other) < place),
        };
        if leaf.len() < LEAF {
            return leaf.insert(at, index);
        }
        if at == leaf.len() {
            self.leaves.insert(place, vec![index]);
            return;
        }
        leaf.insert(at, index);
        let later = leaf.split_off(LEAF / 2);
        let first = self::place(slots, *later.first().expect("half a leaf is not empty"));
        self.leaves.insert(first, later);
    }

    /// Takes a slot out.
    pub(crate) fn remove(&mut self, slots: &Slab<Slot>, index: Index) {
        let place = place(slots, index);
        let (key, leaf) = self.leaves.range_mut(..=place).next_back().expect(FILED);
        let key = *key;
        let at = leaf.partition_point(|other| self::place(slots, *other) < place);
        assert_eq!(leaf.get(at), Some(&index), "{FILED}");
        leaf.remove(at);
        match leaf.len() {
            0 => drop(self.leaves.remove(&key)),
            len if len < LEAF / 4 => self.merge(key),
            _ => {}
        }
    }

    /// The slots before a place, the latest first; all of them where there is none.
    pub(crate) fn before<'a>(
        &'a self,
        slots: &'a Slab<Slot>,
        end: Option<Cursor>,
    ) -> impl Iterator<Item = Index> + use<'a> {
        let leaves = match end {
            Some(end) => self.leaves.range(..end),
            None => self.leaves.range(..),
        };
        leaves.rev().enumerate().flat_map(move |(number, (_, leaf))| {
            // Only the leaf that the place is in has slots on either side of it.
            let upto = match end {
                Some(end) if number == 0 => leaf.partition_point(|index| place(slots, *index) < end),
                _ => leaf.len(),
            };
            leaf.iter().take(upto).rev().copied()
        })
    }

    /// The slots behind a place, the first issued first; all of them where there is none.
    pub(crate) fn behind<'a>(
        &'a self,
        slots: &'a Slab<Slot>,
        start: Option<Cursor>,
    ) -> impl Iterator<Item = Index> + use<'a> {
        let key = start.and_then(|start| Some(*self.leaves.range(..=start).next_back()?.0));
        let leaves = match key {
            Some(key) => self.leaves.range(key..),
            None => self.leaves.range(..),
        };
        leaves.enumerate().flat_map(move |(number, (_, leaf))| {
            let from = match start {
                Some(start) if number == 0 => leaf.partition_point(|index| place(slots, *index) <= start),
                _ => 0,
            };
            leaf.iter().skip(from).copied()
        })
    }

    /// Puts a slot before all others.
    fn add_first(&mut self, slots: &Slab<Slot>, index: Index) {
        let mut leaf = match self.leaves.pop_first() {
            Some((_, leaf)) if leaf.len() < LEAF => leaf,
            Some((key, full)) => {
                self.leaves.insert(key, full);
                Vec::new()
            }
            None => Vec::new(),
        };
        leaf.insert(0, index);
        self.leaves.insert(place(slots, index), leaf);
    }

    /// Puts a leaf that has become small together with the one after it, or before it, where both have room in one.
    fn merge(&mut self, key: Cursor) {
        let after = self.leaves.range(key..).nth(1).map(|(after, _)| *after);
        let before = self.leaves.range(..key).next_back().map(|(before, _)| *before);
        let fits = |one: Cursor, other: Cursor| {
            let len = |key| self.leaves.get(&key).map_or(LEAF, Vec::len);
            len(one) + len(other) <= LEAF / 4 * 3
        };
        let pair = match (before, after) {
            (_, Some(after)) if fits(key, after) => Some((key, after)),
            (Some(before), _) if fits(before, key) => Some((before, key)),
            _ => None,
        };
        if let Some((one, other)) = pair
            && let Some(mut moved) = self.leaves.remove(&other)
            && let Some(leaf) = self.leaves.get_mut(&one)
        {
            leaf.append(&mut moved);
        }
    }
}

#[cfg(test)]
impl Order {
    /// All slots, from the first issued to the latest.
    pub(crate) fn all(&self) -> impl Iterator<Item = Index> + use<'_> {
        self.leaves.values().flatten().copied()
    }

    fn leaves(&self) -> usize {
        self.leaves.len()
    }
}

/// The place of a slot in any list.
pub(crate) fn place(slots: &Slab<Slot>, index: Index) -> Cursor {
    let slot = slots.get(index);
    Cursor { created_at: slot.created_at, session: slot.id }
}

/// Slots of a leaf: a search in one looks at six of them, and a quarter of that many are kept together at least.
const LEAF: usize = 64;
const FILED: &str = "a slot is in the order until it is removed";

#[cfg(test)]
mod tests {
    use cloakroom_conformance::{Fixtures, Seeded, at};

    use super::*;

    fn filed(instants: impl IntoIterator<Item = i64>) -> (Slab<Slot>, Order, Vec<Index>) {
        let (mut fixtures, mut slots, mut order) = (Fixtures::new(1), Slab::new(), Order::default());
        let mut indices = Vec::new();
        for instant in instants {
            let filing = fixtures.anonymous().issued_at(at(instant));
            let index = slots.insert(Slot::live(&filing.record, &filing.digest)).unwrap();
            order.add(&slots, index);
            indices.push(index);
        }
        (slots, order, indices)
    }

    fn places(slots: &Slab<Slot>, indices: impl IntoIterator<Item = Index>) -> Vec<Cursor> {
        indices.into_iter().map(|index| place(slots, index)).collect()
    }

    #[test]
    fn whatever_comes_and_goes_in_whatever_order_each_side_of_every_place_is_found() {
        let mut random = Seeded::new(5);
        let arrivals: [Vec<i64>; 4] = [
            (0..700).collect(),
            (0..700).rev().collect(),
            vec![3; 700],
            (0..700).map(|_| i64::try_from(random.below(90)).unwrap()).collect(),
        ];
        for instants in arrivals {
            let (slots, mut order, mut indices) = filed(instants);
            while !indices.is_empty() {
                let mut sorted = places(&slots, indices.iter().copied());
                sorted.sort_unstable();
                assert_eq!(places(&slots, order.all()), sorted);
                let reversed: Vec<Cursor> = sorted.iter().rev().copied().collect();
                assert_eq!(places(&slots, order.before(&slots, None)), reversed);
                assert_eq!(places(&slots, order.behind(&slots, None)), sorted);
                for _ in 0..8 {
                    let at = usize::try_from(random.below(u64::try_from(sorted.len()).unwrap())).unwrap();
                    let place = sorted[at];
                    let behind = places(&slots, order.behind(&slots, Some(place)));
                    assert_eq!(behind, sorted[at + 1..]);
                    let mut before = places(&slots, order.before(&slots, Some(place)));
                    before.reverse();
                    assert_eq!(before, sorted[..at]);
                }
                for _ in 0..37.min(indices.len()) {
                    let at = usize::try_from(random.below(u64::try_from(indices.len()).unwrap())).unwrap();
                    order.remove(&slots, indices.swap_remove(at));
                }
            }
            assert_eq!(order.leaves(), 0, "nothing is left of a leaf that empties");
        }
    }

    #[test]
    fn those_who_come_one_after_the_other_fill_their_leaves() {
        let (_, order, _) = filed(0..6_400);
        assert_eq!(order.leaves(), 100);
    }

    #[test]
    fn leaves_stay_a_third_full_however_many_leave() {
        let (slots, mut order, mut indices) = filed(0..6_400);
        let mut random = Seeded::new(7);
        while indices.len() > 64 {
            let at = usize::try_from(random.below(u64::try_from(indices.len()).unwrap())).unwrap();
            order.remove(&slots, indices.swap_remove(at));
            assert!(
                order.leaves() <= 1 + indices.len() * 3 / LEAF,
                "{} in {}",
                indices.len(),
                order.leaves()
            );
        }
    }
}
