//! Writing activity down.

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{StoreError, Touch, TouchReport, Verb};

use super::Statements;
use crate::database::Database;
use crate::error::Problem;
use crate::map::column;

pub(crate) async fn touch(
    database: &Database,
    statements: &Statements,
    touches: &[Touch],
    now: Timestamp,
) -> Result<TouchReport, StoreError> {
    let latest = latest(touches);
    let digests: Vec<[u8; TokenDigest::LENGTH]> =
        latest.iter().map(|touch| touch.digest.to_bytes()).collect();
    let digests: Vec<&[u8]> = digests.iter().map(<[u8; TokenDigest::LENGTH]>::as_slice).collect();
    let seen_at: Vec<i64> = latest.iter().map(|touch| touch.seen_at.as_millis()).collect();
    database
        .write(Verb::Touch, &statements.touch, &[&digests, &seen_at, &now.as_millis()], |result| {
            let rows = result?;
            let moved: i64 = rows.first().map_or(Ok(0), |row| column(row, 0, "count"))?;
            let touched = usize::try_from(moved).map_err(|_| Problem::Column("count"))?;
            Ok(TouchReport { touched, ignored: touches.len().saturating_sub(touched) })
        })
        .await
}

/// The latest touch of each session, in the order of their digests.
fn latest(touches: &[Touch]) -> Vec<Touch> {
    let mut touches = touches.to_vec();
    touches.sort_unstable_by_key(|touch| (touch.digest, std::cmp::Reverse(touch.seen_at)));
    touches.dedup_by_key(|touch| touch.digest);
    touches
}

/// `cloakroom_core::judge` in SQL, for the sake of one statement. Rows are locked in the order of their digests, as
/// everywhere, and judged again once they are locked: what was read before may have ended meanwhile. What changes is in
/// no index: the new version of a row stays on its page (HOT).
pub(crate) const SQL: &str = "
    WITH horizon AS MATERIALIZED (SELECT issued_before, generation FROM cloakroom.horizon),
    locked AS MATERIALIZED (
        SELECT session.id, asked.seen_at
        FROM unnest($1::bytea[], $2::bigint[]) AS asked (digest, seen_at)
        JOIN cloakroom.session ON session.digest = asked.digest
        WHERE session.ended_at IS NULL
        ORDER BY session.digest
        FOR NO KEY UPDATE OF session
    ),
    moved AS (
        UPDATE cloakroom.session SET last_seen_at = LEAST(locked.seen_at, session.absolute_expires_at)
        FROM locked, horizon
        WHERE session.id = locked.id AND session.ended_at IS NULL
            AND session.last_seen_at < LEAST(locked.seen_at, session.absolute_expires_at)
            AND session.created_at >= horizon.issued_before AND session.generation >= horizon.generation
            AND cloakroom.expires_at(session.last_seen_at, session.idle_timeout, session.absolute_expires_at) > $3
        RETURNING 1
    )
    SELECT count(*) FROM moved";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_touches_of_one_session_the_latest_is_written_and_sessions_are_in_order() {
        let touch = |byte, millis| Touch {
            digest: TokenDigest::from_bytes(&[byte; TokenDigest::LENGTH]).unwrap(),
            seen_at: Timestamp::from_millis(millis),
        };
        let batch = [touch(9, 1), touch(3, 5), touch(9, 7), touch(3, 4), touch(9, 7)];
        assert_eq!(latest(&batch), [touch(3, 5), touch(9, 7)]);
    }
}
