//! What happens, as it happens.
//!
//! The page has the latest events. Its script hears by `/v1/admin/live` that there are more, and asks for them as rows: so
//! what is shown is written in one place, and escaped there.

use std::num::NonZeroU16;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom_audit::AuditQuery;
use cloakroom_axum::Session;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Deserialize;

use super::audit::{Entry, Filter, KINDS, Kind};
use super::{Section, Shell};
use crate::web::App;
use crate::web::context::Context;
use crate::web::extract::MALFORMED;
use crate::web::pages::view::{Notice, Page};
use crate::web::pages::{render, render_with};
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

#[derive(Template)]
#[template(path = "console/live.html")]
struct LivePage<'a> {
    page: Page<'a>,
    shell: Shell,
    filter: Filter,
    problem: Option<Notice>,
    entries: Vec<Entry>,
    /// This page again.
    address: String,
    /// Where the script asks for what came since.
    more: String,
    /// The last event that is shown, or was passed over.
    after: u64,
    /// Most events that the page keeps.
    most: u16,
}

impl LivePage<'_> {
    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }
}

#[derive(Template)]
#[template(path = "console/live_rows.html")]
struct LiveRows {
    entries: Vec<Entry>,
    after: u64,
    /// How many events lie between these and those before: more came than one answer holds.
    skipped: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Question {
    part: Option<String>,
    after: Option<u64>,
}

pub(in crate::web) async fn show(
    State(app): State<App>,
    context: Context,
    session: Session,
    Query(filter): Query<Filter>,
    Query(question): Query<Question>,
) -> Result<Response, Refusal> {
    if question.part.as_deref() == Some("rows") {
        // The page asks by itself: that nobody sits in front of it has to end the session all the same.
        session.not_activity();
        let staff = Staff::require(&app, &session, Right::SeeAll).await?;
        return app.live_rows(&staff, &filter, question.after.unwrap_or_default()).await;
    }
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let shell = Shell::new(&session, &staff, Section::Live).await?;
    let more = filter.address(PATH);
    let mut shown = LivePage {
        page: Page::new(&app, &context),
        shell,
        problem: None,
        entries: Vec::new(),
        address: more.clone(),
        more,
        after: 0,
        most: MOST,
        filter,
    };
    let mut query = match shown.filter.query() {
        Ok(query) => query,
        Err(problem) => {
            shown.problem = Some(Notice::bad("filter", problem));
            return Ok(render_with(StatusCode::UNPROCESSABLE_ENTITY, &shown));
        }
    };
    shown.after = app.last_event(&staff).await?;
    // What comes between the two questions is asked for by the script.
    query.before = Some(shown.after.saturating_add(1));
    let found = app.audit_page(&staff, &query).await?;
    let now = app.sessions.now();
    shown.entries = found.events.iter().map(|event| Entry::new(event, now)).collect();
    Ok(render(&shown))
}

impl App {
    /// The rows of what came after an event, the newest first.
    async fn live_rows(&self, staff: &Staff, filter: &Filter, after: u64) -> Result<Response, Refusal> {
        let mut query = filter.query().map_err(|problem| Refusal::new(MALFORMED).detail(problem))?;
        let last = self.last_event(staff).await?;
        // Numbers follow one another without a gap: this bounds what one answer reads, and says what it leaves out.
        let begin = after.max(last.saturating_sub(u64::from(AT_ONCE.get())));
        (query.after, query.before) = (Some(begin), Some(last.saturating_add(1)));
        query.limit = AT_ONCE;
        let found = self.audit_page(staff, &query).await?;
        let now = self.sessions.now();
        let mut entries: Vec<Entry> = found.events.iter().map(|event| Entry::new(event, now)).collect();
        entries.reverse();
        let rows = LiveRows { entries, after: last, skipped: begin.saturating_sub(after) };
        Ok(([(CACHE_CONTROL, "no-store")], render(&rows)).into_response())
    }

    /// The number of the log's last event.
    async fn last_event(&self, staff: &Staff) -> Result<u64, Refusal> {
        let mut query = AuditQuery::latest();
        query.limit = NonZeroU16::MIN;
        let page = self.audit_page(staff, &query).await?;
        Ok(page.events.first().map_or(0, |event| event.seq))
    }
}

const PATH: &str = "/admin/live";
/// Most events that the page keeps: more than anybody reads, and few enough for a phone.
const MOST: u16 = 200;
/// Most events that are looked at for one answer. The script asks once a second at most.
const AT_ONCE: NonZeroU16 = NonZeroU16::new(100).expect("not zero");
