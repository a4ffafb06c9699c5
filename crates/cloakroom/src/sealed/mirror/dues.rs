//! What the list may lack: entries that were written and not met, owed, or lost.

use std::collections::VecDeque;

use cloakroom_core::Timestamp;
use cloakroom_store::{RevocationEntry, StoreError};

use super::Mirror;
use super::copy::Copy;
use super::sabotage::Sabotage;

/// What is still to be seen in the list, and what is to be offered to it.
#[derive(Debug, Default)]
pub(super) struct Dues {
    /// Written and acknowledged. A reading that began later has to meet them.
    unmet: Vec<Unmet>,
    /// To be offered.
    offers: VecDeque<RevocationEntry>,
    /// The history in which it was last looked for what is missing.
    looked_in: u32,
    /// There was no room for everything that is owed: when there is, the copy tells what is missing.
    overflowed: bool,
}

#[derive(Debug)]
struct Unmet {
    entry: RevocationEntry,
    /// Readings up to this number may have begun before the list acknowledged it.
    reading: u64,
    /// When it was acknowledged, by the monotonic clock.
    at: u64,
}

/// A complete reading that was taken in: its number, its history, and when that was.
#[derive(Clone, Copy, Debug)]
struct Settled {
    reading: u64,
    history: u32,
    /// By the monotonic clock.
    now: u64,
    wall: Timestamp,
}

impl Dues {
    pub(super) fn wrote(&mut self, entries: &[RevocationEntry], reading: u64, at: u64) {
        self.unmet.extend(entries.iter().map(|entry| Unmet { entry: entry.clone(), reading, at }));
    }

    pub(super) fn owe(&mut self, entries: &[RevocationEntry]) {
        if self.offers.len() >= MOST_OFFERS {
            self.overflowed = true;
            return;
        }
        self.offers.extend(entries.iter().cloned());
    }

    /// A complete reading has been taken in: what it should have met and did not is to be offered. How long ago those were
    /// acknowledged that were met.
    fn settle(&mut self, copy: &Copy, reading: Settled) -> Vec<u64> {
        let Settled { reading, history, now, wall } = reading;
        let mut lags = Vec::new();
        let mut unmet = std::mem::take(&mut self.unmet);
        unmet.retain(|due| {
            let is_met = copy.has_met(&due.entry.scope, history);
            if is_met {
                lags.push(now.saturating_sub(due.at));
            } else if due.reading < reading {
                self.offers.push_back(due.entry.clone());
            }
            !is_met && due.reading >= reading
        });
        self.unmet = unmet;
        let is_other = self.looked_in != history && self.looked_in != 0;
        self.looked_in = history;
        if is_other || (self.overflowed && self.offers.is_empty()) {
            self.overflowed = false;
            self.offers = copy.lacking(history, wall).into();
        }
        lags
    }

    fn take(&mut self, copy: &Copy) -> Vec<RevocationEntry> {
        let history = self.looked_in;
        let mut some = Vec::new();
        while some.len() < OFFERED_AT_ONCE {
            let Some(entry) = self.offers.pop_front() else { break };
            if !copy.has_met(&entry.scope, history) {
                some.push(entry);
            }
        }
        some
    }
}

impl Mirror {
    pub(super) fn settle_dues(&self, reading: u64, history: u32) {
        let mut dues = self.dues.lock();
        let settled = Settled { reading, history, now: self.nanos(), wall: self.clock.now() };
        let lags = dues.settle(&self.copy, settled);
        drop(dues);
        self.metrics.lags(&lags);
    }

    /// Whether there is something to offer.
    pub(super) fn has_offers(&self) -> bool {
        !self.dues.lock().offers.is_empty()
    }

    /// Offers some of what the list lacks. Whether there was anything; what it has taken is to be met in a reading, like whatever
    /// is written.
    pub(super) async fn offer(&self) -> Result<bool, StoreError> {
        if self.harm.does(Sabotage::KeepToOneself) {
            return Ok(false);
        }
        let some = self.dues.lock().take(&self.copy);
        if some.is_empty() {
            return Ok(false);
        }
        match self.write(&some).await {
            Ok(()) => {
                self.metrics.offered(some.len());
                Ok(true)
            }
            Err(error) => {
                self.owe(&some);
                Err(error)
            }
        }
    }
}

/// Entries offered in one call. Between two, what others offered is read, and not offered again.
const OFFERED_AT_ONCE: usize = 256;
/// Entries kept aside to be offered; beyond them the copy is gone through once more.
const MOST_OFFERS: usize = 65_536;
