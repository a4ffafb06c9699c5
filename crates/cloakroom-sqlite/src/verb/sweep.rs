//! Clearing up.

use cloakroom_core::Timestamp;
use cloakroom_store::{SweepRequest, Swept};
use rusqlite::{Params, params};

use crate::error::Problem;
use crate::map::{Head, head};
use crate::transaction::Transaction;

use super::end::bury;

/// One round, by the handle with this number.
pub(crate) fn sweep(
    transaction: &mut Transaction<'_>,
    request: SweepRequest,
    handle: i64,
) -> Result<Swept, Problem> {
    let now = request.now;
    if !request.lease.is_zero() && !take_lease(transaction, request, handle)? {
        return Ok(Swept { elsewhere: true, ..Swept::default() });
    }
    let mut round = Round { now, left: request.limit.max(1), swept: Swept::default() };
    round.bury_what_epochs_ended(transaction)?;
    round.bury_what_time_ended(transaction)?;
    round.remove_tombstones(transaction)?;
    round.remove_retired(transaction)?;
    round.swept.more = round.left == 0 && is_anything_due(transaction, now)?;
    Ok(round.swept)
}

/// Changes something, to find out whether anything can be.
pub(crate) fn ping(transaction: &Transaction<'_>) -> Result<(), Problem> {
    transaction.statement("UPDATE housekeeping SET pings = pings + 1")?.execute([])?;
    Ok(())
}

/// What a round may still look at, and what it did.
#[derive(Debug)]
struct Round {
    now: Timestamp,
    left: usize,
    swept: Swept,
}

impl Round {
    fn bury_what_epochs_ended(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Problem> {
        let sql = concat!(
            "SELECT ",
            head!(),
            " FROM session INDEXED BY session_live WHERE ended_at IS NULL AND created_at < ?1
              ORDER BY created_at LIMIT ?2"
        );
        let issued_before = transaction.epochs.issued_before().as_millis();
        self.bury(transaction, sql, issued_before)?;
        let Some(generation) = transaction.epochs.oldest_generation() else { return Ok(()) };
        let sql = concat!(
            "SELECT ",
            head!(),
            " FROM session INDEXED BY session_live WHERE ended_at IS NULL AND generation < ?1
              ORDER BY created_at LIMIT ?2"
        );
        self.bury(transaction, sql, generation)?;
        if self.left > 0 {
            transaction.epochs.forget_finished(transaction.connection())?;
        }
        Ok(())
    }

    fn bury_what_time_ended(&mut self, transaction: &Transaction<'_>) -> Result<(), Problem> {
        let sql = concat!(
            "SELECT ",
            head!(),
            " FROM session INDEXED BY session_live_due WHERE ended_at IS NULL AND due_at <= ?1
              ORDER BY due_at LIMIT ?2"
        );
        self.bury(transaction, sql, self.now.as_millis())
    }

    /// Buries those of the rows that are over, and says of the others when to come back.
    fn bury(&mut self, transaction: &Transaction<'_>, sql: &str, bound: i64) -> Result<(), Problem> {
        let mut statement = transaction.statement(sql)?;
        let mut rows = statement.query(params![bound, sql_limit(self.left)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push((row.get::<_, i64>(0)?, Head::read(row)));
        }
        drop(rows);
        self.left = self.left.saturating_sub(found.len());
        for (rowid, head) in found {
            match head {
                Ok(head) => self.bury_one(transaction, &head)?,
                // Nothing can be said of it, so nothing is left of it; whoever holds its token could not be let in
                // before either.
                Err(_) => {
                    self.swept.removed +=
                        remove(transaction, "DELETE FROM session WHERE rowid = ?1", [rowid])?
                }
            }
        }
        Ok(())
    }

    fn bury_one(&mut self, transaction: &Transaction<'_>, head: &Head) -> Result<(), Problem> {
        match head.over(&transaction.epochs, self.now) {
            Some(tombstone) => self.swept.ended.push(bury(transaction, head, tombstone)?),
            None => {
                let mut statement =
                    transaction.statement("UPDATE session SET due_at = ?2 WHERE rowid = ?1")?;
                statement.execute(params![head.rowid, head.expires_at().as_millis()])?;
            }
        }
        Ok(())
    }

    fn remove_tombstones(&mut self, transaction: &Transaction<'_>) -> Result<(), Problem> {
        let sql = "DELETE FROM session WHERE rowid IN (
                       SELECT rowid FROM session INDEXED BY session_ended_due
                       WHERE ended_at IS NOT NULL AND due_at <= ?1 ORDER BY due_at LIMIT ?2)";
        let removed = remove(transaction, sql, params![self.now.as_millis(), sql_limit(self.left)])?;
        self.left = self.left.saturating_sub(removed);
        self.swept.removed += removed;
        Ok(())
    }

    /// Removes exchanged tokens after their retention, whether or not their session lives: whoever rotates often keeps no
    /// more of them than of one retention.
    fn remove_retired(&mut self, transaction: &Transaction<'_>) -> Result<(), Problem> {
        let sql = "DELETE FROM retired WHERE rowid IN (
                       SELECT rowid FROM retired INDEXED BY retired_due WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2)";
        let removed = remove(transaction, sql, params![self.now.as_millis(), sql_limit(self.left)])?;
        self.left = self.left.saturating_sub(removed);
        self.swept.removed += removed;
        Ok(())
    }
}

/// Takes or renews the lease; whether nobody else has it.
fn take_lease(transaction: &Transaction<'_>, request: SweepRequest, handle: i64) -> Result<bool, Problem> {
    let now = request.now;
    let until = now.plus(request.lease);
    // A lease that ends later than one taken now would is from a clock that was ahead: it binds nobody.
    let mut statement = transaction.statement(
        "UPDATE housekeeping SET sweeper = ?1, sweeper_until = ?3
         WHERE sweeper = ?1 OR sweeper_until <= ?2 OR sweeper_until > ?3",
    )?;
    Ok(statement.execute(params![handle, now.as_millis(), until.as_millis()])? == 1)
}

fn is_anything_due(transaction: &Transaction<'_>, now: Timestamp) -> Result<bool, Problem> {
    let mut statement = transaction.statement(
        "SELECT EXISTS (SELECT 1 FROM session INDEXED BY session_live_due WHERE ended_at IS NULL AND due_at <= ?1)
             OR EXISTS (SELECT 1 FROM session INDEXED BY session_ended_due WHERE ended_at IS NOT NULL AND due_at <= ?1)
             OR EXISTS (SELECT 1 FROM retired WHERE due_at <= ?1)
             OR EXISTS (SELECT 1 FROM session INDEXED BY session_live WHERE ended_at IS NULL AND created_at < ?2)
             OR EXISTS (SELECT 1 FROM session INDEXED BY session_live WHERE ended_at IS NULL AND generation < ?3)",
    )?;
    let epochs = &transaction.epochs;
    let (issued_before, generation) =
        (epochs.issued_before().as_millis(), epochs.oldest_generation().unwrap_or(0));
    Ok(statement.query_row(params![now.as_millis(), issued_before, generation], |row| row.get(0))?)
}

fn remove(transaction: &Transaction<'_>, sql: &str, parameters: impl Params) -> Result<usize, Problem> {
    Ok(transaction.statement(sql)?.execute(parameters)?)
}

pub(super) fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
