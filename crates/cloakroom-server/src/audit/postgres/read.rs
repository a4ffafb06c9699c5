//! Reading the log's tables.

use cloakroom_audit::{
    Along, AuditError, AuditRow, ChainHash, Checkpoint, Count, Head, KeyId, Order, Period, SPAN_MINUTES,
    Sample, Seal, Signature, Span, Walk, minute_of,
};
use cloakroom_core::Timestamp;
use cloakroom_postgres::Row;

use super::PostgresAudit;

impl PostgresAudit {
    /// Along a column, pairs of it and the number are compared: only the index of that very column has them in this order,
    /// so that the server has no other way to go, however few rows it believes there are.
    pub(super) async fn walked(&self, walk: Walk) -> Result<Vec<AuditRow>, AuditError> {
        let order = match walk.order {
            Order::OldestFirst => "ASC",
            Order::LatestFirst => "DESC",
        };
        let column = match &walk.along {
            Along::Log => None,
            Along::Principal(text) => Some(("principal", text)),
            Along::Actor(text) => Some(("actor_id", text)),
            Along::Session(text) => Some(("session", text)),
            Along::Event(text) => Some(("event", text)),
        };
        let (after, before) = (number(walk.span.after), number(walk.span.before));
        let limit = i64::from(walk.limit.get());
        let rows = match column {
            None => {
                let sql = format!(
                    "SELECT {COLUMNS} FROM cloakroom.audit_event WHERE seq > $1 AND seq < $2 \
                     ORDER BY seq {order} LIMIT $3"
                );
                self.read(WALK, &sql, &[&after, &before, &limit]).await?
            }
            // No row has one, and the database would not take the question.
            Some((_, text)) if text.contains('\0') => Vec::new(),
            Some((column, text)) => {
                let sql = format!(
                    "SELECT {COLUMNS} FROM cloakroom.audit_event WHERE {column} IS NOT NULL \
                     AND ({column}, seq) > ($1, $2) AND ({column}, seq) < ($1, $3) \
                     ORDER BY {column} {order}, seq {order} LIMIT $4"
                );
                self.read(WALK, &sql, &[text, &after, &before, &limit]).await?
            }
        };
        rows.iter().map(|row| event(row, WALK)).collect()
    }

    pub(super) async fn found_head(&self) -> Result<Head, AuditError> {
        let sql = "SELECT seq, hash FROM cloakroom.audit_head WHERE id = 1";
        head(&self.read(HEAD, sql, &[]).await?, HEAD)
    }

    pub(super) async fn found_span(&self, period: Period) -> Result<Span, AuditError> {
        let mut span = Span::ALL;
        if let Some(since) = period.since {
            let sql = "SELECT min(first_seq) FROM (SELECT first_seq FROM cloakroom.audit_minute \
                       WHERE minute >= $1 ORDER BY minute LIMIT $2) AS near";
            let first = self.extreme(sql, minute_of(since)).await?;
            let from = |first: u64| Span { after: first.saturating_sub(1), ..Span::ALL };
            span = span.and(first.map_or(Span::NONE, from));
        }
        if let Some(until) = period.until {
            let sql = "SELECT max(last_seq) FROM (SELECT last_seq FROM cloakroom.audit_minute \
                       WHERE minute < $1 ORDER BY minute DESC LIMIT $2) AS near";
            let last = self.extreme(sql, until).await?;
            let to = |last: u64| Span { before: last.saturating_add(1), ..Span::ALL };
            span = span.and(last.map_or(Span::NONE, to));
        }
        Ok(span)
    }

    async fn extreme(&self, sql: &str, at: Timestamp) -> Result<Option<u64>, AuditError> {
        let rows = self.read(SPAN, sql, &[&at.as_millis(), &i64::from(SPAN_MINUTES)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let found: Option<i64> = column(row, 0, SPAN)?;
        Ok(found.map(i64::unsigned_abs))
    }

    pub(super) async fn counted(&self, since: Timestamp) -> Result<Vec<Count>, AuditError> {
        const OP: &str = "counts";
        let sql = "SELECT minute, event, reason, number FROM cloakroom.audit_count WHERE minute >= $1 \
                   ORDER BY minute, event, reason";
        let rows = self.read(OP, sql, &[&minute_of(since).as_millis()]).await?;
        let count = |row: &Row| {
            let reason: String = column(row, 2, OP)?;
            let reason = Some(reason).filter(|reason| !reason.is_empty());
            let (at, event) = (instant(row, 0, OP)?, column(row, 1, OP)?);
            Ok(Count { at, event, reason, count: unsigned(row, 3, OP)? })
        };
        rows.iter().map(count).collect()
    }

    pub(super) async fn sampled(&self, series: String, since: Timestamp) -> Result<Vec<Sample>, AuditError> {
        const OP: &str = "samples";
        let sql = "SELECT minute, node, series, value FROM cloakroom.audit_sample \
                   WHERE series = $1 AND minute >= $2 ORDER BY minute, node";
        let rows = self.read(OP, sql, &[&series, &minute_of(since).as_millis()]).await?;
        let sample = |row: &Row| {
            let (at, node) = (instant(row, 0, OP)?, column(row, 1, OP)?);
            Ok(Sample { at, node, series: column(row, 2, OP)?, value: column(row, 3, OP)? })
        };
        rows.iter().map(sample).collect()
    }

    pub(super) async fn all_seals(&self) -> Result<Vec<Seal>, AuditError> {
        const OP: &str = "seals";
        let sql = "SELECT seq, hash, at, key_id, signature FROM cloakroom.audit_seal ORDER BY seq, key_id";
        let seal = |row: &Row| {
            let (seq, hash, at) = (unsigned(row, 0, OP)?, hash(row, 1, OP)?, instant(row, 2, OP)?);
            let signature = Signature::from_bytes(bytes(row, 4, OP)?);
            Ok(Seal { seq, hash, at, key: KeyId::from_stored(column(row, 3, OP)?), signature })
        };
        self.read(OP, sql, &[]).await?.iter().map(seal).collect()
    }

    pub(super) async fn found_checkpoint(&self) -> Result<Option<Checkpoint>, AuditError> {
        checkpoint(&self.read("checkpoint", CHECKPOINT, &[]).await?, "checkpoint")
    }
}

pub(super) fn head(rows: &[Row], op: &'static str) -> Result<Head, AuditError> {
    let row = rows.first().ok_or_else(|| AuditError::new(op, "the row with the head is gone"))?;
    Ok(Head { seq: unsigned(row, 0, op)?, hash: hash(row, 1, op)? })
}

pub(super) fn checkpoint(rows: &[Row], op: &'static str) -> Result<Option<Checkpoint>, AuditError> {
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Checkpoint {
        through: unsigned(row, 0, op)?,
        hash: hash(row, 1, op)?,
        removed: unsigned(row, 2, op)?,
        at: instant(row, 3, op)?,
        key: KeyId::from_stored(column(row, 4, op)?),
        signature: Signature::from_bytes(bytes(row, 5, op)?),
    }))
}

pub(super) fn event(row: &Row, op: &'static str) -> Result<AuditRow, AuditError> {
    Ok(AuditRow {
        seq: unsigned(row, 0, op)?,
        at: instant(row, 1, op)?,
        event: column(row, 2, op)?,
        principal: column(row, 3, op)?,
        session: column(row, 4, op)?,
        actor_kind: column(row, 5, op)?,
        actor_id: column(row, 6, op)?,
        reason: column(row, 7, op)?,
        ip: column(row, 8, op)?,
        user_agent: column(row, 9, op)?,
        detail: column(row, 10, op)?,
        prev: hash(row, 11, op)?,
        hash: hash(row, 12, op)?,
    })
}

/// A hash as it stands; one of another length, in a log that was changed, is no event's.
fn hash(row: &Row, index: usize, op: &'static str) -> Result<ChainHash, AuditError> {
    let found: &[u8] = row.try_get(index).map_err(|error| AuditError::new(op, error))?;
    Ok(ChainHash::from_bytes(found.try_into().unwrap_or([0xff; 32])))
}

fn bytes<const N: usize>(row: &Row, index: usize, op: &'static str) -> Result<[u8; N], AuditError> {
    let found: &[u8] = row.try_get(index).map_err(|error| AuditError::new(op, error))?;
    found.try_into().map_err(|error| AuditError::new(op, error))
}

fn instant(row: &Row, index: usize, op: &'static str) -> Result<Timestamp, AuditError> {
    column(row, index, op).map(Timestamp::from_millis)
}

pub(super) fn unsigned(row: &Row, index: usize, op: &'static str) -> Result<u64, AuditError> {
    let found: i64 = column(row, index, op)?;
    u64::try_from(found).map_err(|error| AuditError::new(op, error))
}

fn column<'a, T: cloakroom_postgres::FromSql<'a>>(
    row: &'a Row,
    index: usize,
    op: &'static str,
) -> Result<T, AuditError> {
    row.try_get(index).map_err(|error| AuditError::new(op, error))
}

pub(super) fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

const WALK: &str = "walk";
const HEAD: &str = "head";
const SPAN: &str = "span";
pub(super) const COLUMNS: &str =
    "seq, at, event, principal, session, actor_kind, actor_id, reason, ip, user_agent, detail, prev, hash";
pub(super) const CHECKPOINT: &str =
    "SELECT through, hash, removed, at, key_id, signature FROM cloakroom.audit_checkpoint WHERE id = 1";
