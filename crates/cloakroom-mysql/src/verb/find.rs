//! Finding one session by its digest.

use cloakroom_core::{Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{Lookup, Retired, Verb};

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::{Columns, Head, digest_bytes, first_epoch, session_columns};

/// [`Store::get`](cloakroom_store::Store::get).
#[derive(Debug)]
pub(crate) struct Get {
    pub(crate) digest: TokenDigest,
    pub(crate) now: Timestamp,
}

impl Work for Get {
    type Answer = Lookup;
    const VERB: Verb = Verb::Get;
    const EFFECT: Effect = Effect::Reads;

    async fn attempt(&self, link: &mut Link) -> Result<Lookup, Problem> {
        match look(link, self.digest, self.now).await? {
            Found::Live(head, mut columns) => head.live(&mut columns).map(Lookup::Live),
            Found::Ended(tombstone) => Ok(Lookup::Ended(tombstone)),
            Found::Retired(retired) => Ok(Lookup::Retired(retired)),
            Found::Unknown => Ok(Lookup::Unknown),
        }
    }
}

/// What there is under a digest.
#[derive(Debug)]
pub(crate) enum Found {
    /// A live session, and the columns from its body on.
    Live(Box<Head>, Columns),
    Ended(Tombstone),
    Retired(Retired),
    Unknown,
}

/// Looks once, at one instant of the database: the session, the epochs that may have ended it, and the tokens that were
/// exchanged.
pub(crate) async fn look(link: &mut Link, digest: TokenDigest, now: Timestamp) -> Result<Found, Problem> {
    let answer = link.ask(LOOK, vec![digest_bytes(digest), digest_bytes(digest)]).await?;
    let row = answer.rows().into_iter().next().ok_or(Problem::Answer("a row"))?;
    let mut columns = Columns::of(row);
    let is_there = columns.integer_or_null("number")?.is_some();
    let was_exchanged = columns.integer_or_null("rotated_at")?.is_some();
    if !is_there {
        columns.skip(Head::COLUMNS + 1);
        return Ok(if was_exchanged { Found::Retired(columns.retired()?) } else { Found::Unknown });
    }
    let head = Head::read(&mut columns)?;
    Ok(match head.over(now) {
        Some(tombstone) => Found::Ended(tombstone),
        None => Found::Live(Box::new(head), columns),
    })
}

const LOOK: &str = concat!(
    "SELECT session.number, retired.rotated_at, ",
    session_columns!(),
    ", retired.id AS retired_id, retired.rotated_at AS retired_at
    FROM (SELECT 1 AS row_that_is_always_there) AS always
    LEFT JOIN session ON session.digest = ?
    LEFT JOIN retired ON retired.digest = ?",
    first_epoch!()
);
