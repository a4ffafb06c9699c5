//! Writing what changed, and telling the client.

use axum::response::{IntoResponse as _, Response};
use cloakroom::{
    ActiveSession, Device, Issue, IssueOutcome, Presenter as _, Renewal, Renewed, RetiredToken, SessionId,
    SessionToken, Tombstone, Written,
};
use cloakroom_core::rotation_due;
use cloakroom_http::{Carrier, response};
use http::HeaderMap;

use super::absence::Absence;
use super::held::{Held, Novelty};
use super::state::{Heard, Pending, Standing, State};
use super::{Session, Shared};
use crate::Rejection;
use crate::service::refusal;

impl Session {
    /// The public name of the session that was found when the request asked for it, alive or ended. `None` where nobody
    /// asked, where there is none, and while somebody is at work on it. It asks nobody: for logs, when the response is
    /// there.
    #[must_use]
    pub fn seen(&self) -> Option<SessionId> {
        self.shared.state.try_lock().ok()?.seen()
    }

    /// Completes `response` where nothing has to be written for it, and says whether it did.
    pub(crate) fn finish_at_once(&self, response: &mut Response) -> bool {
        // Somebody the handler left behind may still be at work on the session.
        let Ok(mut state) = self.shared.state.try_lock() else { return false };
        if state.has_changes() || state.is_rotation_due(&self.shared) {
            return false;
        }
        state.begun = true;
        self.shared.complete(&state, response);
        true
    }

    /// Writes what changed and completes `response`, or the failure to write in its place.
    pub(crate) async fn finish(&self, mut response: Response) -> Response {
        let mut state = self.shared.state.lock().await;
        match state.save(&self.shared).await {
            Ok(()) => state.rotate_where_due(&self.shared).await,
            Err(rejection) => response = rejection.into_response(),
        }
        state.begun = true;
        self.shared.complete(&state, &mut response);
        response
    }
}

impl Shared {
    /// What a session issued to this request's client is remembered to have been issued to.
    pub(super) fn device(&self) -> Device {
        self.facts.device()
    }

    /// Styles a refusal, and adds to the head what the session has to say.
    fn complete(&self, state: &State, response: &mut Response) {
        let refused = refusal(response);
        // Whoever could not be served keeps what it has. Whoever has to prove identity first does not keep the session
        // alive: it might be the thief.
        let says_it_was_here = !state.is_demanded && !refused.as_ref().is_some_and(|why| why.is_failure());
        if let Some(restyled) = refused.and_then(|refused| self.config.restyled(&refused, &self.facts)) {
            *response = restyled;
        }
        let headers = response.headers_mut();
        if state.heard != Heard::Nothing {
            response::vary_by_credentials(headers);
        }
        match &state.standing {
            Standing::Held(held) if held.novelty == Novelty::Touched && !says_it_was_here => {}
            Standing::Held(held) => self.hand_over(held, headers),
            Standing::Absent(absence) if state.presented == Some(Carrier::Cookie) && absence.is_final() => {
                response::set_cookie(headers, &self.config.cookie, self.config.cookie.removal());
                response::no_store_unless_private(headers);
            }
            Standing::Absent(_) | Standing::Unasked(_) => {}
        }
    }

    /// Gives the client the token that it does not have yet, in the manner in which it presents tokens.
    fn hand_over(&self, held: &Held, headers: &mut HeaderMap) {
        let hands_over = match held.novelty {
            Novelty::None => false,
            // A shared cache would hand the cookie on; and what it keeps is asked for rarely.
            Novelty::Touched => !response::may_be_shared(headers) && !self.is_overtaken(&held.session),
            Novelty::Changed | Novelty::Issued => true,
        };
        if !hands_over {
            return;
        }
        match held.carrier {
            Carrier::Cookie => {
                let (lifetime, now) = (&held.session.record().lifetime, self.config.sessions.now());
                let line = self.config.cookie.set_cookie(held.token(), lifetime, now);
                response::set_cookie(headers, &self.config.cookie, line);
            }
            // A handler puts a token that was issued or exchanged into its answer. That one was sealed anew, it need not
            // even know.
            Carrier::Bearer if held.token().is_sealed() => response::hand_over_bearer(headers, held.token()),
            Carrier::Bearer => return,
        }
        response::no_store_unless_private(headers);
    }
}

impl State {
    fn has_changes(&self) -> bool {
        !self.changes.is_empty() || self.renewal.is_some()
    }

    /// Writes the changes: in one step, together with another token where one is wished for.
    pub(super) async fn save(&mut self, shared: &Shared) -> Result<(), Rejection> {
        if !self.has_changes() {
            return Ok(());
        }
        let changes = std::mem::take(&mut self.changes);
        let (local, renewal) = (self.local.take(), self.renewal.take());
        let sessions = &shared.config.sessions;
        match (&self.standing, renewal) {
            (Standing::Held(held), _) if shared.has_ended(&held.session) => Err(Rejection::Changed),
            (Standing::Held(held), Some(Pending { renewal, plain })) => {
                let plain = plain && changes.is_empty();
                let renewal = renewal.changes(changes).device(shared.device());
                let renewed = sessions.rotate(&held.session, renewal).await?;
                self.renewed(renewed, plain, shared)
            }
            (Standing::Held(held), None) => {
                let written = sessions.apply(&held.session, changes).await?;
                self.written(written, shared)
            }
            (Standing::Absent(_) | Standing::Unasked(_), _) => {
                // What was set and removed again is nothing to keep, and needs no session (L2).
                let Some(attributes) = local.filter(|attributes| !attributes.is_empty()) else {
                    return Ok(());
                };
                let issue = Issue::anonymous().device(shared.device()).attributes(attributes);
                match sessions.issue(issue).await? {
                    IssueOutcome::Issued(issued) => {
                        let held = Held::issued(issued.session, issued.token, Carrier::Cookie);
                        self.standing = Standing::Held(held);
                        Ok(())
                    }
                    IssueOutcome::LimitReached => Err(Rejection::LimitReached),
                }
            }
        }
    }

    /// Saves where that gives the client another token: where one is wished for, and where it carries what was changed.
    pub(super) async fn settle_bearer(&mut self, shared: &Shared) -> Result<(), Rejection> {
        if shared.config.sessions.is_sealed() {
            self.save(shared).await
        } else {
            self.settle_token(shared).await
        }
    }

    /// Saves where that gives the session a token, or another one.
    pub(super) async fn settle_token(&mut self, shared: &Shared) -> Result<(), Rejection> {
        let changes_token = self.renewal.is_some() || !matches!(self.standing, Standing::Held(_));
        if changes_token { self.save(shared).await } else { Ok(()) }
    }

    /// Whether the policy wants the token exchanged by now, and this is a request with which that can be done.
    fn is_rotation_due(&self, shared: &Shared) -> bool {
        let Standing::Held(held) = &self.standing else { return false };
        // Whoever has to prove identity first gets no new token: it might be the thief, and leave its owner the old one.
        if self.is_demanded {
            return false;
        }
        let sessions = &shared.config.sessions;
        // The clock last: most policies have no such interval.
        let Some(interval) = sessions.policy().rotate_every() else { return false };
        held.carrier == Carrier::Cookie
            && shared.facts.allows_rotation()
            && rotation_due(held.session.record(), sessions.now(), Some(interval))
    }

    /// Exchanges a token that is due. If that fails, the next page tries again: the response is not about it.
    async fn rotate_where_due(&mut self, shared: &Shared) {
        if !self.is_rotation_due(shared) {
            return;
        }
        let Standing::Held(held) = &self.standing else { return };
        match shared.config.sessions.rotate(&held.session, Renewal::new().device(shared.device())).await {
            Ok(Renewed::Done { token, session }) => self.holds(session, token, shared),
            Ok(Renewed::Ended(_) | Renewed::Retired(_) | Renewed::Unknown) => {}
            Err(error) => tracing::warn!(%error, "a token that is due could not be exchanged"),
        }
    }

    fn renewed(&mut self, renewed: Renewed, plain: bool, shared: &Shared) -> Result<(), Rejection> {
        match renewed {
            Renewed::Done { token, session } => {
                self.holds(session, token, shared);
                Ok(())
            }
            Renewed::Ended(tombstone) => Err(self.is_over(tombstone)),
            // A sibling request brings the client its new token.
            Renewed::Retired(retired) if plain => {
                self.standing = Standing::Absent(Absence::Retired(retired));
                Ok(())
            }
            Renewed::Retired(retired) => Err(self.was_exchanged(retired)),
            Renewed::Unknown => Err(self.is_gone()),
        }
    }

    fn written(&mut self, written: Written, shared: &Shared) -> Result<(), Rejection> {
        match written {
            Written::Done(session) => {
                if let Standing::Held(held) = &mut self.standing {
                    held.written(session);
                    shared.goes_on(&held.session);
                }
                Ok(())
            }
            Written::Ended(tombstone) => Err(self.is_over(tombstone)),
            Written::Retired(retired) => Err(self.was_exchanged(retired)),
            Written::Unknown => Err(self.is_gone()),
        }
    }

    fn holds(&mut self, session: ActiveSession, token: SessionToken, shared: &Shared) {
        if let Standing::Held(held) = &mut self.standing {
            *held = Held::issued(session, token, held.carrier);
            shared.goes_on(&held.session);
            // While a proof was demanded, nothing but the proof itself could ask for a token.
            self.is_demanded = false;
        }
    }

    fn is_over(&mut self, tombstone: Tombstone) -> Rejection {
        self.standing = Standing::Absent(Absence::Ended(tombstone.clone()));
        Rejection::Ended(tombstone)
    }

    fn was_exchanged(&mut self, retired: RetiredToken) -> Rejection {
        self.standing = Standing::Absent(Absence::Retired(retired));
        Rejection::Changed
    }

    fn is_gone(&mut self) -> Rejection {
        self.standing = Standing::Absent(Absence::Unknown);
        Rejection::Unknown
    }
}
