//! The list of ends of sessions that travel in their tokens.

use cloakroom_core::Timestamp;
use cloakroom_store::{CodecError, Place, Reading, RevocationEntry, decode_entry, encode_entry};
use rusqlite::{OptionalExtension as _, params};

use super::sweep::sql_limit;
use crate::error::Problem;
use crate::transaction::Transaction;

/// An entry as a row: made before the one thread that writes has to.
#[derive(Debug)]
pub(crate) struct EntryRow {
    nonce: i64,
    kind: &'static str,
    subject: Option<String>,
    decided_at: i64,
    keep_until: i64,
    reason: &'static str,
    entry: Vec<u8>,
}

impl EntryRow {
    pub(crate) fn new(entry: &RevocationEntry) -> Result<Self, CodecError> {
        let mut bytes = Vec::new();
        encode_entry(entry, &mut bytes)?;
        Ok(Self {
            nonce: entry.nonce.cast_signed(),
            kind: entry.scope.kind(),
            subject: entry.scope.subject(),
            decided_at: entry.at.as_millis(),
            keep_until: entry.until.as_millis(),
            reason: entry.reason.as_str(),
            entry: bytes,
        })
    }
}

/// Adds rows; the number of the last of them.
pub(crate) fn revoke(transaction: &Transaction<'_>, rows: &[EntryRow]) -> Result<i64, Problem> {
    let first =
        "SELECT max(last_revocation + 1, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000)
                 FROM housekeeping";
    let first: i64 = transaction.statement(first)?.query_row([], |row| row.get(0))?;
    let mut insert = transaction.statement(
        "INSERT INTO revocation (number, nonce, kind, subject, decided_at, keep_until, reason, entry)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let mut last = first;
    for (number, row) in (first..).zip(rows) {
        let EntryRow { nonce, kind, subject, decided_at, keep_until, reason, entry } = row;
        insert.execute(params![number, nonce, kind, subject, decided_at, keep_until, reason, entry])?;
        last = number;
    }
    transaction.statement("UPDATE housekeeping SET last_revocation = ?1")?.execute([last])?;
    Ok(last)
}

/// What follows `place`.
pub(crate) fn revoked(transaction: &Transaction<'_>, place: Place, limit: usize) -> Result<Reading, Problem> {
    let Ok(after) = i64::try_from(place.number) else { return Ok(Reading::Lost) };
    if place != Place::START {
        let mut statement =
            transaction.statement("SELECT 1 FROM revocation WHERE number = ?1 AND nonce = ?2")?;
        if !statement.exists(params![after, place.nonce.cast_signed()])? {
            return Ok(Reading::Lost);
        }
    }
    let mut statement = transaction
        .statement("SELECT number, entry FROM revocation WHERE number > ?1 ORDER BY number LIMIT ?2")?;
    // One more, to see whether there is more.
    let mut rows = statement.query(params![after, sql_limit(limit.saturating_add(1))])?;
    let (mut entries, mut more) = (Vec::new(), false);
    while let Some(row) = rows.next()? {
        if entries.len() == limit {
            more = true;
            break;
        }
        let number = u64::try_from(row.get::<_, i64>(0)?).map_err(|_| Problem::Column("number"))?;
        let bytes = row.get_ref(1)?.as_blob().map_err(|_| Problem::Column("entry"))?;
        entries.push((number, decode_entry(bytes)?));
    }
    Ok(Reading::Entries { entries, more })
}

/// Removes what is over, by the clock of the machine as well, but for the newest.
pub(crate) fn forget_revoked(
    transaction: &Transaction<'_>,
    now: Timestamp,
    limit: usize,
) -> Result<usize, Problem> {
    let mut statement = transaction.statement(
        "DELETE FROM revocation WHERE number IN (
             SELECT number FROM revocation INDEXED BY revocation_keep_until
             WHERE keep_until <= min(?1, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
                 AND number < (SELECT max(number) FROM revocation)
             ORDER BY keep_until LIMIT ?2)",
    )?;
    Ok(statement.execute(params![now.as_millis(), sql_limit(limit)])?)
}

/// The number of the last row that was ever added; nothing where the file is not what it was.
pub(crate) fn last_revoked(transaction: &Transaction<'_>) -> Result<Option<i64>, Problem> {
    let mut statement = transaction.statement("SELECT last_revocation FROM housekeeping")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}
