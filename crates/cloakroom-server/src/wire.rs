//! Sessions as the API and `--json` show them. Domain types are not `Serialize`: what users meet is fixed here.

use std::collections::BTreeMap;

use cloakroom::{Authentication, Device, ListItem, Principal, Tombstone};
use cloakroom_audit::{AuditEvent, EventObject};
use cloakroom_core::{SessionRecord, Timestamp, idle_expires_at};
use serde::Serialize;
use utoipa::ToSchema;

/// A session, alive or ended. What an ended one no longer has is `null`.
///
/// It never has a token or a digest in it: the id grants nothing.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[non_exhaustive]
pub struct SessionObject {
    /// `ses_…`
    pub id: String,
    /// `active` or `ended`.
    pub state: &'static str,
    /// Whom it speaks for; `null` while anonymous.
    pub principal: Option<PrincipalObject>,
    /// When it was issued (RFC 3339, as every instant).
    pub created_at: String,
    /// When identity was last proved in it.
    pub authenticated_at: Option<String>,
    /// The last activity written down.
    pub last_seen_at: Option<String>,
    /// When it ends if nothing more is heard.
    pub idle_expires_at: Option<String>,
    /// When it ends whatever happens.
    pub absolute_expires_at: Option<String>,
    /// How identity was proved.
    pub authentication: Option<AuthenticationObject>,
    /// What it was issued to.
    pub device: DeviceObject,
    /// The application's data; `null` where it is not shown.
    pub attributes: Option<BTreeMap<String, serde_json::Value>>,
    /// Whether it is the session that asks.
    pub current: bool,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Why it ended.
    pub end_reason: Option<&'static str>,
}

impl SessionObject {
    /// A live session whose last activity was at `last_seen_at`.
    ///
    /// An attribute that has no JSON form (it was written by something else than JSON or plain types) is left out.
    #[must_use]
    pub fn live(record: &SessionRecord, last_seen_at: Timestamp) -> Self {
        let attributes = record.attributes.iter().filter_map(|(key, _)| {
            let value = record.attributes.decode(key.as_str()).ok()??;
            Some((key.as_str().to_owned(), value))
        });
        Self {
            id: record.id.to_string(),
            state: "active",
            principal: record.principal.as_deref().map(PrincipalObject::from),
            created_at: record.created_at.to_string(),
            authenticated_at: record
                .authentication
                .as_ref()
                .map(|proof| proof.authenticated_at().to_string()),
            last_seen_at: Some(last_seen_at.to_string()),
            idle_expires_at: Some(idle_expires_at(record, last_seen_at).to_string()),
            absolute_expires_at: Some(record.lifetime.absolute_expires_at.to_string()),
            authentication: record.authentication.as_deref().map(AuthenticationObject::from),
            device: record.device.as_deref().map(DeviceObject::from).unwrap_or_default(),
            attributes: Some(attributes.collect()),
            current: false,
            ended_at: None,
            end_reason: None,
        }
    }

    /// What is left of a session that was issued at `created_at` and has ended.
    #[must_use]
    pub fn ended(tombstone: &Tombstone, created_at: Timestamp) -> Self {
        Self {
            id: tombstone.session.to_string(),
            state: "ended",
            principal: tombstone
                .principal
                .as_ref()
                .map(|id| PrincipalObject { id: id.to_string(), roles: Vec::new() }),
            created_at: created_at.to_string(),
            authenticated_at: None,
            last_seen_at: None,
            idle_expires_at: None,
            absolute_expires_at: None,
            authentication: None,
            device: DeviceObject::default(),
            attributes: Some(BTreeMap::new()),
            current: false,
            ended_at: Some(tombstone.ended_at.to_string()),
            end_reason: Some(tombstone.reason.as_str()),
        }
    }

    /// The same with these attributes.
    #[must_use]
    pub fn with_attributes(self, attributes: BTreeMap<String, serde_json::Value>) -> Self {
        Self { attributes: Some(attributes), ..self }
    }

    /// The same, its attributes not shown.
    #[must_use]
    pub fn without_attributes(self) -> Self {
        Self { attributes: None, ..self }
    }

    /// The same, marked as the session that asks.
    #[must_use]
    pub fn current(self) -> Self {
        Self { current: true, ..self }
    }
}

impl From<&ListItem> for SessionObject {
    fn from(item: &ListItem) -> Self {
        match item {
            ListItem::Live(live) => Self::live(&live.record, live.last_seen_at),
            ListItem::Ended { tombstone, created_at } => Self::ended(tombstone, *created_at),
        }
    }
}

/// Whom a session speaks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[non_exhaustive]
pub struct PrincipalObject {
    /// The principal's id.
    pub id: String,
    /// Its roles, sorted; empty for an ended session.
    pub roles: Vec<String>,
}

impl From<&Principal> for PrincipalObject {
    fn from(principal: &Principal) -> Self {
        Self {
            id: principal.id().to_string(),
            roles: principal.roles().iter().map(ToString::to_string).collect(),
        }
    }
}

/// How identity was proved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[non_exhaustive]
pub struct AuthenticationObject {
    /// 1, 2 or 3 (NIST AAL).
    pub level: u8,
    /// The methods, in the order of their first use.
    pub methods: Vec<MethodObject>,
}

impl From<&Authentication> for AuthenticationObject {
    fn from(proof: &Authentication) -> Self {
        let methods = proof.methods().iter();
        let methods =
            methods.map(|used| MethodObject { method: used.method.to_string(), at: used.at.to_string() });
        Self { level: proof.level().as_u8(), methods: methods.collect() }
    }
}

/// A method and when it last succeeded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[non_exhaustive]
pub struct MethodObject {
    /// For example `password`.
    pub method: String,
    /// When it last succeeded.
    pub at: String,
}

/// What a session was issued to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[non_exhaustive]
pub struct DeviceObject {
    /// The address.
    pub ip: Option<String>,
    /// What the client said of itself.
    pub user_agent: Option<String>,
    /// A name for people: `Firefox on Linux`.
    pub label: Option<String>,
}

impl From<&Device> for DeviceObject {
    fn from(device: &Device) -> Self {
        Self {
            ip: device.ip().map(|ip| ip.to_string()),
            user_agent: device.user_agent().map(str::to_owned),
            label: device.label().map(str::to_owned),
        }
    }
}

/// An event of the audit log.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[non_exhaustive]
pub struct AuditEventObject {
    /// Its place: each event has the number after the one before it.
    pub seq: u64,
    /// When it happened.
    pub at: String,
    /// What, in OWASP's logging vocabulary where it has a word.
    pub event: String,
    /// Whom it is about.
    pub principal: Option<String>,
    /// Which session it is about.
    pub session: Option<String>,
    /// Who did it.
    pub actor: ActorObject,
    /// Why, as a word.
    pub reason: Option<String>,
    /// From where, where that is known.
    pub device: Option<EventDeviceObject>,
    /// What else is known.
    pub detail: BTreeMap<String, serde_json::Value>,
    /// The hash of the event before.
    pub prev: String,
    /// The hash over this event and `prev`.
    pub hash: String,
}

/// From where something was done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[non_exhaustive]
pub struct EventDeviceObject {
    /// The address.
    pub ip: Option<String>,
    /// What the client said of itself.
    pub user_agent: Option<String>,
}

/// Who did something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[non_exhaustive]
pub struct ActorObject {
    /// `system`, `user`, `admin`, `service` or `operator`.
    pub kind: String,
    /// Who exactly.
    pub id: Option<String>,
}

impl From<&AuditEvent> for AuditEventObject {
    fn from(event: &AuditEvent) -> Self {
        let EventObject {
            seq, at, event, principal, session, actor, reason, device, detail, prev, hash, ..
        } = EventObject::from(event);
        let device = device.map(|device| EventDeviceObject { ip: device.ip, user_agent: device.user_agent });
        let actor = ActorObject { kind: actor.kind, id: actor.id };
        Self { seq, at, event, principal, session, actor, reason, device, detail, prev, hash }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use cloakroom::{AuthLevel, EndReason, Method, PrincipalId, SessionId};
    use cloakroom_core::{AttributeKey, Lifetime, Role, Route};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_772_357_400_000);

    fn alice() -> PrincipalId {
        PrincipalId::new("alice").unwrap()
    }

    fn session() -> SessionId {
        SessionId::from_random(Route::of_principal(&alice()), [7; 14])
    }

    #[test]
    fn a_live_session_looks_as_the_contract_says() {
        let lifetime =
            Lifetime::new(Duration::from_secs(1_800), NOW.plus(Duration::from_secs(43_200)), Duration::ZERO);
        let mut record = SessionRecord::new(session(), NOW, lifetime);
        let principal = Principal::new(alice()).with_roles([Role::new("admin").unwrap()]).unwrap();
        record.principal = Some(Arc::new(principal));
        record.authentication = Some(Box::new(Authentication::new(AuthLevel::One, Method::password(), NOW)));
        record.device =
            Some(Box::new(Device::new().with_ip([203, 0, 113, 9].into()).with_label("Firefox on Linux")));
        record
            .attributes
            .encode(AttributeKey::new("cart").unwrap(), &json!({"items": ["umbrella", 2]}))
            .unwrap();
        let object = SessionObject::live(&record, NOW.plus(Duration::from_secs(60))).current();
        assert_eq!(
            serde_json::to_value(object).unwrap(),
            json!({
                "id": session().to_string(), "state": "active",
                "principal": {"id": "alice", "roles": ["admin"]},
                "created_at": "2026-03-01T09:30:00.000Z",
                "authenticated_at": "2026-03-01T09:30:00.000Z",
                "last_seen_at": "2026-03-01T09:31:00.000Z",
                "idle_expires_at": "2026-03-01T10:01:00.000Z",
                "absolute_expires_at": "2026-03-01T21:30:00.000Z",
                "authentication": {"level": 1, "methods": [{"method": "password", "at": "2026-03-01T09:30:00.000Z"}]},
                "device": {"ip": "203.0.113.9", "user_agent": null, "label": "Firefox on Linux"},
                "attributes": {"cart": {"items": ["umbrella", 2]}},
                "current": true, "ended_at": null, "end_reason": null,
            })
        );
    }

    #[test]
    fn an_ended_session_says_when_and_why() {
        let tombstone = Tombstone {
            session: session(),
            principal: Some(alice()),
            ended_at: NOW,
            reason: EndReason::SignedOut,
        };
        let object = serde_json::to_value(SessionObject::ended(&tombstone, NOW)).unwrap();
        assert_eq!(object["state"], "ended");
        assert_eq!(object["end_reason"], "signed_out");
        assert_eq!(object["ended_at"], "2026-03-01T09:30:00.000Z");
        assert_eq!(object["last_seen_at"], json!(null));
    }
}
