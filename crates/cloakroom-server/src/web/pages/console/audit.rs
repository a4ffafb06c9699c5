//! The audit log, page by page, and as a file.

mod entry;
mod filter;

use askama::Template;
use axum::body::Body;
use axum::extract::{Query, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use cloakroom_axum::Session;
use futures_util::TryStreamExt as _;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Deserialize;

pub(super) use self::entry::Entry;
use self::filter::check_names;
pub(super) use self::filter::{Filter, KINDS, Kind};
use super::{Section, Shell};
use crate::export;
use crate::web::App;
use crate::web::context::Context;
use crate::web::extract::MALFORMED;
use crate::web::pages::render_with;
use crate::web::pages::view::{Notice, Page};
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

#[derive(Template)]
#[template(path = "console/audit.html")]
struct AuditPage<'a> {
    page: Page<'a>,
    shell: Shell,
    filter: Filter,
    problem: Option<Notice>,
    entries: Vec<Entry>,
    /// Back to the newest events, where this is not their page.
    first: Option<String>,
    next: Option<String>,
}

impl AuditPage<'_> {
    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }
}

pub(in crate::web) async fn show(
    State(app): State<App>,
    context: Context,
    session: Session,
    RawQuery(raw): RawQuery,
    Query(filter): Query<Filter>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let shell = Shell::new(&session, &staff, Section::Audit).await?;
    let mut shown = AuditPage {
        page: Page::new(&app, &context),
        shell,
        problem: None,
        entries: Vec::new(),
        first: filter.before.is_some().then(|| filter.newest().address(PATH)),
        next: None,
        filter,
    };
    let query = match check_names(raw.as_deref()).and_then(|()| shown.filter.query()) {
        Ok(query) => query,
        Err(problem) => {
            shown.problem = Some(Notice::bad("filter", problem));
            return Ok(render_with(StatusCode::UNPROCESSABLE_ENTITY, &shown));
        }
    };
    let found = app.audit_page(&staff, &query).await?;
    let now = app.sessions.now();
    shown.entries = found.events.iter().map(|event| Entry::new(event, now)).collect();
    shown.next = found.next.map(|seq| shown.filter.before(seq).address(PATH));
    Ok(render_with(StatusCode::OK, &shown))
}

/// In which form the log is taken away.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Jsonl,
    Csv,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Wanted {
    format: Format,
}

/// Everything that the filter lets through, the latest first, while the session lives. That it was taken away is in the log
/// before it leaves.
pub(in crate::web) async fn export(
    State(app): State<App>,
    session: Session,
    RawQuery(raw): RawQuery,
    Query(filter): Query<Filter>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let query = check_names(raw.as_deref()).and_then(|()| filter.query());
    let query = query.map_err(|problem| Refusal::new(MALFORMED).detail(problem))?;
    let watch = session.watch().await?;
    let pages = app.export_audit(&staff, watch, query, filter.address("")).await?;
    let lines = pages.map_ok(move |events| {
        let text: String = match wanted.format {
            Format::Jsonl => events.iter().map(export::json_line).collect(),
            Format::Csv => events.iter().map(export::csv_line).collect(),
        };
        Bytes::from(text)
    });
    let (head, content_type, file) = match wanted.format {
        Format::Jsonl => ("", "application/x-ndjson; charset=utf-8", "attachment; filename=\"audit.jsonl\""),
        Format::Csv => (export::CSV_HEAD, "text/csv; charset=utf-8", "attachment; filename=\"audit.csv\""),
    };
    let head = futures_util::stream::once(async move { Ok(Bytes::from_static(head.as_bytes())) });
    let body = Body::from_stream(futures_util::StreamExt::chain(head, lines));
    let headers = [(CONTENT_TYPE, content_type), (CONTENT_DISPOSITION, file), (CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

const PATH: &str = "/admin/audit";
