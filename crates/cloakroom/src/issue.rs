//! Starting a session: anonymous, or at sign-in.

use std::sync::Arc;

use cloakroom_core::{
    AttributeKey, Attributes, Authentication, Device, EndReason, Persistence, Principal, PrincipalId, Route,
    SessionId, SessionRecord, SessionToken, Timestamp,
};
use cloakroom_store::{
    EndRequest, Ended, InsertRequest, Inserted, Live, Selector, StoreError, Verb, Version,
};

use crate::revoke::Known;
use crate::{ActiveSession, Actor, Event, EventKind, SessionError, Sessions};

/// What session to start.
#[derive(Clone, Debug)]
#[must_use = "pass it to `Sessions::issue`"]
pub struct Issue {
    pub(crate) principal: Option<(Principal, Authentication)>,
    pub(crate) device: Option<Device>,
    persistence: Persistence,
    pub(crate) attributes: Attributes,
    pub(crate) replaced: Option<Known>,
    pub(crate) actor: Option<Actor>,
}

/// Which attributes a sign-in carries over from the session it replaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Carry {
    /// None.
    Nothing,
    /// Those under these keys, as far as they are there.
    Only(Vec<AttributeKey>),
    /// All. Only where nothing in an anonymous session can hurt the principal who signs in.
    All,
}

impl Issue {
    /// A session in which nobody is signed in.
    pub fn anonymous() -> Self {
        Self {
            principal: None,
            device: None,
            persistence: Persistence::Browser,
            attributes: Attributes::new(),
            replaced: None,
            actor: None,
        }
    }

    /// A session of `principal`, who proved identity by `authentication`.
    pub fn signed_in(principal: Principal, authentication: Authentication) -> Self {
        Self { principal: Some((principal, authentication)), ..Self::anonymous() }
    }

    /// The same, to a client of which this is known.
    pub fn device(self, device: Device) -> Self {
        Self { device: Some(device), ..self }
    }

    /// The same, remembered or not, as far as the policy remembers anybody.
    pub fn persistence(self, persistence: Persistence) -> Self {
        Self { persistence, ..self }
    }

    /// The same, with these attributes.
    pub fn attributes(self, attributes: Attributes) -> Self {
        Self { attributes, ..self }
    }

    /// The same, taking the place of the session the client presented: `carry` comes along, and that session ends as
    /// [`EndReason::Replaced`] once the new one exists.
    ///
    /// What another request writes to the old session after it was read here is not carried.
    pub fn replacing(mut self, old: &ActiveSession, carry: &Carry) -> Self {
        for (key, bytes) in old.attributes().iter() {
            let carried = match carry {
                Carry::Nothing => false,
                Carry::Only(keys) => keys.contains(key),
                Carry::All => true,
            };
            if carried && self.attributes.bytes(key.as_str()).is_none() {
                self.attributes.insert_bytes(key.clone(), bytes.into());
            }
        }
        self.replaced = Some(Known::of(old));
        self
    }

    /// The same, started by `actor` instead of the session's own user.
    pub fn by(self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }

    pub(crate) fn principal_id(&self) -> Option<&PrincipalId> {
        self.principal.as_ref().map(|(principal, _)| principal.id())
    }

    pub(crate) fn record(&self, id: SessionId, sessions: &Sessions, now: Timestamp) -> SessionRecord {
        let roles = self.principal.as_ref().map_or(&[][..], |(principal, _)| principal.roles());
        let mut record =
            SessionRecord::new(id, now, sessions.policy().lifetime(roles, self.persistence, now));
        record.device = self.device.clone().map(Box::new);
        record.attributes = self.attributes.clone();
        if let Some((principal, authentication)) = &self.principal {
            record.principal = Some(Arc::new(principal.clone()));
            record.authentication = Some(Box::new(authentication.clone()));
        }
        record
    }
}

/// A session that was started, with its token.
#[derive(Debug)]
#[non_exhaustive]
pub struct Issued {
    /// What its client presents from now on. Hand it over, and forget it.
    pub token: SessionToken,
    /// The session.
    pub session: ActiveSession,
    /// Sessions that ended for it.
    pub ended: Vec<Ended>,
}

/// What became of the wish for a session.
#[derive(Debug)]
pub enum IssueOutcome {
    /// It was started.
    Issued(Issued),
    /// The principal has as many live sessions as the policy allows, and the policy refuses more. Nothing changed.
    LimitReached,
}

impl IssueOutcome {
    /// The session, where no limit is in force that refuses.
    ///
    /// # Panics
    /// Where a limit refused it.
    #[must_use]
    pub fn expect_issued(self) -> Issued {
        match self {
            Self::Issued(issued) => issued,
            Self::LimitReached => panic!("no limit of sessions was expected to refuse this one"),
        }
    }
}

impl Sessions {
    /// Starts a session.
    ///
    /// The new session exists before the one it replaces ends; if that end cannot be acknowledged, the new session is
    /// taken back and this fails. The limit of sessions per principal holds exactly, under any parallelism (G8).
    ///
    /// # Errors
    /// [`SessionError`]; no token was handed out then. After a failure of the store a session without a client may be
    /// left; time ends it.
    ///
    /// # Security
    /// The token is new: nothing the client presented becomes part of it (G2, G3; ASVS 7.2.4).
    ///
    /// # Cost
    /// One round trip; two where it replaces a session of somebody else, or an anonymous one.
    #[tracing::instrument(name = "engine.issue", level = "debug", skip_all)]
    pub async fn issue(&self, issue: Issue) -> Result<IssueOutcome, SessionError> {
        self.check_size(issue.attributes.size())?;
        if let Some(seals) = self.seals() {
            return self.issue_sealed(seals, issue).await;
        }
        let now = self.now();
        let (token, record, ended) = match self.file(&issue, now).await? {
            Filed::Done { token, record, ended } => (token, record, ended),
            Filed::LimitReached => {
                let mut event = Event::new(EventKind::LimitReached, now).from_device(issue.device);
                event.principal = issue.principal.map(|(principal, _)| principal.id().clone());
                self.report(&event);
                return Ok(IssueOutcome::LimitReached);
            }
        };
        let mut all_ended = ended;
        match self.end_replaced(&issue, now).await {
            Ok(replaced) => all_ended.extend(replaced),
            Err(error) => {
                self.take_back(record.id, now).await;
                return Err(SessionError::Store(error));
            }
        }
        self.report_issue(issue, record.id, &all_ended, now);
        let live = Live { record: Arc::new(record), version: Version::FIRST, last_seen_at: now };
        let session = ActiveSession::new(token.digest(), live);
        Ok(IssueOutcome::Issued(Issued { token, session, ended: all_ended }))
    }

    /// Reports a session that was started, and those that ended for it.
    pub(crate) fn report_issue(&self, issue: Issue, session: SessionId, all_ended: &[Ended], now: Timestamp) {
        let principal = issue.principal_id().cloned();
        let actor = issue.actor.unwrap_or_else(|| Actor::User(principal.clone()));
        let event = Event::new(EventKind::Issued, now).about(session, principal).from_device(issue.device);
        self.report(&event.by(actor.clone()));
        for ended in all_ended {
            let by = if ended.reason == EndReason::Replaced { &actor } else { &Actor::System };
            self.report_end(ended, by);
        }
    }

    async fn file(&self, issue: &Issue, now: Timestamp) -> Result<Filed, SessionError> {
        let limit = self.policy().limit();
        let replaces = issue.replaced.as_ref().filter(|old| old.principal.as_ref() == issue.principal_id());
        let replaces = replaces.filter(|old| old.principal.is_some()).map(|old| old.session);
        loop {
            let route = match issue.principal_id() {
                Some(principal) => Route::of_principal(principal),
                None => self.random_route().map_err(SessionError::Random)?,
            };
            let token = self.new_token(route).map_err(SessionError::Random)?;
            let record = issue.record(self.new_id(route).map_err(SessionError::Random)?, self, now);
            let request = InsertRequest { record: &record, digest: token.digest(), limit, replaces, now };
            match self.ask(Verb::Insert, self.asked().insert(request)).await.map_err(SessionError::Store)? {
                Inserted::Done { ended } => return Ok(Filed::Done { token, record, ended }),
                Inserted::LimitReached => return Ok(Filed::LimitReached),
                // Two of 2^112 ids met: draw again. A generator that repeats itself fails the store, not the caller,
                // so this ends only with a sound one.
                Inserted::AlreadyExists => tracing::error!("a random token or id was taken already"),
            }
        }
    }

    /// Ends the session that was replaced, where the insert has not done so.
    async fn end_replaced(&self, issue: &Issue, now: Timestamp) -> Result<Vec<Ended>, StoreError> {
        let Some(old) = issue.replaced.as_ref() else { return Ok(Vec::new()) };
        if old.principal.is_some() && old.principal.as_ref() == issue.principal_id() {
            return Ok(Vec::new());
        }
        let selector = Selector::One(old.session);
        let request = EndRequest { selector: &selector, reason: EndReason::Replaced, now };
        Ok(self.ask(Verb::End, self.asked().end(request)).await?.ended)
    }

    async fn take_back(&self, id: SessionId, now: Timestamp) {
        let selector = Selector::One(id);
        let request = EndRequest { selector: &selector, reason: EndReason::Replaced, now };
        if self.ask(Verb::End, self.asked().end(request)).await.is_err() {
            tracing::warn!("a session that nobody has the token of is left to time");
        }
    }
}

enum Filed {
    Done { token: SessionToken, record: SessionRecord, ended: Vec<Ended> },
    LimitReached,
}
