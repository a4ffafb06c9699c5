//! Listing sessions.

use std::fmt::Write as _;

use cloakroom_core::Timestamp;
use cloakroom_store::{
    Cursor, ErrorKind, ListFilter, ListItem, ListPage, ListQuery, StateFilter, StoreError, Verb,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Statements;
use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::map::{Found, found, instant, session_id};

pub(crate) async fn list(
    database: &Database,
    statements: &Statements,
    query: &ListQuery,
    now: Timestamp,
) -> Result<ListPage, StoreError> {
    let limit = usize::from(query.limit.get());
    let Some(scan) = Scan::of(query, now) else { return Ok(ListPage::default()) };
    let parameters: Vec<&(dyn ToSql + Sync)> = scan.parameters.iter().map(|value| plain(&**value)).collect();
    let rows = database.read(Verb::List, &statements.local(&scan.sql), &parameters).await?;
    page(&rows, limit, now).map_err(|problem| problem.into_error(Verb::List, Sent::Reading))
}

/// The page of these rows, of which one more than fits tells that there is another page.
fn page(rows: &[Row], limit: usize, now: Timestamp) -> Result<ListPage, Problem> {
    let mut items = Vec::with_capacity(rows.len().min(limit));
    for row in rows.iter().take(limit) {
        match item(row, now) {
            Ok(item) => items.push(item),
            // One damaged record hides itself, not the page it is on.
            Err(problem) if problem.kind() == ErrorKind::Corrupt => {}
            Err(problem) => return Err(problem),
        }
    }
    // The last row's place, also where its record is damaged: the next page begins behind it.
    let last = rows.get(..limit).filter(|_| rows.len() > limit).and_then(<[Row]>::last);
    let next = last.map(|row| -> Result<Cursor, Problem> {
        Ok(Cursor { created_at: instant(row, 2)?, session: session_id(row, 0)? })
    });
    let read = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    Ok(ListPage { items, next: next.transpose()?, read })
}

fn item(row: &Row, now: Timestamp) -> Result<ListItem, Problem> {
    let Found::Session(head) = Found::read(row, 0)? else { return Err(Problem::Column("kind")) };
    match head.over(now) {
        Some(tombstone) => Ok(ListItem::Ended { tombstone, created_at: head.created_at }),
        None => head.live(row).map(ListItem::Live),
    }
}

/// A statement in the making. One text for each combination of conditions, so that each is prepared once and planned for
/// what it asks.
#[derive(Default)]
struct Scan {
    sql: String,
    parameters: Vec<Box<dyn ToSql + Send + Sync>>,
}

impl Scan {
    /// `None` where nothing can be on the page: only live sessions have an address.
    fn of(query: &ListQuery, now: Timestamp) -> Option<Self> {
        let filter = &query.filter;
        let mut scan = Self::default();
        let limit = scan.parameter(i64::from(query.limit.get()).saturating_add(1));
        let order = format!("ORDER BY created_at DESC, id DESC LIMIT {limit}");
        // The same of every row, but each index knows only one of them (see `001_tables.sql`).
        let by_key = filter.principal.is_some() || filter.session.is_some();
        let ended = if by_key { "end_reason" } else { "ended_at" };
        let mut parts = Vec::new();
        if filter.state != StateFilter::Ended {
            let mut part = format!("SELECT {COLUMNS} FROM cloakroom.filed WHERE {ended} IS NULL");
            if filter.state == StateFilter::Active {
                scan.leave_out_what_is_over(&mut part, now);
            }
            scan.conditions(&mut part, filter, query.after);
            parts.push(part);
        }
        if filter.state != StateFilter::Active && filter.ip.is_none() {
            let mut part = format!("SELECT {COLUMNS} FROM cloakroom.filed WHERE {ended} IS NOT NULL");
            scan.conditions(&mut part, filter, query.after);
            parts.push(part);
        }
        if filter.state == StateFilter::Any && filter.ip.is_some() {
            // A session that is over has no address any more, whether or not it is buried.
            parts.iter_mut().for_each(|part| scan.leave_out_what_is_over(part, now));
        }
        scan.sql = match parts.as_slice() {
            [] => return None,
            [part] => format!("{part} {order}"),
            parts => {
                let parts: Vec<String> = parts.iter().map(|part| format!("({part} {order})")).collect();
                format!("{} {order}", parts.join(" UNION ALL "))
            }
        };
        Some(scan)
    }

    fn leave_out_what_is_over(&mut self, part: &mut String, now: Timestamp) {
        let now = self.parameter(now.as_millis());
        let _ = write!(
            part,
            " AND created_at >= (SELECT issued_before FROM cloakroom.horizon)
              AND generation >= (SELECT generation FROM cloakroom.horizon)
              AND cloakroom.expires_at(last_seen_at, idle_timeout, absolute_expires_at) > {now}"
        );
    }

    fn conditions(&mut self, part: &mut String, filter: &ListFilter, after: Option<Cursor>) {
        if let Some(principal) = &filter.principal {
            let principal = self.parameter(principal.as_str().to_owned());
            let _ = write!(part, " AND principal = {principal}");
        }
        if let Some(session) = filter.session {
            let session = self.parameter(session.as_bytes().to_vec());
            let _ = write!(part, " AND id = {session}");
        }
        if let Some(ip) = filter.ip {
            let ip = self.parameter(ip);
            let _ = write!(part, " AND ip = {ip}");
        }
        if let Some(instant) = filter.issued_from {
            let instant = self.parameter(instant.as_millis());
            let _ = write!(part, " AND created_at >= {instant}");
        }
        if let Some(instant) = filter.issued_before {
            let instant = self.parameter(instant.as_millis());
            let _ = write!(part, " AND created_at < {instant}");
        }
        if let Some(Cursor { created_at, session }) = after {
            let created_at = self.parameter(created_at.as_millis());
            let session = self.parameter(session.as_bytes().to_vec());
            let _ = write!(part, " AND (created_at, id) < ({created_at}, {session})");
        }
    }

    /// Adds a parameter; its name in the statement.
    fn parameter(&mut self, value: impl ToSql + Send + Sync + 'static) -> String {
        self.parameters.push(Box::new(value));
        format!("${}", self.parameters.len())
    }
}

/// The same parameter, for a statement that is asked from one task.
fn plain(value: &(dyn ToSql + Send + Sync)) -> &(dyn ToSql + Sync) {
    value
}

const COLUMNS: &str = found!("NULL::bigint");
