//! Numbers that no other call in the world uses.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A source of numbers that have to differ from all others, and need not be secret.
///
/// The keys of the standard library's hash tables come from the operating system's generator once for each thread: what
/// they make of a counter differs between processes, and between calls.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    state: RandomState,
    count: AtomicU64,
}

impl Nonces {
    /// The next number.
    pub(crate) fn fresh(&self) -> [u8; 8] {
        self.state.hash_one(self.count.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
    }

    /// Between half of it and all of it: nodes that lost the same server do not come back at the same instant.
    pub(crate) fn jittered(&self, pause: Duration) -> Duration {
        let [chance, ..] = self.fresh();
        pause / 2 + pause / 2 * u32::from(chance) / u32::from(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_comes_twice_from_one_source_or_from_two() {
        let (one, other) = (Nonces::default(), Nonces::default());
        let mut numbers: Vec<_> = (0..1_000).flat_map(|_| [one.fresh(), other.fresh()]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 2_000);
    }
}
