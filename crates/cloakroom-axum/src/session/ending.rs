//! Ending the session a request came with.

use cloakroom::{
    ActiveSession, Actor, EndReason, Ended, ErrorKind, Revocation, Selector, SessionId, Tombstone, Validation,
};

use super::Shared;
use super::absence::Absence;
use super::state::{Standing, State};
use crate::{Inspection, Rejection};

impl State {
    pub(super) async fn sign_out(&mut self, shared: &Shared) -> Result<(), Rejection> {
        self.ensure_open()?;
        match &self.standing {
            Standing::Held(held) => {
                let actor = Actor::User(held.session.principal().map(|principal| principal.id().clone()));
                let because = Revocation::new(EndReason::SignedOut, actor).of(&held.session);
                shared.end(held.session.id(), because).await?;
            }
            // Somebody who signs out means the session, whichever of its tokens was at hand. To end is all that a
            // retired token is still good for.
            Standing::Absent(Absence::Retired(retired)) => {
                let because = Revocation::new(EndReason::SignedOut, Actor::User(None)).of_retired(retired);
                shared.end(retired.session, because).await?;
            }
            Standing::Absent(_) | Standing::Unasked(_) => return Ok(()),
        }
        self.forget_changes();
        if let Standing::Held(_) = self.standing {
            self.standing = Standing::Absent(Absence::SignedOut);
        }
        Ok(())
    }
}

impl Shared {
    /// `validation`, or what is left of its session once it was ended. Where that fails, the request is refused.
    pub(super) async fn unless_over(
        &self,
        validation: Validation,
        inspection: Inspection,
    ) -> Result<Validation, Rejection> {
        let (Validation::Active(session), Inspection::End) = (&validation, inspection) else {
            return Ok(validation);
        };
        let reason = EndReason::Compromised;
        let ended = self.end(session.id(), Revocation::by_system(reason).of(session)).await?;
        if self.config.sessions.is_sealed() {
            // Nobody keeps a record that could tell more.
            return Ok(Validation::Ended(Tombstone {
                session: session.id(),
                principal: session.principal().map(|principal| principal.id().clone()),
                ended_at: self.config.sessions.now(),
                reason,
            }));
        }
        // What had ended meanwhile keeps its own reason, which is not known here.
        let ended = ended.into_iter().find(|ended| ended.session == session.id());
        Ok(ended.map_or(Validation::Unknown, |ended| {
            Validation::Ended(Tombstone {
                session: ended.session,
                principal: ended.principal,
                ended_at: ended.at,
                reason: ended.reason,
            })
        }))
    }

    /// Ends one session. Where sessions travel in their tokens and nothing lists what was ended, its client is made to
    /// forget it, and that is all that can be done.
    async fn end(&self, session: SessionId, because: Revocation) -> Result<Vec<Ended>, Rejection> {
        let sessions = &self.config.sessions;
        let ended = match sessions.revoke(&Selector::One(session), because).await {
            Err(error) if sessions.is_sealed() && error.kind() == ErrorKind::Unsupported => Vec::new(),
            answered => answered?.ended,
        };
        self.is_over(session);
        Ok(ended)
    }

    /// Remembers that no answer may hand out this session any more.
    pub(super) fn is_over(&self, session: SessionId) {
        let sessions = &self.config.sessions;
        if sessions.is_sealed() {
            self.config.overtaken.is_over(session, sessions.now());
        }
    }

    /// Remembers that siblings of this request must not take back what it changed of a sealed session.
    pub(super) fn goes_on(&self, session: &ActiveSession) {
        let sessions = &self.config.sessions;
        if sessions.is_sealed() {
            self.config.overtaken.goes_on(session, sessions.now());
        }
    }

    /// Whether the sealed session went on or ended, by what this node knows, since this request looked it up: an answer that
    /// says no more than that the client was here would take back what a sibling's brought.
    pub(super) fn is_overtaken(&self, session: &ActiveSession) -> bool {
        self.config.overtaken.has(session) || self.config.sessions.is_over(session)
    }

    /// Whether a sibling of this request ended the sealed session, or put another in its place.
    pub(super) fn has_ended(&self, session: &ActiveSession) -> bool {
        self.config.sessions.is_sealed() && self.config.overtaken.has_ended(session)
    }
}
