//! Filing a new session.

use cloakroom_core::{OnLimit, SessionId, SessionLimit, Timestamp};
use cloakroom_store::{Inserted, Verb};
use mysql_async::Value;

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::{Filing, at, digest_bytes, id_bytes, name_bytes, stripe, word};

use super::Report;

/// [`Store::insert`](cloakroom_store::Store::insert).
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) filing: Filing,
    pub(crate) limit: Option<SessionLimit>,
    pub(crate) replaces: Option<SessionId>,
    pub(crate) now: Timestamp,
}

impl Work for Insert {
    type Answer = Inserted;
    const VERB: Verb = Verb::Insert;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<Inserted, Problem> {
        let report = Report::of(link.ask(CALL, self.values()).await?)?;
        match report.word.as_slice() {
            b"done" => Ok(Inserted::Done { ended: report.ended }),
            b"taken" => Ok(Inserted::AlreadyExists),
            b"limit" => Ok(Inserted::LimitReached),
            _ => Err(Problem::Answer("a word that is known")),
        }
    }
}

impl Insert {
    fn values(&self) -> Vec<Value> {
        let filing = &self.filing;
        let on_limit = match self.limit.map(|limit| limit.on_limit).unwrap_or_default() {
            OnLimit::EndOldest => "end_oldest",
            OnLimit::EndIdlest => "end_idlest",
            OnLimit::Refuse => "refuse",
        };
        vec![
            digest_bytes(filing.digest),
            id_bytes(filing.id),
            name_bytes(filing.principal.as_ref()),
            at(filing.created_at),
            filing.idle_timeout(),
            filing.absolute_expires_at(),
            filing.retention(),
            at(filing.expires_at(filing.created_at)),
            filing.ip(),
            filing.body(),
            filing.principal.as_ref().map_or(Value::NULL, stripe),
            Value::Int(self.limit.map_or(0, |limit| i64::from(limit.max.get()))),
            word(on_limit),
            self.replaces.map_or(Value::NULL, id_bytes),
            at(self.now),
        ]
    }
}

const CALL: &str = "CALL session_insert(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
