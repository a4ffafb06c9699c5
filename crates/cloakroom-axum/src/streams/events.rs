//! Server-sent events that end with their session.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::sse::Event;
use cloakroom::{SessionWatch, StreamEnd};
use futures_util::Stream;
use pin_project_lite::pin_project;

pin_project! {
    /// Events for as long as their session lives, then one that says why it ended: what
    /// [`Session::guard_events`](crate::Session::guard_events) makes of a stream.
    ///
    /// # Security
    /// Once the session is known to be over, no event goes out but the last.
    #[must_use = "streams do nothing unless polled"]
    pub struct GuardedEvents<S> {
        #[pin]
        events: S,
        // Gone once there is nothing more to say.
        watch: Option<SessionWatch>,
    }
}

impl<S> GuardedEvents<S> {
    /// `events` until `watch` resolves.
    pub fn new(events: S, watch: SessionWatch) -> Self {
        Self { events, watch: Some(watch) }
    }
}

impl<S, E> Stream for GuardedEvents<S>
where
    S: Stream<Item = Result<Event, E>>,
{
    type Item = Result<Event, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let Some(watch) = this.watch else { return Poll::Ready(None) };
        if let Poll::Ready(end) = Pin::new(watch).poll(cx) {
            *this.watch = None;
            return Poll::Ready(Some(Ok(last_event(&end))));
        }
        let next = this.events.poll_next(cx);
        if let Poll::Ready(None) = next {
            *this.watch = None;
        }
        next
    }
}

impl<S> fmt::Debug for GuardedEvents<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedEvents").field("watch", &self.watch).finish_non_exhaustive()
    }
}

fn last_event(end: &StreamEnd) -> Event {
    let event = match end {
        // Not over: the browser may come again.
        StreamEnd::Unproven => Event::default().event("session-unproven").retry(COME_AGAIN),
        _ => Event::default().event("session-ended"),
    };
    event.data(end.as_str())
}

/// After which time a browser tries again: not at once, since the store is down.
const COME_AGAIN: Duration = Duration::from_secs(5);
