//! Budgets: so many within a window, for each of very many keys.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use cloakroom_core::Timestamp;

/// A budget of so many per window, refilled evenly: the generic cell rate algorithm (ITU-T I.371).
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Microseconds after which one attempt is given back.
    interval: i64,
    /// Microseconds for which a full budget lasts.
    window: i64,
}

impl Rate {
    pub(super) fn new(attempts: u32, window: Duration) -> Self {
        let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX / 4);
        let interval = (window / i64::from(attempts.max(1))).max(1);
        // A whole number of intervals, so that exactly `attempts` fit.
        Self { interval, window: interval.saturating_mul(i64::from(attempts.max(1))) }
    }
}

/// One budget for each key. Each is a single number: the instant at which it will be full again.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    pub(super) full_at: HashMap<K, i64>,
    capacity: usize,
}

impl<K: Eq + Hash + Copy> Buckets<K> {
    pub(super) fn new(rate: Rate, capacity: usize) -> Self {
        Self { rate, full_at: HashMap::new(), capacity }
    }

    /// How long until one may be taken; zero if at once.
    pub(super) fn wait(&self, key: &K, now: Timestamp) -> Duration {
        let now = micros(now);
        let Some(&full_at) = self.full_at.get(key) else { return Duration::ZERO };
        let debt =
            self.debt(full_at, now).saturating_add(self.rate.interval).saturating_sub(self.rate.window);
        Duration::from_micros(u64::try_from(debt).unwrap_or(0))
    }

    pub(super) fn take(&mut self, key: K, now: Timestamp) {
        let now = micros(now);
        if self.full_at.len() >= self.capacity && !self.full_at.contains_key(&key) {
            self.make_room(now);
        }
        let debt = self.full_at.get(&key).map_or(0, |&full_at| self.debt(full_at, now));
        self.full_at.insert(key, now.saturating_add(debt).saturating_add(self.rate.interval));
    }

    pub(super) fn give_back(&mut self, key: &K) {
        if let Some(full_at) = self.full_at.get_mut(key) {
            *full_at = full_at.saturating_sub(self.rate.interval);
        }
    }

    pub(super) fn forget(&mut self, key: &K) {
        self.full_at.remove(key);
    }

    /// What is missing from a budget. Never more than all of it, even if the clock stepped back.
    fn debt(&self, full_at: i64, now: i64) -> i64 {
        full_at.saturating_sub(now).clamp(0, self.rate.window)
    }

    /// Forgets full budgets; if that is not enough, an eighth of all, those that are fullest.
    fn make_room(&mut self, now: i64) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= self.capacity {
            evict_lowest(&mut self.full_at, self.capacity);
        }
    }
}

/// Removes the entries with the lowest eighth of all values: one pass for many insertions.
pub(super) fn evict_lowest<K: Eq + Hash + Copy>(entries: &mut HashMap<K, i64>, capacity: usize) {
    let mut values: Vec<(i64, K)> = entries.iter().map(|(key, value)| (*value, *key)).collect();
    let excess = (capacity / 8).max(1).min(values.len());
    values.select_nth_unstable_by_key(excess - 1, |(value, _)| *value);
    for (_, key) in values.iter().take(excess) {
        entries.remove(key);
    }
}

pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_millis().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_hold_at_the_edges_of_the_configuration() {
        for (attempts, window) in [(1, 1), (3, 1), (1_000_000, 1), (7, 86_400), (u32::MAX, 86_400)] {
            let rate = Rate::new(attempts, Duration::from_secs(window));
            assert_eq!(rate.window / rate.interval, i64::from(attempts), "{attempts} in {window} s");
        }
    }
}
