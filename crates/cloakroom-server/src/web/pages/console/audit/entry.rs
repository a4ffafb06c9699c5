//! One event of the log with everything that is known of it.

use cloakroom_audit::AuditEvent;
use cloakroom_core::Timestamp;
use cloakroom_http::device_label;
use serde_json::Value;

use crate::web::pages::console::paths;
use crate::web::pages::console::rows::{Badge, number};
use crate::web::pages::console::words::{event_words, reason_words};
use crate::web::pages::view::{When, second};

/// One event: a line, and what unfolds below it.
pub(in crate::web::pages::console) struct Entry {
    pub(in crate::web::pages::console) seq: u64,
    pub(in crate::web::pages::console) when: When,
    /// To the second, for the line.
    pub(in crate::web::pages::console) clock: String,
    pub(in crate::web::pages::console) what: Badge,
    pub(in crate::web::pages::console) name: String,
    pub(in crate::web::pages::console) about: Option<Subject>,
    pub(in crate::web::pages::console) session: Option<Subject>,
    /// Who did it, where it was not whom it is about.
    pub(in crate::web::pages::console) by: Option<String>,
    pub(in crate::web::pages::console) actor: String,
    /// What more fits into the line.
    pub(in crate::web::pages::console) gist: Option<String>,
    /// From where, in a few words.
    pub(in crate::web::pages::console) place: Option<String>,
    pub(in crate::web::pages::console) facts: Vec<(String, String)>,
    pub(in crate::web::pages::console) prev: String,
    pub(in crate::web::pages::console) hash: String,
}

/// Whom or what an event is about, and where more of it is.
pub(in crate::web::pages::console) struct Subject {
    pub(in crate::web::pages::console) id: String,
    pub(in crate::web::pages::console) short: String,
    pub(in crate::web::pages::console) href: String,
    pub(in crate::web::pages::console) events: String,
}

impl Entry {
    pub(in crate::web::pages::console) fn new(event: &AuditEvent, now: Timestamp) -> Self {
        let label = event.user_agent.as_deref().map(|agent| device_label(agent).into_owned());
        let place = match (label, event.ip.as_deref()) {
            (Some(label), Some(ip)) => Some(format!("{label}, {ip}")),
            (label, ip) => label.or_else(|| ip.map(str::to_owned)),
        };
        let session = event.session.map(|session| {
            let id = session.to_string();
            Subject { short: number(&id), href: paths::session(&id), events: events_of("session", &id), id }
        });
        let about = event.principal.as_ref().map(|id| Subject {
            short: id.clone(),
            href: paths::person(id),
            events: events_of("principal", id),
            id: id.clone(),
        });
        Self {
            seq: event.seq,
            when: When::new(event.at, now),
            clock: second(event.at),
            what: event_words(&event.event),
            name: event.event.clone(),
            by: by(event),
            actor: actor(event),
            gist: gist(event),
            place,
            facts: facts(event),
            about,
            session,
            prev: event.prev.to_string(),
            hash: event.hash.to_string(),
        }
    }
}

fn events_of(field: &str, id: &str) -> String {
    crate::web::pages::address("/admin/audit", &[(field, id)])
}

/// Who did it, for whoever reads the whole event.
fn actor(event: &AuditEvent) -> String {
    let kind = match event.actor_kind.as_str() {
        "system" => "The server itself",
        "user" => "User",
        "admin" => "Staff",
        "service" => "Service",
        "operator" => "Somebody at the command line",
        kind => kind,
    };
    event.actor_id.as_ref().map_or_else(|| kind.to_owned(), |id| format!("{kind} {id}"))
}

/// Who did it, where the line does not say so by whom it is about.
fn by(event: &AuditEvent) -> Option<String> {
    match (event.actor_kind.as_str(), &event.actor_id) {
        ("system", _) | ("user", None) => None,
        ("user", id) if *id == event.principal => None,
        ("operator", _) => Some("the command line".to_owned()),
        (kind, id) => Some(id.clone().unwrap_or_else(|| kind.to_owned())),
    }
}

/// What says most about it: what staff did, which signal, why.
fn gist(event: &AuditEvent) -> Option<String> {
    let text = |key: &str| event.detail.get(key).and_then(Value::as_str);
    let parts: Vec<String> = [text("act"), text("signal"), text("phase")]
        .into_iter()
        .flatten()
        .map(|word| word.replace('_', " "))
        .chain(event.reason.as_deref().map(reason_words))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

fn facts(event: &AuditEvent) -> Vec<(String, String)> {
    let fixed = [
        ("Reason", event.reason.clone()),
        ("Address", event.ip.clone()),
        ("User agent", event.user_agent.clone()),
    ];
    let known = fixed.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let detail = event.detail.iter().map(|(key, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (key.clone(), text)
    });
    known.chain(detail).collect()
}
