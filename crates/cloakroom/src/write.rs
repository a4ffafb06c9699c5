//! Changing a session: attributes, token, authentication.

use std::sync::Arc;

use cloakroom_core::{
    AuthLevel, Authentication, Device, Method, Role, SessionRecord, SessionToken, Timestamp, Tombstone,
};
use cloakroom_store::{Live, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Verb};

use crate::{ActiveSession, Actor, Changes, Event, EventKind, RetiredToken, SessionError, Sessions};

/// What became of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Written {
    /// It took effect; this is the session now.
    Done(ActiveSession),
    /// The session has ended. Nothing has changed: no change revives it (G4).
    Ended(Tombstone),
    /// The token was exchanged for another. Nothing has changed.
    Retired(RetiredToken),
    /// Nothing is known of the session. Nothing has changed.
    Unknown,
}

/// What became of the wish for a new token.
#[derive(Debug)]
pub enum Renewed {
    /// The session has this token now, and the old one is dead.
    Done {
        /// What its client presents from now on.
        token: SessionToken,
        /// The session now.
        session: ActiveSession,
    },
    /// The session has ended. Nothing has changed.
    Ended(Tombstone),
    /// The old token had been exchanged before. Nothing has changed.
    Retired(RetiredToken),
    /// Nothing is known of the session. Nothing has changed.
    Unknown,
}

/// What changes together with a session's token.
#[derive(Debug, Default)]
#[must_use = "pass it to `Sessions::rotate`"]
pub struct Renewal {
    changes: Changes,
    proof: Option<(AuthLevel, Method)>,
    roles: Option<Vec<Role>>,
    device: Option<Device>,
}

impl Renewal {
    /// The token alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also these attributes.
    pub fn changes(self, changes: Changes) -> Self {
        Self { changes: self.changes.then(changes), ..self }
    }

    /// Also the proof of identity: `method` has just succeeded, and reaches `level`.
    pub fn reauthenticated(self, level: AuthLevel, method: Method) -> Self {
        Self { proof: Some((level, method)), ..self }
    }

    /// To a client of which this is known. Where identity is proved with it, the session remembers it as the device that
    /// was proven; else only the event tells of it.
    pub fn device(self, device: Device) -> Self {
        Self { device: Some(device), ..self }
    }

    /// Also the roles. The timeouts become what the policy says for them, if that is shorter.
    pub fn roles(self, roles: Vec<Role>) -> Self {
        Self { roles: Some(roles), ..self }
    }

    /// Whether identity was proven.
    pub(crate) fn is_proof(&self) -> bool {
        self.proof.is_some()
    }

    pub(crate) fn apply(
        &mut self,
        record: &mut SessionRecord,
        sessions: &Sessions,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        self.changes.apply_to(&mut record.attributes).map_err(SessionError::Attribute)?;
        sessions.check_size(record.attributes.size())?;
        record.rotated_at = now;
        if let (Some((level, method)), Some(before)) = (&self.proof, record.authentication.take()) {
            record.authentication = Some(Box::new(Authentication::and(*before, *level, method.clone(), now)));
            if let Some(device) = &self.device {
                record.device = Some(Box::new(device.clone()));
            }
        }
        if let (Some(roles), Some(principal)) = (&self.roles, &record.principal) {
            let principal = principal.as_ref().clone().with_roles(roles.iter().cloned());
            let principal = principal.map_err(SessionError::Name)?;
            let allowed =
                sessions.policy().lifetime(principal.roles(), record.lifetime.persistence, record.created_at);
            record.lifetime.idle_timeout = record.lifetime.idle_timeout.min(allowed.idle_timeout);
            record.lifetime.absolute_expires_at =
                record.lifetime.absolute_expires_at.min(allowed.absolute_expires_at);
            record.principal = Some(Arc::new(principal));
        }
        Ok(())
    }
}

impl Sessions {
    /// Makes `changes` to a session's attributes.
    ///
    /// Where another request changed the session since `session` was read, the changes are made again on what is
    /// there now, as often as needed: none is lost, theirs or these (G7).
    ///
    /// # Errors
    /// [`SessionError`]; nothing has changed, unless a store says that it may have.
    ///
    /// # Cost
    /// One round trip, one more for each conflict; none where the changes change nothing.
    #[tracing::instrument(name = "engine.apply", level = "debug", skip_all)]
    pub async fn apply(
        &self,
        session: &ActiveSession,
        mut changes: Changes,
    ) -> Result<Written, SessionError> {
        if let Some(seals) = self.seals() {
            return self.apply_sealed(seals, session, changes).await;
        }
        let digest = session.digest();
        let mut current = Live {
            record: Arc::clone(session.record()),
            version: session.version(),
            last_seen_at: session.last_seen_at(),
        };
        for _ in 0..MAX_ATTEMPTS {
            let mut record = SessionRecord::clone(&current.record);
            changes.apply_to(&mut record.attributes).map_err(SessionError::Attribute)?;
            if record.attributes == current.record.attributes {
                return Ok(Written::Done(ActiveSession::new(digest, current)));
            }
            self.check_size(record.attributes.size())?;
            let now = self.now();
            let request = ReplaceRequest { digest, version: current.version, record: &record, now };
            match self.ask(Verb::Replace, self.asked().replace(request)).await.map_err(SessionError::Store)? {
                Replaced::Done(version) => {
                    let live = Live { record: Arc::new(record), version, last_seen_at: current.last_seen_at };
                    return Ok(Written::Done(ActiveSession::new(digest, live)));
                }
                Replaced::Conflict(theirs) => {
                    self.metrics().conflict(Verb::Replace);
                    current = theirs;
                }
                Replaced::Ended(tombstone) => {
                    self.refuse_resurrection(&tombstone, now);
                    return Ok(Written::Ended(tombstone));
                }
                Replaced::Retired(retired) => return Ok(Written::Retired(retired.into())),
                Replaced::Unknown => return Ok(Written::Unknown),
            }
        }
        Err(SessionError::Contended { attempts: MAX_ATTEMPTS })
    }

    /// Gives a session a new token, and changes what `renewal` says in the same step.
    ///
    /// # Errors
    /// [`SessionError`]; the old token is alive, unless a store says that the change may have been applied.
    ///
    /// # Security
    /// The old token is dead when this returns (G3; ASVS 7.2.4). At no instant are both alive, at no instant neither.
    ///
    /// # Cost
    /// One round trip, one more for each conflict.
    #[tracing::instrument(name = "engine.rotate", level = "debug", skip_all)]
    pub async fn rotate(
        &self,
        session: &ActiveSession,
        mut renewal: Renewal,
    ) -> Result<Renewed, SessionError> {
        if let Some(seals) = self.seals() {
            return self.rotate_sealed(seals, session, renewal).await;
        }
        let old = session.digest();
        let mut record = Arc::clone(session.record());
        let mut version = session.version();
        for _ in 0..MAX_ATTEMPTS {
            let now = self.now();
            let token = self.new_token(session.id().route()).map_err(SessionError::Random)?;
            let mut renewed = SessionRecord::clone(&record);
            renewal.apply(&mut renewed, self, now)?;
            let exchange = self.streams().exchanging(session.id(), old, token.digest());
            let request = RekeyRequest { old, new: token.digest(), version, record: &renewed, now };
            match self.ask(Verb::Rekey, self.asked().rekey(request)).await.map_err(SessionError::Store)? {
                Rekeyed::Done(version) => {
                    let live = Live {
                        record: Arc::new(renewed),
                        version,
                        last_seen_at: session.last_seen_at().max(now),
                    };
                    let session = ActiveSession::new(token.digest(), live);
                    exchange.done(&session);
                    self.report_renewal(&session, &renewal, now);
                    return Ok(Renewed::Done { token, session });
                }
                Rekeyed::Conflict(theirs) => {
                    self.metrics().conflict(Verb::Rekey);
                    (record, version) = (theirs.record, theirs.version);
                }
                Rekeyed::AlreadyExists => tracing::error!("a random token was taken already"),
                Rekeyed::Ended(tombstone) => {
                    self.refuse_resurrection(&tombstone, now);
                    return Ok(Renewed::Ended(tombstone));
                }
                Rekeyed::Retired(retired) => return Ok(Renewed::Retired(retired.into())),
                Rekeyed::Unknown => return Ok(Renewed::Unknown),
            }
        }
        Err(SessionError::Contended { attempts: MAX_ATTEMPTS })
    }

    /// Records that the session's principal has just proved identity again, and gives the session a new token.
    ///
    /// The idle timeout begins anew; the absolute one does not, since nothing extends it. An anonymous session stays
    /// anonymous: to sign in, [`issue`](Self::issue) another.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate).
    ///
    /// # Cost
    /// As [`rotate`](Self::rotate).
    pub async fn reauthenticate(
        &self,
        session: &ActiveSession,
        level: AuthLevel,
        method: Method,
    ) -> Result<Renewed, SessionError> {
        self.rotate(session, Renewal::new().reauthenticated(level, method)).await
    }

    pub(crate) fn report_renewal(&self, session: &ActiveSession, renewal: &Renewal, now: Timestamp) {
        let kind = if renewal.proof.is_some() { EventKind::Reauthenticated } else { EventKind::Rotated };
        let principal = session.principal().map(|principal| principal.id().clone());
        let event = Event::new(kind, now).about(session.id(), principal.clone());
        let device = renewal.device.as_ref().or(session.device()).cloned();
        self.report(&event.by(Actor::User(principal)).from_device(device));
    }

    pub(crate) fn refuse_resurrection(&self, tombstone: &Tombstone, now: Timestamp) {
        let event = Event::new(EventKind::ResurrectionBlocked, now);
        self.report(&event.about(tombstone.session, tombstone.principal.clone()));
    }
}

/// Each conflict means that somebody else's change took effect: more than this many in a row is no ordinary traffic.
const MAX_ATTEMPTS: usize = 256;
