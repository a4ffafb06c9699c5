//! A list of ends that can be counted, and taken away.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cloakroom_core::Timestamp;
use cloakroom_memory::MemoryRevocations;
use cloakroom_store::{
    ErrorKind, ListStanding, Place, Reading, RevocationEntry, RevocationList, StoreError, StoreFuture, Verb,
};

/// A list in memory.
#[derive(Debug, Default)]
pub(crate) struct WatchedList {
    list: MemoryRevocations,
    is_down: AtomicBool,
    added: AtomicUsize,
    read: AtomicUsize,
}

impl WatchedList {
    pub(crate) fn go_down(&self) {
        self.is_down.store(true, Ordering::Relaxed);
    }

    pub(crate) fn heal(&self) {
        self.is_down.store(false, Ordering::Relaxed);
    }

    /// What is in it.
    pub(crate) async fn entries(&self) -> Vec<RevocationEntry> {
        match self.list.read(Place::START, 1_000).await.unwrap() {
            Reading::Entries { entries, more: false } => {
                entries.into_iter().map(|(_, entry)| entry).collect()
            }
            other => panic!("more than a test writes: {other:?}"),
        }
    }

    /// How often it was written to, and how often read, since the last time.
    pub(crate) fn take(&self) -> (usize, usize) {
        (self.added.swap(0, Ordering::Relaxed), self.read.swap(0, Ordering::Relaxed))
    }

    fn unless_down<'a, T: Send + 'a>(
        &self,
        verb: Verb,
        answer: impl FnOnce() -> StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        if self.is_down.load(Ordering::Relaxed) {
            return StoreFuture::ready(Err(StoreError::new(ErrorKind::Unavailable, "watched", verb)));
        }
        answer()
    }
}

impl RevocationList for WatchedList {
    fn name(&self) -> &'static str {
        "watched"
    }

    fn standing(&self) -> ListStanding {
        self.list.standing()
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        self.added.fetch_add(1, Ordering::Relaxed);
        self.unless_down(Verb::End, || self.list.add(entries))
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.unless_down(Verb::List, || self.list.read(place, limit))
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        self.list.prune(now, limit)
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        self.list.changed()
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.unless_down(Verb::Ping, || self.list.ping())
    }
}
