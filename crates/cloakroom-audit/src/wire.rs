//! An event as it leaves this program: in exports, answers of the API, and sinks.

use std::collections::BTreeMap;

use cloakroom_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AuditEvent, AuditRow, MalformedHash};

/// An event as JSON.
///
/// ```json
/// {"seq":42,"at":"2026-01-01T00:00:00Z","event":"session_revoked","principal":"alice","session":"ses_…",
///  "actor":{"kind":"admin","id":"root"},"reason":"revoked_by_admin",
///  "device":{"ip":"203.0.113.9","user_agent":"…"},"detail":{},"prev":"…","hash":"…"}
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EventObject {
    /// Its place in the log.
    pub seq: u64,
    /// When it happened, RFC 3339 in UTC.
    pub at: String,
    /// What.
    pub event: String,
    /// Whom it is about.
    pub principal: Option<String>,
    /// Which session it is about.
    pub session: Option<String>,
    /// Who did it.
    pub actor: ActorObject,
    /// Why, as a word.
    pub reason: Option<String>,
    /// From where.
    pub device: Option<EventDevice>,
    /// What else is known.
    pub detail: BTreeMap<String, Value>,
    /// The hash of the event before, in hexadecimal digits.
    pub prev: String,
    /// The hash over this event and `prev`.
    pub hash: String,
}

/// Who did something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ActorObject {
    /// `system`, `user`, `admin`, `service` or `operator`.
    pub kind: String,
    /// Who exactly, where that is known.
    pub id: Option<String>,
}

/// From where something was done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EventDevice {
    /// The address.
    pub ip: Option<String>,
    /// The user agent.
    pub user_agent: Option<String>,
}

impl From<&AuditRow> for EventObject {
    fn from(row: &AuditRow) -> Self {
        // The text of the session as it stands, be it one or not.
        let session = row.session.clone();
        Self { session, ..Self::from(&AuditEvent::from(row.clone())) }
    }
}

impl From<&AuditEvent> for EventObject {
    fn from(event: &AuditEvent) -> Self {
        let event = event.clone();
        let device = (event.ip.is_some() || event.user_agent.is_some())
            .then_some(EventDevice { ip: event.ip, user_agent: event.user_agent });
        Self {
            seq: event.seq,
            at: event.at.to_string(),
            event: event.event,
            principal: event.principal,
            session: event.session.map(|session| session.to_string()),
            actor: ActorObject { kind: event.actor_kind, id: event.actor_id },
            reason: event.reason,
            device,
            detail: event.detail,
            prev: event.prev.to_string(),
            hash: event.hash.to_string(),
        }
    }
}

impl TryFrom<EventObject> for AuditRow {
    type Error = MalformedEvent;

    /// The row that was exported as this object, so that its hash can be computed again.
    fn try_from(object: EventObject) -> Result<Self, MalformedEvent> {
        let hash = |text: &str| text.parse().map_err(|_: MalformedHash| MalformedEvent("a hash"));
        let (ip, user_agent) = object.device.map_or((None, None), |device| (device.ip, device.user_agent));
        let detail: BTreeMap<&String, Value> =
            object.detail.iter().map(|(key, value)| (key, crate::row::sorted(value))).collect();
        Ok(Self {
            seq: object.seq,
            at: object.at.parse::<Timestamp>().map_err(|_| MalformedEvent("the instant"))?,
            principal: object.principal,
            session: object.session,
            actor_kind: object.actor.kind,
            actor_id: object.actor.id,
            reason: object.reason,
            ip,
            user_agent,
            detail: serde_json::to_string(&detail).map_err(|_| MalformedEvent("the detail"))?,
            prev: hash(&object.prev)?,
            hash: hash(&object.hash)?,
            event: object.event,
        })
    }
}

/// An object is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} of the event cannot be read")]
pub struct MalformedEvent(&'static str);
