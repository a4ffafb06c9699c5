//! Activity on its way to the store, coalesced.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{StoreError, Touch, TouchReport, Verb};
use parking_lot::Mutex;

use crate::Sessions;

/// Touches that wait to be written in one batch.
#[derive(Debug, Default)]
pub(crate) struct TouchQueue {
    waiting: Mutex<HashMap<TokenDigest, Timestamp>>,
    /// Whether somebody empties the queue.
    served: AtomicBool,
}

impl TouchQueue {
    /// Queues a touch of a session that has `left` until it is idle. `false` where it cannot wait: nobody empties
    /// the queue, it is full, or the session might end before its turn comes.
    pub(crate) fn defer(&self, touch: Touch, left: Duration) -> bool {
        if !self.served.load(Ordering::Acquire) || left < WAITING_MARGIN {
            return false;
        }
        let mut waiting = self.waiting.lock();
        let room = waiting.len() < MAX_WAITING;
        match waiting.entry(touch.digest) {
            Entry::Occupied(mut entry) => {
                let latest = touch.seen_at.max(*entry.get());
                entry.insert(latest);
                true
            }
            Entry::Vacant(entry) if room => {
                entry.insert(touch.seen_at);
                true
            }
            Entry::Vacant(_) => false,
        }
    }

    /// Marks the queue as served for as long as the guard lives.
    pub(crate) fn serve(&self) -> Served<'_> {
        self.served.store(true, Ordering::Release);
        Served(self)
    }

    /// At most `limit` touches that waited; the caller writes them or puts them back.
    fn take(&self, limit: usize) -> Vec<Touch> {
        let mut waiting = self.waiting.lock();
        let mut batch: Vec<Touch> = waiting
            .iter()
            .take(limit)
            .map(|(digest, seen_at)| Touch { digest: *digest, seen_at: *seen_at })
            .collect();
        for touch in &batch {
            waiting.remove(&touch.digest);
        }
        // Stores lock rows in the order of the batch: one order for all nodes cannot deadlock.
        batch.sort_unstable_by_key(|touch| touch.digest);
        batch
    }

    fn put_back(&self, batch: &[Touch]) {
        let mut waiting = self.waiting.lock();
        for touch in batch {
            if waiting.len() >= MAX_WAITING {
                return;
            }
            let seen_at = waiting.entry(touch.digest).or_insert(touch.seen_at);
            *seen_at = touch.seen_at.max(*seen_at);
        }
    }
}

/// While it lives, the queue is emptied by somebody.
pub(crate) struct Served<'a>(&'a TouchQueue);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.served.store(false, Ordering::Release);
    }
}

impl Sessions {
    /// Writes all activity down that waits. [`upkeep`](Self::upkeep) does this on its own, at its end too.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot answer; what was not written waits for the next time. Where one of several
    /// servers is away, that is the activity of those alone whose sessions are there.
    ///
    /// # Cost
    /// One round trip for each 512 sessions that were active.
    #[tracing::instrument(name = "engine.flush", level = "debug", skip_all)]
    pub async fn flush(&self) -> Result<usize, StoreError> {
        let (mut written, mut missed, mut failure) = (0, Vec::new(), None);
        loop {
            let batch = self.touches().take(BATCH);
            if batch.is_empty() {
                break;
            }
            match self.note(&batch).await {
                Ok(report) => written += report.touched,
                Err(error) => {
                    let Some(noted) = error.noted() else {
                        missed.extend(batch);
                        failure = Some(error);
                        break;
                    };
                    missed.extend(noted.split(&batch).1);
                    failure = failure.or(Some(error));
                }
            }
        }
        // Not before all others had their turn: otherwise they would be taken again at once, and nobody else.
        self.touches().put_back(&missed);
        failure.map_or(Ok(written), Err)
    }

    /// Writes touches down at once. A failure is counted and logged, and ends no session: the next request tries
    /// again.
    pub(crate) async fn touch_now(&self, touches: &[Touch]) {
        let _ = self.note(touches).await;
    }

    async fn note(&self, touches: &[Touch]) -> Result<TouchReport, StoreError> {
        let answer = self.ask(Verb::Touch, self.asked().touch(touches, self.now())).await;
        match &answer {
            Ok(report) => self.count_touches(report.touched, report.ignored),
            Err(error) => {
                let missed = error.noted().map_or(touches.len(), |noted| {
                    self.count_touches(noted.report.touched, noted.report.ignored);
                    noted.split(touches).1.len()
                });
                self.metrics().touches_failed.increment(len(missed));
            }
        }
        answer
    }

    fn count_touches(&self, written: usize, ignored: usize) {
        self.metrics().touches_written.increment(len(written));
        self.metrics().touches_ignored.increment(len(ignored));
    }
}

fn len(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Most touches that wait: 3 MiB of memory, and two minutes of a store that takes 500 a second.
const MAX_WAITING: usize = 65_536;
/// Touches in one call of the store.
const BATCH: usize = 512;
/// A session with less than this until it is idle is touched at once: ten times the interval between batches.
const WAITING_MARGIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use cloakroom_core::{Route, SessionToken};

    use super::*;

    fn touch(fill: u8, millis: i64) -> Touch {
        let digest = SessionToken::from_random(Route::from_bytes([fill, 0]), [fill; 32]).digest();
        Touch { digest, seen_at: Timestamp::from_millis(millis) }
    }

    #[test]
    fn touches_of_one_session_become_one_and_the_latest_counts() {
        let queue = TouchQueue::default();
        let _served = queue.serve();
        for millis in [5, 9, 7] {
            assert!(queue.defer(touch(1, millis), Duration::MAX));
        }
        assert_eq!(queue.take(10), [touch(1, 9)]);
        assert_eq!(queue.take(10), []);
    }

    #[test]
    fn a_touch_does_not_wait_where_nobody_serves_or_time_is_short() {
        let queue = TouchQueue::default();
        assert!(!queue.defer(touch(1, 1), Duration::MAX));
        let served = queue.serve();
        assert!(queue.defer(touch(1, 1), WAITING_MARGIN));
        assert!(!queue.defer(touch(2, 1), WAITING_MARGIN - Duration::from_millis(1)));
        drop(served);
        assert!(!queue.defer(touch(3, 1), Duration::MAX));
    }

    #[test]
    fn what_could_not_be_written_waits_again_and_never_moves_back() {
        let queue = TouchQueue::default();
        let _served = queue.serve();
        assert!(queue.defer(touch(1, 5), Duration::MAX));
        let batch = queue.take(10);
        assert!(queue.defer(touch(1, 8), Duration::MAX));
        queue.put_back(&batch);
        assert_eq!(queue.take(10), [touch(1, 8)]);
    }

    #[test]
    fn the_queue_is_bounded() {
        let queue = TouchQueue::default();
        let _served = queue.serve();
        for number in 0..MAX_WAITING {
            let mut random = [0; 32];
            random[..8].copy_from_slice(&number.to_le_bytes());
            let digest = SessionToken::from_random(Route::from_bytes([0, 0]), random).digest();
            assert!(queue.defer(Touch { digest, seen_at: Timestamp::EPOCH }, Duration::MAX));
        }
        assert!(!queue.defer(touch(1, 1), Duration::MAX));
    }
}
