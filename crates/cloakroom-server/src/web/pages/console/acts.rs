//! Ending sessions: first a page says exactly what would end, then it is done.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use cloakroom::{EndReason, SessionId};
use cloakroom_axum::{CsrfForm, Session};
use cloakroom_core::Timestamp;
use cloakroom_http::ProblemCode;

use super::notices::Done;
use super::paths::{self, Named, Which};
use super::proof::{Visit, staff_or_detour};
use super::rows::{self, SessionRow};
use super::{Section, Shell};
use crate::web::App;
use crate::web::admin::{Expected, Selection, Settle, Why};
use crate::web::context::Context;
use crate::web::pages::view::{Notice, Page, When};
use crate::web::pages::{address, render, render_with, see_other};
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

#[derive(Template)]
#[template(path = "console/end.html")]
struct EndPage<'a> {
    page: Page<'a>,
    shell: Shell,
    problem: Option<Notice>,
    question: String,
    consequence: String,
    /// The sessions, where few are named.
    rows: Vec<SessionRow>,
    /// Whether the session that asks is among them.
    own_too: bool,
    /// What else the form sends: the selection, and where to go afterwards.
    hidden: Vec<(&'static str, String)>,
    action: String,
    reasons: Vec<ReasonChoice>,
    note: String,
    note_max: usize,
    back: String,
    deed: String,
    /// Nothing would end.
    nothing: bool,
}

/// A reason that can be given.
pub(super) struct ReasonChoice {
    pub(super) value: &'static str,
    pub(super) label: &'static str,
    pub(super) chosen: bool,
}

#[derive(Template)]
#[template(path = "console/end_many.html")]
struct EndManyPage<'a> {
    page: Page<'a>,
    shell: Shell,
    problem: Option<Notice>,
    before: String,
    ages: Vec<(&'static str, String)>,
}

/// What a confirmation is asked for with, in its address or in its form.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::web) struct Asked {
    sessions: Vec<String>,
    before: String,
    all: String,
    except: String,
    reason: String,
    note: String,
    back: String,
}

impl Asked {
    /// Reads fields as a form writes them; those it does not know mean nothing.
    fn read(text: &str) -> Self {
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
    fn fields(&self) -> Vec<(&'static str, &str)> {
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
    fn back_to<'a>(&'a self, usual: &'a str) -> &'a str {
        let within = self.back.starts_with("/admin/") || self.back == "/admin";
        let plain = self.back.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if within && plain { &self.back } else { usual }
    }

    /// Which of many sessions are meant; `None` where nothing is chosen yet.
    fn selection(&self) -> Result<Option<Selection>, String> {
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
    fn asked(&self) -> Asked {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(&self.0);
        Asked::read(&text.finish())
    }
}

/// What is about to end, how it is asked for, and where it leads.
struct Plan {
    selection: Selection,
    path: String,
    /// Where to go afterwards, where nobody said.
    usual: String,
    section: Section,
}

impl Plan {
    fn one(id: SessionId) -> Self {
        Self {
            selection: Selection::One(id),
            path: format!("{}/end", paths::session(id)),
            usual: paths::session(id),
            section: Section::Sessions,
        }
    }

    fn person(id: &cloakroom::PrincipalId, asked: &Asked) -> Self {
        Self {
            selection: Selection::Principal { principal: id.clone(), except: asked.except.parse().ok() },
            path: paths::person_act(id.as_str(), "end"),
            usual: paths::person(id.as_str()),
            section: Section::Accounts,
        }
    }

    fn many(selection: Selection) -> Self {
        Self {
            selection,
            path: MANY.to_owned(),
            usual: "/admin/sessions".to_owned(),
            section: Section::Sessions,
        }
    }
}

pub(in crate::web) async fn ask_one(
    State(app): State<App>,
    context: Context,
    session: Session,
    Which(id): Which,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let asked = Asked::read(query.as_deref().unwrap_or_default());
    app.ask_end(Visit { context: &context, session: &session }, Plan::one(id), asked).await
}

pub(in crate::web) async fn end_one(
    State(app): State<App>,
    context: Context,
    session: Session,
    Which(id): Which,
    CsrfForm(fields): CsrfForm<Fields>,
) -> Result<Response, Response> {
    app.do_end(Visit { context: &context, session: &session }, Plan::one(id), fields.asked()).await
}

pub(in crate::web) async fn ask_person(
    State(app): State<App>,
    context: Context,
    session: Session,
    Named(id): Named,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let asked = Asked::read(query.as_deref().unwrap_or_default());
    app.ask_end(Visit { context: &context, session: &session }, Plan::person(&id, &asked), asked).await
}

pub(in crate::web) async fn end_person(
    State(app): State<App>,
    context: Context,
    session: Session,
    Named(id): Named,
    CsrfForm(fields): CsrfForm<Fields>,
) -> Result<Response, Response> {
    let asked = fields.asked();
    app.do_end(Visit { context: &context, session: &session }, Plan::person(&id, &asked), asked).await
}

/// Asks which of many, or, where that is said, whether to end them.
pub(in crate::web) async fn ask_many(
    State(app): State<App>,
    context: Context,
    session: Session,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let asked = Asked::read(query.as_deref().unwrap_or_default());
    match asked.selection() {
        Ok(Some(selection)) => {
            app.ask_end(Visit { context: &context, session: &session }, Plan::many(selection), asked).await
        }
        Ok(None) => app.ask_which(Visit { context: &context, session: &session }, &asked, None).await,
        Err(problem) => {
            app.ask_which(Visit { context: &context, session: &session }, &asked, Some(problem)).await
        }
    }
}

pub(in crate::web) async fn end_many(
    State(app): State<App>,
    context: Context,
    session: Session,
    CsrfForm(fields): CsrfForm<Fields>,
) -> Result<Response, Response> {
    let asked = fields.asked();
    match asked.selection() {
        Ok(Some(selection)) => {
            app.do_end(Visit { context: &context, session: &session }, Plan::many(selection), asked).await
        }
        Ok(None) => app.ask_which(Visit { context: &context, session: &session }, &asked, None).await,
        Err(problem) => {
            app.ask_which(Visit { context: &context, session: &session }, &asked, Some(problem)).await
        }
    }
}

impl App {
    async fn ask_which(
        &self,
        visit: Visit<'_>,
        asked: &Asked,
        problem: Option<String>,
    ) -> Result<Response, Response> {
        let staff = staff_or_detour(self, &visit, Right::EndOfMany, MANY, &asked.fields()).await?;
        let shell = Shell::new(visit.session, &staff, Section::Sessions)
            .await
            .map_err(IntoResponse::into_response)?;
        let now = self.sessions.now();
        let ages =
            AGES.map(|(label, span)| (label, address(MANY, &[("before", &now.minus(span).to_string())])));
        let page = EndManyPage {
            page: Page::new(self, visit.context),
            shell,
            problem: problem.map(|text| Notice::bad("not_understood", text)),
            before: asked.before.clone(),
            ages: ages.into(),
        };
        Ok(render(&page))
    }

    async fn ask_end(&self, visit: Visit<'_>, plan: Plan, asked: Asked) -> Result<Response, Response> {
        let right = plan.selection.right();
        let staff = staff_or_detour(self, &visit, right, &plan.path, &asked.fields()).await?;
        let page = self.end_page(visit, &staff, plan, asked, None).await;
        Ok(render(&page.map_err(IntoResponse::into_response)?))
    }

    async fn do_end(&self, visit: Visit<'_>, plan: Plan, asked: Asked) -> Result<Response, Response> {
        let right = plan.selection.right();
        let staff = staff_or_detour(self, &visit, right, &plan.path, &asked.fields()).await?;
        let reason = Some(asked.reason.as_str()).filter(|reason| !reason.is_empty());
        let why = match Why::read(reason, Some(&asked.note)) {
            Ok(why) => why,
            Err(refusal) => {
                let problem = Notice::bad(refusal.code().as_str(), refusal.sentence());
                let page = self.end_page(visit, &staff, plan, asked, Some(problem)).await;
                return Ok(render_with(
                    ProblemCode::status(refusal.code()),
                    &page.map_err(IntoResponse::into_response)?,
                ));
            }
        };
        let ended = self.end_sessions(&staff, &plan.selection, why, Settle::Wait).await;
        let ended = ended.map_err(IntoResponse::into_response)?;
        let back = asked.back_to(&plan.usual);
        Ok(see_other(&with_notice(back, Done::ended(ended.revoked))))
    }

    async fn end_page<'a>(
        &self,
        visit: Visit<'a>,
        staff: &Staff,
        plan: Plan,
        asked: Asked,
        problem: Option<Notice>,
    ) -> Result<EndPage<'a>, Refusal> {
        let expected = self.count_sessions(staff, &plan.selection).await?;
        let rows = self.rows_to_end(staff, &plan.selection).await?;
        let own = staff.active.id();
        let own_too = match &plan.selection {
            Selection::One(id) => *id == own,
            Selection::Many(ids) => ids.contains(&own),
            Selection::Principal { principal, except } => *principal == staff.id && *except != Some(own),
            Selection::IssuedBefore(at) => staff.active.created_at() < *at,
            Selection::All => true,
        };
        let mut hidden: Vec<_> =
            asked.fields().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        hidden.retain(|(name, _)| !matches!(*name, "reason" | "note"));
        Ok(EndPage {
            shell: Shell::new(visit.session, staff, plan.section).await?,
            page: Page::new(self, visit.context),
            problem,
            question: question(&plan.selection, expected),
            consequence: consequence(&plan.selection, expected, self.sessions.now()),
            rows,
            own_too,
            hidden,
            action: plan.path.clone(),
            reasons: reasons(&asked.reason),
            back: asked.back_to(&plan.usual).to_owned(),
            note: asked.note,
            note_max: Why::NOTE_MAX_CHARS,
            deed: deed(&plan.selection, expected),
            nothing: expected.count == 0 && expected.is_exact,
        })
    }

    /// The sessions that are named one by one.
    async fn rows_to_end(&self, staff: &Staff, selection: &Selection) -> Result<Vec<SessionRow>, Refusal> {
        let ids: &[SessionId] = match selection {
            Selection::One(id) => &[*id],
            Selection::Many(ids) => ids,
            _ => &[],
        };
        let now = self.sessions.now();
        let found = self.named_sessions(staff, ids).await?;
        Ok(found.iter().map(|item| SessionRow::new(item, now, staff.active.id())).collect())
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

pub(super) fn reasons(chosen: &str) -> Vec<ReasonChoice> {
    let label = |reason| match reason {
        EndReason::Compromised => "They are believed to be in wrong hands",
        EndReason::AccountDisabled => "The account is disabled",
        EndReason::PasswordChanged => "The password was changed",
        _ => "An administrator decided so",
    };
    let choice = |reason: EndReason| ReasonChoice {
        value: reason.as_str(),
        label: label(reason),
        chosen: reason.as_str() == chosen,
    };
    Why::REASONS.into_iter().map(choice).collect()
}

fn question(selection: &Selection, expected: Expected) -> String {
    match selection {
        Selection::One(_) => "End this session?".to_owned(),
        Selection::Many(_) => format!("End {}?", counted(expected)),
        Selection::Principal { principal, except: None } => format!("Sign {principal} out everywhere?"),
        Selection::Principal { principal, except: Some(_) } => {
            format!("End every session of {principal} but this one?")
        }
        Selection::IssuedBefore(_) => "End every session from before?".to_owned(),
        Selection::All => "End every session there is?".to_owned(),
    }
}

fn consequence(selection: &Selection, expected: Expected, now: Timestamp) -> String {
    let count = counted(expected);
    let (verb, whoever) = match (expected.is_exact, expected.count) {
        (true, 0) => return "There is nothing to end: no such session is active any more.".to_owned(),
        (true, 1) => ("ends", "Whoever uses it is signed out at once."),
        _ => ("end", "Whoever uses them is signed out at once."),
    };
    match selection {
        Selection::IssuedBefore(at) => {
            let when = When::new((*at).min(now), now);
            format!("{count} that began before {} {verb}. {whoever}", when.long)
        }
        Selection::All => {
            format!("{count} {verb}: everybody, anonymous visitors and administrators too. {whoever}")
        }
        _ => format!("{count} {verb}. {whoever}"),
    }
}

fn deed(selection: &Selection, expected: Expected) -> String {
    match (selection, expected.is_exact) {
        (Selection::One(_), _) => "End session".to_owned(),
        (Selection::All, _) => "End every session".to_owned(),
        (_, true) => format!("End {}", rows::sessions(expected.count)),
        (_, false) => "End them all".to_owned(),
    }
}

fn counted(expected: Expected) -> String {
    let count = rows::sessions(expected.count);
    if expected.is_exact { count } else { format!("More than {count}") }
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

const MANY: &str = "/admin/sessions/end";
const AGES: [(&str, std::time::Duration); 4] = [
    ("An hour ago", std::time::Duration::from_secs(3_600)),
    ("A day ago", std::time::Duration::from_secs(24 * 3_600)),
    ("A week ago", std::time::Duration::from_secs(7 * 24 * 3_600)),
    ("Now", std::time::Duration::ZERO),
];

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(with_notice("/a", Done::Ended(2)), "/a?notice=ended%3A2");
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
