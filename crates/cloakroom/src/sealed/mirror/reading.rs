//! Reading the list: one reader at a time, and everybody else by its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_core::Timestamp;
use cloakroom_store::{ErrorKind, Parts, Place, Reading, StoreError, StoreFuture, Verb};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::Mirror;
use super::protocol::{Answer, Course, Found, Need, Rest, Step, begin_anew};
use crate::Refused;
use crate::streams::Asked;

/// The readings of a node, numbered.
#[derive(Debug, Default)]
pub(super) struct Readings {
    begun: AtomicU64,
    last: Mutex<Option<Outcome>>,
    /// The greatest number that was taken in.
    number: AtomicU64,
    /// Whether there was a complete one.
    is_complete: AtomicBool,
    /// Whether somebody reads on and on.
    is_kept: AtomicBool,
    /// When the first complete one was sent, where it found nothing at all.
    found_empty: Mutex<Option<Timestamp>>,
}

#[derive(Clone, Debug)]
struct Outcome {
    reading: u64,
    /// When it ended, by the monotonic clock.
    ended_at: u64,
    failed: Option<Arc<StoreError>>,
}

impl Readings {
    /// The number of the newest entry that was read.
    pub(super) fn last_number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Somebody reads on and on.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::SeqCst);
    }

    /// When the first complete reading was sent, where it found nothing at all.
    pub(super) fn found_empty(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.found_empty.lock()
    }

    /// Why the last reading failed, if it did.
    pub(super) fn failed(&self) -> Option<Arc<StoreError>> {
        self.last.lock().as_ref().and_then(|outcome| outcome.failed.clone())
    }

    /// The number of the last reading that was begun: one with a greater number begins after this.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }
}

impl Mirror {
    /// Reads the list to its end, or waits for whoever does: for [`LONGEST_WAIT`] at the most, and for as long reads itself, unless it is
    /// its turn to read whatever that takes. What was read by then stays read.
    ///
    /// # Errors
    /// [`StoreError`] where it could not be read. What is known stays known, and trusted for as long as it was.
    ///
    /// # Cost
    /// One round trip for all who wait; more where there is much that is new.
    pub(crate) async fn refresh(&self, need: Need) -> Result<(), StoreError> {
        let before = self.readings.begun();
        let mut course = match self.course.try_lock() {
            Ok(course) => course,
            Err(_) if need == Need::Turn => self.course.lock().await,
            Err(_) => match self.readings.failed() {
                // Somebody tries just now whether it can be read again: no need for a crowd to wait for that.
                Some(error) => return Err(self.unread(error.kind())),
                None => {
                    let turn = timeout(LONGEST_WAIT, self.course.lock()).await;
                    turn.map_err(|_| self.unread(ErrorKind::Timeout))?
                }
            },
        };
        let last = self.readings.last.lock().clone();
        let forgot = self.has_forgotten_too_much(self.clock.now());
        let found = self.found(before, last.as_ref(), forgot);
        match need.answer(found) {
            Answer::Trusted => return Ok(()),
            Answer::Anothers | Answer::TooSoon => {
                let failed = last.and_then(|outcome| outcome.failed);
                return failed.map_or(Ok(()), |error| Err(self.unread(error.kind())));
            }
            Answer::Read => {}
        }
        if forgot {
            *course = course.anew();
            begin_anew(self);
        }
        let reading = self.readings.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let until =
            (need != Need::Turn).then(|| self.nanos().saturating_add(crate::near::nanos(LONGEST_WAIT)));
        let read = self.read_on(&mut course, reading, until).await;
        self.metrics.read(&read, self.list.name());
        let failed = read.err().map(Arc::new);
        let outcome = Outcome { reading, ended_at: self.nanos(), failed: failed.clone() };
        *self.readings.last.lock() = Some(outcome);
        failed.map_or(Ok(()), |error| Err(self.unread(error.kind())))
    }

    fn found(&self, before: u64, last: Option<&Outcome>, forgot: bool) -> Found {
        let rest = |outcome: &Outcome| {
            let rests = self.nanos().saturating_sub(outcome.ended_at) < crate::near::nanos(self.rest());
            outcome.failed.is_some().then_some(if rests { Rest::Rests } else { Rest::Over })
        };
        Found {
            is_trusted: self.is_trusted() && !forgot,
            is_later: last.is_some_and(|outcome| outcome.reading > before),
            failed: last.and_then(rest),
        }
    }

    /// Reads on from where the reading before stopped; until this instant at the latest, by the monotonic clock.
    async fn read_on(&self, course: &mut Course, reading: u64, until: Option<u64>) -> Result<(), StoreError> {
        for _ in 0..MOST_STEPS {
            let (sent_at, asked, wall) = (self.nanos(), self.streams.asked(), self.clock.now());
            let left = until.map_or(DEADLINE, |until| Duration::from_nanos(until.saturating_sub(sent_at)));
            if left.is_zero() {
                return Err(self.failed(ErrorKind::Timeout));
            }
            let answer = self.list.read(course.place(), PAGE);
            let answer = self.within(left.min(DEADLINE), answer, Verb::Watch).await?;
            let step = course.answered(&answer);
            match step {
                Step::More(history) => self.take_in(answer, history, course),
                Step::Complete(history) => {
                    self.take_in(answer, history, course);
                    if course.place() == Place::START && !self.readings.is_complete.load(Ordering::Acquire) {
                        *self.readings.found_empty() = Some(wall);
                        // Before it is believed. Who begins to keep it now finds that there is something to hold.
                        if self.readings.is_kept.load(Ordering::SeqCst) {
                            self.hold_the_beginning()?;
                        }
                    }
                    self.publish(sent_at, asked);
                    self.settle(reading, history).await;
                    return Ok(());
                }
                Step::Anew => {
                    self.metrics.lost();
                    tracing::warn!(
                        event = "revocation_list_lost",
                        list = self.list.name(),
                        entries = self.entries(),
                        "the list of ends has lost its history; what is known here stays in force, and is offered to it again"
                    );
                }
                Step::Nonsense => return Err(self.failed(ErrorKind::Internal)),
            }
        }
        Err(self.failed(ErrorKind::Unavailable))
    }

    /// Takes in what was read. The streams are told when it is there, so that whoever looks for them finds it.
    fn take_in(&self, answer: Reading, history: u32, course: &Course) {
        let Reading::Entries { entries, .. } = answer else { return };
        let lags = self.dues.lock().take_in(&self.copy, &entries, history, self.nanos());
        self.metrics.lags(&lags);
        for some in entries.chunks(TOLD_AT_A_TIME) {
            self.streams.listed(some.iter().map(|(_, entry)| &entry.scope));
        }
        self.readings.number.fetch_max(course.place().number, Ordering::AcqRel);
    }

    fn publish(&self, sent_at: u64, asked: Asked) {
        let trust = self.trust().read(sent_at, crate::near::nanos(self.lease));
        self.trust.store(trust.nanos(), Ordering::Release);
        self.read_at.fetch_max(sent_at.saturating_add(1), Ordering::AcqRel);
        self.readings.is_complete.store(true, Ordering::Release);
        self.streams.proven(asked, Parts::ALL);
    }

    /// The instant that is not later than now, whatever became of this node's clock: what is forgotten by a clock that is ahead is
    /// forgotten for good, on every node. By the list's own clock, where it has one, and by no more than time has passed here.
    ///
    /// # Errors
    /// [`StoreError`] where the list cannot be asked.
    pub(crate) async fn surely_now(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let theirs = self.in_time(self.list.ping(), Verb::Ping).await?;
        let (began, at) = self.began;
        let passed = self.clock.monotonic().saturating_sub(at);
        Ok(now.min(began.plus(passed)).min(theirs.unwrap_or(now)))
    }

    /// The list's answer, if it comes in time. One that is there already needs no timer.
    pub(super) async fn in_time<T: Unpin>(
        &self,
        answer: StoreFuture<'_, T>,
        verb: Verb,
    ) -> Result<T, StoreError> {
        self.within(DEADLINE, answer, verb).await
    }

    async fn within<T: Unpin>(
        &self,
        time: Duration,
        answer: StoreFuture<'_, T>,
        verb: Verb,
    ) -> Result<T, StoreError> {
        match answer.into_ready() {
            Ok(answer) => answer,
            Err(coming) => timeout(time, coming)
                .await
                .unwrap_or_else(|_| Err(StoreError::new(ErrorKind::Timeout, self.list.name(), verb))),
        }
    }

    fn failed(&self, kind: ErrorKind) -> StoreError {
        StoreError::new(kind, self.list.name(), Verb::Watch)
    }

    /// What whoever waited for a reading is told of its failure, which was counted where it happened: that it is to be tried again.
    /// Why, the log tells.
    pub(super) fn unread(&self, kind: ErrorKind) -> StoreError {
        let kind = if kind == ErrorKind::Timeout { kind } else { ErrorKind::Unavailable };
        self.failed(kind).caused_by(Refused::unread(self.rest().max(SHORTEST_RETRY)))
    }

    /// After a reading that failed nobody tries again for so long, but for who reads all the time.
    fn rest(&self) -> Duration {
        self.lease / super::keeping::READINGS_IN_A_LEASE
    }
}

/// Entries asked for at once.
const PAGE: usize = 1_024;
/// Entries that the streams are told of under one lock.
const TOLD_AT_A_TIME: usize = 64;
/// Answers in one reading: four million entries, more than any node keeps.
const MOST_STEPS: usize = 4_096;
/// Longest wait for one answer of the list.
const DEADLINE: Duration = Duration::from_secs(2);
/// Longest that a request waits for a reading, and again for its own: then it is answered with 503. Also where the list is so long that
/// reading it takes more: what was read stays read, and whoever comes next goes on from there.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// What clients are told to wait at least.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);
