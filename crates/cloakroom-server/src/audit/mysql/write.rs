//! Writing the log's tables. Whatever appends or removes events begins by locking the head.

use cloakroom_audit::{AuditError, AuditRow, Batch, Head, Prune, SEALS_KEPT, Sample, Seal, Tally, minute_of};
use cloakroom_core::Timestamp;
use cloakroom_mysql::Value;

use super::Change;
use super::read::{self, COLUMNS, Columns, number};

impl Change {
    pub(super) async fn append(&mut self, batch: &Batch) -> Result<Vec<AuditRow>, AuditError> {
        let head = self.lock_head().await?;
        self.append_behind(head, batch).await
    }

    /// The head, which nobody else moves until this is over. A statement of its own: what is read behind it has to see
    /// what whoever held the lock before has committed.
    async fn lock_head(&mut self) -> Result<Head, AuditError> {
        let sql = "SELECT seq, hash FROM audit_head WHERE singleton = 1 FOR UPDATE";
        read::head(self.ask(sql, vec![]).await?, self.op)
    }

    async fn append_behind(&mut self, head: Head, batch: &Batch) -> Result<Vec<AuditRow>, AuditError> {
        let writer = Value::from(batch.writer.as_bytes().as_slice());
        let sql = "SELECT first_seq, last_seq FROM audit_writer WHERE writer = ? AND batch >= ?";
        let done = self.ask(sql, vec![writer.clone(), number(batch.number).into()]).await?;
        if let Some(row) = done.into_iter().next() {
            let mut columns = Columns::of(row, self.op);
            let (first, last): (i64, i64) = (columns.get("first_seq")?, columns.get("last_seq")?);
            return self.range(first, last).await;
        }
        let rows = AuditRow::chain(head, &batch.drafts);
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(rows) };
        self.insert(&rows).await?;
        self.count(&rows).await?;
        let sql = "REPLACE INTO audit_writer (writer, batch, at, first_seq, last_seq) VALUES (?, ?, ?, ?, ?)";
        let numbers = [number(batch.number), batch.at.as_millis(), number(first.seq), number(last.seq)];
        self.ask(sql, [writer].into_iter().chain(numbers.map(Value::from)).collect()).await?;
        let sql = "UPDATE audit_head SET seq = ?, hash = ? WHERE singleton = 1";
        self.ask(sql, vec![number(last.seq).into(), last.hash.as_bytes().as_slice().into()]).await?;
        Ok(rows)
    }

    async fn range(&mut self, first: i64, last: i64) -> Result<Vec<AuditRow>, AuditError> {
        let sql = format!("SELECT {COLUMNS} FROM audit_event WHERE seq BETWEEN ? AND ? ORDER BY seq");
        let rows = self.ask(&sql, vec![first.into(), last.into()]).await?;
        rows.into_iter().map(|row| read::event(row, self.op)).collect()
    }

    /// As many of them in a statement as there is one of a fitting length: each length is prepared once.
    async fn insert(&mut self, mut rows: &[AuditRow]) -> Result<(), AuditError> {
        for length in LENGTHS {
            let row = format!("({})", ["?"; COLUMNS_OF_EVENT].join(", "));
            let all = vec![row; length].join(", ");
            let sql = format!("INSERT INTO audit_event ({COLUMNS}) VALUES {all}");
            while let Some((some, rest)) = rows.split_at_checked(length) {
                self.ask(&sql, some.iter().flat_map(values).collect()).await?;
                rows = rest;
            }
        }
        Ok(())
    }

    /// Adds a batch to the counts, and its minutes to where their events are.
    async fn count(&mut self, rows: &[AuditRow]) -> Result<(), AuditError> {
        let Tally { counts, minutes } = Tally::of(rows);
        let sql = "INSERT INTO audit_count (minute_at, event, reason, number) VALUES (?, ?, ?, ?) \
                   ON DUPLICATE KEY UPDATE number = number + VALUES(number)";
        for ((minute, event, reason), times) in counts {
            let values = vec![minute.as_millis().into(), event.into(), reason.into(), number(times).into()];
            self.ask(sql, values).await?;
        }
        let sql = "INSERT INTO audit_minute (minute_at, first_seq, last_seq) VALUES (?, ?, ?) \
                   ON DUPLICATE KEY UPDATE first_seq = LEAST(first_seq, VALUES(first_seq)), \
                   last_seq = GREATEST(last_seq, VALUES(last_seq))";
        for (minute, (first, last)) in minutes {
            let values = [minute.as_millis(), number(first), number(last)];
            self.ask(sql, values.map(Value::from).to_vec()).await?;
        }
        Ok(())
    }

    pub(super) async fn put_samples(&mut self, samples: &[Sample]) -> Result<(), AuditError> {
        let sql = "REPLACE INTO audit_sample (series, minute_at, node, value) VALUES (?, ?, ?, ?)";
        for sample in samples {
            let minute = minute_of(sample.at).as_millis();
            let (series, node) = (sample.series.as_str(), sample.node.as_str());
            self.ask(sql, vec![series.into(), minute.into(), node.into(), sample.value.into()]).await?;
        }
        Ok(())
    }

    pub(super) async fn put_seal(&mut self, seal: &Seal) -> Result<(), AuditError> {
        let key = Value::from(seal.key.as_str());
        let sql = "REPLACE INTO audit_seal (key_id, seq, hash, at, signature) VALUES (?, ?, ?, ?, ?)";
        let values = vec![
            key.clone(),
            number(seal.seq).into(),
            seal.hash.as_bytes().as_slice().into(),
            seal.at.as_millis().into(),
            seal.signature.as_bytes().as_slice().into(),
        ];
        self.ask(sql, values).await?;
        // MySQL deletes from no table that it reads in the same statement.
        let sql = "SELECT seq FROM audit_seal WHERE key_id = ? ORDER BY seq DESC LIMIT 1 OFFSET ?";
        let outdated = self.ask(sql, vec![key.clone(), SEALS_KEPT.into()]).await?;
        if let Some(row) = outdated.into_iter().next() {
            let seq: i64 = Columns::of(row, self.op).get("seq")?;
            let sql = "DELETE FROM audit_seal WHERE key_id = ? AND seq <= ?";
            self.ask(sql, vec![key, seq.into()]).await?;
        }
        Ok(())
    }

    pub(super) async fn prune(&mut self, prune: &Prune) -> Result<Option<Vec<AuditRow>>, AuditError> {
        let head = self.lock_head().await?;
        let present = read::checkpoint(self.ask(read::CHECKPOINT, vec![]).await?, self.op)?;
        if present.map(|checkpoint| checkpoint.through) != prune.follows {
            return Ok(None);
        }
        let checkpoint = &prune.checkpoint;
        let through = Value::from(number(checkpoint.through));
        for sql in [
            "DELETE FROM audit_event WHERE seq <= ?",
            "DELETE FROM audit_seal WHERE seq <= ?",
            "DELETE FROM audit_minute WHERE last_seq <= ?",
        ] {
            self.ask(sql, vec![through.clone()]).await?;
        }
        let sql = "REPLACE INTO audit_checkpoint (singleton, through, hash, removed, at, key_id, signature) \
                   VALUES (1, ?, ?, ?, ?, ?, ?)";
        let values = vec![
            through,
            checkpoint.hash.as_bytes().as_slice().into(),
            number(checkpoint.removed).into(),
            checkpoint.at.as_millis().into(),
            checkpoint.key.as_str().into(),
            checkpoint.signature.as_bytes().as_slice().into(),
        ];
        self.ask(sql, values).await?;
        self.append_behind(head, &prune.batch).await.map(Some)
    }

    pub(super) async fn forget(&mut self, before: Timestamp) -> Result<(), AuditError> {
        let minute = Value::from(minute_of(before).as_millis());
        self.ask("DELETE FROM audit_count WHERE minute_at < ?", vec![minute.clone()]).await?;
        self.ask("DELETE FROM audit_sample WHERE minute_at < ?", vec![minute]).await?;
        self.ask("DELETE FROM audit_writer WHERE at < ?", vec![before.as_millis().into()]).await.map(drop)
    }
}

/// The values of a row, in the order of [`COLUMNS`].
fn values(row: &AuditRow) -> [Value; COLUMNS_OF_EVENT] {
    let optional = |text: &Option<String>| text.as_deref().map_or(Value::NULL, Value::from);
    [
        number(row.seq).into(),
        row.at.as_millis().into(),
        row.event.as_str().into(),
        optional(&row.principal),
        optional(&row.session),
        row.actor_kind.as_str().into(),
        optional(&row.actor_id),
        optional(&row.reason),
        optional(&row.ip),
        optional(&row.user_agent),
        row.detail.as_str().into(),
        row.prev.as_bytes().as_slice().into(),
        row.hash.as_bytes().as_slice().into(),
    ]
}

const COLUMNS_OF_EVENT: usize = 13;
/// How many events a statement can have.
const LENGTHS: [usize; 3] = [128, 16, 1];
