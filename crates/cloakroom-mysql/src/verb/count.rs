//! Counting sessions.

use cloakroom_core::Timestamp;
use cloakroom_store::{Counts, Verb};

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::{Columns, at};

/// [`Store::count`](cloakroom_store::Store::count).
///
/// Goes through an index, not through rows. In return there is no counter that every insert and every end would have to
/// change, and that could be wrong.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) now: Timestamp,
}

impl Work for Count {
    type Answer = Counts;
    const VERB: Verb = Verb::Count;
    const EFFECT: Effect = Effect::Reads;

    async fn attempt(&self, link: &mut Link) -> Result<Counts, Problem> {
        let answer = link.ask(COUNT, vec![at(self.now), at(self.now)]).await?;
        let row = answer.rows().into_iter().next().ok_or(Problem::Answer("a row"))?;
        let mut columns = Columns::of(row);
        let mut number = |name| columns.integer(name).map(|count| u64::try_from(count).unwrap_or(0));
        let (all, signed_in) = (number("live")?, number("signed_in")?);
        let (expired, expired_signed_in) = (number("expired")?, number("expired_signed_in")?);
        let signed_in = signed_in.saturating_sub(expired_signed_in);
        let all = all.saturating_sub(expired);
        Ok(Counts { anonymous: all.saturating_sub(signed_in), signed_in, tombstones: number("tombstones")? })
    }
}

const COUNT: &str = "
SELECT live.number, live.signed_in, expired.number AS expired, expired.signed_in AS expired_signed_in,
    (SELECT COUNT(*) FROM session FORCE INDEX (session_order) WHERE buried = 1) AS tombstones
FROM (
    SELECT COUNT(*) AS number, CAST(COALESCE(SUM(signed_in), 0) AS SIGNED) AS signed_in
    FROM session FORCE INDEX (session_order)
    WHERE buried = 0
        AND created_at >= (SELECT COALESCE(MAX(issued_before), -9223372036854775808) FROM epoch)
        AND generation >= (SELECT COALESCE(MAX(IF(issued_before IS NULL, number, 0)), 0) FROM epoch)
) AS live
CROSS JOIN (
    SELECT COUNT(*) AS number, CAST(COALESCE(SUM(signed_in), 0) AS SIGNED) AS signed_in
    FROM session FORCE INDEX (session_due)
    WHERE buried = 0 AND due_at <= ? AND expires_at <= ?
        AND created_at >= (SELECT COALESCE(MAX(issued_before), -9223372036854775808) FROM epoch)
        AND generation >= (SELECT COALESCE(MAX(IF(issued_before IS NULL, number, 0)), 0) FROM epoch)
) AS expired";
