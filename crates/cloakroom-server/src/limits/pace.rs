//! How often somebody may do what costs them nothing and is recorded each time.

use std::hash::Hash;
use std::time::Duration;

use cloakroom_core::Timestamp;
use parking_lot::Mutex;

use super::MAX_TRACKED;
use super::buckets::{Buckets, Rate};

/// A budget for each key, refilled evenly. Memory is bounded: what is fullest is forgotten first.
///
/// The audit log keeps so many events. Whoever may cause one at no cost could push out those of others, so that there is
/// a limit to it.
#[derive(Debug)]
pub(crate) struct Pace<K> {
    spent: Mutex<Buckets<K>>,
}

impl<K: Eq + Hash + Copy> Pace<K> {
    /// So many `times` at once, and so many again within each `window`.
    pub(crate) fn new(times: u32, window: Duration) -> Self {
        Self { spent: Mutex::new(Buckets::new(Rate::new(times, window), MAX_TRACKED)) }
    }

    /// Spends one.
    ///
    /// # Errors
    /// How long it takes until there is one to be spent; nothing was.
    pub(crate) fn spend(&self, key: K, now: Timestamp) -> Result<(), Duration> {
        let mut spent = self.spent.lock();
        let wait = spent.wait(&key, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        spent.take(key, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn a_pace_is_kept_by_each_key_for_itself_and_refills_evenly() {
        let pace = Pace::new(4, Duration::from_secs(40));
        let spends = |key: u8, now| (0..9).filter(|_| pace.spend(key, now).is_ok()).count();
        assert_eq!((spends(1, NOW), spends(2, NOW)), (4, 4));
        assert_eq!(pace.spend(1, NOW), Err(Duration::from_secs(10)));
        assert_eq!(spends(1, NOW.plus(Duration::from_millis(9_999))), 0);
        assert_eq!(spends(1, NOW.plus(Duration::from_secs(20))), 2);
        assert_eq!(spends(2, NOW.plus(Duration::from_secs(4_000))), 4, "no more than all of it");
    }
}
