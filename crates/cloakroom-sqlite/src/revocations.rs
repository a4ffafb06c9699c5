//! The list of ends, in the same kind of file as sessions.

use std::num::NonZeroUsize;
use std::sync::Arc;

use cloakroom_core::Timestamp;
use cloakroom_store::{
    ListStanding, MOST_ENTRIES, Place, Reading, RevocationEntry, RevocationList, Store as _, StoreError,
    StoreFuture, Verb,
};

use crate::NAME;
use crate::database::{Access, Database};
use crate::error::Problem;
use crate::hints::Hints;
use crate::options::SqliteOptions;
use crate::store::SqliteStore;
use crate::transaction::Transaction;
use crate::verb::{self, EntryRow};

/// A [`RevocationList`] in one SQLite file: one of its own, or the one that sessions are in.
///
/// It has threads of its own as a [`SqliteStore`] has, and the same care: adds of many tasks share an `fsync`, a read sees
/// everything that was acknowledged before it was asked, by whichever process, and a file that is lost, full, locked or
/// read-only answers errors within a bounded time. On a full disk an end that has to be written down is
/// [`Full`](cloakroom_store::ErrorKind::Full), and not done.
///
/// Handles on one file tell each other: the same handle at once, others within 5 to 25 ms.
///
/// # Seen from outside
/// ```text
/// $ sqlite3 cloakroom-data/sessions.db 'SELECT kind, subject, at, until, reason FROM revoked'
/// principal|alice|2026-03-01T09:30:00.000Z|2026-03-31T09:30:00.000Z|password_changed
/// ```
#[derive(Debug)]
pub struct SqliteRevocations {
    store: SqliteStore,
    hints: Arc<Hints>,
}

impl SqliteRevocations {
    /// Opens the file, which is created where it does not exist; brings its schema up to date; starts the threads.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    ///
    /// # Cost
    /// Blocks for some milliseconds.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        // A list is read by one task on each node.
        let options = options.with_readers(NonZeroUsize::MIN);
        let hints = Hints::new(Database::new(Arc::new(options.clone()), Access::Read));
        Ok(Self { store: SqliteStore::open(options)?, hints: Arc::new(hints) })
    }

    /// Accepts nothing more, finishes what was accepted, and closes the file. A second time it does nothing.
    ///
    /// # Errors
    /// As [`SqliteStore::close`].
    ///
    /// # Cost
    /// Blocks until it is done.
    pub fn close(&self) -> Result<(), StoreError> {
        self.hints.close();
        self.store.close()
    }
}

impl Drop for SqliteRevocations {
    fn drop(&mut self) {
        // Whoever needs to know calls `close`.
        let _ = self.close();
    }
}

impl RevocationList for SqliteRevocations {
    fn name(&self) -> &'static str {
        NAME
    }

    fn standing(&self) -> ListStanding {
        ListStanding { durable: true, shared: true, tells: true }
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        if entries.is_empty() {
            return StoreFuture::ready(Ok(()));
        }
        if entries.len() > MOST_ENTRIES {
            let problem = Problem::Misuse("more entries than may be added at once");
            return StoreFuture::ready(Err(problem.into_error(Verb::End)));
        }
        StoreFuture::waiting(async {
            let rows: Result<Vec<EntryRow>, _> = entries.iter().map(EntryRow::new).collect();
            let rows = rows.map_err(|error| Problem::from(error).into_error(Verb::End))?;
            let last =
                self.store.write(Verb::End, move |transaction| verb::revoke(transaction, &rows)).await?;
            self.hints.tell(last);
            Ok(())
        })
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        let limit = limit.clamp(1, MOST_ENTRIES);
        let find = move |transaction: &Transaction<'_>| verb::revoked(transaction, place, limit);
        StoreFuture::waiting(self.store.read(&self.store.lookups, Verb::Watch, find))
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        let limit = limit.clamp(1, MOST_ENTRIES);
        let forget = move |transaction: &mut Transaction<'_>| verb::forget_revoked(transaction, now, limit);
        StoreFuture::waiting(self.store.write(Verb::Sweep, forget))
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        match self.hints.grown(&self.store.threads) {
            Ok(grown) => StoreFuture::waiting(async {
                grown.await;
                Ok(())
            }),
            Err(problem) => StoreFuture::ready(Err(problem.into_error(Verb::Watch))),
        }
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.store.ping()
    }
}
