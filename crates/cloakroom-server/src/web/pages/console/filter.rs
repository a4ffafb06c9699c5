//! What somebody looks for in the list of sessions, as its address says it.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use cloakroom::{Cursor, PrincipalId, Search, StateFilter};
use cloakroom_core::Timestamp;
use serde::Deserialize;

use crate::web::pages::address;

/// The address of the list, as it comes. Nothing in it is an error: what cannot be meant is said in the page.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Asked {
    pub(super) q: String,
    pub(super) state: String,
    pub(super) principal: String,
    pub(super) ip: String,
    pub(super) device: String,
    pub(super) issued: String,
    pub(super) seen: String,
    pub(super) sort: String,
    pub(super) cursor: String,
    /// `results`: only what changes while somebody types. [`LIVE`]: the same, for a page that renews itself.
    pub(super) part: String,
    pub(super) notice: String,
}

/// A choice in a list of choices.
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) label: &'static str,
    pub(super) chosen: bool,
}

/// How the list is sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sort {
    /// As stores keep them: pages of any number.
    Newest,
    /// The same from the other end.
    Oldest,
    /// By what no store orders by: only where the whole result is at hand.
    By(Column),
}

/// What a whole result can be sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Column {
    /// Latest activity first.
    Seen,
    /// What ends next first.
    Ends,
    /// By name.
    Principal,
    /// By number.
    Address,
}

/// What was understood, and what was not.
pub(super) struct Understood {
    pub(super) search: Search,
    pub(super) sort: Sort,
    /// A sentence for each thing that cannot be looked for.
    pub(super) problems: Vec<String>,
}

impl Asked {
    /// Reads what was asked, at `now`.
    pub(super) fn understood(&self, now: Timestamp) -> Understood {
        let mut search = Search::default();
        let mut problems = Vec::new();
        search.text = given(&self.q).map(str::to_owned);
        search.device = given(&self.device).map(str::to_owned);
        search.filter.state = match self.state.as_str() {
            "ended" => StateFilter::Ended,
            "any" => StateFilter::Any,
            _ => StateFilter::Active,
        };
        if let Some(name) = given(&self.principal) {
            match PrincipalId::new(name) {
                Ok(id) => search.filter.principal = Some(id),
                Err(error) => problems.push(format!("There is no such principal: a {error}.")),
            }
        }
        if let Some(ip) = given(&self.ip) {
            match ip.parse::<IpAddr>() {
                Ok(ip) => search.filter.ip = Some(ip),
                Err(_) => problems.push(format!(
                    "“{ip}” is not an address. Give it in full, as 203.0.113.9 or 2001:db8::1."
                )),
            }
        }
        if search.filter.state != StateFilter::Active {
            let of_the_living =
                [(search.filter.ip.is_some(), "address"), (search.device.is_some(), "device")];
            for (_, what) in of_the_living.into_iter().filter(|(given, _)| *given) {
                problems
                    .push(format!("Ended sessions have no {what} any more, so none of them is found by it."));
            }
        }
        let (from, before) = Age::named(&self.issued).bounds(now);
        search.filter.issued_from = from;
        search.filter.issued_before = before;
        (search.seen_since, search.seen_before) = Age::named(&self.seen).bounds(now);
        if let Some(cursor) = given(&self.cursor) {
            match cursor.parse::<Cursor>() {
                Ok(cursor) => search.after = Some(cursor),
                Err(_) => problems.push("This page of the list is not known; here is the first.".to_owned()),
            }
        }
        let sort = Sort::named(&self.sort);
        search.limit = Some(if matches!(sort, Sort::By(_)) { WHOLE } else { PAGE });
        Understood { search, sort, problems }
    }

    /// The address of the same list, from the beginning.
    pub(super) fn first(&self) -> String {
        self.at("")
    }

    /// The address of the same list from `cursor` on.
    pub(super) fn at(&self, cursor: &str) -> String {
        let pairs = [
            ("q", self.q.trim()),
            ("state", &self.state),
            ("principal", self.principal.trim()),
            ("ip", self.ip.trim()),
            ("device", self.device.trim()),
            ("issued", &self.issued),
            ("seen", &self.seen),
            ("sort", &self.sort),
            ("cursor", cursor),
        ];
        let given: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        address("/admin/sessions", &given)
    }

    /// Whether anything but the order is asked for.
    pub(super) fn narrows(&self) -> bool {
        let texts = [&self.q, &self.principal, &self.ip, &self.device, &self.issued, &self.seen];
        texts.into_iter().any(|text| given(text).is_some()) || !matches!(self.state.as_str(), "" | "active")
    }

    /// How many of the choices behind "Filters" are made.
    pub(super) fn filters(&self) -> usize {
        let texts = [&self.principal, &self.ip, &self.device, &self.issued, &self.seen];
        let texts = texts.into_iter().filter(|text| given(text).is_some()).count();
        texts + usize::from(!matches!(self.state.as_str(), "" | "active"))
    }

    pub(super) fn states(&self) -> Vec<Choice> {
        choices(&[("", "Active"), ("ended", "Ended"), ("any", "Active and ended")], &self.state)
    }

    pub(super) fn issued_choices(&self) -> Vec<Choice> {
        choices(
            &[
                ("", "At any time"),
                ("15m", "In the last 15 minutes"),
                ("1h", "In the last hour"),
                ("24h", "In the last day"),
                ("7d", "In the last week"),
                ("-24h", "More than a day ago"),
                ("-7d", "More than a week ago"),
            ],
            &self.issued,
        )
    }

    pub(super) fn seen_choices(&self) -> Vec<Choice> {
        choices(
            &[
                ("", "At any time"),
                ("5m", "In the last 5 minutes"),
                ("1h", "In the last hour"),
                ("24h", "In the last day"),
                ("-1h", "Not for an hour"),
                ("-24h", "Not for a day"),
                ("-7d", "Not for a week"),
            ],
            &self.seen,
        )
    }

    pub(super) fn sorts(&self) -> Vec<Choice> {
        choices(
            &[
                ("", "Newest first"),
                ("oldest", "Oldest first"),
                ("seen", "Last seen"),
                ("ends", "Ending next"),
                ("principal", "Principal"),
                ("address", "Address"),
            ],
            &self.sort,
        )
    }
}

impl Sort {
    fn named(name: &str) -> Self {
        match name {
            "oldest" => Self::Oldest,
            "seen" => Self::By(Column::Seen),
            "ends" => Self::By(Column::Ends),
            "principal" => Self::By(Column::Principal),
            "address" => Self::By(Column::Address),
            _ => Self::Newest,
        }
    }
}

impl Column {
    /// What it is called in a sentence.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Seen => "last seen",
            Self::Ends => "what ends next",
            Self::Principal => "principal",
            Self::Address => "address",
        }
    }
}

/// How long ago something was: less than a while, or more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Age {
    Any,
    Within(Duration),
    Before(Duration),
}

impl Age {
    /// `15m`, `24h`, `7d`: within; with a minus before it: longer ago.
    fn named(name: &str) -> Self {
        let (past, name) = name.strip_prefix('-').map_or((false, name), |rest| (true, rest));
        let minutes = match name {
            "5m" => 5,
            "15m" => 15,
            "1h" => 60,
            "24h" => 24 * 60,
            "7d" => 7 * 24 * 60,
            _ => return Self::Any,
        };
        let span = Duration::from_secs(minutes * 60);
        if past { Self::Before(span) } else { Self::Within(span) }
    }

    /// At or after, and before.
    fn bounds(self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        match self {
            Self::Any => (None, None),
            Self::Within(span) => (Some(now.minus(span)), None),
            Self::Before(span) => (None, Some(now.minus(span))),
        }
    }
}

fn given(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty()).then_some(text)
}

fn choices(all: &[(&'static str, &'static str)], chosen: &str) -> Vec<Choice> {
    all.iter().map(|&(value, label)| Choice { value, label, chosen: value == chosen }).collect()
}

/// Part of an address: the page renews itself, which is nobody's activity.
pub(super) const LIVE: &str = "live";
/// Sessions on a page.
pub(super) const PAGE: NonZeroU16 = NonZeroU16::new(50).expect("not zero");
/// Most sessions that are sorted by something else than age: what one look at a store brings.
pub(super) const WHOLE: NonZeroU16 = NonZeroU16::new(200).expect("not zero");

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000_000_000)
    }

    #[test]
    fn what_cannot_be_meant_is_said_and_the_rest_is_looked_for() {
        let asked = Asked { ip: "203.0.113".to_owned(), q: " hat ".to_owned(), ..Asked::default() };
        let understood = asked.understood(now());
        assert_eq!(understood.problems.len(), 1);
        assert_eq!(understood.search.filter.ip, None);
        assert_eq!(understood.search.text.as_deref(), Some("hat"));
        let asked = Asked { cursor: "nonsense".to_owned(), ..Asked::default() };
        assert_eq!(asked.understood(now()).problems.len(), 1);
        let asked = Asked { state: "any".to_owned(), device: "Safari".to_owned(), ..Asked::default() };
        assert_eq!(asked.understood(now()).problems.len(), 1);
    }

    #[test]
    fn an_age_is_within_a_while_or_longer_ago() {
        let hour = Some(now().minus(Duration::from_secs(3_600)));
        assert_eq!(Age::named("1h").bounds(now()), (hour, None));
        assert_eq!(Age::named("-1h").bounds(now()), (None, hour));
        for name in ["", "-", "3 days", "1000000d"] {
            assert_eq!(Age::named(name).bounds(now()), (None, None), "{name}");
        }
    }

    #[test]
    fn an_address_says_only_what_was_asked() {
        let asked = Asked { q: " a&b ".to_owned(), sort: "oldest".to_owned(), ..Asked::default() };
        assert_eq!(asked.first(), "/admin/sessions?q=a%26b&sort=oldest");
        assert_eq!(Asked::default().at("5.x"), "/admin/sessions?cursor=5.x");
        assert!(!Asked { state: "active".to_owned(), ..Asked::default() }.narrows());
        assert!(Asked { state: "ended".to_owned(), ..Asked::default() }.narrows());
    }
}
