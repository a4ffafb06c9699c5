//! Memory that has a bound.

use std::collections::HashMap;
use std::hash::Hash;

/// A table of at most so many entries. Where it is full, an eighth goes at once: those that matter least, so that one
/// pass makes room for many.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    entries: HashMap<K, V>,
    capacity: usize,
}

impl<K: Eq + Hash + Copy, V> Bounded<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Puts `value` under `key`. Where there is no room for another, what matters least by `importance` is forgotten.
    pub(crate) fn insert(&mut self, key: K, value: V, importance: impl Fn(&V) -> i64) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            let mut ranked: Vec<(i64, K)> =
                self.entries.iter().map(|(key, value)| (importance(value), *key)).collect();
            let excess = (self.capacity / 8).max(1).min(ranked.len());
            if let Some(last) = excess.checked_sub(1) {
                ranked.select_nth_unstable_by_key(last, |(importance, _)| *importance);
            }
            for (_, key) in ranked.iter().take(excess) {
                self.entries.remove(key);
            }
        }
        self.entries.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_forgets_the_least_important_eighth_and_never_grows_beyond_its_bound() {
        let mut table = Bounded::new(64);
        for number in 0..64_i64 {
            table.insert(number, (number * 7) % 64, |value| *value);
        }
        assert_eq!(table.len(), 64);
        table.insert(3, 60, |value| *value);
        assert_eq!(table.len(), 64, "an entry that is there takes no more room");
        table.insert(100, 100, |value| *value);
        assert_eq!(table.len(), 64 - 8 + 1);
        let mut left: Vec<i64> = table.entries.values().copied().collect();
        left.sort_unstable();
        assert!(left.first().is_some_and(|least| *least >= 8), "{left:?}");
        for number in 0..10_000_i64 {
            table.insert(number, number, |value| *value);
            assert!(table.len() <= 64);
        }
        let mut one = Bounded::new(1);
        one.insert(1, 1, |value| *value);
        one.insert(2, 0, |value| *value);
        assert_eq!((one.len(), one.get(&2)), (1, Some(&0)));
    }
}
