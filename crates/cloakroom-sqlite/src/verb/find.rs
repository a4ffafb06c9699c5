//! Finding one session by its digest.

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{Lookup, Retired};
use rusqlite::Row;

use crate::error::Problem;
use crate::map::{self, Head, head};
use crate::transaction::Transaction;

pub(crate) fn get(
    transaction: &Transaction<'_>,
    digest: TokenDigest,
    now: Timestamp,
) -> Result<Lookup, Problem> {
    let digest = digest.to_bytes();
    let lookup = with_row(transaction, &digest, |head, row| match head.over(&transaction.epochs, now) {
        Some(tombstone) => Ok(Lookup::Ended(tombstone)),
        None => head.live(row, Head::COLUMNS).map(Lookup::Live),
    })?;
    match lookup {
        Some(lookup) => Ok(lookup),
        None => Ok(retired(transaction, &digest)?.map_or(Lookup::Unknown, Lookup::Retired)),
    }
}

/// What `read` makes of the row filed under `digest`, whose body is the column after its head; `None` without a row.
pub(crate) fn with_row<T>(
    transaction: &Transaction<'_>,
    digest: &[u8; TokenDigest::LENGTH],
    read: impl FnOnce(Head, &Row<'_>) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    let mut statement =
        transaction.statement(concat!("SELECT ", head!(), ", body FROM session WHERE digest = ?1"))?;
    let mut rows = statement.query([digest])?;
    match rows.next()? {
        Some(row) => read(Head::read(row)?, row).map(Some),
        None => Ok(None),
    }
}

/// What is known of an exchanged token.
pub(crate) fn retired(
    transaction: &Transaction<'_>,
    digest: &[u8; TokenDigest::LENGTH],
) -> Result<Option<Retired>, Problem> {
    let mut statement = transaction.statement("SELECT id, rotated_at FROM retired WHERE digest = ?1")?;
    let mut rows = statement.query([digest])?;
    rows.next()?.map(map::retired).transpose()
}
