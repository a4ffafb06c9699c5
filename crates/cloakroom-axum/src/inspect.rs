//! Looking at who presents a session, before it is used.

use std::fmt::Debug;
use std::sync::Arc;

use cloakroom::{ActiveSession, Timestamp};

use crate::RequestFacts;

/// Judges whether a session is still in the hands it was given to.
///
/// Asked once a request, when its session is found active and before anybody learns of it. A request whose handler never
/// asks for the session is not judged, and one that starts a session is not.
///
/// ```
/// use cloakroom::{ActiveSession, Timestamp};
/// use cloakroom_axum::{Inspection, Inspector, RequestFacts, SessionLayer};
///
/// /// Whoever comes with another program than the one that identity was proved with proves it again.
/// #[derive(Debug)]
/// struct SameProgram;
///
/// impl Inspector for SameProgram {
///     fn inspect(&self, session: &ActiveSession, request: &RequestFacts, _: Timestamp) -> Inspection {
///         let proven = session.device().and_then(|device| device.user_agent()).unwrap_or_default();
///         let present = request.user_agent().map_or(&b""[..], |value| value.as_bytes());
///         if proven.as_bytes() == present { Inspection::GoOn } else { Inspection::Demand }
///     }
/// }
///
/// # fn layered(layer: SessionLayer) -> SessionLayer {
/// layer.inspector(SameProgram).reauthenticate_at("/reauthenticate")
/// # }
/// ```
pub trait Inspector: Debug + Send + Sync + 'static {
    /// Judges `session`, presented by `request` at `now`.
    ///
    /// Called on the request's own task, while nobody else can use the session: it must not block. What it notices it
    /// keeps for itself, or passes on to a task of its own.
    fn inspect(&self, session: &ActiveSession, request: &RequestFacts, now: Timestamp) -> Inspection;
}

impl<I: Inspector> Inspector for Arc<I> {
    fn inspect(&self, session: &ActiveSession, request: &RequestFacts, now: Timestamp) -> Inspection {
        (**self).inspect(session, request, now)
    }
}

/// What an [`Inspector`] wants done with a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[must_use]
pub enum Inspection {
    /// It goes on.
    #[default]
    GoOn,
    /// The session may be used for nothing but proving identity again, signing in and signing out. Every other question
    /// about it fails with [`Rejection::ReauthenticationRequired`](crate::Rejection::ReauthenticationRequired).
    ///
    /// Nothing is kept: the next request is judged anew. A proof by [`Session::reauthenticate`](crate::Session::reauthenticate)
    /// writes this request's device into the session, so that an inspector that compares with
    /// [`ActiveSession::device`] is content from then on. Open streams stay open. An anonymous session has nobody who
    /// could prove anything: for it, this is [`GoOn`](Self::GoOn).
    Demand,
    /// The session ends at once, as [`EndReason::Compromised`](cloakroom::EndReason::Compromised), and this request is
    /// refused; where the store cannot end it, the request is refused as unavailable. Open streams close.
    End,
}
