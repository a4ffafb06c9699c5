//! Events of the audit log beside the session or the person they are about.

use std::collections::BTreeSet;

use cloakroom::EndReason;
use cloakroom_audit::{AuditEvent, AuditPage, names};
use cloakroom_core::Timestamp;

use super::rows::{Badge, reason_words};
use super::words::event_words;
use crate::web::pages::view::When;

/// An event as a line.
pub(super) struct EventRow {
    pub(super) seq: u64,
    pub(super) at: When,
    pub(super) event: String,
    pub(super) words: String,
    /// Who did it, where it was not the person themselves.
    pub(super) actor: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) note: Option<String>,
    pub(super) ip: Option<String>,
    /// Where it is a sign of a session in other hands.
    pub(super) signal: Option<Badge>,
}

impl EventRow {
    /// The events of a page. That somebody looked is left out, since this page is such a look; and the beginning of an
    /// act whose outcome is here too.
    pub(super) fn all(page: &AuditPage, now: Timestamp) -> Vec<Self> {
        let began = |event: &AuditEvent| event.detail.get("begun").and_then(serde_json::Value::as_u64);
        let concluded: BTreeSet<u64> = page.events.iter().filter_map(began).collect();
        let told =
            |event: &&AuditEvent| event.event != names::SENSITIVE_READ && !concluded.contains(&event.seq);
        page.events.iter().filter(told).map(|event| Self::new(event, now)).collect()
    }

    fn new(event: &AuditEvent, now: Timestamp) -> Self {
        let text = |key: &str| event.detail.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        let is_signal = event.event == names::SIGNAL;
        // That an administrator ended it is said by who did it.
        let is_plain = event.actor_kind == "admin" && event.reason.as_deref() == Some(BY_ADMIN);
        let reason = event.reason.as_deref().filter(|_| !is_plain);
        Self {
            seq: event.seq,
            at: When::new(event.at, now),
            words: words(event, text("act").as_deref(), text("phase").as_deref(), text("signal").as_deref()),
            event: event.event.clone(),
            actor: actor(event),
            reason: reason.map(|word| {
                word.parse().map_or_else(|_| word.to_owned(), |reason| reason_words(reason).to_owned())
            }),
            note: text("note"),
            ip: event.ip.clone(),
            signal: is_signal
                .then(|| Badge::new("warn", text("grade").unwrap_or_else(|| "signal".to_owned()))),
        }
    }
}

fn actor(event: &AuditEvent) -> Option<String> {
    let id = event.actor_id.as_deref();
    match event.actor_kind.as_str() {
        "admin" => Some(format!("administrator {}", id.unwrap_or("?"))),
        "service" => Some(format!("service {}", id.unwrap_or("?"))),
        "operator" => Some("operator".to_owned()),
        _ => None,
    }
}

/// What happened, in the words of the log's own pages; a signal and an act of staff say which.
fn words(event: &AuditEvent, act: Option<&str>, phase: Option<&str>, signal: Option<&str>) -> String {
    let spaced = |word: Option<&str>| word.unwrap_or("unknown").replace('_', " ");
    match event.event.as_str() {
        names::SIGNAL => format!("Signal: {}", spaced(signal)),
        names::AUTHZ_ADMIN => match phase {
            None | Some("done") => format!("Staff: {}", spaced(act)),
            Some(phase) => format!("Staff: {} ({})", spaced(act), spaced(Some(phase))),
        },
        other => event_words(other).text,
    }
}

const BY_ADMIN: &str = EndReason::RevokedByAdmin.as_str();
