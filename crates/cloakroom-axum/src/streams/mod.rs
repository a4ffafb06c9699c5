//! Open streams end with their session.

mod events;
#[cfg(feature = "ws")]
mod socket;

use axum::response::sse::Event;
use cloakroom::{SessionWatch, StreamEnd};
use futures_util::Stream;

use crate::{Rejection, Session};

pub use events::GuardedEvents;
#[cfg(feature = "ws")]
pub use socket::SessionSocket;

impl Session {
    /// Watches the session for a stream that stays open; see [`Sessions::watch_session`](cloakroom::Sessions::watch_session).
    ///
    /// Ask before the response begins, so that somebody without a session is refused instead of connected. Where the token is
    /// about to change it is saved first.
    ///
    /// # Errors
    /// Why there is no session, where there is none; else see [`Session`].
    ///
    /// # Cost
    /// One look-up beside the one that the request's first question costs.
    pub async fn watch(&self) -> Result<SessionWatch, Rejection> {
        Ok(self.sessions().watch_session(&self.present().await?))
    }

    /// Waits for the end of the session, wherever and for whatever reason it ends.
    ///
    /// For a `select!` in what goes on after the response has begun. Each call watches anew: pin what this returns outside
    /// of a loop, or use [`watch`](Self::watch).
    ///
    /// # Errors
    /// Why there is no session, where there is none; else see [`Session`].
    pub async fn ended(&self) -> Result<StreamEnd, Rejection> {
        Ok(self.watch().await?.await)
    }

    /// `events` for as long as the session lives: for [`Sse`](axum::response::sse::Sse).
    ///
    /// When the session ends, a last event says so: `event: session-ended`, its data the reason
    /// ([`StreamEnd::as_str`]). The page should close its `EventSource` then; one that reconnects all the same is answered
    /// 401, after which a browser gives up by itself. Where the store cannot be asked for too long, the last event is
    /// `session-unproven`, and the browser comes again after five seconds; a refusal (503) ends an `EventSource`, so the page
    /// has to make another.
    ///
    /// ```
    /// use axum::response::IntoResponse;
    /// use axum::response::sse::{Event, KeepAlive, Sse};
    /// use cloakroom_axum::{Rejection, Session};
    /// use futures_util::stream;
    ///
    /// async fn news(session: Session) -> Result<impl IntoResponse, Rejection> {
    ///     let news = stream::pending::<Result<Event, std::convert::Infallible>>();
    ///     Ok(Sse::new(session.guard_events(news).await?).keep_alive(KeepAlive::default()))
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`watch`](Self::watch).
    pub async fn guard_events<S, E>(&self, events: S) -> Result<GuardedEvents<S>, Rejection>
    where
        S: Stream<Item = Result<Event, E>>,
    {
        Ok(GuardedEvents::new(events, self.watch().await?))
    }

    /// `socket` for as long as the session lives.
    ///
    /// Inside of `on_upgrade` the response has begun. To refuse somebody without a session instead of connecting them, ask
    /// for the [`watch`](Self::watch) first, and make the [`SessionSocket`] of both.
    ///
    /// # Errors
    /// As [`watch`](Self::watch); the socket is closed without a reason then.
    #[cfg(feature = "ws")]
    pub async fn guard_socket(
        &self,
        socket: axum::extract::ws::WebSocket,
    ) -> Result<SessionSocket, Rejection> {
        Ok(SessionSocket::new(socket, self.watch().await?))
    }
}
