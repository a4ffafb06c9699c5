//! Counting sessions.

use cloakroom_core::Timestamp;
use cloakroom_store::Counts;
use rusqlite::params;

use crate::error::Problem;
use crate::transaction::Transaction;

pub(crate) fn count(transaction: &Transaction<'_>, now: Timestamp) -> Result<Counts, Problem> {
    let tombstones: i64 = transaction.statement(BURIED)?.query_row([], |row| row.get(0))?;
    let live = live(transaction, Timestamp::MAX, now)?;
    Ok(Counts { tombstones: number(tombstones), ..live })
}

/// How many sessions issued before an instant live.
///
/// Goes through an index, not through rows: one to two tenths of a microsecond for each session. In return there is no
/// counter that every insert and every end would have to change, and that could be wrong.
pub(crate) fn live(
    transaction: &Transaction<'_>,
    issued_before: Timestamp,
    now: Timestamp,
) -> Result<Counts, Problem> {
    let epochs = &transaction.epochs;
    let (dead_before, generation) =
        (epochs.issued_before().as_millis(), epochs.oldest_generation().unwrap_or(0));
    let scope = params![dead_before, issued_before.as_millis(), generation];
    let unburied = transaction
        .statement(UNBURIED)?
        .query_row(scope, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    // Those that time has ended since the last sweep: as few as sweeps are frequent.
    let scope = params![dead_before, issued_before.as_millis(), generation, now.as_millis()];
    let expired = transaction
        .statement(
            "SELECT count(*), coalesce(sum(principal IS NULL), 0) FROM session INDEXED BY session_live_due
             WHERE ended_at IS NULL AND created_at >= ?1 AND created_at < ?2 AND generation >= ?3
                 AND due_at <= ?4 AND (absolute_expires_at <= ?4 OR ?4 - last_seen_at >= idle_timeout)",
        )?
        .query_row(scope, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    let (all, anonymous) = (unburied.0 - expired.0, unburied.1 - expired.1);
    Ok(Counts { anonymous: number(anonymous), signed_in: number(all - anonymous), tombstones: 0 })
}

fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

const BURIED: &str = "SELECT count(*) FROM session INDEXED BY session_ended WHERE ended_at IS NOT NULL";
const UNBURIED: &str = "
    SELECT count(*), coalesce(sum(principal IS NULL), 0) FROM session INDEXED BY session_live
    WHERE ended_at IS NULL AND created_at >= ?1 AND created_at < ?2 AND generation >= ?3";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn counting_a_million_sessions_looks_at_no_row() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        schema::apply(&connection, std::path::Path::new("x.db"), schema::Fresh::Allowed).unwrap();
        for (sql, bounds) in [(BURIED, &[][..]), (UNBURIED, &[0, 0, 0][..])] {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let plan: String =
                statement.query_row(rusqlite::params_from_iter(bounds), |row| row.get(3)).unwrap();
            assert!(plan.contains("USING COVERING INDEX"), "{plan}");
        }
    }
}
