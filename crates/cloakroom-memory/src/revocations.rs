//! A list of what was ended, in this process.

use std::collections::BTreeMap;

use cloakroom_core::Timestamp;
use cloakroom_store::{ListStanding, Place, Reading, RevocationEntry, RevocationList, StoreFuture};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A [`RevocationList`] for one process; a restart forgets it, and with it every end that a token might outlive.
#[derive(Debug, Default)]
pub struct MemoryRevocations {
    log: Mutex<Log>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct Log {
    last: u64,
    entries: BTreeMap<u64, RevocationEntry>,
}

impl RevocationList for MemoryRevocations {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn standing(&self) -> ListStanding {
        ListStanding { durable: false, shared: false }
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        let mut log = self.log.lock();
        for entry in entries {
            log.last += 1;
            let number = log.last;
            log.entries.insert(number, entry.clone());
        }
        drop(log);
        self.grown.notify_waiters();
        StoreFuture::ready(Ok(()))
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        let log = self.log.lock();
        let is_ours = log.entries.get(&place.number).is_some_and(|entry| entry.nonce == place.nonce);
        if place != Place::START && !is_ours {
            return StoreFuture::ready(Ok(Reading::Lost));
        }
        let after = log.entries.range(place.number.saturating_add(1)..);
        let entries: Vec<_> =
            after.clone().take(limit).map(|(number, entry)| (*number, entry.clone())).collect();
        let more = after.count() > entries.len();
        StoreFuture::ready(Ok(Reading::Entries { entries, more }))
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        let mut log = self.log.lock();
        let last = log.last;
        let over = log.entries.iter().filter(|(number, entry)| **number != last && entry.until <= now);
        let over: Vec<u64> = over.map(|(number, _)| *number).take(limit).collect();
        for number in &over {
            log.entries.remove(number);
        }
        StoreFuture::ready(Ok(over.len()))
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
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
