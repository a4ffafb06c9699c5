//! A list of ends, in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use cloakroom_core::Timestamp;
use cloakroom_store::{
    ErrorKind, ListStanding, MOST_ENTRIES, Place, Reading, RevocationEntry, RevocationList, StoreError,
    StoreFuture, Verb,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::NAME;

/// A [`RevocationList`] for one process; a restart forgets it, and with it every end that a token might outlive.
///
/// Bounded: once it holds as many entries as it may, it answers [`Full`](ErrorKind::Full) until some are pruned. It never
/// makes room by forgetting an end.
#[derive(Debug)]
pub struct MemoryRevocations {
    log: Mutex<Log>,
    grown: Notify,
    most: NonZeroUsize,
}

#[derive(Debug, Default)]
struct Log {
    last: u64,
    entries: BTreeMap<u64, RevocationEntry>,
    /// The same, by when they are over.
    ends: BTreeSet<(Timestamp, u64)>,
}

impl MemoryRevocations {
    /// An empty list of up to a million entries.
    #[must_use]
    pub fn new() -> Self {
        Self::with_most(DEFAULT_MOST)
    }

    /// An empty list of up to `most` entries; each takes 100 to 500 bytes.
    #[must_use]
    pub fn with_most(most: NonZeroUsize) -> Self {
        Self { log: Mutex::default(), grown: Notify::new(), most }
    }
}

impl Default for MemoryRevocations {
    fn default() -> Self {
        Self::new()
    }
}

impl RevocationList for MemoryRevocations {
    fn name(&self) -> &'static str {
        NAME
    }

    fn standing(&self) -> ListStanding {
        ListStanding { durable: false, shared: false, tells: true }
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        if entries.is_empty() {
            return StoreFuture::ready(Ok(()));
        }
        let refused = |kind, why: &str| StoreError::new(kind, NAME, Verb::End).caused_by(why);
        if entries.len() > MOST_ENTRIES {
            let error = refused(ErrorKind::Internal, "more entries than may be added at once");
            return StoreFuture::ready(Err(error));
        }
        if self.log.lock().add(entries, self.most).is_none() {
            let why = "the list holds as many entries as it may: keep it in another store, or in more memory";
            return StoreFuture::ready(Err(refused(ErrorKind::Full, why)));
        }
        self.grown.notify_waiters();
        StoreFuture::ready(Ok(()))
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        StoreFuture::ready(Ok(self.log.lock().read(place, limit.clamp(1, MOST_ENTRIES))))
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        StoreFuture::ready(Ok(self.log.lock().prune(now, limit.clamp(1, MOST_ENTRIES))))
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        // Counts from here, not from when it is first polled: `notify_waiters` reaches whatever was made before it.
        let grown = self.grown.notified();
        StoreFuture::waiting(async move {
            grown.await;
            Ok(())
        })
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::ready(Ok(None))
    }
}

impl Log {
    /// `None` where there is no room for all of them; none is added then.
    fn add(&mut self, entries: &[RevocationEntry], most: NonZeroUsize) -> Option<()> {
        most.get().checked_sub(self.entries.len())?.checked_sub(entries.len())?;
        for entry in entries {
            self.last = micros(entry.at).max(self.last + 1);
            self.ends.insert((entry.until, self.last));
            self.entries.insert(self.last, entry.clone());
        }
        Some(())
    }

    fn read(&self, place: Place, limit: usize) -> Reading {
        let is_ours = self.entries.get(&place.number).is_some_and(|entry| entry.nonce == place.nonce);
        if place != Place::START && !is_ours {
            return Reading::Lost;
        }
        let mut after = self.entries.range(place.number.saturating_add(1)..);
        let entries = after.by_ref().take(limit).map(|(number, entry)| (*number, entry.clone())).collect();
        Reading::Entries { entries, more: after.next().is_some() }
    }

    fn prune(&mut self, now: Timestamp, limit: usize) -> usize {
        let over = self.ends.iter().take_while(|(until, _)| *until <= now);
        let over = over.filter(|(_, number)| *number != self.last).take(limit);
        let over: Vec<(Timestamp, u64)> = over.copied().collect();
        for end in &over {
            self.ends.remove(end);
            self.entries.remove(&end.1);
        }
        over.len()
    }
}

/// The clock by which numbers begin: nobody reads another one in here.
fn micros(instant: Timestamp) -> u64 {
    let micros = u64::try_from(instant.as_millis()).unwrap_or(0).saturating_mul(1_000);
    micros.min(LATEST)
}

/// The beginning of the year 2100: a number that comes of a clock which is wrong leaves room for those after it.
const LATEST: u64 = 4_102_444_800_000_000;
/// Ends of a month's worth of a large site; a quarter of a gigabyte.
const DEFAULT_MOST: NonZeroUsize = NonZeroUsize::new(1_000_000).expect("not zero");

#[cfg(test)]
mod tests {
    use cloakroom_core::EndReason;
    use cloakroom_store::Scope;

    use super::*;

    fn entry(until: i64) -> RevocationEntry {
        RevocationEntry {
            scope: Scope::All,
            at: Timestamp::EPOCH,
            until: Timestamp::from_millis(until),
            reason: EndReason::Compromised,
            nonce: 7,
        }
    }

    #[test]
    fn a_full_list_refuses_whole_batches_and_has_room_again_once_something_is_pruned() {
        let list = MemoryRevocations::with_most(NonZeroUsize::new(2).unwrap());
        let add = |entries: &[RevocationEntry]| list.add(entries).into_ready().unwrap();
        add(&[entry(1)]).unwrap();
        let error = add(&[entry(9), entry(9)]).unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, cloakroom_store::Applied::No));
        add(&[entry(9)]).unwrap();
        assert_eq!(add(&[entry(9)]).unwrap_err().kind(), ErrorKind::Full);
        assert_eq!(list.prune(Timestamp::from_millis(1), 9).into_ready().unwrap().unwrap(), 1);
        add(&[entry(9)]).unwrap();
        assert_eq!(list.log.lock().ends.len(), 2, "both orders know the same");
    }
}
