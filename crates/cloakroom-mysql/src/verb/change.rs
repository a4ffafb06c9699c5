//! Replacing a record, with or without its token.

use cloakroom_core::{Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{Live, Rekeyed, Replaced, Retired, Verb, Version};
use mysql_async::Value;

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::{Filing, at, digest_bytes, id_bytes, name_bytes};

use super::Report;
use super::find::{Found, look};

/// A record to take the place of another.
#[derive(Debug)]
pub(crate) struct Change {
    /// What it shall be.
    pub(crate) filing: Filing,
    /// The version it was read at.
    pub(crate) version: Version,
    /// The instant of asking.
    pub(crate) now: Timestamp,
}

/// [`Store::replace`](cloakroom_store::Store::replace).
#[derive(Debug)]
pub(crate) struct Replace(pub(crate) Change);

impl Work for Replace {
    type Answer = Replaced;
    const VERB: Verb = Verb::Replace;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<Replaced, Problem> {
        let Self(change) = self;
        let answer = link.ask(REPLACE, change.replace_values()).await?;
        if answer.affected == 1 {
            return Ok(Replaced::Done(change.version.next()));
        }
        Ok(match change.why_not(link, change.filing.digest).await? {
            Why::Conflict(live) => Replaced::Conflict(live),
            Why::Ended(tombstone) => Replaced::Ended(tombstone),
            Why::Retired(retired) => Replaced::Retired(retired),
            Why::Unknown => Replaced::Unknown,
        })
    }
}

/// [`Store::rekey`](cloakroom_store::Store::rekey).
#[derive(Debug)]
pub(crate) struct Rekey {
    pub(crate) old: TokenDigest,
    pub(crate) change: Change,
}

impl Work for Rekey {
    type Answer = Rekeyed;
    const VERB: Verb = Verb::Rekey;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<Rekeyed, Problem> {
        let report = Report::of(link.ask(REKEY, self.values()).await?)?;
        match report.word.as_slice() {
            b"done" => return Ok(Rekeyed::Done(self.change.version.next())),
            b"taken" => return Ok(Rekeyed::AlreadyExists),
            b"look" => {}
            _ => return Err(Problem::Answer("a word that is known")),
        }
        Ok(match self.change.why_not(link, self.old).await? {
            Why::Conflict(live) => Rekeyed::Conflict(live),
            Why::Ended(tombstone) => Rekeyed::Ended(tombstone),
            Why::Retired(retired) => Rekeyed::Retired(retired),
            Why::Unknown => Rekeyed::Unknown,
        })
    }
}

impl Rekey {
    fn values(&self) -> Vec<Value> {
        let Change { filing, version, now } = &self.change;
        vec![
            digest_bytes(self.old),
            digest_bytes(filing.digest),
            Value::UInt(version.as_u64()),
            id_bytes(filing.id),
            name_bytes(filing.principal.as_ref()),
            at(filing.created_at),
            filing.idle_timeout(),
            filing.absolute_expires_at(),
            filing.retention(),
            filing.ip(),
            filing.body(),
            at(now.plus(filing.lifetime.tombstone_retention)),
            at(*now),
        ]
    }
}

/// Why a change was not made.
enum Why {
    Conflict(Live),
    Ended(Tombstone),
    Retired(Retired),
    Unknown,
}

impl Change {
    fn replace_values(&self) -> Vec<Value> {
        let filing = &self.filing;
        vec![
            filing.idle_timeout(),
            filing.absolute_expires_at(),
            filing.retention(),
            filing.ip(),
            filing.body(),
            filing.idle_timeout(),
            filing.absolute_expires_at(),
            digest_bytes(filing.digest),
            Value::UInt(self.version.as_u64()),
            at(self.now),
            id_bytes(filing.id),
            name_bytes(filing.principal.as_ref()),
            at(filing.created_at),
        ]
    }

    /// What there is instead of what the caller read, found after the change was not made.
    async fn why_not(&self, link: &mut Link, digest: TokenDigest) -> Result<Why, Problem> {
        match look(link, digest, self.now).await? {
            Found::Live(head, mut columns) if head.version != self.version => {
                head.live(&mut columns).map(Why::Conflict)
            }
            Found::Live(head, _) => {
                let filing = &self.filing;
                let is_same = (head.id, &head.principal, head.created_at)
                    == (filing.id, &filing.principal, filing.created_at);
                // Between the two statements somebody whose clock is behind moved its end.
                Err(if is_same {
                    Problem::Restless
                } else {
                    Problem::Misuse("the record of another session")
                })
            }
            Found::Ended(tombstone) => Ok(Why::Ended(tombstone)),
            Found::Retired(retired) => Ok(Why::Retired(retired)),
            Found::Unknown => Ok(Why::Unknown),
        }
    }
}

/// One statement, which commits by itself. No assignment reads a column that another one writes: in which order they
/// happen differs between SQL modes.
const REPLACE: &str = "
UPDATE session FORCE INDEX (session_digest)
SET version = version + 1, idle_timeout = ?, absolute_expires_at = ?, retention = ?, ip = ?, body = ?,
    due_at = LEAST(due_at, CAST(last_seen_at AS DECIMAL(20, 0)) + ?, ?)
WHERE digest = ? AND version = ? AND buried = 0 AND ? < expires_at AND id = ? AND principal <=> ? AND created_at = ?
    AND NOT EXISTS (
        SELECT 1 FROM epoch
        WHERE session.created_at < epoch.issued_before
            OR (epoch.issued_before IS NULL AND session.generation < epoch.number)
    )";
const REKEY: &str = "CALL session_rekey(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
