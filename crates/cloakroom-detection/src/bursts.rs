//! Counting how often something happens, without keeping when.

use std::hash::Hash;

use cloakroom_core::Timestamp;

use crate::bounded::Bounded;
use crate::rules::Burst;

/// How much each key has used up of its allowance, which grows back evenly over the window: one number a key, the instant
/// at which the allowance will be whole again (the generic cell rate algorithm, ITU-T I.371).
#[derive(Debug)]
pub(crate) struct Bursts<K> {
    interval: i64,
    window: i64,
    whole_at: Bounded<K, i64>,
}

impl<K: Eq + Hash + Copy> Bursts<K> {
    pub(crate) fn new(burst: Burst, capacity: usize) -> Self {
        let count = i64::from(burst.count.max(1));
        let micros = i64::try_from(burst.window.as_micros()).unwrap_or(i64::MAX / 4);
        let interval = (micros / count).max(1);
        Self { interval, window: interval.saturating_mul(count), whole_at: Bounded::new(capacity) }
    }

    /// Counts one of `key`, and says whether it is one too many.
    pub(crate) fn count(&mut self, key: K, now: Timestamp) -> bool {
        let now = now.as_millis().saturating_mul(1_000);
        // A clock that stepped back makes no allowance smaller than none.
        let used = self.whole_at.get(&key).map_or(0, |at| at.saturating_sub(now).clamp(0, self.window));
        let is_burst = used.saturating_add(self.interval) > self.window;
        let whole_at = now.saturating_add(used).saturating_add(self.interval);
        self.whole_at.insert(key, whole_at, |at| *at);
        is_burst
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.whole_at.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TEN_A_MINUTE: Burst = Burst { count: 10, window: Duration::from_secs(60) };

    #[test]
    fn so_many_are_none_one_more_is_a_burst_and_a_window_later_it_begins_anew() {
        let mut bursts = Bursts::new(TEN_A_MINUTE, 8);
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        assert_eq!((0..10).filter(|_| bursts.count("a", at(0))).count(), 0);
        assert!(bursts.count("a", at(0)));
        assert!(!bursts.count("b", at(0)), "each key has its own allowance");
        assert!(bursts.count("a", at(5)));
        assert_eq!((0..10).filter(|_| bursts.count("a", at(80))).count(), 0);
        assert!(bursts.count("a", at(80)));
        assert!(!bursts.count("c", at(-10)), "a clock that stepped back changes nothing");
    }

    #[test]
    fn an_even_trickle_is_never_a_burst() {
        let mut bursts = Bursts::new(TEN_A_MINUTE, 8);
        assert!((0..1_000).all(|n| !bursts.count((), Timestamp::from_millis(n * 6_000))));
    }

    #[test]
    fn many_that_did_little_do_not_make_one_forgotten_that_did_much() {
        let mut bursts = Bursts::new(TEN_A_MINUTE, 64);
        let now = Timestamp::from_millis(1_000);
        for _ in 0..10 {
            assert!(!bursts.count(u64::MAX, now));
        }
        for stranger in 0..100_000 {
            bursts.count(stranger, now);
            assert!(bursts.len() <= 64);
        }
        assert!(bursts.count(u64::MAX, now), "still the eleventh");
    }
}
