//! News of changes: queued under the lock of the shard they happened in, told outside of it.

use std::collections::VecDeque;
use std::fmt;
use std::mem::take;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use cloakroom_core::TokenDigest;
use cloakroom_store::{Feed, News, Observer, Parts, StoreFuture};
use parking_lot::{Condvar, Mutex, MutexGuard};

/// Whoever watches a store, and what they have not been told yet.
///
/// A change is queued while its shard is locked, so that the queue has the order in which things happened. It is told after
/// the lock is released and before the verb returns, by one thread at a time: whoever finds nobody telling tells
/// everything there is, for everybody; the others wait until theirs was told. So no lock is held while an observer is
/// called.
#[derive(Default)]
pub(crate) struct Feeds {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    observers: Arc<[Watch]>,
    last_number: u64,
    waiting: VecDeque<Item>,
    /// How many items were ever queued, and how many of them were told.
    queued: u64,
    told: u64,
    teller: Option<ThreadId>,
}

#[derive(Clone)]
struct Watch {
    number: u64,
    observer: Arc<dyn Observer>,
}

enum Item {
    Changed(Vec<TokenDigest>),
    Anything,
}

/// Whether anybody watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Watched {
    Yes,
    No,
}

impl Feeds {
    /// Tells `observer` of whatever is queued from now on.
    pub(crate) fn watch(self: &Arc<Self>, observer: Arc<dyn Observer>) -> MemoryFeed {
        let mut state = self.state.lock();
        state.last_number += 1;
        let number = state.last_number;
        state.observers = state.observers.iter().cloned().chain([Watch { number, observer }]).collect();
        MemoryFeed { feeds: Arc::clone(self), number }
    }

    /// Queues that what is filed under `digests` changed. To be called under the lock of their shard, and followed by
    /// [`tell`](Self::tell) outside of it.
    pub(crate) fn changed(&self, digests: Vec<TokenDigest>) -> Watched {
        self.queue(Item::Changed(digests))
    }

    /// Queues that anything may have changed.
    pub(crate) fn anything(&self) -> Watched {
        self.queue(Item::Anything)
    }

    /// Returns when everything queued so far was told. Not so where an observer calls the store, which it must not: what
    /// that call changes is told after the observer has returned.
    pub(crate) fn tell(&self) -> Caught {
        let mut state = self.state.lock();
        let mine = state.queued;
        while state.told < mine {
            match state.teller {
                None => self.tell_all(&mut state),
                Some(teller) if teller == thread::current().id() => return Caught::Behind,
                Some(_) => self.told.wait(&mut state),
            }
        }
        Caught::Up
    }

    fn queue(&self, item: Item) -> Watched {
        let state = &mut *self.state.lock();
        if state.observers.is_empty() {
            return Watched::No;
        }
        state.waiting.push_back(item);
        state.queued += 1;
        Watched::Yes
    }

    /// Tells everything there is, outside of the lock.
    fn tell_all(&self, state: &mut MutexGuard<'_, State>) {
        let (items, observers) = (take(&mut state.waiting), Arc::clone(&state.observers));
        state.teller = Some(thread::current().id());
        MutexGuard::unlocked(state, move || {
            let _turn = Turn { feeds: self, until: items.len() };
            for item in &items {
                let news = match item {
                    Item::Changed(digests) => News::Changed(digests),
                    Item::Anything => News::Anything(Parts::ALL),
                };
                observers.iter().for_each(|watch| watch.observer.told(news));
            }
        });
    }
}

impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feeds(..)")
    }
}

/// Whether everything queued before was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caught {
    Up,
    Behind,
}

/// The turn of one thread to tell so many items.
struct Turn<'a> {
    feeds: &'a Feeds,
    until: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let state = &mut *self.feeds.state.lock();
        state.told += u64::try_from(self.until).unwrap_or(u64::MAX);
        state.teller = None;
        if thread::panicking() && !state.observers.is_empty() {
            // An observer failed, which it must not. Who was not told of what was on its way is told of this instead.
            state.waiting.push_front(Item::Anything);
            state.queued += 1;
        }
        self.feeds.told.notify_all();
    }
}

/// The way by which a memory store's news come: the threads of those who change something.
pub(crate) struct MemoryFeed {
    feeds: Arc<Feeds>,
    number: u64,
}

impl Feed for MemoryFeed {
    fn prove(&self) -> StoreFuture<'_, Parts> {
        // Whoever changed something has told of it before they had their answer.
        StoreFuture::ready(Ok(match self.feeds.tell() {
            Caught::Up => Parts::ALL,
            Caught::Behind => Parts::NONE,
        }))
    }
}

impl Drop for MemoryFeed {
    fn drop(&mut self) {
        let mut state = self.feeds.state.lock();
        let others = state.observers.iter().filter(|watch| watch.number != self.number).cloned().collect();
        let before = std::mem::replace(&mut state.observers, others);
        // What an observer does when it is dropped is its own affair, and shall not happen under a lock.
        drop(state);
        drop(before);
    }
}

impl fmt::Debug for MemoryFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFeed").field("number", &self.number).finish_non_exhaustive()
    }
}
