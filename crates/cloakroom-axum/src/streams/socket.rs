//! WebSockets that end with their session.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use axum::Error;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use cloakroom::{Activity, SessionWatch, StreamEnd};
use futures_util::task::AtomicWaker;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::time::{Sleep, sleep};

/// A WebSocket for as long as its session lives: used like axum's own, as `Stream` and `Sink` too.
///
/// When the session ends, wherever it does, the socket is closed with code 1008 (policy violation) and the reason, for
/// example `session_ended: revoked_by_admin`; nothing is received any more, and nothing sent. Where the store cannot be
/// asked for too long, the code is 1013 (try again later): that is no sign-out.
///
/// ```
/// use axum::extract::ws::{Message, WebSocketUpgrade};
/// use axum::response::Response;
/// use cloakroom_axum::{Rejection, Session, SessionSocket};
///
/// async fn echo(session: Session, upgrade: WebSocketUpgrade) -> Result<Response, Rejection> {
///     // Before the upgrade: whoever has no session is refused, not connected.
///     let watch = session.watch().await?;
///     Ok(upgrade.on_upgrade(async move |socket| {
///         let mut socket = SessionSocket::new(socket, watch).counting_as_activity();
///         while let Some(Ok(message)) = socket.recv().await {
///             if let Message::Text(_) = message && socket.send(message).await.is_err() {
///                 break;
///             }
///         }
///     }))
/// }
/// ```
///
/// # Security
/// A browser attaches cookies to a WebSocket handshake that a page of another site asks for, and no rule of CORS applies
/// (cross-site WebSocket hijacking). The layer's [`OriginGuard`](crate::OriginGuard) therefore checks handshakes like
/// unsafe requests; keep it on, and keep the route inside the layer (ASVS 4.4.2).
///
/// The end is noticed while the socket is being read or written. Whoever does neither for long selects on
/// [`Session::ended`](crate::Session::ended) besides.
pub struct SessionSocket {
    socket: WebSocket,
    watch: SessionWatch,
    /// The watch of a writer who waits for a client that does not read: the reader may be another task.
    stalled: Option<SessionWatch>,
    activity: Activity,
    phase: Phase,
}

enum Phase {
    Open,
    /// The session is over, the client is being told.
    Closing {
        farewell: Farewell,
        patience: Pin<Box<Sleep>>,
        halves: Arc<Halves>,
    },
    Closed,
}

/// How far the client has been told.
enum Farewell {
    Unsent(CloseFrame),
    Sent,
    /// On its way: what the client still sends is not looked at, but taken, or the connection would be reset under it.
    Flushed,
}

/// Whoever waits for the closing: where reader and writer are two tasks, progress that one was told of is both's.
#[derive(Debug, Default)]
struct Halves {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// Who asks.
#[derive(Clone, Copy)]
enum Half {
    Reader,
    Writer,
}

impl Halves {
    fn waker_for(self: &Arc<Self>, half: Half, waker: &Waker) -> Waker {
        match half {
            Half::Reader => self.reader.register(waker),
            Half::Writer => self.writer.register(waker),
        }
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Halves {
    fn wake(self: Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl SessionSocket {
    /// `socket` until `watch` resolves.
    pub fn new(socket: WebSocket, watch: SessionWatch) -> Self {
        Self { socket, watch, stalled: None, activity: Activity::Ignored, phase: Phase::Open }
    }

    /// The same, counting each text or binary message of the client as activity of its user: the session does not go
    /// idle while they come. Without this the socket being open, and whatever comes over it, is no activity.
    ///
    /// # Security
    /// Only where a person's doing makes the page send something. A page that sends by itself (positions, presence,
    /// its own heartbeat) would keep an abandoned device signed in until the absolute timeout (ASVS 7.3.1); call
    /// [`note_activity`](Self::note_activity) for the messages that matter instead. Pings and pongs never count.
    #[must_use]
    pub fn counting_as_activity(self) -> Self {
        Self { activity: Activity::Counts, ..self }
    }

    /// Records that the user did something; see [`SessionWatch::note_activity`].
    pub fn note_activity(&self) {
        self.watch.note_activity();
    }

    /// The next message; `None` once the socket is closed, by whomever: [`end`](Self::end) says whether by the end of the
    /// session.
    ///
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        self.next().await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Where the socket is closed; where the session has ended, and the client has been told.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        futures_util::SinkExt::send(self, message).await
    }

    /// Why the session's streams have to end, where that is known.
    #[must_use]
    pub fn end(&self) -> Option<StreamEnd> {
        self.watch.end()
    }

    /// Begins to close where the session is over. Registers nobody to be woken.
    fn look(&mut self) {
        if let (Phase::Open, Some(end)) = (&self.phase, self.watch.end()) {
            self.begin_to_close(&end);
        }
    }

    fn begin_to_close(&mut self, end: &StreamEnd) {
        self.stalled = None;
        self.phase = Phase::Closing {
            farewell: Farewell::Unsent(farewell(end)),
            patience: Box::pin(sleep(PATIENCE)),
            halves: Arc::default(),
        };
    }

    /// Tells the client, and waits for its answer, but not for long.
    fn poll_closing(&mut self, half: Half, cx: &mut Context<'_>) -> Poll<()> {
        while let Phase::Closing { farewell, patience, halves } = &mut self.phase {
            let waker = halves.waker_for(half, cx.waker());
            let cx = &mut Context::from_waker(&waker);
            let step = match farewell {
                _ if patience.as_mut().poll(cx).is_ready() => None,
                Farewell::Unsent(frame) => match ready!(self.socket.poll_ready_unpin(cx)) {
                    Ok(()) => {
                        let sent = self.socket.start_send_unpin(Message::Close(Some(frame.clone())));
                        sent.is_ok().then_some(Farewell::Sent)
                    }
                    Err(_) => None,
                },
                Farewell::Sent => {
                    ready!(self.socket.poll_flush_unpin(cx)).is_ok().then_some(Farewell::Flushed)
                }
                Farewell::Flushed => match ready!(self.socket.poll_next_unpin(cx)) {
                    Some(Ok(_)) => Some(Farewell::Flushed),
                    Some(Err(_)) | None => None,
                },
            };
            match step {
                Some(next) => *farewell = next,
                None => {
                    waker.wake();
                    self.phase = Phase::Closed;
                }
            }
        }
        Poll::Ready(())
    }

    /// One step of writing, for as long as the session lives.
    fn poll_writing(
        &mut self,
        cx: &mut Context<'_>,
        step: fn(&mut WebSocket, &mut Context<'_>) -> Poll<Result<(), Error>>,
    ) -> Poll<Result<(), Error>> {
        self.look();
        if let Phase::Open = self.phase {
            let written = step(&mut self.socket, cx);
            if written.is_ready() {
                self.stalled = None;
                return written;
            }
            let stalled = self.stalled.get_or_insert_with(|| self.watch.clone());
            let end = ready!(Pin::new(stalled).poll(cx));
            self.begin_to_close(&end);
        }
        ready!(self.poll_closing(Half::Writer, cx));
        Poll::Ready(Err(self.over()))
    }

    fn over(&self) -> Error {
        Error::new(Over(self.watch.end().map_or("closed", |end| end.as_str())))
    }
}

impl Stream for SessionSocket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Phase::Open = this.phase {
            if let Poll::Ready(end) = Pin::new(&mut this.watch).poll(cx) {
                this.begin_to_close(&end);
            } else {
                let next = ready!(this.socket.poll_next_unpin(cx));
                if let (Activity::Counts, Some(Ok(Message::Text(_) | Message::Binary(_)))) =
                    (this.activity, &next)
                {
                    this.watch.note_activity();
                }
                return Poll::Ready(next);
            }
        }
        ready!(this.poll_closing(Half::Reader, cx));
        Poll::Ready(None)
    }
}

impl Sink<Message> for SessionSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_writing(cx, futures_util::SinkExt::poll_ready_unpin)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.look();
        match self.phase {
            Phase::Open => self.socket.start_send_unpin(message),
            Phase::Closing { .. } | Phase::Closed => Err(self.over()),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_writing(cx, futures_util::SinkExt::poll_flush_unpin)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.phase {
            Phase::Open => self.socket.poll_close_unpin(cx),
            Phase::Closing { .. } | Phase::Closed => self.poll_closing(Half::Writer, cx).map(Ok),
        }
    }
}

impl fmt::Debug for SessionSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionSocket")
            .field("watch", &self.watch)
            .field("activity", &self.activity)
            .finish_non_exhaustive()
    }
}

/// Nothing is sent any more.
#[derive(Debug, thiserror::Error)]
#[error("the socket's session is over: {0}")]
struct Over(&'static str);

/// What the client is told, within the 123 bytes that RFC 6455 §5.5 leaves for a reason.
fn farewell(end: &StreamEnd) -> CloseFrame {
    let (code, reason) = match end {
        StreamEnd::Ended(tombstone) => {
            (close_code::POLICY, Utf8Bytes::from(format!("session_ended: {}", tombstone.reason)))
        }
        StreamEnd::Unproven => (close_code::AGAIN, Utf8Bytes::from_static(end.as_str())),
        _ => (close_code::POLICY, Utf8Bytes::from_static(end.as_str())),
    };
    CloseFrame { code, reason }
}

/// For how long a client that does not read, or does not answer, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use cloakroom::{EndReason, SessionId, Timestamp, Tombstone};

    use super::*;

    #[test]
    fn every_reason_fits_into_a_close_frame() {
        for reason in EndReason::ALL {
            let session = SessionId::from_bytes([0; 16]);
            let tombstone = Tombstone { session, principal: None, ended_at: Timestamp::EPOCH, reason };
            let frame = farewell(&StreamEnd::Ended(tombstone));
            assert_eq!(frame.code, 1008);
            assert_eq!(frame.reason.as_str(), format!("session_ended: {reason}"));
            assert!(frame.reason.len() <= 123);
        }
        assert_eq!(farewell(&StreamEnd::Unknown).code, 1008);
        assert_eq!(farewell(&StreamEnd::Unproven).code, 1013);
    }
}
