//! Ends of everything, or of everything before an instant: one row each, compared with at every read.

use cloakroom_core::{EndReason, Timestamp};
use rusqlite::{Connection, params};

use crate::error::Problem;
use crate::map::{instant, reason};

/// One end of many sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Epoch {
    number: i64,
    scope: Scope,
    pub(crate) ended_at: Timestamp,
    pub(crate) reason: EndReason,
}

/// Which sessions an epoch ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// Those that were there.
    All,
    /// Those issued before an instant, also where they arrive late.
    IssuedBefore(Timestamp),
}

impl Epoch {
    fn ends(&self, created_at: Timestamp, generation: i64) -> bool {
        match self.scope {
            Scope::All => generation < self.number,
            Scope::IssuedBefore(instant) => created_at < instant,
        }
    }
}

/// The epochs that still matter, in the order of their numbers; almost always none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Epochs {
    list: Vec<Epoch>,
}

impl Epochs {
    pub(crate) fn load(connection: &Connection) -> Result<Self, Problem> {
        let sql = "SELECT number, issued_before, ended_at, end_reason FROM epoch ORDER BY number";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut list = Vec::new();
        while let Some(row) = rows.next()? {
            let issued_before: Option<i64> = row.get(1)?;
            let scope =
                issued_before.map_or(Scope::All, |at| Scope::IssuedBefore(Timestamp::from_millis(at)));
            list.push(Epoch {
                number: row.get(0)?,
                scope,
                ended_at: instant(row, 2)?,
                reason: reason(row, 3)?,
            });
        }
        Ok(Self { list })
    }

    /// Writes an epoch down, and reads the list again.
    ///
    /// Only what a later epoch ends as well is ever forgotten for it: a dead session may change its reason then, never
    /// its state.
    pub(crate) fn begin(
        &mut self,
        connection: &Connection,
        scope: Scope,
        ended_at: Timestamp,
        why: EndReason,
    ) -> Result<(), Problem> {
        let issued_before = match scope {
            Scope::All => {
                remember_end_of_all(connection, ended_at, why)?;
                None
            }
            Scope::IssuedBefore(instant) => Some(instant.as_millis()),
        };
        let sql = "INSERT INTO epoch (issued_before, ended_at, end_reason) VALUES (?1, ?2, ?3)";
        connection.prepare_cached(sql)?.execute(params![
            issued_before,
            ended_at.as_millis(),
            why.as_str()
        ])?;
        if self.list.len() >= MOST {
            let redundant = self.list.iter().find(|epoch| match (epoch.scope, scope) {
                (Scope::IssuedBefore(before), Scope::IssuedBefore(later)) => before <= later,
                (Scope::All, Scope::All) => true,
                _ => false,
            });
            if let Some(epoch) = redundant {
                forget(connection, epoch)?;
            }
        }
        *self = Self::load(connection)?;
        Ok(())
    }

    /// The epoch that ended a session first.
    pub(crate) fn first_to_end(&self, created_at: Timestamp, generation: i64) -> Option<&Epoch> {
        self.list.iter().find(|epoch| epoch.ends(created_at, generation))
    }

    /// Sessions issued before this instant are over.
    pub(crate) fn issued_before(&self) -> Timestamp {
        let instants = self.list.iter().filter_map(|epoch| match epoch.scope {
            Scope::All => None,
            Scope::IssuedBefore(instant) => Some(instant),
        });
        instants.max().unwrap_or(Timestamp::from_millis(i64::MIN))
    }

    /// Sessions of an earlier generation than this one are over; `None` where none of them is left.
    pub(crate) fn oldest_generation(&self) -> Option<i64> {
        self.list.iter().filter(|epoch| epoch.scope == Scope::All).map(|epoch| epoch.number).max()
    }

    /// Forgets the epochs whose sessions are all buried, but for the one that keeps late arrivals out.
    pub(crate) fn forget_finished(&mut self, connection: &Connection) -> Result<(), Problem> {
        let issued_before = Scope::IssuedBefore(self.issued_before());
        let mut kept = None;
        for epoch in &self.list {
            if kept.is_none() && epoch.scope == issued_before {
                kept = Some(*epoch);
            } else {
                forget(connection, epoch)?;
            }
        }
        self.list = kept.into_iter().collect();
        Ok(())
    }
}

/// The generation of a session that is issued now: the number of the last epoch there ever was.
pub(crate) fn generation(connection: &Connection) -> Result<i64, Problem> {
    let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'epoch'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// When and why everything ended the last time, if a session issued at `created_at` was part of it as far as clocks can
/// say.
pub(crate) fn end_of_arrival(
    connection: &Connection,
    created_at: Timestamp,
) -> Result<Option<(Timestamp, EndReason)>, Problem> {
    let sql = "SELECT all_ended_at, all_end_reason FROM housekeeping WHERE all_ended_at >= ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([created_at.as_millis()])?;
    rows.next()?.map(|row| Ok((instant(row, 0)?, reason(row, 1)?))).transpose()
}

/// Notes an end of everything for sessions that are moved here later: its epoch is forgotten with the last session it
/// ended.
fn remember_end_of_all(connection: &Connection, ended_at: Timestamp, why: EndReason) -> Result<(), Problem> {
    let sql = "UPDATE housekeeping SET all_ended_at = ?1, all_end_reason = ?2
               WHERE all_ended_at IS NULL OR all_ended_at < ?1";
    connection.prepare_cached(sql)?.execute(params![ended_at.as_millis(), why.as_str()])?;
    Ok(())
}

fn forget(connection: &Connection, epoch: &Epoch) -> Result<(), Problem> {
    connection.prepare_cached("DELETE FROM epoch WHERE number = ?1")?.execute([epoch.number])?;
    Ok(())
}

/// Reads stay cheap however often everything is ended between two sweeps.
const MOST: usize = 32;
