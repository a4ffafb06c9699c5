//! Listing sessions.

use std::fmt::Write as _;

use cloakroom_core::Timestamp;
use cloakroom_store::{
    Cursor, ErrorKind, Gathering, ListFilter, ListItem, ListOrder, ListPage, ListQuery, Part, StateFilter,
    StoreError, Verb,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Statements;
use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::map::{Found, column, found, instant, session_id};

/// A page, gathered in statements that each look at so many rows of an index and no more.
pub(crate) async fn list(
    database: &Database,
    statements: &Statements,
    query: &ListQuery,
    now: Timestamp,
) -> Result<ListPage, StoreError> {
    let sources = Source::of(&query.filter);
    if sources.is_empty() {
        return Ok(ListPage::default());
    }
    let mut gathering = Gathering::new(query, 1, sources.len());
    let mut way = Way::of(&query.filter);
    if let (Way::Order, Some(_)) = (way, &query.filter.principal_prefix) {
        let probe = Statement::probe(sources, &query.filter);
        let rows = database.read(Verb::List, &statements.local(&probe.sql), &probe.parameters()).await?;
        let found = rows.first().map_or(Ok(0), |row| count(row, 0));
        let found = found.map_err(|problem| problem.into_error(Verb::List, Sent::Reading))?;
        gathering.charge(found);
        if found <= usize::from(ListQuery::FEW) {
            way = Way::Few(found);
        }
    }
    while let Some(part) = gathering.next_round().first() {
        let rows = match way {
            Way::Few(_) => usize::from(ListQuery::FEW) + 1,
            _ => part.rows,
        };
        let part = Part { rows, ..*part };
        let statement = Statement::of(sources, way, query, &part, now);
        let rows =
            database.read(Verb::List, &statements.local(&statement.sql), &statement.parameters()).await?;
        let looked = Looked::read(&rows, query, &part, now);
        let looked = looked.map_err(|problem| problem.into_error(Verb::List, Sent::Reading))?;
        // To bring few into order all of them were looked at.
        let read = if let Way::Few(found) = way { found } else { looked.read };
        gathering.take_in(0, looked.items, read, looked.end);
    }
    Ok(gathering.finish())
}

/// Which rows to go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// Those without an end of their own; time or an epoch may have ended them.
    Live,
    /// Those that have ended.
    Buried,
}

impl Source {
    fn of(filter: &ListFilter) -> &'static [Self] {
        match filter.state {
            // Only live sessions have an address.
            StateFilter::Ended if filter.ip.is_some() => &[],
            _ if filter.ip.is_some() => &[Self::Live],
            StateFilter::Active => &[Self::Live],
            StateFilter::Ended => &[Self::Buried],
            StateFilter::Any => &[Self::Live, Self::Buried],
        }
    }

    /// The words by which each index is asked for (see `001_tables.sql`).
    fn condition(self, way: Way) -> &'static str {
        match (way, self) {
            (Way::Order, Self::Live) => "ended_at IS NULL",
            (Way::Order, Self::Buried) => "ended_at IS NOT NULL",
            (Way::Address, _) => "ip IS NOT NULL",
            (Way::One | Way::Principal | Way::Few(_), Self::Live) => "end_reason IS NULL",
            (Way::One | Way::Principal | Way::Few(_), Self::Buried) => "end_reason IS NOT NULL",
        }
    }
}

/// How the sessions of a filter are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    One,
    Principal,
    /// By the beginning of their principals' names, so many, which are brought into order.
    Few(usize),
    Address,
    /// By nothing but their instant of issue.
    Order,
}

impl Way {
    fn of(filter: &ListFilter) -> Self {
        match filter {
            ListFilter { session: Some(_), .. } => Self::One,
            ListFilter { principal: Some(_), .. } => Self::Principal,
            ListFilter { ip: Some(_), .. } => Self::Address,
            _ => Self::Order,
        }
    }
}

/// What a statement of [`Statement::of`] answered.
struct Looked {
    items: Vec<(Cursor, ListItem)>,
    /// Rows of each index that were looked at, all together.
    read: usize,
    /// The place up to which every index was searched; `None` where that was its end.
    end: Option<Cursor>,
}

impl Looked {
    fn read(rows: &[Row], query: &ListQuery, part: &Part, now: Timestamp) -> Result<Self, Problem> {
        let mut looked = Self { items: Vec::new(), read: 0, end: None };
        let mut sources: Vec<i32> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let source: i32 = column(row, SOURCE, "source")?;
            let (all, number) = (count(row, SOURCE + 1)?, count(row, SOURCE + 2)?);
            if !sources.contains(&source) {
                sources.push(source);
                looked.read += all;
            }
            let place = Cursor { created_at: instant(row, 2)?, session: session_id(row, 0)? };
            if column(row, SOURCE + 3, "is_wanted")? {
                match item(row, now) {
                    Ok(item) => looked
                        .items
                        .extend(Some((place, item)).filter(|(_, item)| query.filter.state.covers(item))),
                    // One damaged record hides itself, not the page it is on.
                    Err(problem) if problem.kind() == ErrorKind::Corrupt => {}
                    Err(problem) => return Err(problem),
                }
            }
            let is_last = match rows.get(at + 1) {
                Some(next) => column::<i32>(next, SOURCE, "source")? != source,
                None => true,
            };
            if is_last && (number < all || all >= part.rows) {
                let first = |one: &Cursor, other: &Cursor| query.order.compare(*one, *other);
                looked.end = [looked.end, Some(place)].into_iter().flatten().min_by(first);
            }
        }
        Ok(looked)
    }
}

fn item(row: &Row, now: Timestamp) -> Result<ListItem, Problem> {
    let Found::Session(head) = Found::read(row, 0)? else { return Err(Problem::Column("kind")) };
    match head.over(now) {
        Some(tombstone) => Ok(ListItem::Ended { tombstone, created_at: head.created_at }),
        None => head.live(row).map(ListItem::Live),
    }
}

fn count(row: &Row, index: usize) -> Result<usize, Problem> {
    let count: i64 = column(row, index, "count")?;
    usize::try_from(count).map_err(|_| Problem::Column("count"))
}

/// A statement in the making. One text for each combination of conditions, so that each is prepared once and planned for
/// what it asks.
#[derive(Default)]
struct Statement {
    sql: String,
    values: Vec<Box<dyn ToSql + Send + Sync>>,
}

impl Statement {
    /// How many sessions there are of principals with such names; one more than few for many.
    fn probe(sources: &[Source], filter: &ListFilter) -> Self {
        let mut probe = Self::default();
        let most = probe.parameter(i64::from(ListQuery::FEW) + 1);
        let range = probe.beginning(filter);
        let parts = sources.iter().map(|source| {
            let condition = source.condition(Way::Few(0));
            format!("(SELECT FROM cloakroom.session WHERE {condition}{range} LIMIT {most})")
        });
        let parts = parts.collect::<Vec<_>>().join(" UNION ALL ");
        probe.sql = format!("SELECT count(*) FROM (SELECT FROM ({parts}) AS part LIMIT {most}) AS few");
        probe
    }

    /// The next rows of each index, in the order of the list: of each source those that are wanted, and the last one in any
    /// case; with each, how many rows were looked at, and its number among them.
    ///
    /// What the index does not answer is asked of no more rows than that.
    fn of(sources: &[Source], way: Way, query: &ListQuery, part: &Part, now: Timestamp) -> Self {
        let mut statement = Self::default();
        let direction = match query.order {
            ListOrder::NewestFirst => "DESC",
            ListOrder::OldestFirst => "ASC",
        };
        let order = format!("created_at {direction}, id {direction}");
        let rows = statement.parameter(i64::try_from(part.rows).unwrap_or(i64::MAX));
        // One more than fits tells whether there is another page.
        let most = statement.parameter(i64::from(query.limit.get()).saturating_add(2));
        let bounds = statement.bounds(way, query, part);
        let wanted = statement.wanted(way, &query.filter, now);
        let parts = (0..).zip(sources).map(|(number, source): (u8, _)| {
            let condition = source.condition(way);
            format!(
                "(SELECT {COLUMNS}, {number} AS source, looked, number, ({wanted}) AS is_wanted FROM (
                    SELECT next.*, count(*) OVER () AS looked, row_number() OVER (ORDER BY {order}) AS number FROM (
                        SELECT * FROM cloakroom.filed WHERE {condition}{bounds} ORDER BY {order} LIMIT {rows}
                    ) AS next
                ) AS counted WHERE ({wanted}) OR number = looked ORDER BY number LIMIT {most})"
            )
        });
        let parts: Vec<String> = parts.collect();
        statement.sql = match parts.as_slice() {
            [part] => part.clone(),
            parts => format!("{} ORDER BY source, number", parts.join(" UNION ALL ")),
        };
        statement
    }

    /// What an index answers.
    fn bounds(&mut self, way: Way, query: &ListQuery, part: &Part) -> String {
        let filter = &query.filter;
        let mut bounds = String::new();
        match (way, filter.session, &filter.principal, filter.ip) {
            (Way::One, Some(session), _, _) => {
                let session = self.parameter(session.as_bytes().to_vec());
                let _ = write!(bounds, " AND id = {session}");
            }
            (Way::Principal, _, Some(principal), _) => {
                let principal = self.parameter(principal.as_str().to_owned());
                let _ = write!(bounds, " AND principal = {principal}");
            }
            (Way::Address, _, _, Some(ip)) => {
                let ip = self.parameter(ip);
                let _ = write!(bounds, " AND ip = {ip}");
            }
            (Way::Few(_), ..) => bounds.push_str(&self.beginning(filter)),
            _ => {}
        }
        if let Some(instant) = filter.issued_from {
            let instant = self.parameter(instant.as_millis());
            let _ = write!(bounds, " AND created_at >= {instant}");
        }
        if let Some(instant) = filter.issued_before {
            let instant = self.parameter(instant.as_millis());
            let _ = write!(bounds, " AND created_at < {instant}");
        }
        if let Some(Cursor { created_at, session }) = part.after {
            let created_at = self.parameter(created_at.as_millis());
            let session = self.parameter(session.as_bytes().to_vec());
            let behind = if query.order == ListOrder::NewestFirst { '<' } else { '>' };
            let _ = write!(bounds, " AND (created_at, id) {behind} ({created_at}, {session})");
        }
        bounds
    }

    /// What is asked of each row besides.
    fn wanted(&mut self, way: Way, filter: &ListFilter, now: Timestamp) -> String {
        let mut wanted = String::from("true");
        if filter.state == StateFilter::Active || filter.ip.is_some() {
            let now = self.parameter(now.as_millis());
            let _ = write!(
                wanted,
                " AND cut_at IS NULL AND cloakroom.expires_at(last_seen_at, idle_timeout, absolute_expires_at) > {now}"
            );
        }
        if let (false, Some(beginning)) = (matches!(way, Way::Few(_)), &filter.principal_prefix) {
            let beginning = self.parameter(beginning.as_str().to_owned());
            let _ = write!(wanted, " AND coalesce(starts_with(principal, {beginning}), false)");
        }
        if let (Way::One, Some(principal)) = (way, &filter.principal) {
            let principal = self.parameter(principal.as_str().to_owned());
            let _ = write!(wanted, " AND coalesce(principal = {principal}, false)");
        }
        if let (true, Some(ip)) = (way != Way::Address, filter.ip) {
            let ip = self.parameter(ip);
            let _ = write!(wanted, " AND coalesce(ip = {ip}, false)");
        }
        wanted
    }

    /// Those of principals whose names begin as asked for.
    fn beginning(&mut self, filter: &ListFilter) -> String {
        let Some(beginning) = &filter.principal_prefix else { return String::new() };
        let [first, last] = ListFilter::bounds_of(beginning).map(|name| self.parameter(name));
        format!(" AND principal BETWEEN {first} AND {last}")
    }

    /// Adds a parameter; its name in the statement.
    fn parameter(&mut self, value: impl ToSql + Send + Sync + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| plain(&**value)).collect()
    }
}

/// The same parameter, for a statement that is asked from one task.
fn plain(value: &(dyn ToSql + Send + Sync)) -> &(dyn ToSql + Sync) {
    value
}

const COLUMNS: &str = found!("NULL::bigint");
/// The first column after those of [`found!`].
const SOURCE: usize = 14;
