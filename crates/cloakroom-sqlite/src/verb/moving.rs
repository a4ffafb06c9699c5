//! Telling another store everything, and filing what another store told.

use cloakroom_core::{
    EndReason, PrincipalId, SessionId, SessionRecord, Timestamp, TokenDigest, Tombstone, Verdict, judge,
};
use cloakroom_store::{
    Entry, ErrorKind, ExportCursor, ExportPage, ExportQuery, Filed, Imported, MalformedCursor, Version,
};
use rusqlite::{Row, params};

use crate::epoch;
use crate::error::Problem;
use crate::map::{self, Filing, Head, head, instant};
use crate::transaction::Transaction;

/// A page: first of sessions, live and ended, then of exchanged tokens, each in the order of filing. A session keeps its
/// place whatever happens to it; a token that is exchanged meanwhile moves to where the export has not been.
pub(crate) fn export(
    transaction: &Transaction<'_>,
    query: &ExportQuery,
    now: Timestamp,
) -> Result<ExportPage, Problem> {
    let start =
        query.after.as_ref().map_or(Ok(Place { table: Table::Session, after: i64::MIN }), Place::parse);
    let start = start.map_err(|_| Problem::Misuse("a cursor of another store"))?;
    let mut page = ExportPage::default();
    let mut room = usize::from(query.limit.get());
    let mut after = start.after;
    if start.table == Table::Session {
        page.next = scan(transaction, start, &mut room, &mut page, |row| session(transaction, row, now))?;
        if page.next.is_some() {
            return Ok(page);
        }
        after = i64::MIN;
    }
    let start = Place { table: Table::Retired, after };
    if room == 0 {
        page.next = Some(start.cursor());
        return Ok(page);
    }
    page.next = scan(transaction, start, &mut room, &mut page, retired)?;
    Ok(page)
}

/// What another store told, as columns, ready for another thread.
#[derive(Debug)]
pub(crate) enum Arrival {
    Live {
        filing: Filing,
        version: i64,
        last_seen_at: Timestamp,
    },
    Ended(Remains),
    Retired {
        digest: [u8; TokenDigest::LENGTH],
        session: SessionId,
        rotated_at: Timestamp,
        kept_until: Timestamp,
    },
}

/// What is left of a session.
#[derive(Debug)]
pub(crate) struct Remains {
    digest: [u8; TokenDigest::LENGTH],
    tombstone: Tombstone,
    created_at: Timestamp,
    kept_until: Timestamp,
}

impl Arrival {
    pub(crate) fn new(filed: &Filed) -> Result<Self, Problem> {
        let digest = filed.digest.to_bytes();
        Ok(match &filed.entry {
            Entry::Live(live) => Self::Live {
                filing: Filing::new(&live.record, filed.digest)?,
                version: i64::try_from(live.version.as_u64())
                    .map_err(|_| Problem::Misuse("a version beyond all that can be counted to"))?,
                last_seen_at: live.last_seen_at,
            },
            Entry::Ended { tombstone, created_at, kept_until } => Self::Ended(Remains {
                digest,
                tombstone: tombstone.clone(),
                created_at: *created_at,
                kept_until: *kept_until,
            }),
            Entry::Retired { retired, kept_until } => Self::Retired {
                digest,
                session: retired.session,
                rotated_at: retired.rotated_at,
                kept_until: *kept_until,
            },
        })
    }
}

pub(crate) fn import(transaction: &Transaction<'_>, arrival: &Arrival) -> Result<Imported, Problem> {
    let rows = match arrival {
        Arrival::Live { filing, version, last_seen_at } => {
            match epoch::end_of_arrival(transaction.connection(), filing.created_at)? {
                Some(end) => file_remains(transaction, &remains(filing, *last_seen_at, end))?,
                None => file_live(transaction, filing, *version, *last_seen_at)?,
            }
        }
        Arrival::Ended(remains) => file_remains(transaction, remains)?,
        Arrival::Retired { digest, session, rotated_at, kept_until } => {
            let mut statement = transaction.statement(
                "INSERT INTO retired (digest, id, rotated_at, keep_until, due_at) SELECT ?1, ?2, ?3, ?4, ?4
                 WHERE NOT EXISTS (SELECT 1 FROM session WHERE digest = ?1)
                 ON CONFLICT DO NOTHING",
            )?;
            let instants = (rotated_at.as_millis(), kept_until.as_millis());
            statement.execute(params![digest, session.as_bytes(), instants.0, instants.1])?
        }
    };
    Ok(if rows == 1 { Imported::Done } else { Imported::AlreadyExists })
}

/// What an end of everything before its arrival leaves of a session: time may have ended it before that.
fn remains(filing: &Filing, last_seen_at: Timestamp, (at, reason): (Timestamp, EndReason)) -> Remains {
    let record = SessionRecord::new(filing.id, filing.created_at, filing.lifetime);
    let (ended_at, reason) = match judge(&record, last_seen_at, at) {
        Verdict::Active => (at, reason),
        Verdict::Expired { reason, at } => (at, reason),
    };
    Remains {
        digest: filing.digest,
        tombstone: Tombstone { session: filing.id, principal: filing.principal.clone(), ended_at, reason },
        created_at: filing.created_at,
        kept_until: ended_at.plus(filing.lifetime.tombstone_retention),
    }
}

/// Writes the row of a live session, unless its digest or id is taken; how many rows that were.
pub(super) fn file_live(
    transaction: &Transaction<'_>,
    filing: &Filing,
    version: i64,
    last_seen_at: Timestamp,
) -> Result<usize, Problem> {
    let mut statement = transaction.statement(
        "INSERT INTO session (digest, id, principal, created_at, last_seen_at, idle_timeout, absolute_expires_at,
             retention, due_at, version, generation, ip, body)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13
         WHERE NOT EXISTS (SELECT 1 FROM retired WHERE digest = ?1)
         ON CONFLICT DO NOTHING",
    )?;
    Ok(statement.execute(params![
        filing.digest,
        filing.id.as_bytes(),
        filing.principal.as_ref().map(PrincipalId::as_str),
        filing.created_at.as_millis(),
        last_seen_at.as_millis(),
        filing.idle_timeout(),
        filing.lifetime.absolute_expires_at.as_millis(),
        filing.retention(),
        filing.expires_at(last_seen_at).as_millis(),
        version,
        epoch::generation(transaction.connection())?,
        filing.ip,
        filing.body,
    ])?)
}

fn file_remains(transaction: &Transaction<'_>, remains: &Remains) -> Result<usize, Problem> {
    let Remains { digest, tombstone, created_at, kept_until } = remains;
    let mut statement = transaction.statement(
        "INSERT INTO session (digest, id, principal, created_at, last_seen_at, idle_timeout, absolute_expires_at,
             retention, due_at, version, generation, ended_at, end_reason)
         SELECT ?1, ?2, ?3, ?4, ?5, 0, ?5, ?6, ?7, ?8, ?9, ?5, ?10
         WHERE NOT EXISTS (SELECT 1 FROM retired WHERE digest = ?1)
         ON CONFLICT DO NOTHING",
    )?;
    Ok(statement.execute(params![
        digest,
        tombstone.session.as_bytes(),
        tombstone.principal.as_ref().map(PrincipalId::as_str),
        created_at.as_millis(),
        tombstone.ended_at.as_millis(),
        map::millis(kept_until.since(tombstone.ended_at)),
        kept_until.as_millis(),
        i64::try_from(Version::FIRST.as_u64()).unwrap_or(i64::MAX),
        epoch::generation(transaction.connection())?,
        tombstone.reason.as_str(),
    ])?)
}

/// Which table an export is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Table {
    Session,
    Retired,
}

/// A place in an export.
#[derive(Clone, Copy, Debug)]
struct Place {
    table: Table,
    after: i64,
}

impl Place {
    fn parse(cursor: &ExportCursor) -> Result<Self, MalformedCursor> {
        let (table, after) = match cursor.as_str().split_once('.') {
            Some(("session", after)) => (Table::Session, after),
            Some(("retired", after)) => (Table::Retired, after),
            _ => return Err(MalformedCursor),
        };
        Ok(Self { table, after: after.parse().map_err(|_| MalformedCursor)? })
    }

    fn cursor(self) -> ExportCursor {
        let table = match self.table {
            Table::Session => "session",
            Table::Retired => "retired",
        };
        ExportCursor::new(format!("{table}.{}", self.after)).expect("a word and a number are short")
    }
}

/// Puts what `read` makes of the rows after `start` onto the page, as many as there is room for; where to go on if there
/// may be more of them.
fn scan(
    transaction: &Transaction<'_>,
    start: Place,
    room: &mut usize,
    page: &mut ExportPage,
    read: impl Fn(&Row<'_>) -> Result<Filed, Problem>,
) -> Result<Option<ExportCursor>, Problem> {
    let sql = match start.table {
        Table::Session => concat!(
            "SELECT ",
            head!(),
            ", body, digest, due_at FROM session WHERE rowid > ?1 ORDER BY rowid LIMIT ?2"
        ),
        Table::Retired => {
            "SELECT rowid, id, rotated_at, digest, keep_until FROM retired WHERE rowid > ?1 ORDER BY rowid LIMIT ?2"
        }
    };
    let mut statement = transaction.statement(sql)?;
    let mut rows = statement.query(params![start.after, i64::try_from(*room).unwrap_or(i64::MAX)])?;
    let mut place = start;
    while let Some(row) = rows.next()? {
        place.after = row.get(0)?;
        *room = room.saturating_sub(1);
        match read(row) {
            Ok(filed) => page.items.push(filed),
            // One damaged record is left out, and said to be.
            Err(problem) if problem.kind() == ErrorKind::Corrupt => page.damaged += 1,
            Err(problem) => return Err(problem),
        }
    }
    Ok((*room == 0).then(|| place.cursor()))
}

fn session(transaction: &Transaction<'_>, row: &Row<'_>, now: Timestamp) -> Result<Filed, Problem> {
    let head = Head::read(row)?;
    let digest = digest(row, Head::COLUMNS + 1)?;
    let entry = match head.over(&transaction.epochs, now) {
        None => Entry::Live(head.live(row, Head::COLUMNS)?),
        Some(tombstone) => {
            let kept_until = match head.is_buried() {
                true => instant(row, Head::COLUMNS + 2)?,
                false => tombstone.ended_at.plus(head.lifetime.tombstone_retention),
            };
            Entry::Ended { tombstone, created_at: head.created_at, kept_until }
        }
    };
    Ok(Filed { digest, entry })
}

fn retired(row: &Row<'_>) -> Result<Filed, Problem> {
    let retired =
        cloakroom_store::Retired { session: map::session_id(row, 1)?, rotated_at: instant(row, 2)? };
    Ok(Filed { digest: digest(row, 3)?, entry: Entry::Retired { retired, kept_until: instant(row, 4)? } })
}

fn digest(row: &Row<'_>, column: usize) -> Result<TokenDigest, Problem> {
    let bytes = row.get_ref(column)?.as_blob().ok().and_then(TokenDigest::from_bytes);
    bytes.ok_or(Problem::Column("digest"))
}
