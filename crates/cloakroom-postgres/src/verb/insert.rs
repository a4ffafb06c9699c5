//! Filing a new session.

use cloakroom_core::{OnLimit, PrincipalId, SessionId};
use cloakroom_store::{InsertRequest, Inserted, StoreError, Verb};
use tokio_postgres::Row;

use super::Statements;
use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::map::{Filing, column, ended};

pub(crate) async fn insert(
    database: &Database,
    statements: &Statements,
    request: InsertRequest<'_>,
) -> Result<Inserted, StoreError> {
    let InsertRequest { record, digest, limit, replaces, now } = request;
    let filing =
        Filing::new(record, digest).map_err(|problem| problem.into_error(Verb::Insert, Sent::Nothing))?;
    let most = limit.map(|limit| i32::try_from(limit.max.get()).unwrap_or(i32::MAX));
    let on_limit = limit.map(|limit| match limit.on_limit {
        OnLimit::EndOldest => "end_oldest",
        OnLimit::EndIdlest => "end_idlest",
        OnLimit::Refuse => "refuse",
    });
    let replaces = replaces.as_ref().map(|id| id.as_bytes().as_slice());
    database
        .write(
            Verb::Insert,
            &statements.insert,
            &[
                &filing.digest.as_slice(),
                &filing.id,
                &filing.principal,
                &filing.created_at,
                &filing.idle_timeout,
                &filing.absolute_expires_at,
                &filing.retention,
                &filing.ip,
                &filing.device,
                &filing.body,
                &most,
                &on_limit,
                &replaces,
                &now.as_millis(),
            ],
            |result| match result {
                Err(problem) if problem.is_taken() => Ok(Inserted::AlreadyExists),
                result => answer(&result?),
            },
        )
        .await
}

fn answer(rows: &[Row]) -> Result<Inserted, Problem> {
    let (first, rest) = rows.split_first().ok_or(Problem::Column("outcome"))?;
    match column(first, 0, "outcome")? {
        "taken" => Ok(Inserted::AlreadyExists),
        "limit" => Ok(Inserted::LimitReached),
        "done" => {
            let ended: Result<Vec<_>, Problem> = rest.iter().map(|row| ended(row, 1)).collect();
            Ok(Inserted::Done { ended: ended? })
        }
        _ => Err(Problem::Column("outcome")),
    }
}

pub(crate) const SQL: &str = "
    SELECT outcome, id, principal, ended_at, end_reason
    FROM cloakroom.insert_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

// The widths that the schema relies on.
const _: () = assert!(SessionId::LENGTH == 16 && PrincipalId::MAX_BYTES <= 2_000, "fits an index row");
