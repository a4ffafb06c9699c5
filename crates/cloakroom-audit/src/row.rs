//! An event as stores keep it: what the chain's hash covers, before anything is read into it.

use std::collections::BTreeMap;

use cloakroom_core::{Device, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{ChainHash, Draft, Head};

/// An event as a store keeps it, one field in each column, exactly as it was written.
///
/// A store only moves these fields; what they mean and what the hash covers is decided here, so that every backend has
/// the same chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRow {
    /// Its place: each event has the number after the one before it. The first has 1.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub event: String,
    /// Whom it is about.
    pub principal: Option<String>,
    /// Which session it is about, as text.
    pub session: Option<String>,
    /// The kind of whoever did it.
    pub actor_kind: String,
    /// Who exactly.
    pub actor_id: Option<String>,
    /// Why, as a word.
    pub reason: Option<String>,
    /// From which address, as text.
    pub ip: Option<String>,
    /// With which user agent.
    pub user_agent: Option<String>,
    /// What else is known: a JSON object without white space, its keys sorted at every depth.
    pub detail: String,
    /// The hash of the event before.
    pub prev: ChainHash,
    /// The hash over all other fields.
    pub hash: ChainHash,
}

impl AuditRow {
    /// Most bytes of an event's detail as JSON; one that has more is recorded without it, and says so.
    pub const DETAIL_MAX_BYTES: usize = 4_096;

    /// `drafts` as the events that follow `head`.
    #[must_use]
    pub fn chain(head: Head, drafts: &[Draft]) -> Vec<Self> {
        let mut last = head;
        let mut rows = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let row = Self::after(last, draft);
            last = row.head();
            rows.push(row);
        }
        rows
    }

    fn after(head: Head, draft: &Draft) -> Self {
        let device = draft.device.as_ref();
        let mut row = Self {
            seq: head.seq.saturating_add(1),
            at: draft.at,
            event: draft.event.to_owned(),
            principal: draft.principal.as_ref().map(ToString::to_string),
            session: draft.session.map(|session| session.to_string()),
            actor_kind: draft.actor.kind().to_owned(),
            actor_id: draft.actor.id().map(str::to_owned),
            reason: draft.reason.map(str::to_owned),
            ip: device.and_then(Device::ip).map(|ip| ip.to_string()),
            user_agent: device.and_then(Device::user_agent).map(str::to_owned),
            detail: canonical_detail(&draft.detail),
            prev: head.hash,
            hash: ChainHash::START,
        };
        row.hash = row.computed_hash();
        row
    }

    /// The hash that an event with these fields must have.
    ///
    /// SHA-256 over a tag, `prev`, number and instant (8 bytes each, big-endian), and each other field with its length
    /// before it; a field that is absent is told from an empty one. No two different events have the same bytes under it.
    #[must_use]
    pub fn computed_hash(&self) -> ChainHash {
        let mut hasher = Sha256::new();
        hasher.update(TAG);
        hasher.update(self.prev.as_bytes());
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.at.as_millis().to_be_bytes());
        for field in [
            Some(&self.event),
            self.principal.as_ref(),
            self.session.as_ref(),
            Some(&self.actor_kind),
            self.actor_id.as_ref(),
            self.reason.as_ref(),
            self.ip.as_ref(),
            self.user_agent.as_ref(),
            Some(&self.detail),
        ] {
            let length = field.map_or(ABSENT, |text| u64::try_from(text.len()).unwrap_or(ABSENT));
            hasher.update(length.to_be_bytes());
            hasher.update(field.map_or("", String::as_str));
        }
        ChainHash::from_bytes(hasher.finalize().into())
    }

    /// The end of a chain whose last event this is.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }

    /// How often it happened, for the counts kept beside the log.
    #[must_use]
    pub fn times(&self) -> u64 {
        // Only sums have it: most details are not read for this.
        if !self.detail.contains("\"times\":") {
            return 1;
        }
        let detail: BTreeMap<String, Value> = serde_json::from_str(&self.detail).unwrap_or_default();
        detail.get(crate::event::TIMES).and_then(Value::as_u64).unwrap_or(1).max(1)
    }

    /// The beginning of the minute in which it happened, for the counts kept beside the log.
    #[must_use]
    pub fn minute(&self) -> Timestamp {
        minute_of(self.at)
    }
}

/// The beginning of the minute of `at`.
#[must_use]
pub fn minute_of(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().div_euclid(MINUTE_MILLIS).saturating_mul(MINUTE_MILLIS))
}

fn canonical_detail(detail: &BTreeMap<&'static str, Value>) -> String {
    let sorted: BTreeMap<&str, Value> = detail.iter().map(|(key, value)| (*key, sorted(value))).collect();
    let text = serde_json::to_string(&sorted).unwrap_or_else(|_| "{}".to_owned());
    if text.len() <= AuditRow::DETAIL_MAX_BYTES { text } else { TOO_LONG.to_owned() }
}

/// The same value with the keys of its objects sorted, whatever order they are kept in.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(values) => Value::Array(values.iter().map(sorted).collect()),
        Value::Object(entries) => {
            let entries: BTreeMap<&String, Value> =
                entries.iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), value)).collect())
        }
        other => other.clone(),
    }
}

const MINUTE_MILLIS: i64 = 60_000;
/// The format's name and version: another way of hashing gets another tag.
const TAG: &[u8] = b"cloakroom audit event 1\n";
/// The length of a field that is absent: no text is that long.
const ABSENT: u64 = u64::MAX;
const TOO_LONG: &str = r#"{"cut":"longer than 4096 bytes"}"#;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_is_under_the_hash_and_no_field_runs_into_the_next() {
        let draft = Draft::new("session_created", Timestamp::from_millis(5)).with("a", "b");
        let row = AuditRow::after(Head::START, &draft);
        let text = |text: &str| Some(text.to_owned());
        let changes: [fn(&mut AuditRow); 12] = [
            |row| row.seq = 2,
            |row| row.at = Timestamp::from_millis(6),
            |row| row.event.push('x'),
            |row| row.principal = Some(String::new()),
            |row| row.session = Some("ses_".to_owned()),
            |row| row.actor_kind = "admin".to_owned(),
            |row| row.actor_id = Some("x".to_owned()),
            |row| row.reason = Some("x".to_owned()),
            |row| row.ip = Some("::1".to_owned()),
            |row| row.user_agent = Some("x".to_owned()),
            |row| row.detail = "{}".to_owned(),
            |row| row.prev = ChainHash::from_bytes([1; 32]),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut other = row.clone();
            change(&mut other);
            assert_ne!(other.computed_hash(), row.hash, "change {index}");
        }
        let (mut left, mut right) = (row.clone(), row);
        (left.principal, left.session) = (text("ab"), text("c"));
        (right.principal, right.session) = (text("a"), text("bc"));
        assert_ne!(left.computed_hash(), right.computed_hash());
    }

    #[test]
    fn a_known_event_has_the_hash_it_always_had() {
        let draft = Draft::new("session_created", Timestamp::from_millis(1_767_225_600_000))
            .with("kind", "anonymous");
        let row = AuditRow::after(Head::START, &draft);
        assert_eq!(row.hash.to_string(), "9fcf0804499f301f582efd647e603a54ace5d7146e19f00bb70b57402b80b773");
    }

    #[test]
    fn details_are_written_in_one_order_and_within_their_limit() {
        let draft = Draft::new("x", Timestamp::EPOCH)
            .with("z", json!({"b": [{"d": 1, "c": 2}], "a": 0}))
            .with("y", 1);
        let row = AuditRow::after(Head::START, &draft);
        assert_eq!(row.detail, r#"{"y":1,"z":{"a":0,"b":[{"c":2,"d":1}]}}"#);
        let long = Draft::new("x", Timestamp::EPOCH).with("note", "x".repeat(AuditRow::DETAIL_MAX_BYTES));
        assert_eq!(AuditRow::after(Head::START, &long).detail, TOO_LONG);
    }
}
