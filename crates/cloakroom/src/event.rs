//! What happened to sessions, for whoever wants to know.

use std::fmt::{self, Debug};
use std::sync::Arc;

use cloakroom_core::{Device, EndReason, PrincipalId, SessionId, Timestamp};
use cloakroom_store::Ended;

use crate::revoke::Known;

/// Something that happened to a session, or was attempted.
///
/// Each lifecycle event is reported once, to every [`EventSink`], and moves one metric and writes one log line
/// (promise G11).
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// Which session; `None` where none is known.
    pub session: Option<SessionId>,
    /// Whom the session speaks for.
    pub principal: Option<PrincipalId>,
    /// Who did it.
    pub actor: Actor,
    /// From where.
    pub device: Option<Device>,
    /// Since when it is so, where that was earlier: when the session ended whose token is used, or when the token was
    /// exchanged that is used again.
    pub since: Option<Timestamp>,
    /// What the token that was used said of its session; see [`Revocation::about`](crate::Revocation::about).
    pub(crate) known: Option<Box<Known>>,
}

impl Event {
    /// An event of `kind` at `at`, done by the system itself, about no session in particular.
    #[must_use]
    pub fn new(kind: EventKind, at: Timestamp) -> Self {
        let actor = Actor::System;
        Self { at, kind, session: None, principal: None, actor, device: None, since: None, known: None }
    }

    /// The same event, about this session.
    #[must_use]
    pub fn about(self, session: SessionId, principal: Option<PrincipalId>) -> Self {
        Self { session: Some(session), principal, ..self }
    }

    /// The same event, done by `actor`.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// The same event, from `device`.
    #[must_use]
    pub fn from_device(self, device: Option<Device>) -> Self {
        Self { device, ..self }
    }

    /// The same event, about what is so since `instant`.
    #[must_use]
    pub fn since(self, instant: Timestamp) -> Self {
        Self { since: Some(instant), ..self }
    }

    pub(crate) fn ended(ended: &Ended, actor: &Actor) -> Self {
        let actor = if ended.reason.is_expiry() { Actor::System } else { actor.clone() };
        Self::new(EventKind::Ended(ended.reason), ended.at)
            .about(ended.session, ended.principal.clone())
            .by(actor)
    }
}

/// Kinds of events. Names follow OWASP's logging vocabulary where it has one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A session was issued.
    Issued,
    /// A session has a new token.
    Rotated,
    /// A principal proved identity again.
    Reauthenticated,
    /// A session ended.
    Ended(EndReason),
    /// A token was used after its session had ended.
    UsedAfterEnd(EndReason),
    /// A token was used that had been exchanged for another.
    RetiredTokenUsed,
    /// A [sealed](crate::Sessions::sealed) token was used that holds a state from before a change, where those are refused
    /// ([`Replay::Changes`](crate::Replay::Changes)): an answer was lost, a request was on its way, or a copy was put back.
    OldStateUsed,
    /// A well-formed token was used that names nothing.
    UnknownToken,
    /// A sign-in was refused since the principal has as many sessions as allowed.
    LimitReached,
    /// A record could not be decoded.
    UnreadableRecord,
    /// A store could not answer.
    StoreFailed,
    /// A change came for a session that had ended, and was refused.
    ResurrectionBlocked,
    /// Several different tokens came with one request.
    ConflictingTokens,
    /// A token stood in a URL, and was ignored.
    TokenInUrl,
    /// A request from another site was refused.
    CrossSiteBlocked,
}

impl EventKind {
    /// The name of this kind in audit and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issued => "session_created",
            Self::Rotated => "session_renewed",
            Self::Reauthenticated => "session_reauthenticated",
            Self::Ended(EndReason::SignedOut) => "session_logout",
            Self::Ended(EndReason::IdleTimeout | EndReason::AbsoluteTimeout) => "session_expired",
            Self::Ended(_) => "session_revoked",
            Self::UsedAfterEnd(_) => "session_use_after_expire",
            Self::RetiredTokenUsed => "authn_token_reuse",
            Self::OldStateUsed => "session_old_state",
            Self::UnknownToken => "session_unknown_token",
            Self::LimitReached => "excess_sessions_exceeded",
            Self::UnreadableRecord => "session_unreadable_record",
            Self::StoreFailed => "session_store_failed",
            Self::ResurrectionBlocked => "session_resurrection_blocked",
            Self::ConflictingTokens => "malicious_extraneous",
            Self::TokenInUrl => "session_token_in_url",
            Self::CrossSiteBlocked => "malicious_csrf",
        }
    }

    /// Why the session ended, where this is about an end.
    #[must_use]
    pub const fn end_reason(self) -> Option<EndReason> {
        match self {
            Self::Ended(reason) | Self::UsedAfterEnd(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Who did something.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Actor {
    /// Nobody: time, a limit, the product itself.
    #[default]
    System,
    /// The session's own principal, or whoever holds an anonymous session.
    User(Option<PrincipalId>),
    /// An administrator.
    Admin(PrincipalId),
    /// A back end, by the name of its key.
    Service(Arc<str>),
    /// Somebody at the command line of the machine.
    Operator,
}

impl Actor {
    /// The kind of actor in audit: `system`, `user`, `admin`, `service`, `operator`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User(_) => "user",
            Self::Admin(_) => "admin",
            Self::Service(_) => "service",
            Self::Operator => "operator",
        }
    }

    /// Who exactly, where that is known.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::System | Self::Operator => None,
            Self::User(principal) => principal.as_ref().map(PrincipalId::as_str),
            Self::Admin(principal) => Some(principal.as_str()),
            Self::Service(name) => Some(name),
        }
    }
}

/// Where events go: an audit log, a detector, a test.
pub trait EventSink: Debug + Send + Sync + 'static {
    /// Takes an event. Called on the request's own task: it must not block and must not fail.
    fn record(&self, event: &Event);
}

impl<S: EventSink> EventSink for Arc<S> {
    fn record(&self, event: &Event) {
        (**self).record(event);
    }
}

/// An identifier cut for logs: enough to connect lines, not the whole.
pub(crate) struct Masked<T>(pub(crate) T);

impl fmt::Display for Masked<Option<SessionId>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "{}…", id.to_string().get(..MASKED_ID_CHARS).unwrap_or_default()),
            None => f.write_str("-"),
        }
    }
}

impl fmt::Display for Masked<Option<&PrincipalId>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "{}…", id.as_str().chars().take(MASKED_NAME_CHARS).collect::<String>()),
            None => f.write_str("-"),
        }
    }
}

/// `ses_` and eight characters: 48 of 128 bits.
const MASKED_ID_CHARS: usize = 12;
/// Characters of a principal's name in logs.
const MASKED_NAME_CHARS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_show_the_beginning_of_identifiers_only() {
        let id = SessionId::from_bytes([7; 16]);
        assert_eq!(Masked(Some(id)).to_string().chars().count(), 13);
        let alice = PrincipalId::new("alice").unwrap();
        assert_eq!(Masked(Some(&alice)).to_string(), "al…");
        assert_eq!(Masked(None::<SessionId>).to_string(), "-");
    }
}
