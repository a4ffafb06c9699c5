//! Clearing up, and finding out whether anything can be written.

use cloakroom_core::Timestamp;
use cloakroom_store::{StoreError, SweepRequest, Swept, Verb};
use tokio_postgres::Row;

use super::Statements;
use crate::database::Database;
use crate::error::Problem;
use crate::map::{column, ended, instant, millis};

/// One round, by the handle with this name.
pub(crate) async fn sweep(
    database: &Database,
    statements: &Statements,
    request: SweepRequest,
    handle: &str,
) -> Result<Swept, StoreError> {
    let SweepRequest { now, limit, lease } = request;
    let limit = i32::try_from(limit.clamp(1, MOST_AT_ONCE)).unwrap_or(i32::MAX);
    database
        .write(
            Verb::Sweep,
            &statements.sweep,
            &[&now.as_millis(), &limit, &millis(lease), &handle],
            |result| answer(&result?),
        )
        .await
}

fn answer(rows: &[Row]) -> Result<Swept, Problem> {
    let (last, found) = rows.split_last().ok_or(Problem::Column("kind"))?;
    // A row that cannot be read is over like the others; there is nobody to report it about.
    let ended = found.iter().filter_map(|row| ended(row, 1).ok()).collect();
    let removed: i64 = column(last, 5, "removed")?;
    Ok(Swept {
        ended,
        removed: usize::try_from(removed).map_err(|_| Problem::Column("removed"))?,
        more: column(last, 6, "more")?,
        elsewhere: column::<&str>(last, 0, "kind")? == "elsewhere",
    })
}

/// Changes something, and reads the server's clock.
pub(crate) async fn ping(database: &Database, statements: &Statements) -> Result<Timestamp, StoreError> {
    database
        .write(Verb::Ping, &statements.ping, &[], |result| {
            let rows = result?;
            rows.first().ok_or(Problem::Column("instant")).and_then(|row| instant(row, 0))
        })
        .await
}

/// The last row of a round also forgets what nobody has to be told any more. Not inside the function, which is older.
pub(crate) const SQL: &str = "
    SELECT
        kind, id, principal, ended_at, end_reason, removed,
        CASE WHEN kind = 'round' THEN more OR cloakroom.forget_changes() ELSE more END
    FROM cloakroom.sweep($1, $2, $3, $4)";
pub(crate) const PING: &str = "
    UPDATE cloakroom.heartbeat SET pings = pings + 1
    RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
/// A tenth of a second's work or so: far from the deadline, and other writers of the same rows wait no longer.
const MOST_AT_ONCE: usize = 4_096;
