//! Ending sessions: first a page says exactly what would end, then it is done.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use cloakroom::{EndReason, SessionId};
use cloakroom_axum::{CsrfForm, Session};
use cloakroom_core::Timestamp;
use cloakroom_http::ProblemCode;

use super::ending::{Asked, Fields, with_notice};
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
    /// Whether the page that follows says how many they are.
    counts: bool,
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
        if !self.can_end() {
            return Ok(see_other("/admin/sessions"));
        }
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
            counts: self.can_list(),
        };
        Ok(render(&page))
    }

    async fn ask_end(&self, visit: Visit<'_>, plan: Plan, asked: Asked) -> Result<Response, Response> {
        let right = plan.selection.right();
        let staff = staff_or_detour(self, &visit, right, &plan.path, &asked.fields()).await?;
        if !self.can_end() {
            return Err(Refusal::cannot_end().into_response());
        }
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
            nothing: expected == Expected::Exactly(0),
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
    let (verb, whoever) = match expected {
        Expected::Exactly(0) => {
            return "There is nothing to end: no such session is active any more.".to_owned();
        }
        Expected::Exactly(1) => ("ends", "Whoever uses it is signed out at once."),
        Expected::Unknown => return uncounted(selection, now),
        Expected::Exactly(_) | Expected::AtLeast(_) => ("end", "Whoever uses them is signed out at once."),
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

/// The same where nobody can say how many there are.
fn uncounted(selection: &Selection, now: Timestamp) -> String {
    let which = match selection {
        Selection::One(_) => {
            return "Whoever uses it is signed out at once. Whether it is still active is not known."
                .to_owned();
        }
        Selection::Many(ids) => format!("These {} end, as far as they are still active.", ids.len()),
        Selection::Principal { .. } => "Every session of theirs ends.".to_owned(),
        Selection::IssuedBefore(at) => {
            format!("Every session that began before {} ends.", When::new((*at).min(now), now).long)
        }
        Selection::All => {
            "Every session ends: everybody’s, anonymous visitors’ and administrators’ too.".to_owned()
        }
    };
    format!("{which} Whoever uses one is signed out at once. How many there are is not known.")
}

fn deed(selection: &Selection, expected: Expected) -> String {
    match (selection, expected) {
        (Selection::One(_), _) => "End session".to_owned(),
        (Selection::All, _) => "End every session".to_owned(),
        (_, Expected::Exactly(count)) => format!("End {}", rows::sessions(count)),
        (_, Expected::AtLeast(_) | Expected::Unknown) => "End them all".to_owned(),
    }
}

fn counted(expected: Expected) -> String {
    match expected {
        Expected::Exactly(count) => rows::sessions(count),
        Expected::AtLeast(count) => format!("More than {}", rows::sessions(count)),
        Expected::Unknown => "them".to_owned(),
    }
}

const MANY: &str = "/admin/sessions/end";
const AGES: [(&str, std::time::Duration); 4] = [
    ("An hour ago", std::time::Duration::from_secs(3_600)),
    ("A day ago", std::time::Duration::from_secs(24 * 3_600)),
    ("A week ago", std::time::Duration::from_secs(7 * 24 * 3_600)),
    ("Now", std::time::Duration::ZERO),
];
