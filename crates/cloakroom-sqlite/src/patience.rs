//! Nobody waits for ever.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloakroom_store::{Applied, StoreError, Verb};
use futures_util::future::{Either, select};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, oneshot};

use crate::error::Problem;

/// A clock that ticks for everyone who waits, from a thread of its own: tasks need no timer of their runtime, which may
/// be another one, or paused in a test.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    tick: Notify,
    waiting: AtomicUsize,
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            tick: Notify::new(),
            waiting: AtomicUsize::new(0),
            stopped: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    /// Ticks until [`stop`](Self::stop), and then for as long as anybody still waits and has patience: the disk may hang.
    pub(crate) fn run(&self) {
        let mut stopped = self.stopped.lock();
        while !*stopped {
            self.changed.wait_for(&mut stopped, self.limit / TICKS);
            self.tick.notify_waiters();
        }
        // Nobody begins to wait any more. The tick above and those that follow make up everybody's limit.
        for _ in 0..=TICKS {
            if self.waiting.load(Ordering::SeqCst) == 0 {
                return;
            }
            self.changed.wait_for(&mut stopped, self.limit / TICKS);
            self.tick.notify_waiters();
        }
    }

    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_all();
    }

    /// The answer that comes through `answer`, or an error once patience has run out.
    pub(crate) async fn answer<T>(
        &self,
        verb: Verb,
        mut answer: oneshot::Receiver<Result<T, StoreError>>,
        without_answer: Applied,
    ) -> Result<T, StoreError> {
        let _waiting = Waiting::one(self);
        let mut problem = Problem::Overdue(self.limit);
        // The first tick may come at once: one more than make up the limit.
        for _ in 0..=TICKS {
            let tick = pin!(self.tick.notified());
            match select(&mut answer, tick).await {
                Either::Left((Ok(answer), _)) => return answer,
                Either::Left((Err(_dropped), _)) => {
                    problem = Problem::Panicked;
                    break;
                }
                Either::Right(_) => {}
            }
        }
        Err(Problem::shared(&Arc::new(problem), verb, without_answer))
    }
}

/// Somebody who waits.
struct Waiting<'a>(&'a Patience);

impl<'a> Waiting<'a> {
    fn one(patience: &'a Patience) -> Self {
        patience.waiting.fetch_add(1, Ordering::SeqCst);
        Self(patience)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let last = self.0.waiting.fetch_sub(1, Ordering::SeqCst) == 1;
        // Nobody else waits: a clock that was stopped need not go on. Where it was not, it has seen nothing.
        if last && *self.0.stopped.lock() {
            self.0.changed.notify_all();
        }
    }
}

/// Ticks in one limit: how exactly it is kept.
const TICKS: u32 = 8;
