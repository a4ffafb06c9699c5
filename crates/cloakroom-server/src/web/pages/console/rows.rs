//! Sessions as rows of a list, and in words.

use cloakroom::{Device, EndReason, ListItem, SessionId};
use cloakroom_core::{Persistence, Timestamp, idle_expires_at};

use super::paths;
use crate::web::pages::view::When;

/// A state in a word or two, with its colour: `good`, `plain`, `warn` or `bad`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Badge {
    pub(super) tone: &'static str,
    pub(super) text: String,
}

impl Badge {
    pub(super) fn new(tone: &'static str, text: impl Into<String>) -> Self {
        Self { tone, text: text.into() }
    }
}

/// A principal, and where it is shown.
#[derive(Clone)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) href: String,
}

impl Person {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), href: paths::person(id) }
    }
}

/// A session in a list.
#[expect(clippy::struct_excessive_bools, reason = "each is another thing that templates ask")]
pub(super) struct SessionRow {
    pub(super) id: String,
    pub(super) href: String,
    /// The end of its id, which tells two alike apart.
    pub(super) number: String,
    pub(super) live: bool,
    pub(super) badge: Badge,
    pub(super) person: Option<Person>,
    pub(super) label: String,
    pub(super) user_agent: Option<String>,
    pub(super) ip: Option<String>,
    pub(super) issued: When,
    pub(super) seen: Option<When>,
    /// When it ends if nothing more is heard, or when it ended.
    pub(super) end: When,
    pub(super) remembered: bool,
    /// Whether it is the session that asks.
    pub(super) current: bool,
    /// What to sort by, where the whole result is at hand.
    pub(super) keys: Keys,
}

/// What rows can be sorted by.
pub(super) struct Keys {
    pub(super) seen_at: Timestamp,
    pub(super) ends_at: Timestamp,
    pub(super) principal: String,
    pub(super) ip: Option<std::net::IpAddr>,
}

impl SessionRow {
    pub(super) fn new(item: &ListItem, now: Timestamp, own: SessionId) -> Self {
        match item {
            ListItem::Live(live) => {
                let record = &live.record;
                let device = record.device.as_deref();
                let principal = record.principal.as_ref().map(|principal| principal.id().as_str());
                let ends_at =
                    idle_expires_at(record, live.last_seen_at).min(record.lifetime.absolute_expires_at);
                let keys = Keys {
                    seen_at: live.last_seen_at,
                    ends_at,
                    principal: principal.unwrap_or_default().to_owned(),
                    ip: device.and_then(Device::ip),
                };
                Self {
                    live: true,
                    badge: Badge::new("good", "Active"),
                    person: principal.map(Person::new),
                    label: device.and_then(Device::label).unwrap_or("Unknown device").to_owned(),
                    user_agent: device.and_then(Device::user_agent).map(str::to_owned),
                    ip: keys.ip.map(|ip| ip.to_string()),
                    issued: When::new(record.created_at, now),
                    seen: Some(When::new(live.last_seen_at, now)),
                    end: When::new(ends_at, now),
                    remembered: record.lifetime.persistence == Persistence::Remembered,
                    current: record.id == own,
                    keys,
                    ..Self::named(record.id, now)
                }
            }
            ListItem::Ended { tombstone, created_at } => {
                let principal = tombstone.principal.as_ref().map(cloakroom::PrincipalId::as_str);
                Self {
                    badge: Badge::new("plain", reason_words(tombstone.reason)),
                    person: principal.map(Person::new),
                    issued: When::new(*created_at, now),
                    end: When::new(tombstone.ended_at, now),
                    keys: Keys {
                        seen_at: tombstone.ended_at,
                        ends_at: tombstone.ended_at,
                        principal: principal.unwrap_or_default().to_owned(),
                        ip: None,
                    },
                    ..Self::named(tombstone.session, now)
                }
            }
        }
    }

    /// A row of which no more than the id is known.
    fn named(id: SessionId, now: Timestamp) -> Self {
        let text = id.to_string();
        Self {
            href: paths::session(&text),
            number: number(&text),
            id: text,
            live: false,
            badge: Badge::new("plain", "Ended"),
            person: None,
            label: String::new(),
            user_agent: None,
            ip: None,
            issued: When::new(now, now),
            seen: None,
            end: When::new(now, now),
            remembered: false,
            current: false,
            keys: Keys { seen_at: now, ends_at: now, principal: String::new(), ip: None },
        }
    }

    /// What to call it where there is room for one name only.
    pub(super) fn name(&self) -> String {
        let who = self.person.as_ref().map_or("nobody signed in", |person| &person.id);
        format!("{who}, ticket {}", self.number)
    }
}

/// The end of a session's id: it grants nothing and tells two alike apart.
pub(super) fn number(id: &str) -> String {
    id.chars().skip(id.chars().count().saturating_sub(NUMBER_CHARS)).collect()
}

/// Why a session ended, in a few words.
pub(super) const fn reason_words(reason: EndReason) -> &'static str {
    match reason {
        EndReason::SignedOut => "Signed out",
        EndReason::IdleTimeout => "Inactive for too long",
        EndReason::AbsoluteTimeout => "Longest life reached",
        EndReason::RevokedByUser => "Ended by its user",
        EndReason::RevokedByAdmin => "Ended by an administrator",
        EndReason::RevokedByService => "Ended by the application",
        EndReason::SessionLimit => "Too many at once",
        EndReason::PasswordChanged => "Password changed",
        EndReason::AccountDisabled => "Account disabled",
        EndReason::Replaced => "Replaced by a sign-in",
        EndReason::Compromised => "In wrong hands",
        EndReason::StoreFull => "Store was full",
        _ => "Ended",
    }
}

/// "1 session", "12 sessions".
pub(super) fn sessions(count: u64) -> String {
    format!("{} session{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A number whose thousands stand apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

const NUMBER_CHARS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_with_their_thousands_apart() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1\u{202f}000"), (1_234_567, "1\u{202f}234\u{202f}567")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((&*sessions(1), &*sessions(2)), ("1 session", "2 sessions"));
    }

    #[test]
    fn every_reason_has_words_of_its_own() {
        let words: std::collections::BTreeSet<_> = EndReason::ALL.into_iter().map(reason_words).collect();
        assert_eq!(words.len(), EndReason::ALL.len());
        assert!(!words.contains("Ended"));
    }
}
