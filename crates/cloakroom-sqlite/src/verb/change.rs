//! Replacing a record, with or without its token.

use cloakroom_core::{Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{Live, Rekeyed, Replaced, Retired, Version};
use rusqlite::{ToSql, params, params_from_iter};

use crate::error::Problem;
use crate::map::{Filing, Head};
use crate::transaction::Transaction;

use super::find::{retired, with_row};

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

/// Replaces the record filed under the digest of the change.
pub(crate) fn replace(transaction: &Transaction<'_>, change: &Change) -> Result<Replaced, Problem> {
    match look(transaction, &change.filing.digest, change)? {
        Found::Current(head) => {
            write(transaction, &head, &change.filing, head.last_seen_at, Token::Stays).map(Replaced::Done)
        }
        Found::Conflict(live) => Ok(Replaced::Conflict(live)),
        Found::Ended(tombstone) => Ok(Replaced::Ended(tombstone)),
        Found::Retired(retired) => Ok(Replaced::Retired(retired)),
        Found::Unknown => Ok(Replaced::Unknown),
    }
}

/// Replaces the record filed under `old`, and files it under the digest of the change.
pub(crate) fn rekey(
    transaction: &Transaction<'_>,
    old: TokenDigest,
    change: &Change,
) -> Result<Rekeyed, Problem> {
    let Change { filing, now, .. } = change;
    match look(transaction, &old.to_bytes(), change)? {
        Found::Current(_) if is_taken(transaction, filing)? => Ok(Rekeyed::AlreadyExists),
        Found::Current(head) => {
            let seen_at = head.last_seen_at.max(filing.lifetime.absolute_expires_at.min(*now));
            let next = write(transaction, &head, filing, seen_at, Token::IsExchanged)?;
            retire(transaction, &head, old, change)?;
            Ok(Rekeyed::Done(next))
        }
        Found::Conflict(live) => Ok(Rekeyed::Conflict(live)),
        Found::Ended(tombstone) => Ok(Rekeyed::Ended(tombstone)),
        Found::Retired(retired) => Ok(Rekeyed::Retired(retired)),
        Found::Unknown => Ok(Rekeyed::Unknown),
    }
}

/// What there is under the digest that a change names.
enum Found {
    /// The session, live and at the version of the change.
    Current(Box<Head>),
    Conflict(Live),
    Ended(Tombstone),
    Retired(Retired),
    Unknown,
}

fn look(
    transaction: &Transaction<'_>,
    digest: &[u8; TokenDigest::LENGTH],
    change: &Change,
) -> Result<Found, Problem> {
    let filing = &change.filing;
    let found = with_row(transaction, digest, |head, row| {
        if let Some(tombstone) = head.over(&transaction.epochs, change.now) {
            return Ok(Found::Ended(tombstone));
        }
        if head.version != change.version {
            return head.live(row, Head::COLUMNS).map(Found::Conflict);
        }
        if (head.id, &head.principal, head.created_at) != (filing.id, &filing.principal, filing.created_at) {
            return Err(Problem::Misuse("the record of another session"));
        }
        Ok(Found::Current(Box::new(head)))
    })?;
    match found {
        Some(found) => Ok(found),
        None => Ok(retired(transaction, digest)?.map_or(Found::Unknown, Found::Retired)),
    }
}

/// What a change writes.
macro_rules! columns {
    () => {
        "version = ?2, last_seen_at = ?3, idle_timeout = ?4, absolute_expires_at = ?5, retention = ?6, ip = ?7, \
         body = ?8"
    };
}

fn is_taken(transaction: &Transaction<'_>, filing: &Filing) -> Result<bool, Problem> {
    let mut statement = transaction.statement(
        "SELECT EXISTS (SELECT 1 FROM session WHERE digest = ?1) OR EXISTS (SELECT 1 FROM retired WHERE digest = ?1)",
    )?;
    Ok(statement.query_row([filing.digest], |row| row.get(0))?)
}

/// Whether a record stays under its digest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Stays,
    IsExchanged,
}

fn write(
    transaction: &Transaction<'_>,
    head: &Head,
    filing: &Filing,
    last_seen_at: Timestamp,
    token: Token,
) -> Result<Version, Problem> {
    let next = head.version.next();
    // Naming a column rewrites its indices; and in one statement with the rest, an exchange is one change.
    let sql = match token {
        Token::Stays => concat!("UPDATE session SET ", columns!(), " WHERE rowid = ?1"),
        Token::IsExchanged => concat!("UPDATE session SET ", columns!(), ", digest = ?9 WHERE rowid = ?1"),
    };
    let version = i64::try_from(next.as_u64()).map_err(|_| Problem::Column("version"))?;
    let values: [&dyn ToSql; 9] = [
        &head.rowid,
        &version,
        &last_seen_at.as_millis(),
        &filing.idle_timeout(),
        &filing.lifetime.absolute_expires_at.as_millis(),
        &filing.retention(),
        &filing.ip,
        &filing.body,
        &filing.digest,
    ];
    let count = if token == Token::Stays { values.len() - 1 } else { values.len() };
    transaction.statement(sql)?.execute(params_from_iter(values.into_iter().take(count)))?;
    if filing.lifetime != head.lifetime {
        let mut statement =
            transaction.statement("UPDATE session SET due_at = ?2 WHERE rowid = ?1 AND due_at > ?2")?;
        statement.execute(params![head.rowid, filing.expires_at(last_seen_at).as_millis()])?;
    }
    Ok(next)
}

/// Remembers the token that a session had.
fn retire(
    transaction: &Transaction<'_>,
    head: &Head,
    old: TokenDigest,
    change: &Change,
) -> Result<(), Problem> {
    let Change { filing, now, .. } = change;
    let mut statement = transaction.statement(
        "INSERT INTO retired (digest, id, rotated_at, keep_until, due_at) VALUES (?1, ?2, ?3, ?4, ?4)",
    )?;
    let keep_until = now.plus(filing.lifetime.tombstone_retention);
    statement.execute(params![
        old.to_bytes(),
        head.id.as_bytes(),
        now.as_millis(),
        keep_until.as_millis()
    ])?;
    Ok(())
}
