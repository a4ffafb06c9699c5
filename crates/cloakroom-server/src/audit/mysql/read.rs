//! Reading the log's tables.

use cloakroom_audit::{
    Along, AuditError, AuditRow, ChainHash, Checkpoint, Count, Head, KeyId, Order, Period, SPAN_MINUTES,
    Sample, Seal, Signature, Span, Walk, minute_of,
};
use cloakroom_core::Timestamp;
use cloakroom_mysql::{FromValue, Row, Value};

use super::MysqlAudit;

impl MysqlAudit {
    /// The index is named: otherwise a server that believes the log to be short may read all of it.
    pub(super) async fn walked(&self, walk: Walk) -> Result<Vec<AuditRow>, AuditError> {
        let order = match walk.order {
            Order::OldestFirst => "ASC",
            Order::LatestFirst => "DESC",
        };
        let (index, condition, text) = match walk.along {
            Along::Log => ("PRIMARY", "", None),
            Along::Principal(text) => ("audit_by_principal", "principal = ? AND", Some(text)),
            Along::Actor(text) => ("audit_by_actor", "actor_id = ? AND", Some(text)),
            Along::Session(text) => ("audit_by_session", "session = ? AND", Some(text)),
            Along::Event(text) => ("audit_by_event", "event = ? AND", Some(text)),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM audit_event FORCE INDEX ({index}) WHERE {condition} seq > ? AND seq < ? \
             ORDER BY seq {order} LIMIT ?"
        );
        let mut values: Vec<Value> = text.into_iter().map(Value::from).collect();
        let bounds = [number(walk.span.after), number(walk.span.before), i64::from(walk.limit.get())];
        values.extend(bounds.map(Value::from));
        let rows = self.read("walk", sql, values).await?;
        rows.into_iter().map(|row| event(row, "walk")).collect()
    }

    pub(super) async fn found_head(&self) -> Result<Head, AuditError> {
        head(self.read("head", "SELECT seq, hash FROM audit_head WHERE singleton = 1", vec![]).await?, "head")
    }

    pub(super) async fn found_span(&self, period: Period) -> Result<Span, AuditError> {
        let mut span = Span::ALL;
        if let Some(since) = period.since {
            let sql = "SELECT MIN(first_seq) FROM (SELECT first_seq FROM audit_minute \
                       WHERE minute_at >= ? ORDER BY minute_at LIMIT ?) AS near";
            let first = self.extreme(sql, minute_of(since)).await?;
            let from = |first: u64| Span { after: first.saturating_sub(1), ..Span::ALL };
            span = span.and(first.map_or(Span::NONE, from));
        }
        if let Some(until) = period.until {
            let sql = "SELECT MAX(last_seq) FROM (SELECT last_seq FROM audit_minute \
                       WHERE minute_at < ? ORDER BY minute_at DESC LIMIT ?) AS near";
            let last = self.extreme(sql, until).await?;
            let to = |last: u64| Span { before: last.saturating_add(1), ..Span::ALL };
            span = span.and(last.map_or(Span::NONE, to));
        }
        Ok(span)
    }

    async fn extreme(&self, sql: &str, at: Timestamp) -> Result<Option<u64>, AuditError> {
        let rows = self.read("span", sql, vec![at.as_millis().into(), SPAN_MINUTES.into()]).await?;
        rows.into_iter().next().map_or(Ok(None), |row| Columns::of(row, "span").get("number"))
    }

    pub(super) async fn counted(&self, since: Timestamp) -> Result<Vec<Count>, AuditError> {
        let sql = "SELECT minute_at, event, reason, number FROM audit_count WHERE minute_at >= ? \
                   ORDER BY minute_at, event, reason";
        let rows = self.read("counts", sql, vec![minute_of(since).as_millis().into()]).await?;
        let count = |row| {
            let mut columns = Columns::of(row, "counts");
            let (at, event) = (columns.instant("minute_at")?, columns.get("event")?);
            let reason: String = columns.get("reason")?;
            let reason = Some(reason).filter(|reason| !reason.is_empty());
            Ok(Count { at, event, reason, count: columns.get("number")? })
        };
        rows.into_iter().map(count).collect()
    }

    pub(super) async fn sampled(&self, series: String, since: Timestamp) -> Result<Vec<Sample>, AuditError> {
        let sql = "SELECT minute_at, node, series, value FROM audit_sample \
                   WHERE series = ? AND minute_at >= ? ORDER BY minute_at, node";
        let values = vec![series.into(), minute_of(since).as_millis().into()];
        let sample = |row| {
            let mut columns = Columns::of(row, "samples");
            let (at, node) = (columns.instant("minute_at")?, columns.get("node")?);
            Ok(Sample { at, node, series: columns.get("series")?, value: columns.get("value")? })
        };
        self.read("samples", sql, values).await?.into_iter().map(sample).collect()
    }

    pub(super) async fn all_seals(&self) -> Result<Vec<Seal>, AuditError> {
        let sql = "SELECT seq, hash, at, key_id, signature FROM audit_seal ORDER BY seq, key_id";
        let seal = |row| {
            let mut columns = Columns::of(row, "seals");
            Ok(Seal {
                seq: columns.get("seq")?,
                hash: columns.hash("hash")?,
                at: columns.instant("at")?,
                key: KeyId::from_stored(columns.get("key_id")?),
                signature: Signature::from_bytes(columns.bytes("signature")?),
            })
        };
        self.read("seals", sql, vec![]).await?.into_iter().map(seal).collect()
    }

    pub(super) async fn found_checkpoint(&self) -> Result<Option<Checkpoint>, AuditError> {
        checkpoint(self.read("checkpoint", CHECKPOINT, vec![]).await?, "checkpoint")
    }
}

pub(super) fn head(rows: Vec<Row>, op: &'static str) -> Result<Head, AuditError> {
    let row = rows.into_iter().next().ok_or_else(|| AuditError::new(op, "the row with the head is gone"))?;
    let mut columns = Columns::of(row, op);
    Ok(Head { seq: columns.get("seq")?, hash: columns.hash("hash")? })
}

pub(super) fn checkpoint(rows: Vec<Row>, op: &'static str) -> Result<Option<Checkpoint>, AuditError> {
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let mut columns = Columns::of(row, op);
    Ok(Some(Checkpoint {
        through: columns.get("through")?,
        hash: columns.hash("hash")?,
        removed: columns.get("removed")?,
        at: columns.instant("at")?,
        key: KeyId::from_stored(columns.get("key_id")?),
        signature: Signature::from_bytes(columns.bytes("signature")?),
    }))
}

pub(super) fn event(row: Row, op: &'static str) -> Result<AuditRow, AuditError> {
    let mut columns = Columns::of(row, op);
    Ok(AuditRow {
        seq: columns.get("seq")?,
        at: columns.instant("at")?,
        event: columns.text("event")?,
        principal: columns.text_or_null("principal")?,
        session: columns.text_or_null("session")?,
        actor_kind: columns.text("actor_kind")?,
        actor_id: columns.text_or_null("actor_id")?,
        reason: columns.text_or_null("reason")?,
        ip: columns.text_or_null("ip")?,
        user_agent: columns.text_or_null("user_agent")?,
        detail: columns.text("detail")?,
        prev: columns.hash("prev")?,
        hash: columns.hash("hash")?,
    })
}

/// The columns of a row, from left to right. What is wrong with one is said without its value.
pub(super) struct Columns {
    row: Row,
    next: usize,
    op: &'static str,
}

impl Columns {
    pub(super) fn of(row: Row, op: &'static str) -> Self {
        Self { row, next: 0, op }
    }

    pub(super) fn get<T: FromValue>(&mut self, name: &'static str) -> Result<T, AuditError> {
        let value = self.row.take_opt(self.next);
        self.next += 1;
        value.and_then(Result::ok).ok_or_else(|| self.impossible(name))
    }

    fn impossible(&self, name: &'static str) -> AuditError {
        AuditError::new(self.op, format!("a row with an impossible {name}"))
    }

    fn instant(&mut self, name: &'static str) -> Result<Timestamp, AuditError> {
        self.get(name).map(Timestamp::from_millis)
    }

    /// Text as it stands. Bytes that are none, in a log that was changed, are shown as what they are not: their event then
    /// does not have its hash, and is found.
    fn text_or_null(&mut self, name: &'static str) -> Result<Option<String>, AuditError> {
        let bytes: Option<Vec<u8>> = self.get(name)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn text(&mut self, name: &'static str) -> Result<String, AuditError> {
        self.text_or_null(name).map(Option::unwrap_or_default)
    }

    /// A hash as it stands; one of another length, in a log that was changed, is no event's.
    fn hash(&mut self, name: &'static str) -> Result<ChainHash, AuditError> {
        let bytes: Vec<u8> = self.get(name)?;
        Ok(ChainHash::from_bytes(bytes.try_into().unwrap_or([0xff; 32])))
    }

    fn bytes<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], AuditError> {
        let bytes: Vec<u8> = self.get(name)?;
        bytes.try_into().map_err(|_| self.impossible(name))
    }
}

pub(super) fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

pub(super) const COLUMNS: &str =
    "seq, at, event, principal, session, actor_kind, actor_id, reason, ip, user_agent, detail, prev, hash";
pub(super) const CHECKPOINT: &str =
    "SELECT through, hash, removed, at, key_id, signature FROM audit_checkpoint WHERE singleton = 1";
