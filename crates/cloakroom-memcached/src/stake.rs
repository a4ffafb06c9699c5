//! What an error has to say of a change.

use std::sync::atomic::{AtomicU8, Ordering};

use cloakroom_store::Applied;

/// Whether a call may have changed something that counts. Items that nothing refers to yet do not count.
#[derive(Debug, Default)]
pub(crate) struct Stake(AtomicU8);

impl Stake {
    /// A write that decides is on its way.
    pub(crate) fn raise(&self) {
        self.0.fetch_or(ON_ITS_WAY, Ordering::Relaxed);
    }

    /// It did not happen.
    pub(crate) fn lower(&self) {
        self.0.fetch_and(!ON_ITS_WAY, Ordering::Relaxed);
    }

    /// It happened.
    pub(crate) fn win(&self) {
        self.0.fetch_or(HAPPENED, Ordering::Relaxed);
        self.lower();
    }

    /// What an error that comes now has to say.
    pub(crate) fn applied(&self) -> Applied {
        if self.0.load(Ordering::Relaxed) == 0 { Applied::No } else { Applied::Unknown }
    }
}

const ON_ITS_WAY: u8 = 1;
const HAPPENED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_write_that_may_have_happened_makes_an_error_uncertain() {
        let stake = Stake::default();
        assert_eq!(stake.applied(), Applied::No);
        stake.raise();
        assert_eq!(stake.applied(), Applied::Unknown);
        stake.lower();
        assert_eq!(stake.applied(), Applied::No, "its condition did not hold");
        stake.raise();
        stake.win();
        stake.lower();
        assert_eq!(stake.applied(), Applied::Unknown, "a later step cannot take it back");
    }
}
