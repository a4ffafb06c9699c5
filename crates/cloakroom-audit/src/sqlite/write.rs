//! Writing the log's tables, each time within a transaction that holds the file's write lock.

use cloakroom_core::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, named_params, params};

use super::read::{self, number};
use crate::row::minute_of;
use crate::{AuditRow, Batch, Prune, SEALS_KEPT, Sample, Seal, Tally};

pub(super) fn append(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<Vec<AuditRow>> {
    let sql = "SELECT first, last FROM audit_writers WHERE writer = ?1 AND batch >= ?2";
    let mut statement = transaction.prepare_cached(sql)?;
    let values = params![batch.writer.as_bytes(), number(batch.number)];
    let done = statement.query_row(values, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((first, last)) = done {
        return read::range(transaction, first, last);
    }
    let rows = AuditRow::chain(read::head(transaction)?, &batch.drafts);
    for row in &rows {
        insert(transaction, row)?;
    }
    count(transaction, &rows)?;
    if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
        let sql = "INSERT OR REPLACE INTO audit_writers (writer, batch, at, first, last) VALUES (?1, ?2, ?3, ?4, ?5)";
        let values = params![
            batch.writer.as_bytes(),
            number(batch.number),
            batch.at.as_millis(),
            number(first.seq),
            number(last.seq)
        ];
        transaction.prepare_cached(sql)?.execute(values)?;
    }
    Ok(rows)
}

fn insert(transaction: &Transaction<'_>, row: &AuditRow) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit_events (seq, at, event, principal, session, actor_kind, actor_id, reason, ip, \
               user_agent, detail, prev, hash) VALUES (:seq, :at, :event, :principal, :session, :actor_kind, \
               :actor_id, :reason, :ip, :user_agent, :detail, :prev, :hash)";
    transaction.prepare_cached(sql)?.execute(named_params! {
        ":seq": number(row.seq),
        ":at": row.at.as_millis(),
        ":event": row.event,
        ":principal": row.principal,
        ":session": row.session,
        ":actor_kind": row.actor_kind,
        ":actor_id": row.actor_id,
        ":reason": row.reason,
        ":ip": row.ip,
        ":user_agent": row.user_agent,
        ":detail": row.detail,
        ":prev": row.prev.as_bytes(),
        ":hash": row.hash.as_bytes(),
    })?;
    Ok(())
}

/// Adds a batch to the counts, and its minutes to where their events are.
fn count(transaction: &Transaction<'_>, rows: &[AuditRow]) -> rusqlite::Result<()> {
    let Tally { counts, minutes } = Tally::of(rows);
    for ((minute, event, reason), count) in counts {
        let sql = "INSERT INTO audit_counts (minute, event, reason, count) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT DO UPDATE SET count = count + excluded.count";
        let values = params![minute.as_millis(), event, reason, number(count)];
        transaction.prepare_cached(sql)?.execute(values)?;
    }
    for (minute, (first, last)) in minutes {
        let sql = "INSERT INTO audit_minutes (minute, first, last) VALUES (?1, ?2, ?3) \
                   ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)";
        let values = params![minute.as_millis(), number(first), number(last)];
        transaction.prepare_cached(sql)?.execute(values)?;
    }
    Ok(())
}

pub(super) fn put_samples(transaction: &Transaction<'_>, samples: &[Sample]) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO audit_samples (series, minute, node, value) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = transaction.prepare_cached(sql)?;
    for sample in samples {
        let minute = minute_of(sample.at).as_millis();
        statement.execute(params![sample.series, minute, sample.node, sample.value])?;
    }
    Ok(())
}

pub(super) fn put_seal(transaction: &Transaction<'_>, seal: &Seal) -> rusqlite::Result<()> {
    let sql =
        "INSERT OR REPLACE INTO audit_seals (key, seq, hash, at, signature) VALUES (?1, ?2, ?3, ?4, ?5)";
    transaction.prepare_cached(sql)?.execute(params![
        seal.key.as_str(),
        number(seal.seq),
        seal.hash.as_bytes(),
        seal.at.as_millis(),
        seal.signature.as_bytes()
    ])?;
    let sql = "DELETE FROM audit_seals WHERE key = ?1 AND seq <= \
               (SELECT seq FROM audit_seals WHERE key = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
    transaction.prepare_cached(sql)?.execute(params![seal.key.as_str(), SEALS_KEPT])?;
    Ok(())
}

pub(super) fn prune(transaction: &Transaction<'_>, prune: &Prune) -> rusqlite::Result<Option<Vec<AuditRow>>> {
    let present = read::checkpoint(transaction)?;
    if present.map(|checkpoint| checkpoint.through) != prune.follows {
        return Ok(None);
    }
    let checkpoint = &prune.checkpoint;
    let through = number(checkpoint.through);
    for sql in [
        "DELETE FROM audit_events WHERE seq <= ?1",
        "DELETE FROM audit_seals WHERE seq <= ?1",
        "DELETE FROM audit_minutes WHERE last <= ?1",
    ] {
        transaction.prepare_cached(sql)?.execute([through])?;
    }
    let sql = "INSERT OR REPLACE INTO audit_checkpoint (id, through, hash, removed, at, key, signature) \
               VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
    transaction.prepare_cached(sql)?.execute(params![
        through,
        checkpoint.hash.as_bytes(),
        number(checkpoint.removed),
        checkpoint.at.as_millis(),
        checkpoint.key.as_str(),
        checkpoint.signature.as_bytes()
    ])?;
    append(transaction, &prune.batch).map(Some)
}

pub(super) fn forget(transaction: &Transaction<'_>, before: Timestamp) -> rusqlite::Result<()> {
    let minute = minute_of(before).as_millis();
    transaction.prepare_cached("DELETE FROM audit_counts WHERE minute < ?1")?.execute([minute])?;
    transaction.prepare_cached("DELETE FROM audit_samples WHERE minute < ?1")?.execute([minute])?;
    transaction.prepare_cached("DELETE FROM audit_writers WHERE at < ?1")?.execute([before.as_millis()])?;
    Ok(())
}
