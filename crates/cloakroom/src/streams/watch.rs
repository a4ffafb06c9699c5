//! Waiting for the end of a session.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use cloakroom_core::{EndReason, SessionId, Tombstone};
use tokio::runtime::Handle;

use super::driver::drive;
use super::entry::Key;
use crate::{ActiveSession, Sessions};

/// Why an open stream ends.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StreamEnd {
    /// Its session has ended, by decision or by time.
    Ended(Tombstone),
    /// Nothing is, or is still, known of its session: it was removed behind the product's back, or evicted, or its
    /// record cannot be read. Requests with its token are refused.
    Unknown,
    /// Nothing has shown for as long as the stream's [patience](crate::StreamPolicy::with_patience) that its session
    /// lives: the store cannot be asked. That is no sign-out (G9): let the client try again later. Also where the token
    /// was exchanged on another node and the store cannot find sessions by id: let the client come with its new one.
    Unproven,
}

impl StreamEnd {
    /// Why the session ended, where that is known.
    #[must_use]
    pub fn reason(&self) -> Option<EndReason> {
        match self {
            Self::Ended(tombstone) => Some(tombstone.reason),
            Self::Unknown | Self::Unproven => None,
        }
    }

    /// The name of the reason, as in `end_reason`; else `session_unknown` or `store_unavailable`, as in the codes of
    /// refusals.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ended(tombstone) => tombstone.reason.as_str(),
            Self::Unknown => "session_unknown",
            Self::Unproven => "store_unavailable",
        }
    }
}

impl fmt::Display for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stream that is open for a session, to be told when it has to end: a future that resolves then.
///
/// It may be polled from a `select!` that drops the rest, waited for again, and sent to another task; whatever happens
/// while nobody polls it is not lost. After it has resolved it resolves at once, to the same. A clone is another stream
/// of the same session. Dropping it is how a stream says that it is over by itself.
#[must_use = "a stream ends with its session only if somebody waits for that"]
pub struct SessionWatch {
    sessions: Sessions,
    key: Key,
}

impl Sessions {
    /// Ends all streams that are open on this engine, as [unproven](StreamEnd::Unproven): their clients come again, if they may.
    ///
    /// For keys of sealed sessions that were revoked: requests with their tokens are refused, but a stream has passed the door
    /// already, and the list of ends knows nothing of it.
    ///
    /// # Cost
    /// A short lock, and a wake for each stream. None while no stream is open.
    pub fn give_up_streams(&self) {
        self.streams().give_up_all();
    }

    /// Watches `session` for a stream that stays open: a WebSocket, server-sent events, a long download.
    ///
    /// The watch resolves when the session ends, on whichever node and for whatever reason: revoked, signed out, idle, at
    /// its absolute instant. A session whose token is exchanged, here or elsewhere, lives on, and so does its stream.
    ///
    /// Where the store tells of changes, that is milliseconds after the end. Where it does not (or its feed is cut off),
    /// each session is looked up once in a [recheck interval](crate::StreamPolicy::with_recheck_interval). While the
    /// store cannot be asked either, the stream stays open up to its patience. It does not matter by what `session` was
    /// found, or how long ago: it is looked up once more, after it is registered.
    ///
    /// ```
    /// # use cloakroom::{EndReason, Issue, Revocation, Selector, Sessions};
    /// # use cloakroom_memory::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sessions = Sessions::builder(MemoryStore::default()).build()?;
    /// # let visit = sessions.issue(Issue::anonymous()).await?.expect_issued();
    /// let mut watch = sessions.watch_session(&visit.session);
    /// # sessions.revoke(&Selector::One(visit.session.id()), Revocation::by_system(EndReason::Compromised)).await?;
    /// # let next_message = std::future::pending::<()>;
    /// loop {
    ///     tokio::select! {
    ///         biased;
    ///         end = &mut watch => {
    ///             assert_eq!(end.reason(), Some(EndReason::Compromised));
    ///             break; // close the stream, and say why
    ///         }
    ///         _ = next_message() => { /* … */ }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Has to be polled within a tokio runtime with timers: there a task is spawned that serves all streams.
    ///
    /// # Security
    /// What a stream delivers after its session has ended is what a thief still sees after "sign out everywhere": select
    /// with `biased`, the watch first, so that nothing more goes out once it has resolved (ASVS 7.4.1). A stream that is
    /// open is no activity: its session may go idle under it (ASVS 7.3.1); see
    /// [`note_activity`](SessionWatch::note_activity).
    ///
    /// # Cost
    /// One look-up when the stream opens, beside it; then nothing while the store's feed is alive. All streams of an
    /// engine share one task and one feed. About 1.2 kB each.
    pub fn watch_session(&self, session: &ActiveSession) -> SessionWatch {
        let key = self.streams().open(session);
        let watch = SessionWatch { sessions: self.clone(), key };
        watch.ensure_driven();
        watch
    }
}

impl SessionWatch {
    /// The public name of the session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.key.session
    }

    /// Why the stream has to end, where that is known already; does not wait. For a last look before something is sent.
    #[must_use]
    pub fn end(&self) -> Option<StreamEnd> {
        self.sessions.streams().with(|registry| registry.end_of(self.key))
    }

    /// Waits for the end. Cancel-safe: dropping the future that this is loses nothing.
    pub async fn ended(&mut self) -> StreamEnd {
        self.await
    }

    /// The same, with this patience instead of the policy's: after which time without any proof that its session lives
    /// the stream ends. At least two recheck intervals, whatever is said.
    ///
    /// # Security
    /// See [`StreamPolicy::with_patience`](crate::StreamPolicy::with_patience).
    pub fn with_patience(self, patience: Duration) -> Self {
        let streams = self.sessions.streams();
        let patience = streams.policy.patience_of(patience);
        streams.with(|registry| {
            if let Some(slot) = registry.slot(self.key) {
                slot.patience = patience;
            }
        });
        self
    }

    /// Records that the user did something by way of this stream: their session does not go idle for it.
    ///
    /// Written down at most once per touch interval, like activity of requests, and as those never past the absolute
    /// instant. Nothing is written once the session's token was exchanged on another node, until a stream opens with the
    /// new one; the request that brought the new token was activity itself.
    ///
    /// Without effect for a [sealed](Sessions::sealed) session: its activity is written into its token, which only an answer to a
    /// request can bring to the client.
    ///
    /// # Security
    /// Call it for what a person did: a message that was typed, a key that was pressed. Not for pings, pongs, polls and
    /// position reports that a page sends by itself: an abandoned device would then stay signed in until the absolute
    /// timeout, and the idle timeout would protect nobody (ASVS 7.3.1).
    ///
    /// # Cost
    /// A short lock; at most one write per touch interval, in a batch with others.
    pub fn note_activity(&self) {
        if self.sessions.is_sealed() {
            return;
        }
        let streams = self.sessions.streams();
        let (now, interval) = (self.sessions.now(), self.sessions.policy().touch_interval());
        let noted = streams.with(|registry| registry.note_activity(self.key, now, interval));
        let Some((touch, left)) = noted else { return };
        if !self.sessions.touches().defer(touch, left) {
            streams.with(|registry| registry.touch_at_once(touch));
        }
    }

    /// Where nobody serves the streams, because this is the first or because the runtime of whoever did is gone.
    fn ensure_driven(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let undriven =
            self.sessions.streams().with(|registry| !std::mem::replace(&mut registry.driven, true));
        if undriven {
            runtime.spawn(drive(self.sessions.clone()));
        }
    }
}

impl Future for SessionWatch {
    type Output = StreamEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<StreamEnd> {
        let streams = self.sessions.streams();
        let (end, driven) = streams.with(|registry| (registry.poll(self.key, cx.waker()), registry.driven));
        match end {
            Some(end) => Poll::Ready(end),
            None => {
                if !driven {
                    self.ensure_driven();
                }
                Poll::Pending
            }
        }
    }
}

impl Clone for SessionWatch {
    fn clone(&self) -> Self {
        let sessions = self.sessions.clone();
        let key = sessions.streams().open_beside(self.key);
        Self { sessions, key }
    }
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        self.sessions.streams().close(self.key);
    }
}

impl fmt::Debug for SessionWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionWatch").field("session", &self.key.session).field("end", &self.end()).finish()
    }
}
