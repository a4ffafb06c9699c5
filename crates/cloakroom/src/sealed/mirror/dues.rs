//! What the list may lack: entries that were written and not met, owed, or lost.

use std::collections::VecDeque;

use cloakroom_store::{RevocationEntry, StoreError};

use super::book::OFFER_BITS;
use super::sabotage::Sabotage;
use super::{Book, Mirror};

/// What is still to be seen in the list, and what is to be offered to it.
#[derive(Debug, Default)]
pub(super) struct Dues {
    /// Written and acknowledged. A reading that began later has to meet them.
    unmet: Vec<Unmet>,
    /// To be offered.
    offers: VecDeque<RevocationEntry>,
    /// The history in which it was last looked for what is missing.
    looked_in: u32,
    /// There was no room for everything that is owed: when there is, the book tells what is missing.
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

    /// A complete reading, of this number and history, has been taken in: what should have been met and was not is to be
    /// offered. How long ago those were acknowledged that were met.
    fn settle(&mut self, book: &Book, reading: u64, history: u32, now: u64) -> Vec<u64> {
        let mut lags = Vec::new();
        let mut unmet = std::mem::take(&mut self.unmet);
        unmet.retain(|due| {
            let is_met = book.has_met(&due.entry.scope, history);
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
            self.offers = book.lacking(history).into();
        }
        lags
    }

    fn take(&mut self, book: &Book) -> Vec<RevocationEntry> {
        let history = self.looked_in;
        let mut some = Vec::new();
        while some.len() < OFFERED_AT_ONCE {
            let Some(entry) = self.offers.pop_front() else { break };
            if !book.has_met(&entry.scope, history) {
                some.push(entry);
            }
        }
        some
    }
}

impl Mirror {
    pub(super) fn settle_dues(&self, reading: u64, history: u32) {
        let mut dues = self.dues.lock();
        let lags = dues.settle(&self.book.read(), reading, history, self.nanos());
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
        let mut some = {
            let mut dues = self.dues.lock();
            let book = self.book.read();
            dues.take(&book)
        };
        if some.is_empty() {
            return Ok(false);
        }
        for entry in &mut some {
            // With its old nonce it might come to stand under its old number, before what others added to the new history: who
            // stands there would never read that.
            if let Ok(fresh) = self.nonce() {
                entry.nonce = (entry.nonce >> OFFER_BITS << OFFER_BITS) | (fresh >> OFFER_BITS);
            }
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
/// Entries kept aside to be offered; beyond them the book is gone through once more.
const MOST_OFFERS: usize = 65_536;
