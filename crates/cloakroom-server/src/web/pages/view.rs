//! What templates are given: texts and instants, ready to be shown.

use std::time::Duration;

use cloakroom::ActiveSession;
use cloakroom_core::{Device, Persistence, SessionRecord, Timestamp, idle_expires_at};

use crate::web::App;
use crate::web::assets::{CONSOLE_SCRIPT, CONSOLE_STYLE, ICON, SCRIPT, STYLE};
use crate::web::context::Context;

/// What every page needs.
pub(super) struct Page<'a> {
    pub(super) nonce: &'a str,
    /// The server's clock, so that the script shows no nonsense where the browser's is wrong.
    pub(super) now: String,
}

impl<'a> Page<'a> {
    pub(super) fn new(app: &App, context: &'a Context) -> Self {
        Self { nonce: &context.nonce, now: app.sessions.now().to_string() }
    }

    #[expect(clippy::unused_self, reason = "templates ask the page")]
    pub(super) fn style_path(&self) -> &'static str {
        &STYLE.path
    }

    #[expect(clippy::unused_self, reason = "templates ask the page")]
    pub(super) fn script_path(&self) -> &'static str {
        &SCRIPT.path
    }

    #[expect(clippy::unused_self, reason = "templates ask the page")]
    pub(super) fn console_style_path(&self) -> &'static str {
        &CONSOLE_STYLE.path
    }

    #[expect(clippy::unused_self, reason = "templates ask the page")]
    pub(super) fn console_script_path(&self) -> &'static str {
        &CONSOLE_SCRIPT.path
    }

    #[expect(clippy::unused_self, reason = "templates ask the page")]
    pub(super) fn icon_path(&self) -> &'static str {
        &ICON.path
    }
}

/// Who is signed in.
pub(super) struct User {
    pub(super) name: String,
    pub(super) csrf: String,
    /// Whether the console is for them, too.
    pub(super) console: bool,
    pub(super) ending: Ending,
}

/// When the session of whoever looks at a page ends, for the page's own clock.
pub(super) struct Ending {
    pub(super) idle_at: String,
    pub(super) absolute_at: String,
    /// How many seconds before the end the page asks whether anybody is there.
    pub(super) warn_seconds: u64,
}

impl Ending {
    pub(super) fn of(active: &ActiveSession) -> Self {
        let lifetime = &active.record().lifetime;
        Self {
            idle_at: idle_expires_at(active.record(), active.last_seen_at()).to_string(),
            absolute_at: lifetime.absolute_expires_at.to_string(),
            warn_seconds: WARN_BEFORE_END.as_secs().min(lifetime.idle_timeout.as_secs() / 3),
        }
    }
}

/// A link that leads on.
pub(super) struct Link {
    pub(super) href: &'static str,
    pub(super) label: &'static str,
}

/// A sentence about what just happened.
#[derive(Clone)]
pub(super) struct Notice {
    pub(super) tone: Tone,
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// Whether a notice is good news.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Neutral,
}

impl Tone {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Neutral => "neutral",
        }
    }

    pub(super) const fn role(self) -> &'static str {
        if matches!(self, Self::Bad) { "alert" } else { "status" }
    }

    pub(super) const fn is_good(self) -> bool {
        matches!(self, Self::Good)
    }
}

impl Notice {
    pub(super) fn bad(name: &'static str, text: impl Into<String>) -> Self {
        Self { tone: Tone::Bad, name, text: text.into() }
    }

    pub(super) fn neutral(name: &'static str, text: impl Into<String>) -> Self {
        Self { tone: Tone::Neutral, name, text: text.into() }
    }

    pub(super) fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self { tone: Tone::Good, name, text: text.into() }
    }

    /// The notice that an address asks for by name. Only these can be shown: an address cannot put words into the
    /// page.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "signed_out" => Self::good("signed_out", "You are signed out on this device."),
            "session_ended" => {
                Self::good("session_ended", "The session was ended. Whoever used it is signed out.")
            }
            "others_ended" => Self::good("others_ended", "All your other sessions were ended."),
            "no_others" => Self::neutral("no_others", "There were no other sessions."),
            "password_changed" => Self::good(
                "password_changed",
                "Your password was changed. You were signed out everywhere else.",
            ),
            "signed_out_here" => Self::bad(
                "signed_out_here",
                "This browser has forgotten your session. This server keeps no list of ends: if somebody copied the \
                 cookie, the copy works until its time is over.",
            ),
            "password_changed_alone" => Self::bad(
                "password_changed_alone",
                "Your password was changed. Your other sessions could not be ended: whoever uses one is signed in until its \
                 time is over.",
            ),
            "session_gone" => Self::neutral("session_gone", "That session had ended already."),
            _ => return None,
        })
    }
}

/// An instant in the forms pages need.
pub(super) struct When {
    pub(super) iso: String,
    pub(super) long: String,
    pub(super) day: String,
    pub(super) ago: String,
}

impl When {
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        Self {
            iso: at.to_string(),
            long: formatted(at, "%A, %-d %B %Y, %H:%M:%S UTC"),
            day: formatted(at, "%-d %B %Y"),
            ago: ago(at, now),
        }
    }
}

/// When a session ends.
pub(super) struct Expiry {
    pub(super) idle_at: String,
    pub(super) idle_at_long: String,
    pub(super) idle_in: String,
    pub(super) absolute_at: String,
    pub(super) absolute_at_long: String,
    pub(super) absolute_in: String,
}

impl Expiry {
    pub(super) fn new(record: &SessionRecord, last_seen_at: Timestamp, now: Timestamp) -> Self {
        let idle = idle_expires_at(record, last_seen_at);
        let absolute = record.lifetime.absolute_expires_at;
        let (idle_when, absolute_when) = (When::new(idle, now), When::new(absolute, now));
        Self {
            idle_at: idle_when.iso,
            idle_at_long: idle_when.long,
            idle_in: about(idle.since(now)),
            absolute_at: absolute_when.iso,
            absolute_at_long: absolute_when.long,
            absolute_in: about(absolute.since(now)),
        }
    }
}

/// One session as its owner sees it.
pub(super) struct SessionCard {
    pub(super) id: String,
    pub(super) current: bool,
    pub(super) kind: &'static str,
    pub(super) number: String,
    pub(super) label: String,
    pub(super) ip: Option<String>,
    pub(super) signed_in: When,
    pub(super) last_seen: When,
    pub(super) remembered: bool,
    pub(super) ends: When,
}

impl SessionCard {
    pub(super) fn new(
        record: &SessionRecord,
        last_seen_at: Timestamp,
        now: Timestamp,
        current: bool,
    ) -> Self {
        let device = record.device.as_deref();
        let id = record.id.to_string();
        Self {
            current,
            kind: kind(device),
            number: id.chars().skip(id.len().saturating_sub(NUMBER_CHARS)).collect(),
            label: device.and_then(Device::label).unwrap_or("Unknown device").to_owned(),
            ip: device.and_then(Device::ip).map(|ip| ip.to_string()),
            signed_in: When::new(record.created_at, now),
            last_seen: When::new(last_seen_at, now),
            remembered: record.lifetime.persistence == Persistence::Remembered,
            ends: When::new(record.lifetime.absolute_expires_at, now),
            id,
        }
    }
}

/// What is left of a span, in the unit that is nearest: a quarter of an hour that began a second ago is "15 minutes".
fn about(left: Duration) -> String {
    let nearest = |size: u64| (left.as_secs() + size / 2) / size;
    let minutes = nearest(60);
    match (minutes, nearest(3_600)) {
        _ if left.as_secs() < 60 => amount(0),
        (..60, _) => amount(minutes * 60),
        (_, hours @ ..24) => amount(hours * 3_600),
        _ => amount(nearest(86_400) * 86_400),
    }
}

/// "3 minutes".
pub(super) fn amount(seconds: u64) -> String {
    for (unit, size) in UNITS {
        let count = seconds / size;
        if count > 0 {
            return format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
        }
    }
    "less than a minute".to_owned()
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    let (past, future) = (now.since(at), at.since(now));
    match (past.as_secs(), future.as_secs()) {
        (60.., _) => format!("{} ago", amount(past.as_secs())),
        (_, 60..) => format!("in {}", about(future)),
        _ => "just now".to_owned(),
    }
}

/// The hour and minute, by the clock of UTC.
pub(super) fn clock(at: Timestamp) -> String {
    formatted(at, "%H:%M")
}

/// The same to the second, with its day.
pub(super) fn second(at: Timestamp) -> String {
    formatted(at, "%-d %b, %H:%M:%S")
}

/// An instant as a form's field takes it, to the minute.
pub(super) fn minute(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%dT%H:%M")
}

fn formatted(at: Timestamp, format: &str) -> String {
    let Ok(instant) = jiff::Timestamp::from_millisecond(at.as_millis()) else { return at.to_string() };
    instant.strftime(format).to_string()
}

fn kind(device: Option<&Device>) -> &'static str {
    let label = device.and_then(Device::label).unwrap_or_default();
    let agent = device.and_then(Device::user_agent).unwrap_or_default();
    if ["iPhone", "iPad", "Android"].iter().any(|phone| label.contains(phone) || agent.contains(phone)) {
        "phone"
    } else if agent.starts_with("Mozilla/") {
        "computer"
    } else {
        "program"
    }
}

/// Two minutes: enough to notice and to press a button (WCAG 2.2.1 asks for twenty seconds at least).
const WARN_BEFORE_END: Duration = Duration::from_secs(120);
const UNITS: [(&str, u64); 5] =
    [("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60)];
/// Characters of a session's id that tell two alike apart.
const NUMBER_CHARS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn times_are_told_in_the_largest_unit_that_fits() {
        for (seconds, text) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (3_599, "59 minutes ago"),
            (3_600, "1 hour ago"),
            (172_800, "2 days ago"),
            (-60, "in 1 minute"),
        ] {
            assert_eq!(ago(at(0), at(seconds)), text);
        }
    }

    #[test]
    fn what_is_left_is_told_in_the_unit_that_is_nearest() {
        for (millis, text) in [
            (0, "less than a minute"),
            (59_999, "less than a minute"),
            (60_000, "1 minute"),
            (899_999, "15 minutes"),
            (869_999, "14 minutes"),
            (3_569_999, "59 minutes"),
            (3_570_000, "1 hour"),
            (28_799_000, "8 hours"),
            (26_999_000, "7 hours"),
            (84_599_000, "23 hours"),
            (84_600_000, "1 day"),
            (1_209_599_000, "14 days"),
        ] {
            assert_eq!(about(Duration::from_millis(millis)), text, "{millis}");
        }
    }

    #[test]
    fn only_known_notices_can_be_asked_for() {
        assert!(Notice::named("signed_out").is_some());
        assert!(Notice::named("<script>").is_none());
    }
}
