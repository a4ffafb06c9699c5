//! Whether the store can be written to.

use cloakroom_core::Timestamp;
use cloakroom_store::Verb;

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::Columns;

use super::Report;

/// A number for a handle that no other has: it only has to differ from those of other nodes, so that the server may
/// choose it.
#[derive(Debug)]
pub(crate) struct Number;

impl Work for Number {
    type Answer = i64;
    const VERB: Verb = Verb::Open;
    const EFFECT: Effect = Effect::Reads;

    async fn attempt(&self, link: &mut Link) -> Result<i64, Problem> {
        // UUID_SHORT: the server's number, the instant it was started, and a counter.
        let rows = link.ask("SELECT CAST(UUID_SHORT() AS SIGNED)", Vec::new()).await?.rows();
        let row = rows.into_iter().next().ok_or(Problem::Answer("a row"))?;
        Columns::of(row).integer("number")
    }
}

/// [`Store::ping`](cloakroom_store::Store::ping).
#[derive(Debug)]
pub(crate) struct Ping;

impl Work for Ping {
    type Answer = Option<Timestamp>;
    const VERB: Verb = Verb::Ping;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<Option<Timestamp>, Problem> {
        let mut report = Report::of(link.ask("CALL store_ping()", Vec::new()).await?)?;
        report.rest.instant("now").map(Some)
    }
}
