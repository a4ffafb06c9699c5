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

pub(crate) const SQL: &str = "SELECT cloakroom.touch_sessions($1, $2, $3)";

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
