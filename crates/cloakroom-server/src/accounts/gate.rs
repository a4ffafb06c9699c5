//! A bounded way off the async threads for work that keeps a core busy.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// How much password hashing happens at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HashingLimits {
    /// Passwords hashed at the same time, each on a core of its own with 19 MiB. At least 1.
    pub parallel: usize,
    /// Passwords that may wait for their turn; one more is turned away.
    pub queued: usize,
}

impl HashingLimits {
    /// Limits for a machine with this many cores: one hash per core, at most four, and a queue of about two seconds.
    #[must_use]
    pub fn for_cores(cores: usize) -> Self {
        let parallel = cores.clamp(1, MAX_PARALLEL);
        Self { parallel, queued: parallel * QUEUED_PER_CORE }
    }
}

/// Runs blocking work, never more than so much at once and never with more than so much waiting.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// One permit for everything running or waiting.
    admitted: Arc<Semaphore>,
    /// One permit for everything running.
    running: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(limits: HashingLimits) -> Self {
        let parallel = limits.parallel.max(1);
        Self {
            admitted: Arc::new(Semaphore::new(
                parallel.saturating_add(limits.queued).min(Semaphore::MAX_PERMITS),
            )),
            running: Arc::new(Semaphore::new(parallel.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// A place for one piece of work; `None`, at once, where too much is waiting already.
    pub(super) fn admit(&self) -> Option<Admission> {
        match self.admitted.clone().try_acquire_owned() {
            Ok(permit) => Some(Admission { admitted: permit, running: self.running.clone() }),
            Err(TryAcquireError::NoPermits) => None,
            Err(TryAcquireError::Closed) => unreachable!("the semaphore is never closed"),
        }
    }
}

/// A place in the queue, kept until its work is done or it is dropped.
#[derive(Debug)]
pub(super) struct Admission {
    admitted: OwnedSemaphorePermit,
    running: Arc<Semaphore>,
}

impl Admission {
    /// Runs `work` on a thread that may block, when its turn has come; `None` where the runtime is shutting down.
    ///
    /// The permits travel with the work: a caller that goes away frees nothing before the work is done.
    pub(super) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let Self { admitted, running } = self;
        let running = running.acquire_owned().await.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let _permits = (admitted, running);
            work()
        });
        match done.await {
            Ok(result) => Some(result),
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            // The runtime is shutting down and gave the work up: it answers nobody any more.
            Err(_) => None,
        }
    }
}

/// More at once would only take memory bandwidth from each other.
const MAX_PARALLEL: usize = 4;
/// At some 30 ms each, the last one waits about two seconds.
const QUEUED_PER_CORE: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn limits_follow_the_cores() {
        for (cores, parallel) in [(0, 1), (1, 1), (2, 2), (4, 4), (64, 4)] {
            assert_eq!(HashingLimits::for_cores(cores).parallel, parallel);
        }
    }

    #[tokio::test]
    async fn what_would_wait_too_long_is_turned_away_and_the_rest_is_done() {
        let gate = Gate::new(HashingLimits { parallel: 1, queued: 1 });
        let (release, held) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let gate = gate.clone();
            async move { gate.admit().unwrap().run(move || held.recv().is_ok()).await }
        });
        while gate.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn({
            let gate = gate.clone();
            async move { gate.admit().unwrap().run(|| 2).await }
        });
        while gate.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(gate.admit().is_none(), "one runs, one waits");
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Some(true));
        assert_eq!(second.await.unwrap(), Some(2));
        assert_eq!(gate.admit().unwrap().run(|| 4).await, Some(4));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_frees_nothing_before_the_work_is_done() {
        let gate = Gate::new(HashingLimits { parallel: 1, queued: 0 });
        let (release, held) = mpsc::channel::<()>();
        let (done, finished) = tokio::sync::oneshot::channel();
        let caller = tokio::spawn({
            let gate = gate.clone();
            async move {
                let work = move || {
                    let released = held.recv();
                    let _ = done.send(released.is_ok());
                };
                gate.admit().unwrap().run(work).await
            }
        });
        while gate.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert!(gate.admit().is_none(), "the work still runs");
        release.send(()).unwrap();
        assert!(finished.await.unwrap());
    }
}
