//! The log as its writers and readers meet it.

mod keeper;
pub(crate) mod metrics;
mod options;
mod queue;
mod tail;
mod writer;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom::{Event, EventSink};
use cloakroom_core::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

pub use options::{AuditOptions, DEFAULT_EVENTS_MAX, DEFAULT_QUEUE, DEFAULT_RETENTION, DEFAULT_WAIT, OnFull};
pub use tail::Tail;

use crate::query::page;
use crate::{AuditError, AuditEvent, AuditPage, AuditQuery, AuditStore, Count, Draft, Sample};
use queue::{Entry, Pushed, Queue};

/// The log. Cheap to clone; clones are the same log. [`AuditLog::run`] has to run beside it.
#[derive(Clone)]
pub struct AuditLog(Arc<Inner>);

struct Inner {
    store: Arc<dyn AuditStore>,
    options: AuditOptions,
    queue: Mutex<Queue>,
    /// Wakes the writer.
    filled: Notify,
    progress: watch::Sender<Progress>,
    /// The number of the last event that this process appended.
    head: watch::Sender<u64>,
    /// What was sampled since the last minute ended.
    sampled: Mutex<Vec<(&'static str, f64)>>,
    is_taken: AtomicBool,
    /// Since when attempts to write fail.
    failing_since: Mutex<Option<Timestamp>>,
    /// The last event that this process appended.
    last: Mutex<Option<(u64, Timestamp)>>,
}

/// How a log is, as its own process knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AuditHealth {
    /// Events that wait to be written.
    pub waiting: usize,
    /// How many may wait.
    pub capacity: usize,
    /// Events dropped since the process started.
    pub dropped: u64,
    /// Since when it cannot be written, where it cannot.
    pub failing_since: Option<Timestamp>,
    /// Number and instant of the last event that this process wrote.
    pub last: Option<(u64, Timestamp)>,
}

/// How far the writer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Progress {
    /// Entries up to this ticket last.
    written: u64,
    /// Whether nobody writes any more.
    is_closed: bool,
}

tokio::task_local! {
    /// The ticket of the last entry that the present task queued.
    static NOTED: Cell<u64>;
}

impl AuditLog {
    /// A log that is kept in `store`, with the default options.
    #[must_use]
    pub fn new(store: Arc<dyn AuditStore>) -> Self {
        Self::with_options(store, AuditOptions::default())
    }

    /// A log that is kept in `store`.
    #[must_use]
    pub fn with_options(store: Arc<dyn AuditStore>, options: AuditOptions) -> Self {
        Self(Arc::new(Inner {
            store,
            queue: Mutex::new(Queue::new(options.queue, options.on_full)),
            options,
            filled: Notify::new(),
            progress: watch::Sender::new(Progress::default()),
            head: watch::Sender::new(0),
            sampled: Mutex::default(),
            is_taken: AtomicBool::new(false),
            failing_since: Mutex::default(),
            last: Mutex::default(),
        }))
    }

    /// Records something, in its turn. Returns at once.
    ///
    /// Where the queue is full, the event is dropped and counted. Repeats of what strangers can cause at will are summed
    /// up (see [`names::is_noise`](crate::names::is_noise)).
    ///
    /// # Cost
    /// A short lock, no I/O; memory for the entry.
    pub fn note(&self, draft: Draft) {
        self.push(Entry { draft, done: None });
    }

    /// Records something, and returns when it lasts.
    ///
    /// # Errors
    /// [`AuditError`]; then it is not recorded, or it is not known whether it is. At once where the log cannot be written
    /// at present; else within five seconds.
    pub async fn write(&self, draft: Draft) -> Result<AuditEvent, AuditError> {
        if self.0.failing_since.lock().is_some() {
            return Err(AuditError::new(WRITE, "the log cannot be written at present"));
        }
        let (done, written) = oneshot::channel();
        match self.push(Entry { draft, done: Some(done) }) {
            Pushed::Queued(_) | Pushed::Summed => {}
            Pushed::Dropped => return Err(AuditError::new(WRITE, "the queue is full")),
        }
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(AuditError::new(WRITE, "the log is closed")),
            Err(late) => Err(AuditError::new(WRITE, late)),
        }
    }

    /// Does `work`, and then waits until everything that it noted lasts: so that nothing is acknowledged that leaves no
    /// trace. Work that notes nothing waits for nothing.
    ///
    /// What it did is returned in any case; the error says that its events still wait.
    ///
    /// # Errors
    /// [`AuditError`] where they do not last within five seconds; at once where the log cannot be written at present and
    /// its options say that this stops nobody ([`OnFull::Count`]).
    pub async fn witness<F: Future>(&self, work: F) -> (F::Output, Result<(), AuditError>) {
        let (output, ticket) = NOTED
            .scope(Cell::new(0), async move {
                let output = work.await;
                (output, NOTED.with(Cell::get))
            })
            .await;
        (output, self.until_written(ticket).await)
    }

    async fn until_written(&self, ticket: u64) -> Result<(), AuditError> {
        let mut progress = self.0.progress.subscribe();
        if ticket == 0 || progress.borrow().written >= ticket {
            return Ok(());
        }
        if self.0.options.on_full == OnFull::Count && self.0.failing_since.lock().is_some() {
            return Err(AuditError::new(WRITE, "the log cannot be written at present"));
        }
        let there = progress.wait_for(|now| now.written >= ticket || now.is_closed);
        match tokio::time::timeout(PATIENCE, there).await {
            Ok(Ok(now)) if now.written >= ticket => Ok(()),
            Ok(_) => Err(AuditError::new(WRITE, "the log is closed")),
            Err(late) => Err(AuditError::new(WRITE, late)),
        }
    }

    /// Waits, where the configuration says so ([`OnFull::Block`]) and the queue is full, until there is room: for requests
    /// that have not begun.
    ///
    /// # Errors
    /// [`AuditError`] where there is none within [`AuditOptions::wait`].
    pub async fn room(&self) -> Result<(), AuditError> {
        let is_full = || self.0.queue.lock().is_full();
        if self.0.options.on_full == OnFull::Count || !is_full() {
            return Ok(());
        }
        let mut progress = self.0.progress.subscribe();
        let room = async {
            // The writer tells of each batch that it took out and wrote; the log holds the other end.
            while is_full() && progress.changed().await.is_ok() {}
        };
        tokio::time::timeout(self.0.options.wait, room)
            .await
            .map_err(|late| AuditError::new("waiting for room", late))
    }

    /// How the log is.
    #[must_use]
    pub fn health(&self) -> AuditHealth {
        let (waiting, dropped) = {
            let queue = self.0.queue.lock();
            (queue.len(), queue.dropped())
        };
        AuditHealth {
            waiting,
            capacity: self.0.options.queue,
            dropped,
            failing_since: *self.0.failing_since.lock(),
            last: *self.0.last.lock(),
        }
    }

    /// What happens to events that find no room.
    #[must_use]
    pub fn on_full(&self) -> OnFull {
        self.0.options.on_full
    }

    /// How high something is at present; the last value of each minute is kept, for each node.
    pub fn sample(&self, series: &'static str, value: f64) {
        let mut sampled = self.0.sampled.lock();
        match sampled.iter_mut().find(|(of, _)| *of == series) {
            Some((_, latest)) => *latest = value,
            None => sampled.push((series, value)),
        }
    }

    /// The samples of a series from `since` on.
    ///
    /// # Errors
    /// [`AuditError`] where the log cannot be read.
    pub async fn samples(&self, series: &str, since: Timestamp) -> Result<Vec<Sample>, AuditError> {
        self.0.store.samples(series.to_owned(), since).await
    }

    /// A page of events, the latest first.
    ///
    /// # Errors
    /// [`AuditError`] where the log cannot be read.
    ///
    /// # Cost
    /// At most [`PAGE_READS`](crate::PAGE_READS) rows and a step; [`AuditPage::read`] says how many.
    pub async fn page(&self, query: &AuditQuery) -> Result<AuditPage, AuditError> {
        page(&*self.0.store, query).await
    }

    /// How many events of each kind there were per minute, from `since` on.
    ///
    /// # Errors
    /// [`AuditError`] where the log cannot be read.
    pub async fn counts(&self, since: Timestamp) -> Result<Vec<Count>, AuditError> {
        self.0.store.counts(since).await
    }

    /// Follows the log from its present end on.
    ///
    /// # Errors
    /// [`AuditError`] where the log cannot be read.
    pub async fn tail(&self) -> Result<Tail, AuditError> {
        let after = self.0.store.head().await?.seq;
        Ok(self.tail_after(after))
    }

    /// Follows the log from the event after this one on: for whoever was away for a moment.
    #[must_use]
    pub fn tail_after(&self, seq: u64) -> Tail {
        Tail::new(self.clone(), seq, self.0.head.subscribe())
    }

    /// Where it is kept.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn AuditStore> {
        &self.0.store
    }

    /// Writes what was noted, until `shutdown` resolves and the queue is empty, or the store has failed for five seconds
    /// more. A second call returns at once.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        if !self.0.is_taken.swap(true, Ordering::Relaxed) {
            // In a box: it is large, and whoever runs a log beside its work should not carry it.
            Box::pin(writer::Writer::new(self.clone()).run(shutdown)).await;
        }
    }

    fn push(&self, entry: Entry) -> Pushed {
        let is_witnessed = entry.done.is_none();
        let pushed = self.0.queue.lock().push(entry);
        match pushed {
            Pushed::Queued(ticket) => {
                if is_witnessed {
                    // Outside of `witness` nobody asks.
                    let _ = NOTED.try_with(|noted| noted.set(ticket));
                }
                self.0.filled.notify_one();
            }
            Pushed::Summed => metrics::summed(),
            Pushed::Dropped => metrics::dropped(1),
        }
        pushed
    }
}

impl EventSink for AuditLog {
    fn record(&self, event: &Event) {
        self.note(Draft::from(event));
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("store", &self.0.store).finish_non_exhaustive()
    }
}

const WRITE: &str = "write";
/// For how long somebody waits until an event lasts.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
