//! One event, before and after it is part of the chain.

use std::collections::BTreeMap;

use cloakroom::{Actor, Event, EventKind};
use cloakroom_core::{Device, EndReason, PrincipalId, SessionId, Timestamp};
use serde_json::Value;

use crate::{AuditRow, ChainHash};

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
            reason: event.kind.end_reason().map(EndReason::as_str),
            device: event.device.clone(),
            detail: BTreeMap::new(),
        }
        .of_event(event)
    }
}

impl Draft {
    /// How often it happened: 1, or as often as repeats of it were summed up.
    #[must_use]
    pub fn times(&self) -> u64 {
        times(self.detail.get(TIMES))
    }

    /// What an event says beyond its name and reason.
    fn of_event(self, event: &Event) -> Self {
        match (event.kind, event.since) {
            (EventKind::Issued, _) => {
                let holder = if event.principal.is_some() { "signed_in" } else { "anonymous" };
                self.with("kind", holder)
            }
            (_, Some(since)) => self.with("since", since.to_string()),
            (_, None) => self,
        }
    }
}

/// An event of the log, as people and programs read it. Its form outside is [`EventObject`](crate::EventObject).
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

impl AuditEvent {
    /// How often it happened: 1, or as often as repeats of it were summed up.
    #[must_use]
    pub fn times(&self) -> u64 {
        times(self.detail.get(TIMES))
    }
}

impl From<AuditRow> for AuditEvent {
    /// The event in `row`. What cannot be read is left out of it, and what stands there is shown: looking at a damaged
    /// log must be possible. [`verify`](crate::verify) is what judges.
    fn from(row: AuditRow) -> Self {
        let detail = serde_json::from_str(&row.detail)
            .unwrap_or_else(|_| BTreeMap::from([(UNREADABLE.to_owned(), Value::from(row.detail.as_str()))]));
        Self {
            seq: row.seq,
            at: row.at,
            event: row.event,
            principal: row.principal,
            session: row.session.and_then(|session| session.parse().ok()),
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            reason: row.reason,
            ip: row.ip,
            user_agent: row.user_agent,
            detail,
            prev: row.prev,
            hash: row.hash,
        }
    }
}

fn times(detail: Option<&Value>) -> u64 {
    detail.and_then(Value::as_u64).unwrap_or(1).max(1)
}

/// The key of an event's detail that says how often it happened, where that was more than once.
pub(crate) const TIMES: &str = "times";
const UNREADABLE: &str = "unreadable";
