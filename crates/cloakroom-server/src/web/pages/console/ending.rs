//! Which sessions are to end, as an address or a form says it.

use std::collections::BTreeSet;

use cloakroom::SessionId;
use cloakroom_core::Timestamp;

use super::notices::Done;
use crate::web::admin::Selection;

/// What a confirmation is asked for with, in its address or in its form.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::web) struct Asked {
    pub(super) sessions: Vec<String>,
    pub(super) before: String,
    pub(super) all: String,
    pub(super) except: String,
    pub(super) reason: String,
    pub(super) note: String,
    pub(super) back: String,
}

impl Asked {
    /// Reads fields as a form writes them; those it does not know mean nothing.
    pub(super) fn read(text: &str) -> Self {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "s" => asked.sessions.push(value),
                "before" => asked.before = value,
                "all" => asked.all = value,
                "except" => asked.except = value,
                "reason" => asked.reason = value,
                "note" => asked.note = value,
                "back" => asked.back = value,
                _ => {}
            }
        }
        asked
    }

    /// The fields again, what was chosen before what was written.
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        let chosen = self.sessions.iter().map(|id| ("s", id.as_str()));
        let rest = [
            ("before", self.before.as_str()),
            ("all", &self.all),
            ("except", &self.except),
            ("reason", &self.reason),
            ("back", &self.back),
            ("note", &self.note),
        ];
        chosen.chain(rest).filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Where to go afterwards: a page of the console, else `usual`.
    pub(super) fn back_to<'a>(&'a self, usual: &'a str) -> &'a str {
        let within = self.back.starts_with("/admin/") || self.back == "/admin";
        let plain = self.back.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if within && plain { &self.back } else { usual }
    }

    /// Which of many sessions are meant; `None` where nothing is chosen yet.
    pub(super) fn selection(&self) -> Result<Option<Selection>, String> {
        if !self.sessions.is_empty() {
            // A session that is named twice is one.
            let names: BTreeSet<&String> = self.sessions.iter().collect();
            let ids: Result<Vec<SessionId>, _> = names.into_iter().map(|id| id.parse()).collect();
            return ids
                .map(|ids| Some(Selection::Many(ids)))
                .map_err(|_| "That is no session’s id.".to_owned());
        }
        if self.all == "true" {
            return Ok(Some(Selection::All));
        }
        if !self.before.is_empty() {
            return instant(&self.before)
                .map(|at| Some(Selection::IssuedBefore(at)))
                .ok_or_else(|| "That is no instant. Write it as 2026-03-29T14:30, in UTC.".to_owned());
        }
        Ok(None)
    }
}

/// Fields of a form, in whatever number.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(in crate::web) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn asked(&self) -> Asked {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(&self.0);
        Asked::read(&text.finish())
    }
}

/// The address, with the news of what was done in place of older news.
pub(super) fn with_notice(back: &str, done: Done) -> String {
    let (path, query) = back.split_once('?').unwrap_or((back, ""));
    let kept =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "notice" && name != "part");
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(kept);
    query.append_pair("notice", &done.written());
    format!("{path}?{}", query.finish())
}

/// An instant as programs write it, or as a form's field does, which is meant in UTC.
fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let whole: Option<jiff::Timestamp> = text.parse().ok();
    let at = whole.or_else(|| {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ended::Ended;

    #[test]
    fn an_instant_is_read_as_programs_and_as_forms_write_it() {
        let half_past_two = Some(Timestamp::from_millis(1_774_794_600_000));
        for (text, at) in [
            ("2026-03-29T14:30:00Z", half_past_two),
            ("2026-03-29T16:30:00+02:00", half_past_two),
            (" 2026-03-29T14:30 ", half_past_two),
            ("2026-03-29T14:30:00", half_past_two),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(instant(text), at, "{text}");
        }
    }

    #[test]
    fn the_way_back_stays_in_the_console_and_carries_the_news_once() {
        let back =
            |to: &str| Asked { back: to.to_owned(), ..Asked::default() }.back_to("/admin/x").to_owned();
        assert_eq!(back("/admin/sessions?q=a"), "/admin/sessions?q=a");
        for foreign in [
            "",
            "/account",
            "//evil.example",
            "/adminx",
            "https://evil.example/admin/",
            "/admin/\\x",
            "/admin/\nx",
        ] {
            assert_eq!(back(foreign), "/admin/x", "{foreign:?}");
        }
        assert_eq!(with_notice("/a?q=1&notice=ended:3", Done::NoneLeft), "/a?q=1&notice=none_left");
        assert_eq!(with_notice("/a", Done::Ended(Ended::Counted(2))), "/a?notice=ended%3A2");
    }

    #[test]
    fn what_was_asked_reads_back() {
        let asked = Asked::read("s=a&s=b&note=x%26y&back=%2Fadmin&unknown=1");
        assert_eq!(asked.sessions, ["a", "b"]);
        assert_eq!(asked.note, "x&y");
        let names: Vec<_> = asked.fields().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["s", "s", "back", "note"]);
    }
}
