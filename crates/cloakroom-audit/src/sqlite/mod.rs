//! The log in the SQLite file of the accounts.

mod read;
mod schema;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::Timestamp;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::anchor::on_a_thread;
use crate::{
    AuditError, AuditFuture, AuditRow, AuditStore, Batch, Checkpoint, Count, Head, Period, Prune, Sample,
    Seal, Span, Walk,
};

/// The log in a SQLite file, beside whatever else is in it. Several processes can use one file at the same time.
///
/// Each batch is one immediate transaction in a write-ahead log with `synchronous=FULL`: it lasts when the call returns,
/// also after a power cut, or it never happened. One connection writes and one reads; both block on threads of their own.
#[derive(Clone, Debug)]
pub struct SqliteAudit {
    path: Arc<PathBuf>,
    writer: Arc<Mutex<Connection>>,
    reader: Arc<Mutex<Connection>>,
}

impl SqliteAudit {
    /// Opens the log in this file, which is there already; makes its tables where there are none.
    ///
    /// # Errors
    /// [`AuditError`] where the file cannot be opened, or its tables were made by a newer version.
    ///
    /// # Cost
    /// Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let mut writer = connect(path)?;
        schema::prepare(&mut writer)?;
        Self::beside(writer, path)
    }

    /// Opens the log in this file; `None` where there is no file, or no log in it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Cost
    /// As [`open`](Self::open).
    pub fn open_existing(path: &Path) -> Result<Option<Self>, AuditError> {
        if !path.exists() {
            return Ok(None);
        }
        let writer = connect(path)?;
        if schema::is_there(&writer)? { Self::beside(writer, path).map(Some) } else { Ok(None) }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn beside(writer: Connection, path: &Path) -> Result<Self, AuditError> {
        let reader = connect(path)?;
        reader.pragma_update(None, "query_only", true).map_err(broken(OPEN))?;
        let shared = |connection| Arc::new(Mutex::new(connection));
        Ok(Self { path: Arc::new(path.to_owned()), writer: shared(writer), reader: shared(reader) })
    }

    fn read<'a, T: Send + 'static>(
        &'a self,
        op: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> AuditFuture<'a, T> {
        let reader = Arc::clone(&self.reader);
        Box::pin(on_a_thread(move || work(&reader.lock()).map_err(broken(op))))
    }

    fn write<'a, T: Send + 'static>(
        &'a self,
        op: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> AuditFuture<'a, T> {
        let writer = Arc::clone(&self.writer);
        Box::pin(on_a_thread(move || {
            let mut writer = writer.lock();
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate);
            let transaction = transaction.map_err(broken(op))?;
            let done = work(&transaction).map_err(broken(op))?;
            transaction.commit().map_err(broken(op))?;
            Ok(done)
        }))
    }
}

impl AuditStore for SqliteAudit {
    fn append(&self, batch: Arc<Batch>) -> AuditFuture<'_, Vec<AuditRow>> {
        self.write("append", move |transaction| write::append(transaction, &batch))
    }

    fn walk(&self, walk: Walk) -> AuditFuture<'_, Vec<AuditRow>> {
        self.read("walk", move |connection| read::walk(connection, &walk))
    }

    fn head(&self) -> AuditFuture<'_, Head> {
        self.read("head", read::head)
    }

    fn span(&self, period: Period) -> AuditFuture<'_, Span> {
        self.read("span", move |connection| read::span(connection, period))
    }

    fn counts(&self, since: Timestamp) -> AuditFuture<'_, Vec<Count>> {
        self.read("counts", move |connection| read::counts(connection, since))
    }

    fn put_samples(&self, samples: Vec<Sample>) -> AuditFuture<'_, ()> {
        self.write("put_samples", move |transaction| write::put_samples(transaction, &samples))
    }

    fn samples(&self, series: String, since: Timestamp) -> AuditFuture<'_, Vec<Sample>> {
        self.read("samples", move |connection| read::samples(connection, &series, since))
    }

    fn put_seal(&self, seal: Seal) -> AuditFuture<'_, ()> {
        self.write("put_seal", move |transaction| write::put_seal(transaction, &seal))
    }

    fn seals(&self) -> AuditFuture<'_, Vec<Seal>> {
        self.read("seals", read::seals)
    }

    fn checkpoint(&self) -> AuditFuture<'_, Option<Checkpoint>> {
        self.read("checkpoint", read::checkpoint)
    }

    fn prune(&self, prune: Arc<Prune>) -> AuditFuture<'_, Option<Vec<AuditRow>>> {
        self.write("prune", move |transaction| write::prune(transaction, &prune))
    }

    fn forget(&self, before: Timestamp) -> AuditFuture<'_, ()> {
        self.write("forget", move |transaction| write::forget(transaction, before))
    }
}

fn connect(path: &Path) -> Result<Connection, AuditError> {
    // Never created here: the accounts make the file, for this user alone, and mark it as theirs.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(broken(OPEN))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(broken(OPEN))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(EVERY_CONNECTION).map_err(broken(OPEN))?;
    Ok(connection)
}

fn broken(op: &'static str) -> impl Fn(rusqlite::Error) -> AuditError {
    move |error| AuditError::new(op, error)
}

/// WAL: who reads does not wait for who writes. FULL: what was acknowledged survives a power cut.
const EVERY_CONNECTION: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA trusted_schema = OFF;
";
const OPEN: &str = "open";
/// For how long a batch waits for another process, which holds the lock for one transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const STATEMENTS: usize = 64;

#[cfg(test)]
mod tests;
