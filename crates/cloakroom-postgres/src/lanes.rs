//! Connections for look-ups, each shared by many callers.
//!
//! A look-up is sent behind those that wait already, and answers come in the same order. Nothing slow goes this way, so
//! one connection answers tens of thousands a second. A caller that goes away leaves its answer to be thrown away; the
//! connection is none the worse.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::Statement;

use crate::connect::{Connection, Connector};
use crate::error::Problem;

#[derive(Debug)]
pub(crate) struct Lanes {
    connector: Connector,
    sql: String,
    lanes: Box<[Lane]>,
    next: AtomicUsize,
    /// Whether somebody keeps copies of what is read here.
    is_watched: AtomicBool,
}

/// One connection, or the place for one.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    current: Mutex<Option<Arc<Prepared>>>,
    /// Held by whoever opens the next one: the others wait for it instead of opening more.
    opening: tokio::sync::Mutex<()>,
}

/// A connection that knows the statement.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) connection: Connection,
    pub(crate) statement: Statement,
    /// Whether the server was a standby when this was opened.
    pub(crate) is_on_standby: bool,
}

impl Lanes {
    /// This many lanes for the statement `sql`, opened when they are needed.
    pub(crate) fn new(connector: Connector, sql: String, number: usize) -> Self {
        let lanes = std::iter::repeat_with(Lane::default).take(number).collect();
        Self { connector, sql, lanes, next: AtomicUsize::new(0), is_watched: AtomicBool::new(false) }
    }

    /// How many there are.
    pub(crate) fn number(&self) -> usize {
        self.lanes.len()
    }

    /// The lane whose turn it is.
    pub(crate) fn lane(&self) -> Result<&Lane, Problem> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(self.lanes.len());
        turn.and_then(|turn| self.lanes.get(turn)).ok_or(Problem::Closed)
    }

    /// Does away with all connections; those who wait on one keep it.
    pub(crate) fn discard_all(&self) {
        self.lanes.iter().for_each(|lane| lane.set(None));
    }

    /// From now on somebody keeps copies of what is read here: a standby, which may be behind, is not read from any more.
    /// What it says would be kept as the primary's word, which the news are of.
    pub(crate) fn watched(&self) {
        self.is_watched.store(true, Ordering::SeqCst);
    }

    /// The connection of `lane`, opened where there is none or where it has ended.
    ///
    /// Dropped half-way, it leaves the opening to the next caller.
    pub(crate) async fn connection(&self, lane: &Lane) -> Result<Arc<Prepared>, Problem> {
        if let Some(open) = self.usable(lane) {
            return Ok(open);
        }
        let _opening = lane.opening.lock().await;
        if let Some(open) = self.usable(lane) {
            return Ok(open);
        }
        let connection = self.connector.open().await?;
        let statement = connection.client.prepare(&self.sql).await?;
        let place = connection.client.query_one("SELECT pg_is_in_recovery()", &[]).await?;
        let is_on_standby = place.try_get(0)?;
        let prepared = Arc::new(Prepared { connection, statement, is_on_standby });
        if !self.is_allowed(&prepared) {
            return Err(Problem::Standby);
        }
        lane.set(Some(Arc::clone(&prepared)));
        Ok(prepared)
    }

    fn usable(&self, lane: &Lane) -> Option<Arc<Prepared>> {
        lane.open().filter(|open| self.is_allowed(open))
    }

    fn is_allowed(&self, prepared: &Prepared) -> bool {
        !(prepared.is_on_standby && self.is_watched.load(Ordering::SeqCst))
    }
}

impl Lane {
    /// Does away with `spoilt`, unless somebody has replaced it already. Those who still wait on it keep it until their
    /// patience ends.
    pub(crate) fn discard(&self, spoilt: &Arc<Prepared>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, spoilt)) {
            *current = None;
        }
    }

    fn open(&self) -> Option<Arc<Prepared>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|open| !open.connection.client.is_closed()).map(Arc::clone)
    }

    fn set(&self, prepared: Option<Arc<Prepared>>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = prepared;
    }
}
