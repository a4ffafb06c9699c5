//! Telling another store everything, and filing what another store told.

use std::fmt::Write as _;

use cloakroom_core::{PrincipalId, SessionId, Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{
    Entry, ErrorKind, ExportCursor, ExportPage, ExportQuery, Filed, Imported, Live, MalformedCursor, Retired,
    StoreError, Verb,
};
use tokio_postgres::Row;

use super::Statements;
use crate::database::{Database, Parameters};
use crate::error::{Problem, Sent};
use crate::map::{self, Found, column, found, instant, millis};

/// A page: first of sessions, live and ended, in the order of their ids, which they keep whatever happens to them; then
/// of exchanged tokens in the order of their digests.
pub(crate) async fn export(
    database: &Database,
    statements: &Statements,
    query: &ExportQuery,
    now: Timestamp,
) -> Result<ExportPage, StoreError> {
    let refused = |problem: Problem| problem.into_error(Verb::Export, Sent::Reading);
    let start = query.after.as_ref().map_or(Ok(Place::start(Table::Session)), Place::parse);
    let mut start = start.map_err(|_| refused(Problem::Misuse("a cursor of another store")))?;
    let mut page = ExportPage::default();
    let mut room = i64::from(query.limit.get());
    if start.table == Table::Session {
        let rows = database.read(Verb::Export, &statements.export_sessions, &[&start.after, &room]).await?;
        room -= i64::try_from(rows.len()).unwrap_or(i64::MAX);
        take(&mut page, rows.iter().map(|row| session(row, now))).map_err(refused)?;
        if room <= 0 {
            page.next = last(&rows, Table::Session, 0).map_err(refused)?;
            return Ok(page);
        }
        start = Place::start(Table::Retired);
    }
    let rows = database.read(Verb::Export, &statements.export_retired, &[&start.after, &room]).await?;
    take(&mut page, rows.iter().map(retired)).map_err(refused)?;
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) >= room {
        page.next = last(&rows, Table::Retired, 1).map_err(refused)?;
    }
    Ok(page)
}

/// Files what another store told.
pub(crate) async fn import(
    database: &Database,
    statements: &Statements,
    filed: &Filed,
) -> Result<Imported, StoreError> {
    let digest = filed.digest.to_bytes();
    let digest = digest.as_slice();
    match &filed.entry {
        Entry::Live(live) => import_live(database, statements, filed.digest, live).await,
        Entry::Ended { tombstone, created_at, kept_until } => {
            let Tombstone { session, principal, ended_at, reason } = tombstone;
            let retention = millis(kept_until.since(*ended_at));
            let parameters: Parameters<'_> = &[
                &digest,
                &session.as_bytes().as_slice(),
                &principal.as_ref().map(PrincipalId::as_str),
                &created_at.as_millis(),
                &ended_at.as_millis(),
                &reason.as_str(),
                &retention,
                &kept_until.as_millis(),
            ];
            database.write(Verb::Import, &statements.import_remains, parameters, answer).await
        }
        Entry::Retired { retired: Retired { session, rotated_at }, kept_until } => {
            let parameters: Parameters<'_> =
                &[&digest, &session.as_bytes().as_slice(), &rotated_at.as_millis(), &kept_until.as_millis()];
            database.write(Verb::Import, &statements.import_retired, parameters, answer).await
        }
    }
}

async fn import_live(
    database: &Database,
    statements: &Statements,
    digest: TokenDigest,
    live: &Live,
) -> Result<Imported, StoreError> {
    let refused = |problem: Problem| problem.into_error(Verb::Import, Sent::Nothing);
    let filing = map::Filing::new(&live.record, digest).map_err(refused)?;
    let version = i64::try_from(live.version.as_u64())
        .map_err(|_| refused(Problem::Misuse("a version beyond all that can be counted to")))?;
    let parameters: Parameters<'_> = &[
        &filing.digest.as_slice(),
        &filing.id,
        &filing.principal,
        &filing.created_at,
        &live.last_seen_at.as_millis(),
        &filing.idle_timeout,
        &filing.absolute_expires_at,
        &filing.retention,
        &filing.ip,
        &filing.device,
        &filing.body,
        &version,
    ];
    database.write(Verb::Import, &statements.import_session, parameters, answer).await
}

fn answer(result: Result<Vec<Row>, Problem>) -> Result<Imported, Problem> {
    let rows = result?;
    let row = rows.first().ok_or(Problem::Column("outcome"))?;
    Ok(if column(row, 0, "outcome")? { Imported::Done } else { Imported::AlreadyExists })
}

/// Which table an export is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Table {
    Session,
    Retired,
}

impl Table {
    const ALL: [Self; 2] = [Self::Session, Self::Retired];

    fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Retired => "retired",
        }
    }

    /// How long the keys of its rows are.
    fn key_bytes(self) -> usize {
        match self {
            Self::Session => SessionId::LENGTH,
            Self::Retired => TokenDigest::LENGTH,
        }
    }
}

/// A place in an export: after the row with this key.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    table: Table,
    after: Vec<u8>,
}

impl Place {
    /// Before every row: the empty string comes before all others.
    fn start(table: Table) -> Self {
        Self { table, after: Vec::new() }
    }

    fn parse(cursor: &ExportCursor) -> Result<Self, MalformedCursor> {
        let (name, key) = cursor.as_str().split_once('.').ok_or(MalformedCursor)?;
        let table = Table::ALL.into_iter().find(|table| table.name() == name).ok_or(MalformedCursor)?;
        let digits: Option<Vec<u32>> = key.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.ok_or(MalformedCursor)?;
        let bytes = digits.chunks_exact(2).map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).map_err(|_| MalformedCursor),
            _ => Err(MalformedCursor),
        });
        let after: Vec<u8> = bytes.collect::<Result<_, _>>()?;
        if digits.len() != table.key_bytes() * 2 {
            return Err(MalformedCursor);
        }
        Ok(Self { table, after })
    }

    fn cursor(&self) -> ExportCursor {
        let mut text = format!("{}.", self.table.name());
        for byte in &self.after {
            let _ = write!(text, "{byte:02x}");
        }
        ExportCursor::new(text).expect("a word and a key are short")
    }
}

/// Where to go on after these rows, whose keys are in this column.
fn last(rows: &[Row], table: Table, key: usize) -> Result<Option<ExportCursor>, Problem> {
    let after: Option<&[u8]> = rows.last().map(|row| column(row, key, "key")).transpose()?;
    Ok(after.map(|after| Place { table, after: after.to_vec() }.cursor()))
}

fn take(page: &mut ExportPage, entries: impl Iterator<Item = Result<Filed, Problem>>) -> Result<(), Problem> {
    for entry in entries {
        match entry {
            Ok(filed) => page.items.push(filed),
            // One damaged record is left out, and said to be.
            Err(problem) if problem.kind() == ErrorKind::Corrupt => page.damaged += 1,
            Err(problem) => return Err(problem),
        }
    }
    Ok(())
}

fn session(row: &Row, now: Timestamp) -> Result<Filed, Problem> {
    let Found::Session(head) = Found::read(row, 0)? else { return Err(Problem::Column("kind")) };
    let entry = match head.over(now) {
        None => Entry::Live(head.live(row)?),
        Some(tombstone) => {
            let kept_until = match head.is_buried() {
                true => instant(row, 15)?,
                false => head.kept_after(tombstone.ended_at),
            };
            Entry::Ended { tombstone, created_at: head.created_at, kept_until }
        }
    };
    Ok(Filed { digest: digest(row, 14)?, entry })
}

fn retired(row: &Row) -> Result<Filed, Problem> {
    let retired = Retired { session: map::session_id(row, 0)?, rotated_at: instant(row, 2)? };
    Ok(Filed { digest: digest(row, 1)?, entry: Entry::Retired { retired, kept_until: instant(row, 3)? } })
}

fn digest(row: &Row, index: usize) -> Result<TokenDigest, Problem> {
    TokenDigest::from_bytes(column(row, index, "digest")?).ok_or(Problem::Column("digest"))
}

pub(crate) const SESSIONS: &str = concat!(
    "SELECT ",
    found!("NULL::bigint"),
    ", digest, due_at FROM cloakroom.filed WHERE id > $1 ORDER BY id LIMIT $2"
);
pub(crate) const RETIRED: &str = "SELECT id, digest, rotated_at, keep_until FROM cloakroom.retired WHERE digest > $1 ORDER BY digest LIMIT $2";
pub(crate) const IMPORT_SESSION: &str =
    "SELECT cloakroom.import_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
pub(crate) const IMPORT_REMAINS: &str = "SELECT cloakroom.import_remains($1, $2, $3, $4, $5, $6, $7, $8)";
pub(crate) const IMPORT_RETIRED: &str = "SELECT cloakroom.import_retired($1, $2, $3, $4)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_a_place_and_nothing_else_does() {
        for place in [
            Place { table: Table::Session, after: vec![0xAB; SessionId::LENGTH] },
            Place { table: Table::Retired, after: vec![7; TokenDigest::LENGTH] },
        ] {
            assert_eq!(Place::parse(&place.cursor()), Ok(place));
        }
        for text in ["session", "session.", "session.0g", "epoch.00", "session.00ff", "retired.é"] {
            let cursor = ExportCursor::new(text);
            assert!(cursor.is_err() || Place::parse(&cursor.unwrap()).is_err(), "{text}");
        }
    }
}
