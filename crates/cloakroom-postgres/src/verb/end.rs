//! Ending by decision.

use cloakroom_core::{PrincipalId, SessionId, Timestamp};
use cloakroom_store::{EndRequest, Ended, Ending, Selector, StoreError, Verb};
use tokio_postgres::Row;

use super::Statements;
use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::map::{column, ended};

pub(crate) async fn end(
    database: &Database,
    statements: &Statements,
    request: EndRequest<'_>,
) -> Result<Ending, StoreError> {
    match request.selector {
        Selector::One(session) => end_sessions(database, statements, request, Whose::One(session)).await,
        Selector::Principal { principal, except } => {
            end_sessions(database, statements, request, Whose::All { principal, except: *except }).await
        }
        Selector::IssuedBefore(instant) => begin_epoch(database, statements, request, Some(*instant)).await,
        Selector::All => begin_epoch(database, statements, request, None).await,
        _ => {
            let problem = Problem::Misuse("a selector that this store does not know");
            Err(problem.into_error(Verb::End, Sent::Nothing))
        }
    }
}

/// Which sessions to end one by one.
#[derive(Clone, Copy, Debug)]
enum Whose<'a> {
    One(&'a SessionId),
    All { principal: &'a PrincipalId, except: Option<SessionId> },
}

async fn end_sessions(
    database: &Database,
    statements: &Statements,
    EndRequest { reason, now, .. }: EndRequest<'_>,
    whose: Whose<'_>,
) -> Result<Ending, StoreError> {
    let (id, principal, except) = match whose {
        Whose::One(session) => (Some(session), None, None),
        Whose::All { principal, except } => (None, Some(principal.as_str()), except),
    };
    let id = id.map(|id| id.as_bytes().as_slice());
    let except = except.as_ref().map(|id| id.as_bytes().as_slice());
    database
        .write(
            Verb::End,
            &statements.end,
            &[&id, &principal, &except, &reason.as_str(), &now.as_millis()],
            |result| {
                // A row that cannot be read ended like the others; there is nobody to report it about.
                let ended: Vec<Ended> = result?.iter().filter_map(|row| ended(row, 0).ok()).collect();
                Ok(Ending { ended, swept_later: 0 })
            },
        )
        .await
}

/// Ends everything, or everything issued before an instant, and then counts what that was: nobody is let in while the
/// counting goes on, nor if it fails.
async fn begin_epoch(
    database: &Database,
    statements: &Statements,
    EndRequest { reason, now, .. }: EndRequest<'_>,
    issued_before: Option<Timestamp>,
) -> Result<Ending, StoreError> {
    let before = issued_before.map(Timestamp::as_millis);
    let begun = database
        .write(Verb::End, &statements.begin_epoch, &[&before, &reason.as_str(), &now.as_millis()], |result| {
            result?.first().map(Begun::read).transpose()
        })
        .await?;
    let Some(begun) = begun else { return Ok(Ending::default()) };
    let bounds: [i64; 3] = [begun.issued_before, before.unwrap_or(i64::MAX), now.as_millis()];
    let [from, to, at] = &bounds;
    let counted =
        database.read(Verb::End, &statements.count_covered, &[from, to, &begun.generation, at]).await;
    let counted = counted.ok().and_then(|rows| rows.first().map(|row| column::<i64>(row, 0, "count")));
    let number = match counted {
        Some(Ok(number)) => number,
        // More of them than can be counted in time: about as many as the last ANALYZE found.
        _ => begun.estimate,
    };
    Ok(Ending { ended: Vec::new(), swept_later: u64::try_from(number).unwrap_or(0) })
}

/// An epoch that ends something.
#[derive(Debug)]
struct Begun {
    /// What was issued before this was over already,
    issued_before: i64,
    /// and so was what was filed before this.
    generation: i32,
    estimate: i64,
}

impl Begun {
    fn read(row: &Row) -> Result<Self, Problem> {
        Ok(Self {
            issued_before: column(row, 0, "issued_before")?,
            generation: column(row, 1, "generation")?,
            estimate: column(row, 2, "estimate")?,
        })
    }
}

pub(crate) const SQL: &str =
    "SELECT id, principal, ended_at, end_reason FROM cloakroom.end_sessions($1, $2, $3, $4, $5)";
pub(crate) const BEGIN_EPOCH: &str =
    "SELECT issued_before, generation, estimate FROM cloakroom.begin_epoch($1, $2, $3)";
/// Those that are not buried and were not over, by an index; without those that time had ended, as few as sweeps are
/// frequent. Sessions filed since are counted too where they are of an earlier instant, as they are refused too.
pub(crate) const COUNT_COVERED: &str = "
    SELECT (
        SELECT count(*) FROM cloakroom.session
        WHERE ended_at IS NULL AND created_at >= $1 AND created_at < $2 AND generation >= $3
    ) - (
        SELECT count(*) FROM cloakroom.session
        WHERE ended_at IS NULL AND created_at >= $1 AND created_at < $2 AND generation >= $3 AND due_at <= $4
            AND cloakroom.expires_at(last_seen_at, idle_timeout, absolute_expires_at) <= $4
    )";
