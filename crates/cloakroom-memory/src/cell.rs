//! A shard behind its lock, and what the others see of it without taking the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use cloakroom_core::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use crate::feed::{Feeds, Watched};
use crate::shard::{Bytes, Shard};
use crate::slot::Class;

/// A shard, its lock, and what it publishes: approximate at any instant, exact as soon as nobody holds the lock.
#[derive(Debug)]
#[repr(align(128))] // Neighbouring shards shall not share a line of cache.
pub(crate) struct Cell {
    shard: Mutex<Shard>,
    /// When the first slot of each class was last active, or ended.
    oldest: [AtomicI64; 3],
    due: AtomicI64,
    feeds: Arc<Feeds>,
}

/// The bytes that all shards and the waiting reports take.
#[derive(Default, Debug)]
pub(crate) struct Ledger {
    all: AtomicUsize,
    remnants: AtomicUsize,
}

impl Cell {
    pub(crate) fn new(shard: Shard, feeds: Arc<Feeds>) -> Self {
        Self { shard: Mutex::new(shard), oldest: [NEVER, NEVER, NEVER], due: NEVER, feeds }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Shard> {
        self.shard.lock()
    }

    /// Runs `work` under the lock, publishes what it changed, and tells whoever watches.
    pub(crate) fn with<T>(&self, ledger: &Ledger, work: impl FnOnce(&mut Shard) -> T) -> T {
        let (result, watched) = self.with_untold(ledger, work);
        if watched == Watched::Yes {
            self.feeds.tell();
        }
        result
    }

    /// The same for a caller who holds another lock; whether there is something to tell once that is released.
    pub(crate) fn with_untold<T>(&self, ledger: &Ledger, work: impl FnOnce(&mut Shard) -> T) -> (T, Watched) {
        let mut shard = self.shard.lock();
        let before = shard.bytes;
        let result = work(&mut shard);
        let mut watched = Watched::No;
        if std::mem::take(&mut shard.is_changed) {
            ledger.move_on(before, shard.bytes);
            self.publish(&shard);
            if let Some(news) = shard.news.as_mut().filter(|news| !news.is_empty()) {
                watched = self.feeds.changed(std::mem::take(news));
                if watched == Watched::No {
                    shard.news = None;
                }
            }
        }
        (result, watched)
    }

    /// When the slot that would make room first was last active, or ended; `None` where there is none.
    pub(crate) fn oldest(&self, class: Class) -> Option<Timestamp> {
        let oldest = Timestamp::from_millis(self.slot_of(class).load(Ordering::Relaxed));
        (oldest != Timestamp::MAX).then_some(oldest)
    }

    /// Whether there may be something to clear up by `now`. What is due at the end of time is never due: that is also what
    /// an empty shard says.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let due = self.due_at();
        due <= now && due < Timestamp::MAX
    }

    /// Before when there is nothing to clear up.
    pub(crate) fn due_at(&self) -> Timestamp {
        Timestamp::from_millis(self.due.load(Ordering::Relaxed))
    }

    fn publish(&self, shard: &Shard) {
        for class in [Class::Remnant, Class::Anonymous, Class::SignedIn] {
            let first = shard.lists.of(class).first();
            let oldest = first.map_or(Timestamp::MAX, |index| shard.slots.get(index).at);
            self.slot_of(class).store(oldest.as_millis(), Ordering::Relaxed);
        }
        self.due.store(shard.due_at().as_millis(), Ordering::Relaxed);
    }

    fn slot_of(&self, class: Class) -> &AtomicI64 {
        let [remnant, anonymous, signed_in] = &self.oldest;
        match class {
            Class::Remnant => remnant,
            Class::Anonymous => anonymous,
            Class::SignedIn => signed_in,
        }
    }
}

/// Runs `work` on all shards at one instant, and tells that anything may have changed; the sum of what it returns.
///
/// The one place where more than one lock is held. They are taken in the order of the shards, and whoever holds one
/// elsewhere never waits for another.
pub(crate) fn with_all(cells: &[Cell], feeds: &Feeds, mut work: impl FnMut(&mut Shard) -> u64) -> u64 {
    let mut shards: Vec<MutexGuard<'_, Shard>> = cells.iter().map(Cell::lock).collect();
    let mut sum = 0;
    for (cell, shard) in cells.iter().zip(&mut shards) {
        sum += work(shard);
        cell.publish(shard);
    }
    // Before anything can happen to a session that is filed from now on.
    let watched = feeds.anything();
    drop(shards);
    if watched == Watched::Yes {
        feeds.tell();
    }
    sum
}

impl Ledger {
    pub(crate) fn all(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    pub(crate) fn remnants(&self) -> usize {
        self.remnants.load(Ordering::Relaxed)
    }

    /// Accounts for a change from `before` to `after`. Sums wrap on the way, and are right in the end.
    pub(crate) fn move_on(&self, before: Bytes, after: Bytes) {
        self.all.fetch_add(after.all.wrapping_sub(before.all), Ordering::Relaxed);
        self.remnants.fetch_add(after.remnants.wrapping_sub(before.remnants), Ordering::Relaxed);
    }
}

#[expect(clippy::declare_interior_mutable_const, reason = "three of them are made from it, none is shared")]
const NEVER: AtomicI64 = AtomicI64::new(i64::MAX);
