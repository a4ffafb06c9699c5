//! Replacing a record, with or without its token.

use cloakroom_core::{SessionRecord, Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{Live, Retired, StoreError, Verb, Version};
use tokio_postgres::Row;

use super::Statements;
use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::map::{Filing, Found, column};

/// A record to take the place of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) verb: Verb,
    /// What it is filed under.
    pub(crate) digest: TokenDigest,
    /// What it shall be filed under, where that changes.
    pub(crate) new: Option<TokenDigest>,
    /// The version it was read at.
    pub(crate) version: Version,
    /// What it shall be.
    pub(crate) record: &'a SessionRecord,
    /// The instant of asking.
    pub(crate) now: Timestamp,
}

/// What came of it: [`cloakroom_store::Replaced`] and [`cloakroom_store::Rekeyed`] in one.
#[derive(Debug)]
pub(crate) enum Changed {
    Done(Version),
    Conflict(Live),
    Taken,
    Ended(Tombstone),
    Retired(Retired),
    Unknown,
}

pub(crate) async fn change(
    database: &Database,
    statements: &Statements,
    change: Change<'_>,
) -> Result<Changed, StoreError> {
    let Change { verb, digest, new, version, record, now } = change;
    let refused = |problem: Problem| problem.into_error(verb, Sent::Nothing);
    let filing = Filing::new(record, digest).map_err(refused)?;
    let new = new.map(TokenDigest::to_bytes);
    // A version beyond what the column holds is the version of no session.
    let number = i64::try_from(version.as_u64()).unwrap_or(-1);
    database
        .write(
            verb,
            &statements.change,
            &[
                &filing.digest.as_slice(),
                &new.as_ref().map(<[u8; TokenDigest::LENGTH]>::as_slice),
                &number,
                &filing.id,
                &filing.principal,
                &filing.created_at,
                &filing.idle_timeout,
                &filing.absolute_expires_at,
                &filing.retention,
                &filing.ip,
                &filing.device,
                &filing.body,
                &now.as_millis(),
            ],
            |result| match result {
                Err(problem) if problem.is_taken() => Ok(Changed::Taken),
                result => answer(&result?, &change),
            },
        )
        .await
}

fn answer(rows: &[Row], change: &Change<'_>) -> Result<Changed, Problem> {
    let Some(row) = rows.first() else { return Ok(Changed::Unknown) };
    match column(row, 0, "outcome")? {
        "done" => {
            let version: i64 = column(row, 8, "version")?;
            let version = u64::try_from(version).map_err(|_| Problem::Column("version"))?;
            Ok(Changed::Done(Version::from_u64(version)))
        }
        "taken" => Ok(Changed::Taken),
        _ => match Found::read(row, 1)? {
            Found::Retired(retired) => Ok(Changed::Retired(retired)),
            Found::Session(head) => {
                let record = change.record;
                let principal = record.principal.as_ref().map(|principal| principal.id());
                if let Some(tombstone) = head.over(change.now) {
                    Ok(Changed::Ended(tombstone))
                } else if head.version != change.version {
                    head.live(row).map(Changed::Conflict)
                } else if (head.id, head.principal.as_ref(), head.created_at)
                    != (record.id, principal, record.created_at)
                {
                    Err(Problem::Misuse("the record of another session"))
                } else {
                    // It was not so a moment ago, when the server looked.
                    Err(Problem::Restless)
                }
            }
        },
    }
}

pub(crate) const SQL: &str = concat!(
    "SELECT outcome, ",
    crate::map::found!(),
    " FROM cloakroom.change_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
);
