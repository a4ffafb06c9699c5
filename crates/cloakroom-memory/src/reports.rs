//! Ends that were noticed in passing, until a sweep tells of them.

use std::mem::take;

use cloakroom_store::Ended;
use parking_lot::Mutex;

use crate::cell::Ledger;
use crate::packed::ALLOCATION;
use crate::shard::Bytes;

/// Ends nobody has been told of yet. They count towards the bytes of the store.
#[derive(Default, Debug)]
pub(crate) struct Reports(Mutex<Vec<Ended>>);

impl Reports {
    pub(crate) fn add(&self, ledger: &Ledger, ended: Vec<Ended>) {
        if !ended.is_empty() {
            ledger.move_on(Bytes::default(), bytes(&ended));
            self.0.lock().extend(ended);
        }
    }

    /// No more than `most` of them, which the caller has to tell of.
    pub(crate) fn take(&self, ledger: &Ledger, most: usize) -> Vec<Ended> {
        let taken = {
            let mut waiting = self.0.lock();
            // From the end: in which order they are told does not matter, and nothing has to move up.
            match waiting.len().checked_sub(most) {
                None | Some(0) => take(&mut *waiting),
                Some(rest) => waiting.split_off(rest),
            }
        };
        ledger.move_on(bytes(&taken), Bytes::default());
        taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

fn bytes(ended: &[Ended]) -> Bytes {
    let name = |ended: &Ended| ended.principal.as_ref().map_or(0, |id| id.as_str().len() + 2 * ALLOCATION);
    Bytes { all: ended.iter().map(|ended| size_of::<Ended>() + name(ended)).sum(), remnants: 0 }
}

#[cfg(test)]
impl Reports {
    /// The bytes they account for.
    pub(crate) fn bytes(&self) -> usize {
        bytes(&self.0.lock()).all
    }
}
