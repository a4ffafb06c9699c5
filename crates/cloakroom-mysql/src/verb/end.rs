//! Ending by decision.

use cloakroom_core::{EndReason, Timestamp};
use cloakroom_store::{Ending, Selector, Verb};
use mysql_async::Value;

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::{at, id_bytes, name_bytes, stripe, word};

use super::Report;

/// [`Store::end`](cloakroom_store::Store::end).
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) selector: Selector,
    pub(crate) reason: EndReason,
    pub(crate) now: Timestamp,
}

impl Work for End {
    type Answer = Ending;
    const VERB: Verb = Verb::End;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<Ending, Problem> {
        let (reason, now) = (word(self.reason.as_str()), at(self.now));
        let (call, values) = match &self.selector {
            Selector::One(session) => (ONE, vec![id_bytes(*session), reason, now]),
            Selector::Principal { principal, except } => {
                let except = except.map_or(Value::NULL, id_bytes);
                (PRINCIPAL, vec![name_bytes(Some(principal)), stripe(principal), except, reason, now])
            }
            Selector::IssuedBefore(instant) => (ALL, vec![at(*instant), reason, now]),
            Selector::All => (ALL, vec![Value::NULL, reason, now]),
            _ => return Err(Problem::Misuse("a selector that this store does not know")),
        };
        let mut report = Report::of(link.ask(call, values).await?)?;
        let swept_later = if call == ALL { report.rest.integer("refused")? } else { 0 };
        Ok(Ending { ended: report.ended, swept_later: u64::try_from(swept_later).unwrap_or(0) })
    }
}

const ONE: &str = "CALL session_end(?, ?, ?)";
const PRINCIPAL: &str = "CALL session_end_principal(?, ?, ?, ?, ?)";
const ALL: &str = "CALL session_end_all(?, ?, ?)";
