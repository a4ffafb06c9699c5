//! Reading the log's tables.

use cloakroom_core::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use crate::row::minute_of;
use crate::{
    Along, AuditRow, ChainHash, Checkpoint, Count, Head, KeyId, Order, Period, SPAN_MINUTES, Sample, Seal,
    Signature, Span, Walk,
};

pub(super) fn walk(connection: &Connection, walk: &Walk) -> rusqlite::Result<Vec<AuditRow>> {
    let (condition, value) = match &walk.along {
        Along::Log => ("", None),
        Along::Principal(text) => ("principal = :value AND ", Some(text)),
        Along::Actor(text) => ("actor_id = :value AND ", Some(text)),
        Along::Session(text) => ("session = :value AND ", Some(text)),
        Along::Event(text) => ("event = :value AND ", Some(text)),
    };
    let order = match walk.order {
        Order::OldestFirst => "ASC",
        Order::LatestFirst => "DESC",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM audit_events WHERE {condition}seq > :after AND seq < :before \
         ORDER BY seq {order} LIMIT :limit"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let (after, before) = (number(walk.span.after), number(walk.span.before));
    let limit = walk.limit.get();
    match value {
        None => {
            let values = named_params! { ":after": after, ":before": before, ":limit": limit };
            statement.query_map(values, row)?.collect()
        }
        Some(value) => {
            let values =
                named_params! { ":after": after, ":before": before, ":limit": limit, ":value": value };
            statement.query_map(values, row)?.collect()
        }
    }
}

pub(super) fn range(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<Vec<AuditRow>> {
    let sql = format!("SELECT {COLUMNS} FROM audit_events WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq");
    connection.prepare_cached(&sql)?.query_map([first, last], row)?.collect()
}

pub(super) fn head(connection: &Connection) -> rusqlite::Result<Head> {
    let sql = "SELECT seq, hash FROM audit_events ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let last =
        statement.query_row([], |row| Ok(Head { seq: row.get(0)?, hash: hash(row, 1)? })).optional()?;
    match last {
        Some(head) => Ok(head),
        None => Ok(checkpoint(connection)?.map_or(Head::START, |found| found.head())),
    }
}

pub(super) fn span(connection: &Connection, period: Period) -> rusqlite::Result<Span> {
    let mut span = Span::ALL;
    if let Some(since) = period.since {
        let sql = "SELECT min(first) FROM \
                   (SELECT first FROM audit_minutes WHERE minute >= ?1 ORDER BY minute LIMIT ?2)";
        let first = extreme(connection, sql, minute_of(since))?;
        span =
            span.and(first.map_or(Span::NONE, |first| Span { after: first.saturating_sub(1), ..Span::ALL }));
    }
    if let Some(until) = period.until {
        let sql = "SELECT max(last) FROM \
                   (SELECT last FROM audit_minutes WHERE minute < ?1 ORDER BY minute DESC LIMIT ?2)";
        let last = extreme(connection, sql, until)?;
        span = span.and(last.map_or(Span::NONE, |last| Span { before: last.saturating_add(1), ..Span::ALL }));
    }
    Ok(span)
}

fn extreme(connection: &Connection, sql: &str, at: Timestamp) -> rusqlite::Result<Option<u64>> {
    connection.prepare_cached(sql)?.query_row(params![at.as_millis(), SPAN_MINUTES], |row| row.get(0))
}

pub(super) fn counts(connection: &Connection, since: Timestamp) -> rusqlite::Result<Vec<Count>> {
    let sql = "SELECT minute, event, reason, count FROM audit_counts WHERE minute >= ?1 \
               ORDER BY minute, event, reason";
    let mut statement = connection.prepare_cached(sql)?;
    let counts = statement.query_map([minute_of(since).as_millis()], |row| {
        let reason: String = row.get(2)?;
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        Ok(Count { at: instant(row, 0)?, event: row.get(1)?, reason, count: row.get(3)? })
    })?;
    counts.collect()
}

pub(super) fn samples(
    connection: &Connection,
    series: &str,
    since: Timestamp,
) -> rusqlite::Result<Vec<Sample>> {
    let sql = "SELECT minute, node, series, value FROM audit_samples WHERE series = ?1 AND minute >= ?2 \
               ORDER BY minute, node";
    let mut statement = connection.prepare_cached(sql)?;
    let samples = statement.query_map(params![series, minute_of(since).as_millis()], |row| {
        Ok(Sample { at: instant(row, 0)?, node: row.get(1)?, series: row.get(2)?, value: row.get(3)? })
    })?;
    samples.collect()
}

pub(super) fn seals(connection: &Connection) -> rusqlite::Result<Vec<Seal>> {
    let sql = "SELECT seq, hash, at, key, signature FROM audit_seals ORDER BY seq, key";
    let mut statement = connection.prepare_cached(sql)?;
    let seals = statement.query_map([], |row| {
        Ok(Seal {
            seq: row.get(0)?,
            hash: hash(row, 1)?,
            at: instant(row, 2)?,
            key: KeyId::from_stored(row.get(3)?),
            signature: Signature::from_bytes(bytes(row, 4)?),
        })
    })?;
    seals.collect()
}

pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<Option<Checkpoint>> {
    let sql = "SELECT through, hash, removed, at, key, signature FROM audit_checkpoint";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([], |row| {
        Ok(Checkpoint {
            through: row.get(0)?,
            hash: hash(row, 1)?,
            removed: row.get(2)?,
            at: instant(row, 3)?,
            key: KeyId::from_stored(row.get(4)?),
            signature: Signature::from_bytes(bytes(row, 5)?),
        })
    });
    found.optional()
}

fn row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.get(0)?,
        at: instant(row, 1)?,
        event: text(row, 2)?,
        principal: optional_text(row, 3)?,
        session: optional_text(row, 4)?,
        actor_kind: text(row, 5)?,
        actor_id: optional_text(row, 6)?,
        reason: optional_text(row, 7)?,
        ip: optional_text(row, 8)?,
        user_agent: optional_text(row, 9)?,
        detail: text(row, 10)?,
        prev: hash(row, 11)?,
        hash: hash(row, 12)?,
    })
}

/// Text as it stands. Bytes that are none, in a log that was changed, are shown as what they are not: their event then
/// does not have its hash, and is found.
fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    Ok(optional_text(row, index)?.unwrap_or_default())
}

fn optional_text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    let value = row.get_ref(index)?;
    let bytes = value
        .as_bytes_or_null()
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, value.data_type(), Box::new(e)))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// A hash as it stands; one of another length, in a log that was changed, is no event's.
fn hash(row: &Row<'_>, index: usize) -> rusqlite::Result<ChainHash> {
    let blob = row.get_ref(index)?.as_blob().unwrap_or_default();
    Ok(ChainHash::from_bytes(blob.try_into().unwrap_or([0xff; 32])))
}

fn bytes<const N: usize>(row: &Row<'_>, index: usize) -> rusqlite::Result<[u8; N]> {
    let blob = row.get_ref(index)?.as_blob().unwrap_or_default();
    let wrong = |e| rusqlite::Error::FromSqlConversionFailure(index, Type::Blob, Box::new(e));
    blob.try_into().map_err(wrong)
}

fn instant(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    row.get(index).map(Timestamp::from_millis)
}

pub(super) fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

const COLUMNS: &str =
    "seq, at, event, principal, session, actor_kind, actor_id, reason, ip, user_agent, detail, prev, hash";
