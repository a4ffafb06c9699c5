//! What is known of a request's session, and what is to become of it.

use cloakroom::{
    ActiveSession, Activity, Attributes, Authentication, Carry, Changes, Issue, IssueOutcome, Renewal,
    SessionError, SessionId, SessionToken, Validation,
};
use cloakroom_http::{Carrier, Found};

use super::absence::Absence;
use super::held::{Held, Novelty};
use super::{Shared, SignIn};
use crate::{Inspection, Misuse, Rejection};

/// The state of a request's session. Exactly one task works on it at a time.
pub(super) struct State {
    pub(super) standing: Standing,
    /// Where the request came with a token, or with what should have been one.
    pub(super) presented: Option<Carrier>,
    pub(super) heard: Heard,
    /// Changes to be written.
    pub(super) changes: Changes,
    /// The attributes with those changes; `None` where there are none.
    pub(super) local: Option<Attributes>,
    /// The wish for another token.
    pub(super) renewal: Option<Pending>,
    /// Whether the response is on its way.
    pub(super) begun: bool,
    /// Whether the session's principal has to prove identity before anything else.
    pub(super) is_demanded: bool,
}

/// Whose word there is on the session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nobody asked: the response does not depend on the credentials.
    Nothing,
    /// This node's.
    FromHere,
    /// The store's own.
    FromTheStore,
}

pub(super) enum Standing {
    /// The store was not asked yet.
    Unasked(Found),
    /// There is no session to work with.
    Absent(Absence),
    /// There is.
    Held(Held),
}

/// A token to be exchanged.
pub(super) struct Pending {
    pub(super) renewal: Renewal,
    /// Whether nothing but the token changes, so that a sibling request's exchange is as good.
    pub(super) plain: bool,
}

impl State {
    pub(super) fn new(found: Found) -> Self {
        let presented = match found {
            Found::Cookie(_) => Some(Carrier::Cookie),
            Found::Bearer(_) => Some(Carrier::Bearer),
            Found::Malformed(carrier) => Some(carrier),
            Found::Nothing | Found::Refused(_) | Found::Other(_) => None,
        };
        Self {
            standing: Standing::Unasked(found),
            presented,
            heard: Heard::Nothing,
            changes: Changes::new(),
            local: None,
            renewal: None,
            begun: false,
            is_demanded: false,
        }
    }

    /// The session that was found, alive or ended.
    pub(super) fn seen(&self) -> Option<SessionId> {
        match &self.standing {
            Standing::Held(held) => Some(held.session.id()),
            Standing::Absent(Absence::Ended(tombstone)) => Some(tombstone.session),
            Standing::Absent(Absence::Retired(retired)) => Some(retired.session),
            Standing::Absent(_) | Standing::Unasked(_) => None,
        }
    }

    /// Looks the session up, once. After a failure the next question tries again.
    pub(super) async fn load(&mut self, shared: &Shared) -> Result<(), Rejection> {
        if self.heard == Heard::Nothing {
            self.heard = Heard::FromHere;
        }
        if let Standing::Unasked(found) = &self.standing {
            // The token stays where it is until the answer is there: this future may be dropped in between.
            let mut inspection = Inspection::GoOn;
            let validation = match found {
                Found::Cookie(token) | Found::Bearer(token) => {
                    let (sessions, facts) = (&shared.config.sessions, &shared.facts);
                    let validation = sessions.validate_from(token, shared.activity(), facts).await?;
                    inspection = shared.inspect(&validation);
                    Some(shared.unless_over(validation, inspection).await?)
                }
                Found::Nothing | Found::Malformed(_) | Found::Refused(_) | Found::Other(_) => None,
            };
            let unasked = std::mem::replace(&mut self.standing, Standing::Absent(Absence::Missing));
            if let Standing::Unasked(found) = unasked {
                self.standing = settled(found, validation);
                self.is_demanded = inspection == Inspection::Demand;
            }
        }
        match &self.standing {
            Standing::Absent(Absence::Refused(refusal)) => Err(Rejection::Conflicting(*refusal)),
            _ => Ok(()),
        }
    }

    /// Looks the session up in the store itself, once, whatever was known before. What this request has just issued or
    /// changed is the store's word already.
    pub(super) async fn confirm(&mut self, shared: &Shared) -> Result<(), Rejection> {
        let (token, activity) = match &self.standing {
            _ if self.heard == Heard::FromTheStore => return self.load(shared).await,
            Standing::Unasked(Found::Cookie(token) | Found::Bearer(token)) => (token, shared.activity()),
            // It was active when it was read: that counted already.
            Standing::Held(held) if held.novelty < Novelty::Issued => (held.token(), Activity::Ignored),
            _ => return self.load(shared).await,
        };
        if self.heard == Heard::Nothing {
            self.heard = Heard::FromHere;
        }
        let (sessions, facts) = (&shared.config.sessions, &shared.facts);
        let mut validation = sessions.validate_authoritative_from(token, activity, facts).await?;
        if let Standing::Unasked(_) = &self.standing {
            let inspection = shared.inspect(&validation);
            validation = shared.unless_over(validation, inspection).await?;
            self.is_demanded = inspection == Inspection::Demand;
        }
        self.heard = Heard::FromTheStore;
        let before = std::mem::replace(&mut self.standing, Standing::Absent(Absence::Missing));
        self.standing = match (before, validation) {
            (Standing::Unasked(found), validation) => settled(found, Some(validation)),
            (Standing::Held(mut held), Validation::Active(session)) => {
                held.confirmed(session);
                Standing::Held(held)
            }
            (Standing::Held(held), over) => presented(held.token, held.carrier, Some(over)),
            (absent, _) => absent,
        };
        if matches!(self.standing, Standing::Absent(_)) {
            self.forget_changes();
        }
        Ok(())
    }

    pub(super) fn active(&self) -> Option<&ActiveSession> {
        self.held().map(|held| &held.session)
    }

    pub(super) fn held(&self) -> Option<&Held> {
        match &self.standing {
            Standing::Held(held) => Some(held),
            Standing::Absent(_) | Standing::Unasked(_) => None,
        }
    }

    /// Why there is no session.
    pub(super) fn absence(&self) -> Rejection {
        match &self.standing {
            Standing::Absent(absence) => absence.rejection(),
            Standing::Unasked(_) | Standing::Held(_) => Rejection::Missing,
        }
    }

    /// The attributes with this request's changes.
    pub(super) fn attributes(&self) -> Option<&Attributes> {
        self.local.as_ref().or_else(|| self.active().map(ActiveSession::attributes))
    }

    pub(super) fn ensure_proven(&self) -> Result<(), Rejection> {
        if self.is_demanded { Err(Rejection::ReauthenticationRequired) } else { Ok(()) }
    }

    pub(super) fn ensure_open(&self) -> Result<(), Rejection> {
        if self.begun { Err(Misuse::ResponseBegun.into()) } else { Ok(()) }
    }

    /// Makes `changes` on the copy, or none of them.
    pub(super) fn change(&mut self, mut changes: Changes, limit: usize) -> Result<(), Rejection> {
        self.ensure_open()?;
        if let Standing::Absent(absence) = &self.standing
            && !absence.is_final()
        {
            return Err(Rejection::Changed);
        }
        let mut attributes = self.attributes().cloned().unwrap_or_default();
        changes.apply_to(&mut attributes).map_err(SessionError::Attribute)?;
        let size = attributes.size();
        if size > limit {
            return Err(Rejection::AttributesTooLarge { size, limit });
        }
        self.local = Some(attributes);
        self.changes = std::mem::take(&mut self.changes).then(changes);
        Ok(())
    }

    pub(super) fn renew(&mut self, more: impl FnOnce(Renewal) -> Renewal) -> Result<(), Rejection> {
        self.ensure_open()?;
        self.active().ok_or_else(|| self.absence())?;
        let pending = self.renewal.take().unwrap_or_else(|| Pending { renewal: Renewal::new(), plain: true });
        self.renewal = Some(Pending { renewal: more(pending.renewal), plain: false });
        Ok(())
    }

    /// Asks for another token and nothing else.
    pub(super) fn renew_token(&mut self) -> Result<(), Rejection> {
        let plain = self.renewal.as_ref().is_none_or(|pending| pending.plain);
        self.renew(|renewal| renewal)?;
        if let Some(pending) = &mut self.renewal {
            pending.plain = plain;
        }
        Ok(())
    }

    pub(super) async fn sign_in(
        &mut self,
        sign_in: SignIn,
        shared: &Shared,
    ) -> Result<ActiveSession, Rejection> {
        self.ensure_open()?;
        let sessions = &shared.config.sessions;
        let carrier = match &self.standing {
            Standing::Held(held) if held.carrier == Carrier::Bearer => Carrier::Bearer,
            _ if sign_in.as_bearer => Carrier::Bearer,
            _ => Carrier::Cookie,
        };
        let proof = Authentication::new(sign_in.level, sign_in.method.clone(), sessions.now());
        let issue = Issue::signed_in(sign_in.principal.clone(), proof)
            .device(shared.device())
            .persistence(sign_in.persistence)
            .attributes(self.carried(&sign_in));
        let issue = match self.active() {
            // What is carried was chosen above, with the changes of this request.
            Some(old) => issue.replacing(old, &Carry::Nothing),
            None => issue,
        };
        let IssueOutcome::Issued(issued) = sessions.issue(issue).await? else {
            return Err(Rejection::LimitReached);
        };
        if let Some(old) = self.active() {
            shared.is_over(old.id());
        }
        self.forget_changes();
        self.is_demanded = false;
        let session = issued.session.clone();
        self.standing = Standing::Held(Held::issued(issued.session, issued.token, carrier));
        Ok(session)
    }

    /// What a sign-in takes over. Of another principal's session nothing, whatever was named.
    fn carried(&self, sign_in: &SignIn) -> Attributes {
        let theirs = self
            .active()
            .and_then(ActiveSession::principal)
            .is_some_and(|principal| principal.id() != sign_in.principal.id());
        self.attributes().filter(|_| !theirs).map(|before| sign_in.carried(before)).unwrap_or_default()
    }

    pub(super) fn forget_changes(&mut self) {
        self.changes = Changes::new();
        self.local = None;
        self.renewal = None;
    }
}

impl Shared {
    /// What the inspector says of a session that was found active. Nothing is demanded of a session of nobody.
    fn inspect(&self, validation: &Validation) -> Inspection {
        let (Some(inspector), Validation::Active(session)) = (&self.config.inspector, validation) else {
            return Inspection::GoOn;
        };
        match inspector.inspect(session, &self.facts, self.config.sessions.now()) {
            Inspection::Demand if session.principal().is_none() => Inspection::GoOn,
            inspection => inspection,
        }
    }
}

/// Where a request stands once the store has been asked, as far as it had to be.
fn settled(found: Found, validation: Option<Validation>) -> Standing {
    match found {
        Found::Cookie(token) => presented(token, Carrier::Cookie, validation),
        Found::Bearer(token) => presented(token, Carrier::Bearer, validation),
        Found::Malformed(_) => Standing::Absent(Absence::Malformed),
        Found::Refused(refusal) => Standing::Absent(Absence::Refused(refusal)),
        Found::Nothing | Found::Other(_) => Standing::Absent(Absence::Missing),
    }
}

fn presented(token: SessionToken, carrier: Carrier, validation: Option<Validation>) -> Standing {
    Standing::Absent(match validation {
        Some(Validation::Active(session)) => return Standing::Held(Held::found(session, token, carrier)),
        Some(Validation::Ended(tombstone)) => Absence::Ended(tombstone),
        Some(Validation::Retired(retired)) => Absence::Retired(retired),
        Some(Validation::Unknown) | None => Absence::Unknown,
    })
}
