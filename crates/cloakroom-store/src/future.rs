//! The future a store's verb returns.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::StoreError;

/// The answer of a store: there already, or on its way.
///
/// A store that answers from memory allocates nothing and never makes its caller wait; others box a future.
#[must_use = "futures do nothing unless awaited"]
pub struct StoreFuture<'a, T>(State<'a, T>);

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

enum State<'a, T> {
    Ready(Option<Result<T, StoreError>>),
    Waiting(Boxed<'a, T>),
}

impl<'a, T> StoreFuture<'a, T> {
    /// An answer that is there already.
    pub const fn ready(answer: Result<T, StoreError>) -> Self {
        Self(State::Ready(Some(answer)))
    }

    /// An answer that has to be waited for.
    ///
    /// Dropping it half-way may leave a write applied or not, but never half applied.
    pub fn waiting(future: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> Self {
        Self(State::Waiting(Box::pin(future)))
    }

    /// The answer, where it is there already; else the future back. For stores around a store: they pass an answer on
    /// without putting a box around it.
    ///
    /// # Errors
    /// The future itself, where its answer has to be waited for.
    ///
    /// # Panics
    /// Where the answer was taken already.
    pub fn into_ready(self) -> Result<Result<T, StoreError>, Self> {
        match self.0 {
            State::Ready(answer) => Ok(answer.expect("a future is not asked after its answer")),
            State::Waiting(_) => Err(self),
        }
    }
}

impl<T: Unpin> Future for StoreFuture<'_, T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(answer) => {
                Poll::Ready(answer.take().expect("a future is not polled after its answer"))
            }
            State::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for StoreFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Ready(_) => "StoreFuture(ready)",
            State::Waiting(_) => "StoreFuture(waiting)",
        })
    }
}
