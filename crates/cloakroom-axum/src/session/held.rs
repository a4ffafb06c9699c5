//! A session that is held, and what its client does not have of it yet.

use cloakroom::{ActiveSession, SessionToken};
use cloakroom_core::TokenText;
use cloakroom_http::Carrier;

/// A session to work with.
pub(super) struct Held {
    pub(super) session: ActiveSession,
    pub(super) carrier: Carrier,
    pub(super) novelty: Novelty,
    /// The token that it was found by, or issued with; see [`token`](Self::token) for what its client will have.
    pub(super) token: SessionToken,
    /// The session when its token was last sealed anew: it has the one that took this one's place.
    sealed_anew: Option<Box<ActiveSession>>,
}

/// What the client does not have yet, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Novelty {
    /// Nothing: its token stays as it is.
    None,
    /// Its token was sealed anew, and says what the old one says: only that the client was here, or under another key.
    Touched,
    /// Its token was sealed anew, and holds what this request changed.
    Changed,
    /// This request issued its token, or exchanged it.
    Issued,
}

impl Held {
    /// A session that was looked up by `token`.
    pub(super) fn found(session: ActiveSession, token: SessionToken, carrier: Carrier) -> Self {
        let mut held = Self { session, carrier, novelty: Novelty::None, token, sealed_anew: None };
        held.take_replacement(Novelty::Touched);
        held
    }

    /// A session that this request issued, or whose token it exchanged.
    pub(super) fn issued(session: ActiveSession, token: SessionToken, carrier: Carrier) -> Self {
        Self { session, carrier, novelty: Novelty::Issued, token, sealed_anew: None }
    }

    /// The same session as it was looked up once more, by this token.
    pub(super) fn confirmed(&mut self, session: ActiveSession) {
        self.session = session;
        self.take_replacement(Novelty::Touched);
    }

    /// The same session as it was written.
    pub(super) fn written(&mut self, session: ActiveSession) {
        let is_changed = session.version() != self.session.version();
        self.session = session;
        self.take_replacement(if is_changed { Novelty::Changed } else { Novelty::Touched });
    }

    /// The token that the client will have when the response is there.
    pub(super) fn token(&self) -> &SessionToken {
        self.sealed_anew.as_deref().and_then(ActiveSession::replacement).unwrap_or(&self.token)
    }

    /// What forms and streams are bound to: what stays the same while a token is sealed anew.
    pub(super) fn binding(&self) -> &SessionToken {
        self.session.binding().unwrap_or(&self.token)
    }

    pub(super) fn bearer_token(&self) -> Option<TokenText> {
        (self.carrier == Carrier::Bearer).then(|| self.token().expose())
    }

    fn take_replacement(&mut self, novelty: Novelty) {
        if self.session.replacement().is_some() {
            self.sealed_anew = Some(Box::new(self.session.clone()));
            self.novelty = self.novelty.max(novelty);
        }
    }
}
