//! Ending by decision.

use cloakroom_core::{EndReason, PrincipalId, SessionId, Timestamp, Tombstone};
use cloakroom_store::{Ended, Ending, ErrorKind, Selector};
use rusqlite::{ToSql, params};

use crate::epoch::Scope;
use crate::error::Problem;
use crate::map::{Head, head};
use crate::transaction::Transaction;

use super::count;

pub(crate) fn end(
    transaction: &mut Transaction<'_>,
    selector: &Selector,
    reason: EndReason,
    now: Timestamp,
) -> Result<Ending, Problem> {
    let condemned = match selector {
        Selector::One(session) => by_id(transaction, *session)?,
        Selector::Principal { principal, except } => {
            let mut own = of_principal(transaction, principal)?;
            own.retain(|head| Some(head.id) != *except);
            own
        }
        Selector::IssuedBefore(instant) => {
            return begin_epoch(transaction, Scope::IssuedBefore(*instant), reason, now);
        }
        Selector::All => return begin_epoch(transaction, Scope::All, reason, now),
        _ => return Err(Problem::Misuse("a selector that this store does not know")),
    };
    let mut ending = Ending::default();
    for head in condemned {
        // Also where time has ended it by this clock: by another one it may live, and must not.
        if let Some(tombstone) = head.ended_by(&transaction.epochs, reason, now) {
            ending.ended.push(bury(transaction, &head, tombstone)?);
        }
    }
    Ok(ending)
}

/// Makes a session's row what is left of it.
pub(crate) fn bury(
    transaction: &Transaction<'_>,
    head: &Head,
    tombstone: Tombstone,
) -> Result<Ended, Problem> {
    let mut statement = transaction.statement(
        "UPDATE session SET ended_at = ?2, end_reason = ?3, due_at = ?4, ip = NULL, body = NULL WHERE rowid = ?1",
    )?;
    let due_at = tombstone.ended_at.plus(head.lifetime.tombstone_retention);
    statement.execute(params![
        head.rowid,
        tombstone.ended_at.as_millis(),
        tombstone.reason.as_str(),
        due_at.as_millis()
    ])?;
    Ok(tombstone.into())
}

/// The sessions of a principal that are not buried.
pub(crate) fn of_principal(
    transaction: &Transaction<'_>,
    principal: &PrincipalId,
) -> Result<Vec<Head>, Problem> {
    let sql = concat!(
        "SELECT ",
        head!(),
        " FROM session INDEXED BY session_live_principal WHERE principal = ?1 AND ended_at IS NULL"
    );
    heads(transaction, sql, principal.as_str())
}

/// The session with this id, if it is not buried.
fn by_id(transaction: &Transaction<'_>, session: SessionId) -> Result<Vec<Head>, Problem> {
    let sql = concat!("SELECT ", head!(), " FROM session WHERE id = ?1 AND ended_at IS NULL");
    heads(transaction, sql, session.as_bytes())
}

fn heads(transaction: &Transaction<'_>, sql: &str, parameter: impl ToSql) -> Result<Vec<Head>, Problem> {
    let mut statement = transaction.statement(sql)?;
    let mut rows = statement.query([parameter])?;
    let mut heads = Vec::new();
    while let Some(row) = rows.next()? {
        match Head::read(row) {
            Ok(head) => heads.push(head),
            // A damaged row answers every `get` with an error: it is nobody's live session.
            Err(problem) if problem.kind() == ErrorKind::Corrupt => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(heads)
}

fn begin_epoch(
    transaction: &mut Transaction<'_>,
    scope: Scope,
    reason: EndReason,
    now: Timestamp,
) -> Result<Ending, Problem> {
    let issued_before = match scope {
        // What an earlier call said of a later instant holds already.
        Scope::IssuedBefore(instant) if instant <= transaction.epochs.issued_before() => {
            return Ok(Ending::default());
        }
        Scope::IssuedBefore(instant) => instant,
        Scope::All => Timestamp::MAX,
    };
    let live = count::live(transaction, issued_before, now)?;
    transaction.epochs.begin(transaction.connection(), scope, now, reason)?;
    Ok(Ending { ended: Vec::new(), swept_later: live.anonymous + live.signed_in })
}
