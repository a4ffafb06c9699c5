//! Asking the server: every statement of every verb goes through here, within the patience of its caller.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::{ErrorKind, StoreError, Verb};
use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::connect::Connector;
use crate::connections::Connections;
use crate::error::{Problem, Sent};
use crate::lanes::{Lane, Lanes, Prepared};
use crate::options::PostgresOptions;
use crate::patience::{self, Patience};

/// Parameters of a statement.
pub type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The connections of a store: a few that look-ups share, and a pool for everything else.
#[derive(Debug)]
pub(crate) struct Database {
    lanes: Lanes,
    connections: Connections,
    deadline: Duration,
}

impl Database {
    /// Opens nothing yet.
    pub(crate) fn new(
        options: &PostgresOptions,
        connector: Connector,
        look_up: String,
    ) -> Result<Self, Problem> {
        let lanes = Lanes::new(connector.clone(), look_up, options.readers.get());
        Ok(Self { lanes, connections: Connections::new(options, connector)?, deadline: options.deadline })
    }

    /// Looks something up. Asked again where a connection had ended unnoticed, which changes nothing: at most once for each
    /// lane, and once more.
    pub(crate) async fn look_up(
        &self,
        verb: Verb,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut patience = patience::of(self.deadline);
        let mut result = self.look_up_once(&mut patience, parameters).await;
        for _ in 0..self.lanes.number() {
            if !matches!(&result, Err(problem) if problem.ends_connection()) {
                break;
            }
            result = self.look_up_once(&mut patience, parameters).await;
        }
        result.map_err(|problem| problem.into_error(verb, Sent::Reading))
    }

    async fn look_up_once(
        &self,
        patience: &mut Patience,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Problem> {
        let lane = self.lanes.lane()?;
        let overdue = Problem::Overdue(patience.whole());
        let prepared = match patience.within(self.lanes.connection(lane)).await {
            Some(prepared) => prepared?,
            None => return Err(overdue),
        };
        let Prepared { connection, statement, .. } = &*prepared;
        let answer = patience.within(connection.client.query(statement, parameters)).await;
        let result = answer.map_or(Err(overdue), |answer| answer.map_err(Problem::from));
        if let Err(problem) = &result {
            retire(lane, &prepared, problem);
        }
        result
    }

    /// From now on somebody keeps copies: look-ups go where writes go, or fail.
    pub(crate) fn watched(&self) {
        self.lanes.watched();
    }

    /// Asks something that changes nothing and may take longer than a look-up.
    pub(crate) async fn read(
        &self,
        verb: Verb,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut patience = patience::of(self.deadline);
        let sent = &mut Sent::Nothing;
        let result = self.ask(&mut patience, sql, parameters, (sent, Sent::Reading)).await;
        result.map_err(|problem| problem.into_error(verb, Sent::Reading))
    }

    /// Changes something, by one statement: it happens whole or not at all, and so does what tells of it.
    ///
    /// `answer` makes something of the rows. What the server gave up without a trace (a deadlock, a row that changed
    /// under its hands) is asked again, a few times; nothing else is.
    pub(crate) async fn write<T>(
        &self,
        verb: Verb,
        sql: &str,
        parameters: Parameters<'_>,
        answer: impl Fn(Result<Vec<Row>, Problem>) -> Result<T, Problem> + Send,
    ) -> Result<T, StoreError> {
        let mut patience = patience::of(self.deadline);
        for attempt in 1.. {
            let mut sent = Sent::Nothing;
            let result = self.ask(&mut patience, sql, parameters, (&mut sent, Sent::Writing)).await;
            match answer(result) {
                Ok(answer) => return Ok(answer),
                Err(problem) if problem.is_passing() && attempt < MOST_ATTEMPTS => {
                    tracing::debug!(%verb, %problem, "asked again");
                }
                Err(problem) => return Err(problem.into_error(verb, sent)),
            }
        }
        Err(Problem::Restless.into_error(verb, Sent::Nothing))
    }

    async fn ask(
        &self,
        patience: &mut Patience,
        sql: &str,
        parameters: Parameters<'_>,
        (sent, sending): (&mut Sent, Sent),
    ) -> Result<Vec<Row>, Problem> {
        let object = self.connections.take(patience).await?;
        let overdue = Problem::Overdue(patience.whole());
        let statement = match patience.within(object.prepare_cached(sql)).await {
            Some(Ok(statement)) => statement,
            Some(Err(error)) => return Err(self.release(object, Problem::from(error))),
            None => return Err(self.release(object, overdue)),
        };
        *sent = sending;
        match patience.within(object.query(&statement, parameters)).await {
            Some(Ok(rows)) => Ok(rows),
            Some(Err(error)) => Err(self.release(object, Problem::from(error))),
            None => Err(self.release(object, overdue)),
        }
    }

    /// Gives a connection back after a problem, or does away with it.
    fn release(&self, object: Object, problem: Problem) -> Problem {
        self.connections.release(object, &problem);
        if problem.kind() == ErrorKind::ReadOnly {
            // A standby may be behind: look-ups have to go where writes go.
            self.lanes.discard_all();
        }
        problem
    }
}

fn retire(lane: &Lane, prepared: &Arc<Prepared>, problem: &Problem) {
    if problem.spoils_connection() {
        lane.discard(prepared);
    }
}

/// A deadlock costs the server's `deadlock_timeout`, a second by default: patience ends sooner than this in most cases.
const MOST_ATTEMPTS: usize = 8;
