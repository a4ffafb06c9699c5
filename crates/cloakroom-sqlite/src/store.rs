//! The trait: each verb packed up for the thread that does it.

use std::sync::Arc;
use std::thread;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Applied, Capabilities, Counts, EndRequest, Ending, ExportPage, ExportQuery, Feed, Filed, Imported,
    InsertRequest, Inserted, ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest,
    Replaced, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};
use tokio::sync::oneshot;

use crate::NAME;
use crate::database::{Access, Database};
use crate::error::Problem;
use crate::feed::Feeds;
use crate::map::Filing;
use crate::options::SqliteOptions;
use crate::patience::Patience;
use crate::queue::Queue;
use crate::reader::{Question, Reader};
use crate::threads::Threads;
use crate::transaction::Transaction;
use crate::verb::{self, Arrival, Change, Limit};
use crate::writer::{Call, Operation, Writer};

/// Sessions in one SQLite file.
///
/// Share it behind an [`Arc`]; several of them on one file, in this process or in others, see the same sessions.
/// Dropping it does what [`close`](Self::close) does.
#[derive(Debug)]
pub struct SqliteStore {
    options: Arc<SqliteOptions>,
    writes: Arc<Queue<Box<dyn Operation>>>,
    pub(crate) lookups: Arc<Queue<Question>>,
    browsing: Arc<Queue<Question>>,
    patience: Arc<Patience>,
    feeds: Arc<Feeds>,
    pub(crate) threads: Threads,
    /// The number of this handle among all on the file: who holds the sweeping lease.
    handle: i64,
}

impl SqliteStore {
    /// Opens the file, which is created where it does not exist, readable and writable for its owner only; brings its
    /// schema up to date; starts the threads.
    ///
    /// An older file is upgraded in one transaction, beside running processes: they answer errors from then on until
    /// they are of this version too.
    ///
    /// # Errors
    /// [`Unavailable`](cloakroom_store::ErrorKind::Unavailable) where the directory does not exist, the file belongs to
    /// another program or to a later version of this one, or its file system has no write-ahead log; its source says
    /// which, and what to do. [`Timeout`](cloakroom_store::ErrorKind::Timeout) where another process holds the file.
    ///
    /// # Cost
    /// Blocks for some milliseconds.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        Self::start(Arc::new(options)).map_err(|problem| problem.into_error(Verb::Open))
    }

    /// Accepts nothing more, finishes what was accepted, and closes the file. A second time it does nothing.
    ///
    /// # Errors
    /// [`Timeout`](cloakroom_store::ErrorKind::Timeout) where that takes longer than the answer timeout: the disk hangs,
    /// and the threads are left to it. What was acknowledged is safe.
    ///
    /// # Cost
    /// Blocks until it is done.
    pub fn close(&self) -> Result<(), StoreError> {
        self.browsing.close();
        self.lookups.close();
        self.writes.close();
        self.feeds.close();
        self.patience.stop();
        self.threads.join(self.options.answer_timeout()).map_err(|problem| problem.into_error(Verb::Open))
    }

    fn start(options: Arc<SqliteOptions>) -> Result<Self, Problem> {
        let mut database = Database::create(Arc::clone(&options))?;
        let handle = database.connection()?.query_row("SELECT random()", [], |row| row.get(0))?;
        let patience = Arc::new(Patience::new(options.answer_timeout()));
        let watching = Database::new(Arc::clone(&options), Access::Read);
        let store = Self {
            writes: Arc::new(Queue::new(QUEUE)),
            lookups: Arc::new(Queue::new(QUEUE)),
            browsing: Arc::new(Queue::new(QUEUE)),
            feeds: Arc::new(Feeds::new(watching, Arc::clone(&patience))),
            patience,
            threads: Threads::default(),
            handle,
            options,
        };
        let writer = Writer::new(database, Arc::clone(&store.writes), Arc::clone(&store.feeds));
        store.threads.start("cloakroom-sqlite-write", move || writer.run())?;
        for _ in 0..store.options.readers().get() {
            store.start_reader("cloakroom-sqlite-read", &store.lookups, LOOKUPS_AT_ONCE)?;
        }
        // Apart from the others: a list or a count may take a thousand times as long as a lookup.
        store.start_reader("cloakroom-sqlite-list", &store.browsing, 1)?;
        let patience = Arc::clone(&store.patience);
        // Closing does not wait for it: it may have to outlast everybody who still waits.
        let clock = thread::Builder::new().name("cloakroom-sqlite-tick".to_owned());
        clock.spawn(move || patience.run()).map_err(Problem::Thread)?;
        Ok(store)
    }

    fn start_reader(&self, name: &str, queue: &Arc<Queue<Question>>, at_once: usize) -> Result<(), Problem> {
        let database = Database::new(Arc::clone(&self.options), Access::Read);
        let reader = Reader { database, queue: Arc::clone(queue), at_once };
        self.threads.start(name, move || reader.run())
    }

    pub(crate) async fn write<T, F>(&self, verb: Verb, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, Problem> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.writes
            .push(Box::new(Call::new(verb, work, reply)))
            .map_err(|problem| problem.into_error(verb))?;
        self.patience.answer(verb, answer, Applied::Unknown).await
    }

    pub(crate) async fn read<T, F>(
        &self,
        queue: &Queue<Question>,
        verb: Verb,
        find: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Problem> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        queue.push(Question::new(verb, find, reply)).map_err(|problem| problem.into_error(verb))?;
        self.patience.answer(verb, answer, Applied::No).await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // Whoever needs to know calls `close`.
        let _ = self.close();
    }
}

impl Store for SqliteStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        let InsertRequest { record, digest, limit, replaces, now } = request;
        StoreFuture::waiting(async move {
            let filing = Filing::new(record, digest).map_err(|problem| problem.into_error(Verb::Insert))?;
            let limit = Limit { limit, replaces, now };
            self.write(Verb::Insert, move |transaction| verb::insert(transaction, &filing, limit)).await
        })
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        let find = move |transaction: &Transaction<'_>| verb::get(transaction, digest, now);
        StoreFuture::waiting(self.read(&self.lookups, Verb::Get, find))
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        let ReplaceRequest { digest, version, record, now } = request;
        StoreFuture::waiting(async move {
            let filing = Filing::new(record, digest).map_err(|problem| problem.into_error(Verb::Replace))?;
            let change = Change { filing, version, now };
            self.write(Verb::Replace, move |transaction| verb::replace(transaction, &change)).await
        })
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        let RekeyRequest { old, new, version, record, now } = request;
        StoreFuture::waiting(async move {
            let filing = Filing::new(record, new).map_err(|problem| problem.into_error(Verb::Rekey))?;
            let change = Change { filing, version, now };
            self.write(Verb::Rekey, move |transaction| verb::rekey(transaction, old, &change)).await
        })
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        if touches.is_empty() {
            return StoreFuture::ready(Ok(TouchReport::default()));
        }
        StoreFuture::waiting(async move {
            let touches = verb::sorted(touches);
            self.write(Verb::Touch, move |transaction| verb::touch(transaction, &touches, now)).await
        })
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        let EndRequest { selector, reason, now } = request;
        StoreFuture::waiting(async move {
            let selector = selector.clone();
            self.write(Verb::End, move |transaction| verb::end(transaction, &selector, reason, now)).await
        })
    }

    fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage> {
        StoreFuture::waiting(async move {
            let query = query.clone();
            let find = move |transaction: &Transaction<'_>| verb::list(transaction, &query, now);
            self.read(&self.browsing, Verb::List, find).await
        })
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        let handle = self.handle;
        StoreFuture::waiting(
            self.write(Verb::Sweep, move |transaction| verb::sweep(transaction, request, handle)),
        )
    }

    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
        let find = move |transaction: &Transaction<'_>| verb::count(transaction, now);
        StoreFuture::waiting(self.read(&self.browsing, Verb::Count, find))
    }

    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage> {
        StoreFuture::waiting(async move {
            let query = query.clone();
            let find = move |transaction: &Transaction<'_>| verb::export(transaction, &query, now);
            self.read(&self.browsing, Verb::Export, find).await
        })
    }

    fn import<'a>(&'a self, filed: &'a Filed, _now: Timestamp) -> StoreFuture<'a, Imported> {
        StoreFuture::waiting(async move {
            let arrival = Arrival::new(filed).map_err(|problem| problem.into_error(Verb::Import))?;
            self.write(Verb::Import, move |transaction| verb::import(transaction, &arrival)).await
        })
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        StoreFuture::waiting(self.feeds.watch(observer, &self.threads))
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::waiting(async move {
            self.write(Verb::Ping, |transaction| verb::ping(transaction)).await?;
            // The clock of a file is that of the machine it is on: nothing to compare.
            Ok(None)
        })
    }
}

/// Most operations that wait for one kind of thread: some seconds' work, and a few megabytes.
const QUEUE: usize = 16_384;
/// Most lookups in one snapshot: taking one costs as much as a lookup.
const LOOKUPS_AT_ONCE: usize = 16;
