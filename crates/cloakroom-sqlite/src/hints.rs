//! Hints that the list of ends has grown: at once where this handle added, soon where another one did.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::database::Database;
use crate::error::Problem;
use crate::threads::Threads;
use crate::transaction::{Purpose, Transaction};
use crate::verb;

/// Whoever waits for the list to grow, and the thread that looks for them.
#[derive(Debug)]
pub(crate) struct Hints {
    grown: Notify,
    watch: Mutex<Watch>,
    woken: Condvar,
    look: Mutex<Look>,
}

#[derive(Debug, Default)]
struct Watch {
    waiting: usize,
    is_started: bool,
    is_closed: bool,
    /// The last number that was told; none before the first look.
    told: Option<i64>,
}

/// The way to the file, and what it looked like.
#[derive(Debug)]
struct Look {
    database: Database,
    /// Which connection it was, and what SQLite counts commits of others by.
    seen: Option<(u64, i64)>,
}

impl Hints {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            grown: Notify::new(),
            watch: Mutex::default(),
            woken: Condvar::new(),
            look: Mutex::new(Look { database, seen: None }),
        }
    }

    /// Resolves when the list has grown since this was called. Starts the thread that looks, where it does not run.
    pub(crate) fn grown(
        self: &Arc<Self>,
        threads: &Threads,
    ) -> Result<impl Future<Output = ()> + Send + use<'_>, Problem> {
        // Counts from here, not from when it is first polled: `notify_waiters` reaches whatever was made before it.
        let grown = self.grown.notified();
        let waits = Waits::begin(self, threads)?;
        Ok(async move {
            grown.await;
            drop(waits);
        })
    }

    /// The list has grown up to this number, by this handle.
    pub(crate) fn tell(&self, last: i64) {
        self.watch.lock().told = Some(last);
        self.grown.notify_waiters();
    }

    /// Ends the thread; whoever still waits is told.
    pub(crate) fn close(&self) {
        self.watch.lock().is_closed = true;
        self.woken.notify_all();
        self.grown.notify_waiters();
    }

    /// Looks now and then while somebody waits, until closed.
    fn run(&self) {
        let mut quiet: u32 = 0;
        while self.is_due(if quiet < QUIET { INTERVAL } else { QUIET_INTERVAL }) {
            let looked = catch_unwind(AssertUnwindSafe(|| self.look.lock().take()));
            match looked.unwrap_or(Err(Problem::Panicked)) {
                Ok(Some(last)) => {
                    quiet = 0;
                    // What somebody waits for may have come before the first look: one hint too many, then.
                    if self.watch.lock().told.replace(last) != Some(last) {
                        self.grown.notify_waiters();
                    }
                }
                // A file that cannot be read has no news; whoever reads it in turn learns why.
                Ok(None) | Err(_) => quiet = quiet.saturating_add(1),
            }
        }
        self.look.lock().database.give_up();
    }

    /// Waits until it is time to look and somebody waits for it; not so once closed.
    fn is_due(&self, interval: Duration) -> bool {
        let mut watch = self.watch.lock();
        if watch.waiting > 0 && !watch.is_closed {
            self.woken.wait_for(&mut watch, interval);
        }
        while watch.waiting == 0 && !watch.is_closed {
            self.woken.wait(&mut watch);
        }
        !watch.is_closed
    }
}

impl Look {
    /// The number of the last entry, if anything at all has been written since the last time.
    fn take(&mut self) -> Result<Option<i64>, Problem> {
        self.database.connection()?;
        let opening = self.database.openings();
        let connection = self.database.connection()?;
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.seen == Some((opening, version)) {
            return Ok(None);
        }
        let last =
            Transaction::begin(connection, Purpose::Read).and_then(|snapshot| verb::last_revoked(&snapshot));
        match last {
            Ok(last) => {
                self.seen = Some((opening, version));
                Ok(last)
            }
            Err(problem) => {
                self.seen = None;
                self.database.give_up();
                Err(problem)
            }
        }
    }
}

/// Somebody who waits.
#[derive(Debug)]
struct Waits<'a>(&'a Hints);

impl<'a> Waits<'a> {
    fn begin(hints: &'a Arc<Hints>, threads: &Threads) -> Result<Self, Problem> {
        let mut watch = hints.watch.lock();
        if watch.is_closed {
            return Err(Problem::Closed);
        }
        if !watch.is_started {
            let looking = Arc::clone(hints);
            threads.start("cloakroom-sqlite-hints", move || looking.run())?;
            watch.is_started = true;
        }
        watch.waiting += 1;
        drop(watch);
        hints.woken.notify_all();
        Ok(Self(hints))
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.watch.lock().waiting -= 1;
    }
}

/// How often the file is looked at for what other handles have added: a look takes a few microseconds.
const INTERVAL: Duration = Duration::from_millis(5);
/// The same once nobody has written for a while.
const QUIET_INTERVAL: Duration = Duration::from_millis(25);
/// Looks in vain after which it is quiet: about a second.
const QUIET: u32 = 200;
