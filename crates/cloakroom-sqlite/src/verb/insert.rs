//! Filing a new session.

use cloakroom_core::{EndReason, OnLimit, PrincipalId, SessionId, SessionLimit, Timestamp};
use cloakroom_store::{Ended, Inserted, Version};
use rusqlite::params;

use crate::error::Problem;
use crate::map::{Filing, Head};
use crate::transaction::Transaction;

use super::end::{bury, of_principal};
use super::moving::file_live;

/// What has to make room for a new session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) limit: Option<SessionLimit>,
    pub(crate) replaces: Option<SessionId>,
    pub(crate) now: Timestamp,
}

pub(crate) fn insert(
    transaction: &Transaction<'_>,
    filing: &Filing,
    limit: Limit,
) -> Result<Inserted, Problem> {
    let mut rivals = rivals(transaction, filing.principal.as_ref(), limit)?;
    let replaced =
        rivals.iter().position(|rival| Some(rival.id) == limit.replaces).map(|at| rivals.swap_remove(at));
    let excess = match limit.limit {
        Some(limit) if filing.principal.is_some() => {
            let max = usize::try_from(limit.max.get()).unwrap_or(usize::MAX);
            let excess = rivals.len().saturating_add(1).saturating_sub(max);
            if excess > 0 && limit.on_limit == OnLimit::Refuse {
                let taken = is_taken(transaction, filing)?;
                return Ok(if taken { Inserted::AlreadyExists } else { Inserted::LimitReached });
            }
            put_first_to_end_first(&mut rivals, limit.on_limit);
            excess
        }
        _ => 0,
    };
    let version = i64::try_from(Version::FIRST.as_u64()).unwrap_or(i64::MAX);
    if file_live(transaction, filing, version, filing.created_at)? == 0 {
        return Ok(Inserted::AlreadyExists);
    }
    let replaced = replaced.into_iter().map(|head| (head, EndReason::Replaced));
    let over_limit = rivals.into_iter().take(excess).map(|head| (head, EndReason::SessionLimit));
    let ended: Result<Vec<Ended>, Problem> = replaced
        .chain(over_limit)
        .map(|(head, reason)| bury(transaction, &head, head.tombstone(limit.now, reason)))
        .collect();
    Ok(Inserted::Done { ended: ended? })
}

/// The live sessions that may have to make room.
fn rivals(
    transaction: &Transaction<'_>,
    principal: Option<&PrincipalId>,
    limit: Limit,
) -> Result<Vec<Head>, Problem> {
    match principal {
        Some(principal) if limit.limit.is_some() || limit.replaces.is_some() => {
            let mut rivals = of_principal(transaction, principal)?;
            rivals.retain(|rival| rival.over(&transaction.epochs, limit.now).is_none());
            Ok(rivals)
        }
        _ => Ok(Vec::new()),
    }
}

fn put_first_to_end_first(rivals: &mut [Head], on_limit: OnLimit) {
    rivals.sort_unstable_by_key(|rival| match on_limit {
        OnLimit::EndIdlest => (rival.last_seen_at, rival.created_at, rival.id),
        OnLimit::EndOldest | OnLimit::Refuse => (rival.created_at, rival.last_seen_at, rival.id),
    });
}

fn is_taken(transaction: &Transaction<'_>, filing: &Filing) -> Result<bool, Problem> {
    let mut statement = transaction.statement(
        "SELECT EXISTS (SELECT 1 FROM session WHERE digest = ?1) OR EXISTS (SELECT 1 FROM session WHERE id = ?2)
             OR EXISTS (SELECT 1 FROM retired WHERE digest = ?1)",
    )?;
    Ok(statement.query_row(params![filing.digest, filing.id.as_bytes()], |row| row.get(0))?)
}
