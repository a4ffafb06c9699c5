//! One event, before and after it is part of the chain.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use cloakroom::{Actor, Event, EventKind};
use cloakroom_core::{Device, PrincipalId, SessionId, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Something to be recorded.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Draft {
    /// When it happened.
    pub at: Timestamp,
    /// What, in the words of [`names`](crate::names).
    pub event: &'static str,
    /// Whom it is about.
    pub principal: Option<PrincipalId>,
    /// Which session it is about.
    pub session: Option<SessionId>,
    /// Who did it.
    pub actor: Actor,
    /// Why, as a word: an end reason, a problem's code.
    pub reason: Option<&'static str>,
    /// From where.
    pub device: Option<Device>,
    /// What else is known: few and short values, never a secret.
    pub detail: BTreeMap<&'static str, Value>,
}

impl Draft {
    /// `event` at `at`, done by the system itself.
    #[must_use]
    pub fn new(event: &'static str, at: Timestamp) -> Self {
        Self {
            at,
            event,
            principal: None,
            session: None,
            actor: Actor::System,
            reason: None,
            device: None,
            detail: BTreeMap::new(),
        }
    }

    /// The same, done by `actor`.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// The same, about this principal.
    #[must_use]
    pub fn about(self, principal: Option<PrincipalId>) -> Self {
        Self { principal, ..self }
    }

    /// The same, about this session.
    #[must_use]
    pub fn of_session(self, session: SessionId) -> Self {
        Self { session: Some(session), ..self }
    }

    /// The same, for this reason.
    #[must_use]
    pub fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// The same, from `device`.
    #[must_use]
    pub fn from_device(self, device: Option<Device>) -> Self {
        Self { device, ..self }
    }

    /// The same, with `value` under `key` in its detail.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.detail.insert(key, value.into());
        self
    }
}

impl From<&Event> for Draft {
    fn from(event: &Event) -> Self {
        Self {
            at: event.at,
            event: event.kind.name(),
            principal: event.principal.clone(),
            session: event.session,
            actor: event.actor.clone(),
            reason: event.kind.end_reason().map(|reason| reason.as_str()),
            device: event.device.clone(),
            detail: BTreeMap::new(),
        }
        .with_kind(event.kind)
    }
}

impl Draft {
    fn with_kind(self, _kind: EventKind) -> Self {
        self
    }
}

/// An event of the log, as it was recorded and as it is exported.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct AuditEvent {
    /// Its place: each event has the number after the one before it.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub event: String,
    /// Whom it is about.
    pub principal: Option<String>,
    /// Which session it is about.
    pub session: Option<SessionId>,
    /// The kind of whoever did it: `system`, `user`, `admin`, `service`, `operator`.
    pub actor_kind: String,
    /// Who exactly.
    pub actor_id: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// From which address.
    pub ip: Option<String>,
    /// With which user agent.
    pub user_agent: Option<String>,
    /// What else is known.
    pub detail: BTreeMap<String, Value>,
    /// The hash of the event before.
    pub prev: ChainHash,
    /// The hash over this event and `prev`.
    pub hash: ChainHash,
}

/// A link of the chain: SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What the first event follows.
    pub const START: Self = Self([0; 32]);

    /// The hash over `parts`, each with its length before it.
    #[must_use]
    pub fn over(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A hash that was stored as bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ChainHash {
    type Err = MalformedHash;

    fn from_str(text: &str) -> Result<Self, MalformedHash> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(MalformedHash);
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(index * 2..index * 2 + 2).ok_or(MalformedHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| MalformedHash)?;
        }
        Ok(Self(bytes))
    }
}

/// A text is no hash of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct MalformedHash;
