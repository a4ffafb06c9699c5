//! Waiting, but not for ever.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// How long a caller still waits: one span of time over everything that is done for it.
#[derive(Debug)]
pub(crate) struct Patience {
    sleep: Pin<Box<Sleep>>,
    whole: Duration,
}

impl Patience {
    pub(crate) fn new(whole: Duration) -> Self {
        Self { sleep: Box::pin(sleep(whole)), whole }
    }

    /// How long it was at the beginning.
    pub(crate) fn whole(&self) -> Duration {
        self.whole
    }

    /// What comes of `work`, or `None` where patience ends before.
    pub(crate) async fn within<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            self.sleep.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}
