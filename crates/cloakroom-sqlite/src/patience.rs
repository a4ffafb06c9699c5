//! Nobody waits for ever.

use std::pin::pin;
use std::sync::Arc;
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
    stopped: Mutex<bool>,
    stop: Condvar,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, tick: Notify::new(), stopped: Mutex::new(false), stop: Condvar::new() }
    }

    /// Ticks until [`stop`](Self::stop).
    pub(crate) fn run(&self) {
        let mut stopped = self.stopped.lock();
        while !*stopped {
            self.stop.wait_for(&mut stopped, self.limit / TICKS);
            self.tick.notify_waiters();
        }
    }

    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.stop.notify_all();
    }

    /// The answer that comes through `answer`, or an error once patience has run out.
    pub(crate) async fn answer<T>(
        &self,
        verb: Verb,
        mut answer: oneshot::Receiver<Result<T, StoreError>>,
        without_answer: Applied,
    ) -> Result<T, StoreError> {
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

/// Ticks in one limit: how exactly it is kept.
const TICKS: u32 = 8;
