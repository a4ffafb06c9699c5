//! What is known of a request's session, and what is to become of it.

use cloakroom::{
    ActiveSession, Activity, Actor, Attributes, Authentication, Carry, Changes, EndReason, Issue,
    IssueOutcome, Renewal, Retired, Revocation, Selector, SessionError, SessionId, SessionToken, Tombstone,
    Validation,
};
use cloakroom_core::TokenText;
use cloakroom_http::{Carrier, Found, Refusal};

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

pub(super) struct Held {
    pub(super) session: ActiveSession,
    pub(super) token: SessionToken,
    pub(super) carrier: Carrier,
    /// Whether the client does not have this token yet.
    pub(super) is_new: bool,
}

pub(super) enum Absence {
    Missing,
    Malformed,
    Unknown,
    Ended(Tombstone),
    Retired(Retired),
    SignedOut,
    Refused(Refusal),
}

/// A token to be exchanged.
pub(super) struct Pending {
    pub(super) renewal: Renewal,
    /// Whether nothing but the token changes, so that a sibling request's exchange is as good.
    pub(super) plain: bool,
}

impl Absence {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Missing | Self::SignedOut => Rejection::Missing,
            Self::Malformed | Self::Unknown => Rejection::Unknown,
            Self::Ended(tombstone) => Rejection::Ended(tombstone.clone()),
            Self::Retired(_) => Rejection::Retired,
            Self::Refused(refusal) => Rejection::Conflicting(*refusal),
        }
    }

    /// Whether the client's token is known to be over for good, with no successor that a sibling request may have
    /// brought: only then may the cookie be removed, or another session be put in its place unasked.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown | Self::SignedOut => true,
            Self::Ended(tombstone) => tombstone.reason != EndReason::Replaced,
            Self::Retired(_) | Self::Refused(_) => false,
        }
    }
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
            Standing::Held(held) if !held.is_new => (&held.token, Activity::Ignored),
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
        let found = match before {
            Standing::Unasked(found) => found,
            Standing::Held(Held { token, carrier: Carrier::Cookie, .. }) => Found::Cookie(token),
            Standing::Held(Held { token, carrier: Carrier::Bearer, .. }) => Found::Bearer(token),
            Standing::Absent(absence) => {
                self.standing = Standing::Absent(absence);
                return Ok(());
            }
        };
        self.standing = settled(found, Some(validation));
        if matches!(self.standing, Standing::Absent(_)) {
            self.forget_changes();
        }
        Ok(())
    }

    pub(super) fn active(&self) -> Option<&ActiveSession> {
        self.held().map(|held| &held.session)
    }

    pub(super) fn token(&self) -> Option<&SessionToken> {
        self.held().map(|held| &held.token)
    }

    pub(super) fn bearer_token(&self) -> Option<TokenText> {
        self.held().filter(|held| held.carrier == Carrier::Bearer).map(|held| held.token.expose())
    }

    fn held(&self) -> Option<&Held> {
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
        self.forget_changes();
        self.is_demanded = false;
        let session = issued.session.clone();
        self.standing =
            Standing::Held(Held { session: issued.session, token: issued.token, carrier, is_new: true });
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

    pub(super) async fn sign_out(&mut self, shared: &Shared) -> Result<(), Rejection> {
        self.ensure_open()?;
        let (selector, actor) = match &self.standing {
            Standing::Held(held) => {
                let principal = held.session.principal().map(|principal| principal.id().clone());
                (Selector::One(held.session.id()), Actor::User(principal))
            }
            // Somebody who signs out means the session, whichever of its tokens was at hand. To end is all that a
            // retired token is still good for.
            Standing::Absent(Absence::Retired(retired)) => {
                (Selector::One(retired.session), Actor::User(None))
            }
            Standing::Absent(_) | Standing::Unasked(_) => return Ok(()),
        };
        shared.config.sessions.revoke(&selector, Revocation::new(EndReason::SignedOut, actor)).await?;
        self.forget_changes();
        if let Standing::Held(_) = self.standing {
            self.standing = Standing::Absent(Absence::SignedOut);
        }
        Ok(())
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

    /// `validation`, or what is left of its session once it was ended. Where that fails, the request is refused.
    async fn unless_over(
        &self,
        validation: Validation,
        inspection: Inspection,
    ) -> Result<Validation, Rejection> {
        let (Validation::Active(session), Inspection::End) = (&validation, inspection) else {
            return Ok(validation);
        };
        let because = Revocation::by_system(EndReason::Compromised);
        let revoked = self.config.sessions.revoke(&Selector::One(session.id()), because).await?;
        // What had ended meanwhile keeps its own reason, which is not known here.
        let ended = revoked.ended.into_iter().find(|ended| ended.session == session.id());
        Ok(ended.map_or(Validation::Unknown, |ended| {
            Validation::Ended(Tombstone {
                session: ended.session,
                principal: ended.principal,
                ended_at: ended.at,
                reason: ended.reason,
            })
        }))
    }
}

/// Where a request stands once the store has been asked, as far as it had to be.
fn settled(found: Found, validation: Option<Validation>) -> Standing {
    let (token, carrier) = match found {
        Found::Cookie(token) => (token, Carrier::Cookie),
        Found::Bearer(token) => (token, Carrier::Bearer),
        Found::Malformed(_) => return Standing::Absent(Absence::Malformed),
        Found::Refused(refusal) => return Standing::Absent(Absence::Refused(refusal)),
        Found::Nothing | Found::Other(_) => return Standing::Absent(Absence::Missing),
    };
    Standing::Absent(match validation {
        Some(Validation::Active(session)) => {
            return Standing::Held(Held { session, token, carrier, is_new: false });
        }
        Some(Validation::Ended(tombstone)) => Absence::Ended(tombstone),
        Some(Validation::Retired(retired)) => Absence::Retired(retired),
        Some(Validation::Unknown) | None => Absence::Unknown,
    })
}
