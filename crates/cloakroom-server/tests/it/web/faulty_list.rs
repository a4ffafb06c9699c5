//! A list of ends that can be cut off.

use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom::Timestamp;
use cloakroom_memory::MemoryRevocations;
use cloakroom_store::{
    ErrorKind, ListStanding, Place, Reading, RevocationEntry, RevocationList, StoreError, StoreFuture, Verb,
};

/// A list in memory, until it is cut off.
#[derive(Debug, Default)]
pub(super) struct FaultyList {
    list: MemoryRevocations,
    is_down: AtomicBool,
}

impl FaultyList {
    pub(super) fn go_down(&self) {
        self.is_down.store(true, Ordering::SeqCst);
    }

    pub(super) fn heal(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }

    /// What is in it.
    pub(super) async fn entries(&self) -> Vec<RevocationEntry> {
        match self.list.read(Place::START, 4_000).await.unwrap() {
            Reading::Entries { entries, more: false } => {
                entries.into_iter().map(|(_, entry)| entry).collect()
            }
            other => panic!("more than a test writes: {other:?}"),
        }
    }

    fn unless_down<'a, T>(&self, verb: Verb, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        if self.is_down.load(Ordering::SeqCst) {
            return StoreFuture::ready(Err(StoreError::new(ErrorKind::Unavailable, "memory", verb)));
        }
        answer
    }
}

impl RevocationList for FaultyList {
    fn name(&self) -> &'static str {
        self.list.name()
    }

    fn standing(&self) -> ListStanding {
        self.list.standing()
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        if self.is_down.load(Ordering::SeqCst) {
            return StoreFuture::ready(Err(StoreError::new(ErrorKind::Unavailable, "memory", Verb::End)));
        }
        self.list.add(entries)
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        self.unless_down(Verb::Watch, self.list.read(place, limit))
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        self.unless_down(Verb::Sweep, self.list.prune(now, limit))
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        self.list.changed()
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.unless_down(Verb::Ping, self.list.ping())
    }
}
