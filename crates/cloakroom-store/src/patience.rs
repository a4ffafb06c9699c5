//! Waiting, but not for ever.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// How long a caller still waits: one span of time over everything that is done for it. For stores whose every call has a
/// deadline, by whatever timer they have.
#[derive(Debug)]
pub struct Patience<S> {
    end: Pin<Box<S>>,
    whole: Duration,
}

impl<S: Future> Patience<S> {
    /// Patience that ends with `end`, which takes `whole`.
    pub fn new(whole: Duration, end: S) -> Self {
        Self { end: Box::pin(end), whole }
    }

    /// How long it was at the beginning.
    pub fn whole(&self) -> Duration {
        self.whole
    }

    /// What comes of `work`, or `None` where patience ends before. What is done already counts, however late.
    pub async fn within<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            self.end.as_mut().poll(context).map(|_| None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::{Context, Waker};

    use super::*;

    fn now<T>(work: impl Future<Output = T>) -> Poll<T> {
        pin!(work).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_done_counts_though_patience_has_ended_and_what_is_not_does_not() {
        let whole = Duration::from_secs(2);
        assert_eq!(now(Patience::new(whole, ready(())).within(ready(7))), Poll::Ready(Some(7)));
        assert_eq!(now(Patience::new(whole, ready(())).within(pending::<u8>())), Poll::Ready(None));
        assert_eq!(now(Patience::new(whole, pending::<()>()).within(pending::<u8>())), Poll::Pending);
        assert_eq!(Patience::new(whole, ready(())).whole(), whole);
    }
}
