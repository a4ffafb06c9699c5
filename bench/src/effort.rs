//! How much to do.

use serde::Serialize;

/// How much to do: enough to quote, or just enough to see that everything works.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Effort {
    /// What to call it.
    pub(crate) name: &'static str,
    /// How often everything takes its turn.
    pub(crate) rounds: usize,
    /// How long a turn of requests lasts.
    pub(crate) turn_milliseconds: u64,
    /// Sessions in the memory store.
    pub(crate) in_memory: usize,
    /// Sessions in the SQLite store.
    pub(crate) in_sqlite: usize,
    /// Sizes at which each store is measured.
    pub(crate) sizes: &'static [usize],
    /// Look-ups in a turn, in memory; SQLite makes a hundredth of them.
    pub(crate) look_ups: usize,
    /// Sessions that are ended to see how long that takes to reach other nodes.
    pub(crate) ends: usize,
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        name: "full",
        rounds: 9,
        turn_milliseconds: 300,
        in_memory: 1_000_000,
        in_sqlite: 200_000,
        sizes: &[1_000, 10_000, 100_000, 1_000_000],
        look_ups: 1_000_000,
        ends: 2_000,
    };

    /// As much as eight minutes allow.
    pub(crate) const BOOK: Self = Self { name: "book", rounds: 7, ..Self::FULL };

    pub(crate) const QUICK: Self = Self {
        name: "quick",
        rounds: 3,
        turn_milliseconds: 100,
        in_memory: 100_000,
        in_sqlite: 10_000,
        sizes: &[1_000, 10_000],
        look_ups: 200_000,
        ends: 100,
    };
}
