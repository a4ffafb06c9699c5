//! Finding one session by its digest.

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{Lookup, StoreError, Verb};
use tokio_postgres::Row;

use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::map::{Found, found};

pub(crate) async fn look_up(
    database: &Database,
    digest: TokenDigest,
    now: Timestamp,
) -> Result<Lookup, StoreError> {
    let digest = digest.to_bytes();
    let rows = database.look_up(Verb::Get, &[&digest.as_slice()]).await?;
    rows.first()
        .map_or(Ok(Lookup::Unknown), |row| answer(row, now))
        .map_err(|problem| problem.into_error(Verb::Get, Sent::Reading))
}

fn answer(row: &Row, now: Timestamp) -> Result<Lookup, Problem> {
    match Found::read(row, 0)? {
        Found::Retired(retired) => Ok(Lookup::Retired(retired)),
        Found::Session(head) => match head.over(now) {
            Some(tombstone) => Ok(Lookup::Ended(tombstone)),
            None => head.live(row).map(Lookup::Live),
        },
    }
}

pub(crate) const SQL: &str = concat!("SELECT ", found!(), " FROM cloakroom.found WHERE digest = $1");
