//! The log as its writers and readers meet it.

use std::future::Future;
use std::sync::Arc;

use cloakroom::{Event, EventSink};
use cloakroom_core::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{AuditError, AuditEvent, AuditPage, AuditQuery, AuditStore, Count, Draft};

/// The log. Cheap to clone; clones are the same log. [`AuditLog::run`] has to run beside it.
#[derive(Clone, Debug)]
pub struct AuditLog {
    store: Arc<dyn AuditStore>,
    queue: mpsc::UnboundedSender<Entry>,
    queued: Arc<parking_lot::Mutex<Option<mpsc::UnboundedReceiver<Entry>>>>,
    head: watch::Sender<u64>,
}

type Done = oneshot::Sender<Result<AuditEvent, AuditError>>;
type Entry = (Draft, Option<Done>);

impl AuditLog {
    /// A log that is kept in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn AuditStore>) -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        let (head, _) = watch::channel(0);
        Self { store, queue, queued: Arc::new(parking_lot::Mutex::new(Some(queued))), head }
    }

    /// Records something, in its turn. Returns at once.
    pub fn note(&self, draft: Draft) {
        // Where nobody writes any more, the server is stopping.
        let _ = self.queue.send((draft, None));
    }

    /// Records something, and returns when it lasts.
    ///
    /// # Errors
    /// [`AuditError`]; then it is not recorded, or it is not known whether it is.
    pub async fn write(&self, draft: Draft) -> Result<AuditEvent, AuditError> {
        let (done, written) = oneshot::channel();
        let stopped = |_| AuditError::new("write", "the log is closed");
        self.queue.send((draft, Some(done))).map_err(|_| AuditError::new("write", "the log is closed"))?;
        written.await.map_err(stopped)?
    }

    /// A page of events, the latest first.
    ///
    /// # Errors
    /// [`AuditError`] where the log cannot be read.
    pub async fn page(&self, query: &AuditQuery) -> Result<AuditPage, AuditError> {
        self.store.page(query).await
    }

    /// How many events of each kind there were per minute, from `since` on.
    ///
    /// # Errors
    /// [`AuditError`] where the log cannot be read.
    pub async fn counts(&self, since: Timestamp) -> Result<Vec<Count>, AuditError> {
        self.store.counts(since).await
    }

    /// Follows the log from its present end on.
    ///
    /// # Errors
    /// [`AuditError`] where the log cannot be read.
    pub async fn tail(&self) -> Result<Tail, AuditError> {
        let after = self.store.head().await?.seq;
        Ok(Tail { log: self.clone(), after, head: self.head.subscribe() })
    }

    /// Writes what was noted, until `shutdown` resolves and the queue is empty.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let Some(mut queued) = self.queued.lock().take() else { return };
        tokio::pin!(shutdown);
        loop {
            let first = tokio::select! {
                entry = queued.recv() => entry,
                () = &mut shutdown => { queued.close(); queued.recv().await }
            };
            let Some(first) = first else { return };
            let mut batch = vec![first];
            while let Ok(entry) = queued.try_recv() {
                batch.push(entry);
            }
            self.commit(batch).await;
        }
    }

    async fn commit(&self, batch: Vec<Entry>) {
        let (drafts, waiting): (Vec<Draft>, Vec<Option<Done>>) = batch.into_iter().unzip();
        match self.store.append(drafts).await {
            Ok(events) => {
                if let Some(last) = events.last() {
                    self.head.send_replace(last.seq);
                }
                for (event, done) in events.into_iter().zip(waiting) {
                    let _ = done.map(|done| done.send(Ok(event)));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the audit log cannot be written");
                for done in waiting.into_iter().flatten() {
                    let _ = done.send(Err(AuditError::new("write", error.to_string())));
                }
            }
        }
    }
}

impl EventSink for AuditLog {
    fn record(&self, event: &Event) {
        self.note(Draft::from(event));
    }
}

/// Somebody who follows the log.
#[derive(Debug)]
pub struct Tail {
    log: AuditLog,
    after: u64,
    head: watch::Receiver<u64>,
}

impl Tail {
    /// The events since the last call, the first of them first; waits for at least one.
    ///
    /// # Errors
    /// [`AuditError`] where the log cannot be read; the next call tries again.
    pub async fn next(&mut self) -> Result<Vec<AuditEvent>, AuditError> {
        loop {
            let mut query = AuditQuery::latest();
            query.after = Some(self.after);
            self.head.mark_unchanged();
            let page = self.log.page(&query).await?;
            if let Some(last) = page.events.last() {
                self.after = last.seq;
                return Ok(page.events);
            }
            if self.head.changed().await.is_err() {
                return Err(AuditError::new("follow", "the log is closed"));
            }
        }
    }
}
