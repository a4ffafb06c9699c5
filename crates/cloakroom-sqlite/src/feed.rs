//! News of changes: of this process before the caller has their answer, of others when somebody looks.

use std::fmt;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::{Applied, Feed, News, Observer, Parts, StoreError, StoreFuture, Verb};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::database::Database;
use crate::error::Problem;
use crate::follower::{File, Follower, Found};
use crate::patience::Patience;
use crate::threads::Threads;

/// Whoever watches a store, and the thread that looks for them.
///
/// News are read and told by one thread at a time, in the order in which they were committed: by the writing thread after
/// each of its commits, by the watching thread when a proof is asked for, and every few
/// milliseconds in between.
pub(crate) struct Feeds {
    observers: Mutex<Arc<[Watch]>>,
    follower: Mutex<Follower>,
    asked: Mutex<Asked>,
    woken: Condvar,
    patience: Arc<Patience>,
}

#[derive(Clone)]
struct Watch {
    number: u64,
    observer: Arc<dyn Observer>,
}

/// What the watching thread is asked for.
#[derive(Default)]
struct Asked {
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    last_number: u64,
    is_started: bool,
    is_closed: bool,
}

impl Feeds {
    pub(crate) fn new(database: Database, patience: Arc<Patience>) -> Self {
        Self {
            observers: Mutex::default(),
            follower: Mutex::new(Follower::new(database)),
            asked: Mutex::default(),
            woken: Condvar::new(),
            patience,
        }
    }

    /// Tells `observer` of what changes from now on. Starts the watching thread where it does not run.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        observer: Arc<dyn Observer>,
        threads: &Threads,
    ) -> Result<Box<dyn Feed>, StoreError> {
        let feed = self.enter(observer, threads).map_err(|problem| problem.into_error(Verb::Watch))?;
        self.catch_up().await?;
        Ok(Box::new(feed))
    }

    /// Tells what was committed up to now, unless nobody watches. For the thread that committed it.
    pub(crate) fn committed(&self) {
        if self.is_watched() {
            // Where this fails, the next proof begins where this would have.
            let _ = self.advance();
        }
    }

    /// Tells everybody that nothing is known any more, and ends the watching thread.
    pub(crate) fn close(&self) {
        self.asked.lock().is_closed = true;
        self.woken.notify_all();
    }

    fn enter(
        self: &Arc<Self>,
        observer: Arc<dyn Observer>,
        threads: &Threads,
    ) -> Result<SqliteFeed, Problem> {
        let mut asked = self.asked.lock();
        if asked.is_closed {
            return Err(Problem::Closed);
        }
        if !asked.is_started {
            let feeds = Arc::clone(self);
            threads.start("cloakroom-sqlite-watch", move || feeds.run())?;
            asked.is_started = true;
        }
        asked.last_number += 1;
        let number = asked.last_number;
        let mut observers = self.observers.lock();
        *observers = observers.iter().cloned().chain([Watch { number, observer }]).collect();
        Ok(SqliteFeed { feeds: Arc::clone(self), number })
    }

    /// Returns when everything was told that was committed before this was called.
    async fn catch_up(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut asked = self.asked.lock();
            if asked.is_closed {
                return Err(Problem::Closed.into_error(Verb::Watch));
            }
            asked.waiting.push(reply);
        }
        self.woken.notify_all();
        self.patience.answer(Verb::Watch, answer, Applied::No).await
    }

    /// Looks when asked, and now and then, until closed.
    fn run(&self) {
        let mut quiet: u32 = 0;
        while let Some(questions) = self.next(if quiet < QUIET { INTERVAL } else { QUIET_INTERVAL }) {
            // Whoever asked did so before this.
            let advanced = catch_unwind(AssertUnwindSafe(|| self.advance()));
            let advanced = advanced.unwrap_or_else(|_| Err(Arc::new(Problem::Panicked)));
            // What this process wrote was read by whoever wrote it: this is about others.
            quiet = if matches!(advanced, Ok(File::Moved)) { 0 } else { quiet.saturating_add(1) };
            for reply in questions {
                let answer = advanced.clone().map(|_| ());
                // Whoever asked may have left.
                let _ =
                    reply.send(answer.map_err(|problem| Problem::shared(&problem, Verb::Watch, Applied::No)));
            }
        }
        self.follower.lock().close();
        for reply in take(&mut self.asked.lock().waiting) {
            let _ = reply.send(Err(Problem::Closed.into_error(Verb::Watch)));
        }
        tell(&self.observers(), &Found::Anything);
    }

    /// Waits until somebody asks or it is time to look; `None` once closed.
    fn next(&self, interval: Duration) -> Option<Vec<oneshot::Sender<Result<(), StoreError>>>> {
        if !self.is_watched() {
            self.follower.lock().rest();
        }
        let mut asked = self.asked.lock();
        loop {
            if asked.is_closed {
                return None;
            }
            if !asked.waiting.is_empty() {
                return Some(take(&mut asked.waiting));
            }
            if !self.is_watched() {
                self.woken.wait(&mut asked);
            } else if self.woken.wait_for(&mut asked, interval).timed_out() {
                return Some(take(&mut asked.waiting));
            }
        }
    }

    fn advance(&self) -> Result<File, Arc<Problem>> {
        let follower = &mut *self.follower.lock();
        follower.advance(|found| tell(&self.observers(), &found)).map_err(Arc::new)
    }

    /// Whoever watches now. No lock is held while they are told.
    fn observers(&self) -> Arc<[Watch]> {
        Arc::clone(&self.observers.lock())
    }

    fn is_watched(&self) -> bool {
        !self.observers.lock().is_empty()
    }
}

impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feeds(..)")
    }
}

fn tell(observers: &[Watch], found: &Found) {
    for Watch { observer, .. } in observers {
        match found {
            Found::Changed(digests) => {
                digests.chunks(AT_ONCE).for_each(|some| observer.told(News::Changed(some)));
            }
            Found::Anything => observer.told(News::Anything(Parts::ALL)),
        }
    }
}

/// The way by which the news of a file come.
pub(crate) struct SqliteFeed {
    feeds: Arc<Feeds>,
    number: u64,
}

impl Feed for SqliteFeed {
    fn prove(&self) -> StoreFuture<'_, Parts> {
        StoreFuture::waiting(async move { self.feeds.catch_up().await.map(|()| Parts::ALL) })
    }
}

impl Drop for SqliteFeed {
    fn drop(&mut self) {
        let others = |watch: &&Watch| watch.number != self.number;
        let before = {
            let mut observers = self.feeds.observers.lock();
            let rest = observers.iter().filter(others).cloned().collect();
            std::mem::replace(&mut *observers, rest)
        };
        // What an observer does when it is dropped is its own affair, and shall not happen under a lock.
        drop(before);
        self.feeds.woken.notify_all();
    }
}

impl fmt::Debug for SqliteFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteFeed").field("number", &self.number).finish_non_exhaustive()
    }
}

/// How often the file is looked at for what other processes changed while nobody asks: a look takes some 20 µs of processor
/// time.
const INTERVAL: Duration = Duration::from_millis(5);
/// The same once no other process has written for a while.
const QUIET_INTERVAL: Duration = Duration::from_millis(25);
/// Looks in vain after which it is quiet: about a second.
const QUIET: u32 = 200;
/// Most digests told at once.
const AT_ONCE: usize = 256;
