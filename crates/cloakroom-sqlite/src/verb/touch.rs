//! Writing activity down.

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{Touch, TouchReport};
use rusqlite::params;

use crate::error::Problem;
use crate::transaction::Transaction;

/// Touches in the order of their digests, so that neighbours in the index are written together; those of the same
/// session stay in their order.
pub(crate) fn sorted(touches: &[Touch]) -> Vec<Touch> {
    let mut touches = touches.to_vec();
    touches.sort_by_key(|touch| touch.digest);
    touches
}

pub(crate) fn touch(
    transaction: &Transaction<'_>,
    touches: &[Touch],
    now: Timestamp,
) -> Result<TouchReport, Problem> {
    // `cloakroom_core::judge` in SQL, for the sake of one statement instead of two. `last_seen_at` and what it is compared
    // with are in no index but `digest`: this writes one page.
    let mut statement = transaction.statement(
        "UPDATE session SET last_seen_at = min(?2, absolute_expires_at)
         WHERE digest = ?1 AND ended_at IS NULL
             AND last_seen_at < min(?2, absolute_expires_at)
             AND ?3 < absolute_expires_at AND ?3 - last_seen_at < idle_timeout
             AND created_at >= ?4 AND generation >= ?5",
    )?;
    let issued_before = transaction.epochs.issued_before().as_millis();
    let generation = transaction.epochs.oldest_generation().unwrap_or(0);
    let mut report = TouchReport::default();
    let mut moved: Option<TokenDigest> = None;
    for Touch { digest, seen_at } in touches {
        let seen_at = seen_at.as_millis();
        let rows = statement.execute(params![
            digest.to_bytes(),
            seen_at,
            now.as_millis(),
            issued_before,
            generation
        ])?;
        if rows == 0 {
            report.ignored += 1;
        } else if moved != Some(*digest) {
            report.touched += 1;
            moved = Some(*digest);
        }
    }
    Ok(report)
}
