//! Writing the log's tables. Whatever appends or removes events begins by locking the head.

use cloakroom_audit::{AuditError, AuditRow, Batch, Head, Prune, SEALS_KEPT, Sample, Seal, Tally, minute_of};
use cloakroom_core::Timestamp;

use super::Change;
use super::read::{self, COLUMNS, number};

impl Change {
    pub(super) async fn append(&mut self, batch: &Batch) -> Result<Vec<AuditRow>, AuditError> {
        let head = self.lock_head().await?;
        self.append_behind(head, batch).await
    }

    /// The head, which nobody else moves until this is over. A statement of its own: what is read behind it has to see
    /// what whoever held the lock before has committed.
    async fn lock_head(&mut self) -> Result<Head, AuditError> {
        let sql = "SELECT seq, hash FROM cloakroom.audit_head WHERE id = 1 FOR UPDATE";
        read::head(&self.ask(sql, &[]).await?, self.op)
    }

    async fn append_behind(&mut self, head: Head, batch: &Batch) -> Result<Vec<AuditRow>, AuditError> {
        let writer = batch.writer.as_bytes().as_slice();
        let sql = "SELECT first_seq, last_seq FROM cloakroom.audit_writer WHERE writer = $1 AND batch >= $2";
        let done = self.ask(sql, &[&writer, &number(batch.number)]).await?;
        if let Some(row) = done.first() {
            let (first, last) = (read::unsigned(row, 0, self.op)?, read::unsigned(row, 1, self.op)?);
            return self.range(first, last).await;
        }
        let rows = AuditRow::chain(head, &batch.drafts);
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(rows) };
        self.insert(&rows).await?;
        self.count(&rows).await?;
        let sql = "INSERT INTO cloakroom.audit_writer (writer, batch, at, first_seq, last_seq) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, \
                   at = excluded.at, first_seq = excluded.first_seq, last_seq = excluded.last_seq";
        let (number_, at) = (number(batch.number), batch.at.as_millis());
        self.ask(sql, &[&writer, &number_, &at, &number(first.seq), &number(last.seq)]).await?;
        let sql = "UPDATE cloakroom.audit_head SET seq = $1, hash = $2 WHERE id = 1";
        self.ask(sql, &[&number(last.seq), &last.hash.as_bytes().as_slice()]).await?;
        Ok(rows)
    }

    async fn range(&mut self, first: u64, last: u64) -> Result<Vec<AuditRow>, AuditError> {
        let sql =
            format!("SELECT {COLUMNS} FROM cloakroom.audit_event WHERE seq BETWEEN $1 AND $2 ORDER BY seq");
        let rows = self.ask(&sql, &[&number(first), &number(last)]).await?;
        rows.iter().map(|row| read::event(row, self.op)).collect()
    }

    /// All of them in one statement: an array for each column.
    async fn insert(&mut self, rows: &[AuditRow]) -> Result<(), AuditError> {
        let numbers = |of: fn(&AuditRow) -> i64| rows.iter().map(of).collect::<Vec<i64>>();
        let sql = "INSERT INTO cloakroom.audit_event (seq, at, event, principal, session, actor_kind, actor_id, \
                   reason, ip, user_agent, detail, prev, hash) SELECT * FROM unnest($1::bigint[], $2::bigint[], \
                   $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], \
                   $10::text[], $11::text[], $12::bytea[], $13::bytea[])";
        let required: [Vec<&str>; 3] = [
            rows.iter().map(|row| row.event.as_str()).collect(),
            rows.iter().map(|row| row.actor_kind.as_str()).collect(),
            rows.iter().map(|row| row.detail.as_str()).collect(),
        ];
        let optional: [Vec<Option<&str>>; 6] = [
            rows.iter().map(|row| row.principal.as_deref()).collect(),
            rows.iter().map(|row| row.session.as_deref()).collect(),
            rows.iter().map(|row| row.actor_id.as_deref()).collect(),
            rows.iter().map(|row| row.reason.as_deref()).collect(),
            rows.iter().map(|row| row.ip.as_deref()).collect(),
            rows.iter().map(|row| row.user_agent.as_deref()).collect(),
        ];
        let hashes: [Vec<&[u8]>; 2] = [
            rows.iter().map(|row| row.prev.as_bytes().as_slice()).collect(),
            rows.iter().map(|row| row.hash.as_bytes().as_slice()).collect(),
        ];
        let (seqs, instants) = (numbers(|row| number(row.seq)), numbers(|row| row.at.as_millis()));
        let [event, actor_kind, detail] = &required;
        let [principal, session, actor_id, reason, ip, user_agent] = &optional;
        let [prev, hash] = &hashes;
        self.ask(
            sql,
            &[
                &seqs, &instants, event, principal, session, actor_kind, actor_id, reason, ip, user_agent,
                detail, prev, hash,
            ],
        )
        .await
        .map(drop)
    }

    /// Adds a batch to the counts, and its minutes to where their events are.
    async fn count(&mut self, rows: &[AuditRow]) -> Result<(), AuditError> {
        let Tally { counts, minutes } = Tally::of(rows);
        let sql = "INSERT INTO cloakroom.audit_count AS present (minute, event, reason, number) \
                   SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[]) \
                   ON CONFLICT (minute, event, reason) DO UPDATE SET number = present.number + excluded.number";
        let at: Vec<i64> = counts.keys().map(|(minute, ..)| minute.as_millis()).collect();
        let events: Vec<&str> = counts.keys().map(|(_, event, _)| event.as_str()).collect();
        let reasons: Vec<&str> = counts.keys().map(|(.., reason)| reason.as_str()).collect();
        let times: Vec<i64> = counts.values().map(|times| number(*times)).collect();
        self.ask(sql, &[&at, &events, &reasons, &times]).await?;
        let sql = "INSERT INTO cloakroom.audit_minute AS present (minute, first_seq, last_seq) \
                   SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) ON CONFLICT (minute) DO UPDATE \
                   SET first_seq = least(present.first_seq, excluded.first_seq), \
                       last_seq = greatest(present.last_seq, excluded.last_seq)";
        let at: Vec<i64> = minutes.keys().map(|minute| minute.as_millis()).collect();
        let firsts: Vec<i64> = minutes.values().map(|(first, _)| number(*first)).collect();
        let lasts: Vec<i64> = minutes.values().map(|(_, last)| number(*last)).collect();
        self.ask(sql, &[&at, &firsts, &lasts]).await.map(drop)
    }

    pub(super) async fn put_samples(&mut self, samples: &[Sample]) -> Result<(), AuditError> {
        let sql = "INSERT INTO cloakroom.audit_sample (series, minute, node, value) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (series, minute, node) DO UPDATE SET value = excluded.value";
        for sample in samples {
            let minute = minute_of(sample.at).as_millis();
            self.ask(sql, &[&sample.series, &minute, &sample.node, &sample.value]).await?;
        }
        Ok(())
    }

    pub(super) async fn put_seal(&mut self, seal: &Seal) -> Result<(), AuditError> {
        let sql = "INSERT INTO cloakroom.audit_seal (key_id, seq, hash, at, signature) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (key_id, seq) DO UPDATE SET hash = excluded.hash, at = excluded.at, \
                   signature = excluded.signature";
        let (key, seq, at) = (seal.key.as_str(), number(seal.seq), seal.at.as_millis());
        let (hash, signature) = (seal.hash.as_bytes().as_slice(), seal.signature.as_bytes().as_slice());
        self.ask(sql, &[&key, &seq, &hash, &at, &signature]).await?;
        let sql = "DELETE FROM cloakroom.audit_seal WHERE key_id = $1 AND seq <= (SELECT seq FROM \
                   cloakroom.audit_seal WHERE key_id = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)";
        self.ask(sql, &[&key, &i64::from(SEALS_KEPT)]).await.map(drop)
    }

    pub(super) async fn prune(&mut self, prune: &Prune) -> Result<Option<Vec<AuditRow>>, AuditError> {
        let head = self.lock_head().await?;
        let present = read::checkpoint(&self.ask(read::CHECKPOINT, &[]).await?, self.op)?;
        if present.map(|checkpoint| checkpoint.through) != prune.follows {
            return Ok(None);
        }
        let checkpoint = &prune.checkpoint;
        let through = number(checkpoint.through);
        for sql in [
            "DELETE FROM cloakroom.audit_event WHERE seq <= $1",
            "DELETE FROM cloakroom.audit_seal WHERE seq <= $1",
            "DELETE FROM cloakroom.audit_minute WHERE last_seq <= $1",
        ] {
            self.ask(sql, &[&through]).await?;
        }
        let sql = "INSERT INTO cloakroom.audit_checkpoint (id, through, hash, removed, at, key_id, signature) \
                   VALUES (1, $1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET through = excluded.through, \
                   hash = excluded.hash, removed = excluded.removed, at = excluded.at, \
                   key_id = excluded.key_id, signature = excluded.signature";
        let (removed, at) = (number(checkpoint.removed), checkpoint.at.as_millis());
        let (hash, key) = (checkpoint.hash.as_bytes().as_slice(), checkpoint.key.as_str());
        let signature = checkpoint.signature.as_bytes().as_slice();
        self.ask(sql, &[&through, &hash, &removed, &at, &key, &signature]).await?;
        self.append_behind(head, &prune.batch).await.map(Some)
    }

    pub(super) async fn forget(&mut self, before: Timestamp) -> Result<(), AuditError> {
        let minute = minute_of(before).as_millis();
        self.ask("DELETE FROM cloakroom.audit_count WHERE minute < $1", &[&minute]).await?;
        self.ask("DELETE FROM cloakroom.audit_sample WHERE minute < $1", &[&minute]).await?;
        self.ask("DELETE FROM cloakroom.audit_writer WHERE at < $1", &[&before.as_millis()]).await.map(drop)
    }
}
