//! The one task of this process that writes: batches, one transaction each.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::keeper::Keeper;
use super::queue::Entry;
use super::{AuditLog, metrics};
use crate::row::minute_of;
use crate::sink::Sinks;
use crate::{AuditError, AuditEvent, AuditRow, Batch, Sample, WriterId};

pub(super) struct Writer {
    log: AuditLog,
    id: WriterId,
    number: u64,
    keeper: Keeper,
    sinks: Sinks,
    due: Due,
    /// The server stops: that was found while a batch was tried again.
    is_over: bool,
}

/// When what is done from time to time was done last, by the monotonic clock.
struct Due {
    summed: Duration,
    sampled: Duration,
}

/// Whether a batch lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Written,
    GivenUp,
}

impl Writer {
    pub(super) fn new(log: AuditLog) -> Self {
        let options = &log.0.options;
        let mut id = [0; WriterId::LENGTH];
        if let Err(error) = options.random.fill(&mut id) {
            // Where it equals another's, a batch could be taken for one that was written: never go on with zeros.
            let now = options.clock.now().as_millis().to_be_bytes();
            let address = u64::from(std::process::id()).to_be_bytes();
            for (byte, of) in id.iter_mut().zip(now.into_iter().chain(address)) {
                *byte = of;
            }
            tracing::warn!(%error, "no random bytes: the audit log's writer is named by time and process");
        }
        let now = options.clock.monotonic();
        let keeper = Keeper::new(&log);
        let sinks = Sinks::start(&options.sinks);
        Self {
            id: WriterId::from_random(id),
            number: 0,
            keeper,
            sinks,
            due: Due { summed: now, sampled: now },
            is_over: false,
            log,
        }
    }

    pub(super) async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = Box::pin(shutdown);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_over = tokio::select! {
                biased;
                () = &mut shutdown => true,
                () = self.log.0.filled.notified() => false,
                _ = tick.tick() => { self.now_and_then().await; false }
            };
            if is_over {
                break;
            }
            if self.drain(&mut Some(shutdown.as_mut())).await == Fate::GivenUp || self.is_over {
                break;
            }
        }
        self.close().await;
    }

    /// Writes what waits.
    async fn drain(&mut self, shutdown: &mut Option<Pin<&mut impl Future<Output = ()>>>) -> Fate {
        loop {
            let now = self.log.0.options.clock.now();
            let (entries, ticket) = {
                let mut queue = self.log.0.queue.lock();
                let taken = queue.take(BATCH, now);
                metrics::waiting(queue.len());
                taken
            };
            if entries.is_empty() {
                return Fate::Written;
            }
            if self.commit(entries, ticket, shutdown).await == Fate::GivenUp {
                return Fate::GivenUp;
            }
            if shutdown.is_some() {
                // Under load the queue is never empty: what is due is done between batches.
                self.now_and_then().await;
            }
        }
    }

    /// Writes a batch, however often that takes: after `shutdown` a few times more.
    async fn commit(
        &mut self,
        entries: Vec<Entry>,
        ticket: u64,
        shutdown: &mut Option<Pin<&mut impl Future<Output = ()>>>,
    ) -> Fate {
        let (drafts, mut waiting): (Vec<_>, Vec<_>) =
            entries.into_iter().map(|entry| (entry.draft, entry.done)).unzip();
        self.number = self.number.saturating_add(1);
        let at = self.log.0.options.clock.now();
        let batch = Arc::new(Batch { writer: self.id, number: self.number, at, drafts });
        let (mut pause, mut last_tries) =
            (FIRST_PAUSE, if shutdown.is_some() { None } else { Some(LAST_TRIES) });
        loop {
            let error = match self.append(&batch).await {
                Ok(rows) => {
                    self.written(rows, ticket, waiting).await;
                    return Fate::Written;
                }
                Err(error) => error,
            };
            self.failed(&error, &mut waiting);
            if let Some(left) = &mut last_tries {
                *left -= 1;
                if *left == 0 {
                    let lost = batch.drafts.len().saturating_add(self.log.0.queue.lock().len());
                    metrics::dropped(u64::try_from(lost).unwrap_or(u64::MAX));
                    tracing::error!(lost, "the audit log could not be written: events are lost");
                    return Fate::GivenUp;
                }
            }
            let mut is_over = false;
            match shutdown.as_mut() {
                Some(shutdown) => tokio::select! {
                    () = shutdown => is_over = true,
                    () = tokio::time::sleep(pause) => {}
                },
                None => tokio::time::sleep(pause).await,
            }
            if is_over {
                self.is_over = true;
                (*shutdown, last_tries, pause) = (None, Some(LAST_TRIES), FIRST_PAUSE);
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    async fn append(&self, batch: &Arc<Batch>) -> Result<Vec<AuditRow>, AuditError> {
        let clock = &self.log.0.options.clock;
        let began = clock.monotonic();
        let rows = self.log.0.store.append(Arc::clone(batch)).await?;
        let took = clock.monotonic().saturating_sub(began);
        metrics::written(u64::try_from(rows.len()).unwrap_or(u64::MAX), took);
        Ok(rows)
    }

    async fn written(&mut self, rows: Vec<AuditRow>, ticket: u64, waiting: Vec<Option<super::queue::Done>>) {
        if self.log.0.failing_since.lock().take().is_some() {
            tracing::info!("the audit log can be written again");
        }
        self.log.0.progress.send_modify(|now| now.written = now.written.max(ticket));
        for (row, done) in rows.iter().zip(waiting) {
            // Whoever waited may have left.
            if let Some(done) = done {
                let _ = done.send(Ok(AuditEvent::from(row.clone())));
            }
        }
        self.tell(rows);
    }

    /// Tells whoever follows, and the sinks.
    fn tell(&mut self, rows: Vec<AuditRow>) {
        self.keeper.follow(&rows);
        if let Some(last) = rows.last() {
            *self.log.0.last.lock() = Some((last.seq, last.at));
            self.log.0.head.send_replace(last.seq);
        }
        self.sinks.send(rows);
    }

    fn failed(&self, error: &AuditError, waiting: &mut [Option<super::queue::Done>]) {
        metrics::failed();
        let now = self.log.0.options.clock.now();
        let was_failing = self.log.0.failing_since.lock().replace(now);
        if let Some(since) = was_failing {
            *self.log.0.failing_since.lock() = Some(since);
        } else {
            let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "the audit log cannot be written; events wait, and it is tried again");
        }
        for done in waiting.iter_mut().filter_map(Option::take) {
            let _ = done.send(Err(AuditError::new(super::WRITE, error.to_string())));
        }
    }

    /// What is done once in a while. A failure waits for the next time.
    async fn now_and_then(&mut self) {
        let clock = Arc::clone(&self.log.0.options.clock);
        let now = clock.monotonic();
        if now.saturating_sub(self.due.summed) >= SUM_EVERY {
            self.due.summed = now;
            self.log.0.queue.lock().sum_up();
        }
        if now.saturating_sub(self.due.sampled) >= SAMPLE_EVERY {
            self.due.sampled = now;
            self.keep_samples().await;
        }
        for rows in self.keeper.work(&self.log, self.id, &mut self.number).await {
            self.tell(rows);
        }
    }

    async fn keep_samples(&self) {
        let taken = std::mem::take(&mut *self.log.0.sampled.lock());
        if taken.is_empty() {
            return;
        }
        let at = minute_of(self.log.0.options.clock.now());
        let node = self.keeper.node();
        let sample = |(series, value): (&'static str, f64)| Sample {
            at,
            node: node.clone(),
            series: series.to_owned(),
            value,
        };
        if let Err(error) = self.log.0.store.put_samples(taken.into_iter().map(sample).collect()).await {
            tracing::debug!(%error, "samples were not kept");
        }
    }

    /// Writes what is left, seals it, and lets everybody go.
    async fn close(mut self) {
        self.log.0.queue.lock().sum_up();
        let fate = self.drain(&mut None::<Pin<&mut std::future::Pending<()>>>).await;
        if fate == Fate::Written {
            self.keep_samples().await;
            self.keeper.seal(&self.log).await;
        }
        self.log.0.queue.lock().close();
        self.log.0.progress.send_modify(|now| now.is_closed = true);
        self.sinks.close().await;
    }
}

/// How often is looked whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// Most events in one transaction.
const BATCH: usize = 1_000;
/// How often repeats are summed up.
const SUM_EVERY: Duration = Duration::from_secs(10);
/// How often samples are kept.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// Pauses between attempts, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Attempts that are still made when the server stops: with their pauses some five seconds.
const LAST_TRIES: u32 = 6;
