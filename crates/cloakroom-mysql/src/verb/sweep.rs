//! Clearing up.

use cloakroom_store::{SweepRequest, Swept, Verb};
use mysql_async::Value;

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::at;

use super::Report;

/// [`Store::sweep`](cloakroom_store::Store::sweep), by the handle with this number.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) request: SweepRequest,
    pub(crate) handle: i64,
}

impl Work for Sweep {
    type Answer = Swept;
    const VERB: Verb = Verb::Sweep;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<Swept, Problem> {
        let SweepRequest { now, limit, lease } = self.request;
        let until = if lease.is_zero() { Value::NULL } else { at(now.plus(lease)) };
        let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        let values = vec![Value::Int(self.handle), until, Value::Int(limit), at(now)];
        let mut report = Report::of(link.ask("CALL session_sweep(?, ?, ?, ?)", values).await?)?;
        if report.word == b"elsewhere" {
            return Ok(Swept { elsewhere: true, ..Swept::default() });
        }
        let removed = usize::try_from(report.rest.integer("removed")?).unwrap_or(0);
        let more = report.rest.integer("more")? != 0;
        Ok(Swept { ended: report.ended, removed, more, elsewhere: false })
    }
}
