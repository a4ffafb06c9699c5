//! Counting sessions.

use cloakroom_core::Timestamp;
use cloakroom_store::{Counts, StoreError, Verb};
use tokio_postgres::Row;

use super::Statements;
use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::map::column;

pub(crate) async fn count(
    database: &Database,
    statements: &Statements,
    now: Timestamp,
) -> Result<Counts, StoreError> {
    let rows = database.read(Verb::Count, &statements.count, &[&now.as_millis()]).await?;
    let counts = rows.first().ok_or(Problem::Column("count")).and_then(answer);
    counts.map_err(|problem| problem.into_error(Verb::Count, Sent::Reading))
}

fn answer(row: &Row) -> Result<Counts, Problem> {
    let number = |index| -> Result<u64, Problem> {
        let count: i64 = column(row, index, "count")?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    let (all, anonymous) = (number(0)?, number(1)?);
    Ok(Counts { anonymous, signed_in: all.saturating_sub(anonymous), tombstones: number(2)? })
}

/// Through indexes, not through rows, wherever vacuum has been: no counter that every insert and every end would have to
/// change, and that could be wrong.
pub(crate) const SQL: &str = "
    WITH unburied AS (
        SELECT count(*) AS every, count(*) FILTER (WHERE anonymous) AS anonymous
        FROM cloakroom.session
        WHERE ended_at IS NULL AND created_at >= (SELECT issued_before FROM cloakroom.horizon)
            AND generation >= (SELECT generation FROM cloakroom.horizon)
    ),
    expired AS (
        SELECT count(*) AS every, count(*) FILTER (WHERE anonymous) AS anonymous
        FROM cloakroom.session
        WHERE ended_at IS NULL AND created_at >= (SELECT issued_before FROM cloakroom.horizon)
            AND generation >= (SELECT generation FROM cloakroom.horizon) AND due_at <= $1
            AND cloakroom.expires_at(last_seen_at, idle_timeout, absolute_expires_at) <= $1
    )
    SELECT
        unburied.every - expired.every, unburied.anonymous - expired.anonymous,
        (SELECT count(*) FROM cloakroom.session WHERE ended_at IS NOT NULL)
    FROM unburied, expired";
