//! Which events are shown: the fields of a form, as they stand in an address.

use cloakroom::PrincipalId;
use cloakroom_audit::AuditQuery;
use cloakroom_core::Timestamp;
use serde::Deserialize;

use crate::web::pages::view::minute;

/// The fields as they were given. An empty one is no condition.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Filter {
    pub(in crate::web::pages::console) principal: String,
    pub(in crate::web::pages::console) actor: String,
    pub(in crate::web::pages::console) session: String,
    pub(in crate::web::pages::console) event: String,
    pub(in crate::web::pages::console) since: String,
    pub(in crate::web::pages::console) until: String,
    /// Where the page before ended.
    pub(in crate::web::pages::console) before: Option<u64>,
}

/// A choice of events in the form.
pub(in crate::web::pages::console) struct Kind {
    pub(in crate::web::pages::console) group: &'static str,
    /// What is asked for, and what it is called.
    pub(in crate::web::pages::console) choices: &'static [(&'static str, &'static str)],
}

impl Filter {
    /// What the log is asked.
    ///
    /// # Errors
    /// What cannot be understood, in a sentence.
    pub(in crate::web::pages::console) fn query(&self) -> Result<AuditQuery, String> {
        let mut query = AuditQuery::latest();
        if let Some(principal) = given(&self.principal) {
            let principal = PrincipalId::new(principal);
            query.principal = Some(principal.map_err(|_| "That cannot be the name of a person.".to_owned())?);
        }
        query.actor = given(&self.actor).map(str::to_owned);
        if let Some(session) = given(&self.session) {
            let session = session.parse();
            query.session =
                Some(session.map_err(|_| "A session is named by its whole id, ses_….".to_owned())?);
        }
        if let Some(event) = given(&self.event) {
            if !is_event(event) {
                return Err(
                    "An event is a name such as session_revoked, or its beginning with a *.".to_owned()
                );
            }
            query.event = Some(event.to_owned());
        }
        query.since = instant(&self.since)?;
        query.until = instant(&self.until)?;
        query.before = self.before;
        Ok(query)
    }

    /// The same filter, on the page of events before this one.
    pub(in crate::web::pages::console) fn before(&self, seq: u64) -> Self {
        Self { before: Some(seq), ..self.clone() }
    }

    /// The same filter, on its first page.
    pub(in crate::web::pages::console) fn newest(&self) -> Self {
        Self { before: None, ..self.clone() }
    }

    /// The address of what it shows.
    pub(in crate::web::pages::console) fn address(&self, path: &str) -> String {
        let before = self.before.map(|seq| seq.to_string()).unwrap_or_default();
        let fields = [
            ("principal", &self.principal),
            ("actor", &self.actor),
            ("session", &self.session),
            ("event", &self.event),
            ("since", &self.since),
            ("until", &self.until),
            ("before", &before),
        ];
        let pairs: Vec<(&str, &str)> =
            fields.into_iter().filter_map(|(name, value)| Some((name, given(value)?))).collect();
        crate::web::pages::address(path, &pairs)
    }

    /// Where the events of this filter are taken away; `format` is `jsonl` or `csv`.
    pub(in crate::web::pages::console) fn export(&self, format: &str) -> String {
        let address = self.newest().address("/admin/audit/export");
        let joint = if address.contains('?') { '&' } else { '?' };
        format!("{address}{joint}format={format}")
    }

    /// Whether anything is left out.
    pub(in crate::web::pages::console) fn is_empty(&self) -> bool {
        let fields = [&self.principal, &self.actor, &self.session, &self.event, &self.since, &self.until];
        fields.into_iter().all(|field| given(field).is_none())
    }

    /// Whether the form has this choice of events selected.
    pub(in crate::web::pages::console) fn is_chosen(&self, event: &str) -> bool {
        self.event.trim() == event
    }

    /// What is asked for and stands in no list: an address may ask for any.
    pub(in crate::web::pages::console) fn unlisted(&self) -> Option<&str> {
        let event = given(&self.event)?;
        let is_listed = KINDS.iter().flat_map(|kind| kind.choices).any(|(choice, _)| *choice == event);
        (!is_listed).then_some(event)
    }

    /// An instant as the form's field takes it.
    pub(in crate::web::pages::console) fn field(text: &str) -> String {
        instant(text).ok().flatten().map_or_else(|| text.to_owned(), minute)
    }
}

/// What is wrong with the names in an address: one that means nothing must not show everything.
///
/// # Errors
/// The first of them, in a sentence.
pub(super) fn check_names(query: Option<&str>) -> Result<(), String> {
    let mut names = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    match names.find(|(name, _)| !NAMES.contains(&name.as_ref())) {
        None => Ok(()),
        Some((name, _)) => Err(format!(
            "There is no condition named \u{201c}{name}\u{201d}; there are {}.",
            FIELDS.join(", ")
        )),
    }
}

fn given(field: &str) -> Option<&str> {
    let field = field.trim();
    (!field.is_empty()).then_some(field)
}

fn is_event(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    text.len() <= EVENT_MAX_BYTES && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// An instant in UTC: whole, or to the minute as forms send it.
fn instant(text: &str) -> Result<Option<Timestamp>, String> {
    let Some(text) = given(text) else { return Ok(None) };
    let candidates =
        [text.to_owned(), format!("{text}Z"), format!("{text}:00Z"), format!("{text}T00:00:00Z")];
    let found = candidates.iter().find_map(|text| text.parse().ok());
    found.map(Some).ok_or_else(|| "A time is a day and a clock's time, such as 2026-03-01T09:30.".to_owned())
}

/// The conditions of a filter.
const FIELDS: [&str; 6] = ["principal", "actor", "session", "event", "since", "until"];
/// What an address of the page, or of an export, may name.
const NAMES: [&str; 8] = ["principal", "actor", "session", "event", "since", "until", "before", "format"];
/// Longer than any name of an event.
const EVENT_MAX_BYTES: usize = 64;

/// What the form offers: whole families first, then what is looked for often.
pub(in crate::web::pages::console) const KINDS: [Kind; 5] = [
    Kind {
        group: "Sessions",
        choices: &[
            ("session_*", "Everything of sessions"),
            ("session_created", "Issued"),
            ("session_logout", "Signed out"),
            ("session_expired", "Expired"),
            ("session_revoked", "Ended by somebody"),
            ("session_renewed", "Token rotated"),
            ("session_reauthenticated", "Identity proven again"),
            ("excess_sessions_exceeded", "Session limit reached"),
        ],
    },
    Kind {
        group: "Sign-ins and passwords",
        choices: &[
            ("authn_*", "Everything of these"),
            ("authn_login_success", "Signed in"),
            ("authn_login_fail*", "Sign-in failed"),
            ("authn_password_change*", "Password changes"),
        ],
    },
    Kind {
        group: "Staff and accounts",
        choices: &[
            ("authz_admin", "Staff acted"),
            ("sensitive_read", "Staff looked"),
            ("authz_change", "Roles changed"),
            ("authz_fail", "Not allowed"),
            ("user_*", "Accounts added and changed"),
        ],
    },
    Kind {
        group: "Attacks and faults",
        choices: &[
            ("session_signal", "Signals"),
            ("session_use_after_expire", "Ended token used"),
            ("authn_token_reuse", "Retired token used"),
            ("session_unknown_token", "Unknown token"),
            ("malicious_*", "Malicious requests"),
            ("session_store_failed", "Store failed"),
        ],
    },
    Kind { group: "The server", choices: &[("sys_*", "Started and stopped"), ("audit_*", "The log itself")] },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(since: &str, event: &str) -> Filter {
        Filter { since: since.to_owned(), event: event.to_owned(), ..Filter::default() }
    }

    #[test]
    fn a_time_may_be_a_day_a_minute_or_a_whole_instant() {
        for (given, instant) in [
            ("2026-03-01", "2026-03-01T00:00:00Z"),
            ("2026-03-01T09:30", "2026-03-01T09:30:00Z"),
            ("2026-03-01T09:30:15", "2026-03-01T09:30:15Z"),
            (" 2026-03-01T09:30:15Z ", "2026-03-01T09:30:15Z"),
        ] {
            let since = filter(given, "").query().unwrap().since.expect("it is a time");
            assert_eq!(since, instant.parse().unwrap(), "{given}");
            assert_eq!(Filter::field(given).len(), "2026-03-01T09:30".len(), "{given}");
        }
        assert_eq!(filter("", "").query().unwrap(), AuditQuery::latest());
        assert!(filter("yesterday", "").query().is_err());
    }

    #[test]
    fn an_event_is_a_name_or_its_beginning() {
        for (event, is_one) in [
            ("session_revoked", true),
            ("session_*", true),
            ("*", true),
            ("se*ssion", false),
            ("<script>", false),
            ("Session", false),
        ] {
            assert_eq!(filter("", event).query().is_ok(), is_one, "{event}");
        }
    }

    #[test]
    fn an_address_holds_what_is_asked_for_and_nothing_else() {
        let mut asked = filter("2026-03-01T09:30", "session_*");
        assert_eq!(asked.address("/admin/audit"), "/admin/audit?event=session_*&since=2026-03-01T09%3A30");
        asked.principal = "a&b=c".to_owned();
        let paged = asked.before(7);
        assert!(paged.address("/x").ends_with("&before=7"));
        assert!(paged.address("/x").contains("principal=a%26b%3Dc"));
        assert!(paged.export("csv").ends_with("&format=csv") && !paged.export("csv").contains("before"));
        assert_eq!(Filter::default().export("jsonl"), "/admin/audit/export?format=jsonl");
    }

    #[test]
    fn what_no_list_has_is_still_what_was_asked_for() {
        assert_eq!(filter("", "session_*").unlisted(), None);
        assert_eq!(filter("", "session_store_failed_twice").unlisted(), Some("session_store_failed_twice"));
    }
}
