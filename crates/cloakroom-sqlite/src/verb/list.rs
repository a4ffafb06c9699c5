//! Listing sessions.

use std::cmp::Reverse;
use std::fmt::Write as _;

use cloakroom_core::Timestamp;
use cloakroom_store::{Cursor, ErrorKind, ListFilter, ListItem, ListPage, ListQuery, StateFilter};
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use crate::error::Problem;
use crate::map::{Head, head, ip_text};
use crate::transaction::Transaction;

pub(crate) fn list(
    transaction: &Transaction<'_>,
    query: &ListQuery,
    now: Timestamp,
) -> Result<ListPage, Problem> {
    let filter = &query.filter;
    let limit = usize::from(query.limit.get());
    let wanted: &[(Source, Wanted)] = match filter.state {
        StateFilter::Active => &[(Source::Live, Wanted::Live)],
        // Only live sessions have an address.
        StateFilter::Any if filter.ip.is_some() => &[(Source::Live, Wanted::Live)],
        StateFilter::Ended if filter.ip.is_some() => &[],
        StateFilter::Any => &[(Source::Live, Wanted::Both), (Source::Buried, Wanted::Ended)],
        StateFilter::Ended => &[(Source::Unburied, Wanted::Ended), (Source::Buried, Wanted::Ended)],
    };
    let mut items = Vec::new();
    for (source, wanted) in wanted {
        let mut scan = Scan::of(*source);
        scan.keep(filter, query.after);
        if *wanted == Wanted::Live {
            scan.leave_epochs_out(transaction);
        }
        if *source == Source::Unburied {
            scan.keep_what_may_be_over(transaction, now);
        }
        // One more than fits tells whether there is another page.
        items.append(&mut scan.run(transaction, *wanted, now, limit.saturating_add(1))?);
    }
    items.sort_unstable_by_key(|item| Reverse(item.cursor()));
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(ListPage { next: items.last().filter(|_| more).map(ListItem::cursor), items })
}

/// Which rows to go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// Those without an end of their own, from the latest to the first.
    Live,
    /// Those of them that time or an epoch may have ended already.
    Unburied,
    /// Those that have ended.
    Buried,
}

/// What to take from them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Live,
    Ended,
    Both,
}

/// A statement in the making.
#[derive(Debug)]
struct Scan {
    source: Source,
    index: Option<&'static str>,
    conditions: String,
    parameters: Vec<Value>,
}

impl Scan {
    fn of(source: Source) -> Self {
        let (index, conditions) = match source {
            Source::Live => (Some("session_live"), "ended_at IS NULL"),
            Source::Unburied => (None, "ended_at IS NULL"),
            Source::Buried => (Some("session_ended"), "ended_at IS NOT NULL"),
        };
        Self { source, index, conditions: conditions.to_owned(), parameters: Vec::new() }
    }

    fn keep(&mut self, filter: &ListFilter, after: Option<Cursor>) {
        if let Some(principal) = &filter.principal {
            self.index = match self.source {
                Source::Live | Source::Unburied => Some("session_live_principal"),
                Source::Buried => Some("session_ended_principal"),
            };
            self.condition("principal = ?", [principal.as_str().to_owned().into()]);
        }
        if let Some(session) = filter.session {
            self.index = None;
            self.condition("id = ?", [session.as_bytes().to_vec().into()]);
        }
        if let Some(ip) = filter.ip {
            self.condition("ip = ?", [ip_text(ip).into()]);
        }
        if let Some(instant) = filter.issued_from {
            self.condition("created_at >= ?", [instant.as_millis().into()]);
        }
        if let Some(instant) = filter.issued_before {
            self.condition("created_at < ?", [instant.as_millis().into()]);
        }
        if let Some(Cursor { created_at, session }) = after {
            let position = [created_at.as_millis().into(), session.as_bytes().to_vec().into()];
            self.condition("(created_at, id) < (?, ?)", position);
        }
    }

    /// Spares going through the rows that an epoch ended and that are not buried yet.
    fn leave_epochs_out(&mut self, transaction: &Transaction<'_>) {
        self.condition("created_at >= ?", [transaction.epochs.issued_before().as_millis().into()]);
        if let Some(generation) = transaction.epochs.oldest_generation() {
            self.condition("generation >= ?", [generation.into()]);
        }
    }

    fn keep_what_may_be_over(&mut self, transaction: &Transaction<'_>, now: Timestamp) {
        let by_time =
            "SELECT rowid FROM session INDEXED BY session_live_due WHERE ended_at IS NULL AND due_at <= ?";
        let by_instant =
            "SELECT rowid FROM session INDEXED BY session_live WHERE ended_at IS NULL AND created_at < ?";
        let by_number =
            "SELECT rowid FROM session INDEXED BY session_live WHERE ended_at IS NULL AND generation < ?";
        let issued_before = transaction.epochs.issued_before().as_millis();
        let mut parameters = vec![now.as_millis().into(), issued_before.into()];
        let mut rowids = format!("rowid IN ({by_time} UNION ALL {by_instant}");
        if let Some(generation) = transaction.epochs.oldest_generation() {
            rowids.extend([" UNION ALL ", by_number]);
            parameters.push(generation.into());
        }
        rowids.push(')');
        self.condition(&rowids, parameters);
    }

    fn condition(&mut self, condition: &str, parameters: impl IntoIterator<Item = Value>) {
        self.conditions.extend([" AND ", condition]);
        self.parameters.extend(parameters);
    }

    fn run(
        self,
        transaction: &Transaction<'_>,
        wanted: Wanted,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<ListItem>, Problem> {
        let mut sql = String::from(concat!("SELECT ", head!(), ", body FROM session"));
        if let Some(index) = self.index {
            let _ = write!(sql, " INDEXED BY {index}");
        }
        let _ = write!(sql, " WHERE {} ORDER BY created_at DESC, id DESC", self.conditions);
        let mut statement = transaction.statement(&sql)?;
        let mut rows = statement.query(params_from_iter(self.parameters))?;
        let mut items = Vec::new();
        while items.len() < most {
            let Some(row) = rows.next()? else { break };
            match item(transaction, row, wanted, now) {
                Ok(item) => items.extend(item),
                // One damaged record hides itself, not the page it is on.
                Err(problem) if problem.kind() == ErrorKind::Corrupt => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(items)
    }
}

fn item(
    transaction: &Transaction<'_>,
    row: &Row<'_>,
    wanted: Wanted,
    now: Timestamp,
) -> Result<Option<ListItem>, Problem> {
    let head = Head::read(row)?;
    match head.over(&transaction.epochs, now) {
        Some(_) if wanted == Wanted::Live => Ok(None),
        Some(tombstone) => Ok(Some(ListItem::Ended { tombstone, created_at: head.created_at })),
        None if wanted == Wanted::Ended => Ok(None),
        None => Ok(Some(ListItem::Live(head.live(row, Head::COLUMNS)?))),
    }
}
