//! Asking the server: every statement of every verb goes through here, within the patience of its caller.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::{ErrorKind, StoreError, Verb};
use deadpool_postgres::{ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::connect::Connector;
use crate::error::{Problem, Sent};
use crate::lanes::{Lane, Lanes, Prepared};
use crate::options::PostgresOptions;
use crate::patience::Patience;

/// Parameters of a statement.
pub(crate) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The connections of a store: a few that look-ups share, and a pool for everything else.
#[derive(Debug)]
pub(crate) struct Database {
    connector: Connector,
    lanes: Lanes,
    pool: Pool,
    deadline: Duration,
}

impl Database {
    /// Opens nothing yet.
    pub(crate) fn new(
        options: &PostgresOptions,
        connector: Connector,
        look_up: String,
    ) -> Result<Self, Problem> {
        let manager = deadpool_postgres::Manager::from_connect(
            connector.config(),
            connector.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        // Last in, first out: whoever gave a call up and asks for something else comes behind it, on the same connection,
        // and so knows it decided when the answer is there.
        let pool = Pool::builder(manager)
            .max_size(options.writers.get())
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|_| Problem::Closed)?;
        let lanes = Lanes::new(connector.clone(), look_up, options.readers.get());
        Ok(Self { connector, lanes, pool, deadline: options.deadline })
    }

    /// Looks something up. Asked again where a connection had ended unnoticed, which changes nothing: at most once for each
    /// lane, and once more.
    pub(crate) async fn look_up(
        &self,
        verb: Verb,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut patience = Patience::new(self.deadline);
        let mut result = self.look_up_once(&mut patience, parameters).await;
        for _ in 0..self.lanes.number() {
            let ended = matches!(
                &result,
                Err(Problem::Connection(_) | Problem::Server { ends_connection: true, .. })
            );
            if !ended {
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
        let mut patience = Patience::new(self.deadline);
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
        let mut patience = Patience::new(self.deadline);
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
        let object = match patience.within(self.pool.get()).await {
            Some(Ok(object)) => object,
            Some(Err(PoolError::Backend(error))) => return Err(self.connector.problem(error)),
            Some(Err(_)) => return Err(Problem::Closed),
            None => return Err(self.crowded(patience.whole())),
        };
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
        if problem.spoils_connection() {
            drop(Object::take(object));
            // The others are to the same server: one that does not answer, is gone, or is a standby now.
            self.pool.retain(|_, _| false);
        }
        if problem.kind() == ErrorKind::ReadOnly {
            // A standby may be behind: look-ups have to go where writes go.
            self.lanes.discard_all();
        }
        problem
    }

    /// Nobody gave a connection back in time, or none could be opened.
    fn crowded(&self, whole: Duration) -> Problem {
        if self.pool.status().size < self.pool.status().max_size {
            Problem::Overdue(whole)
        } else {
            Problem::Crowded(whole)
        }
    }
}

fn retire(lane: &Lane, prepared: &Arc<Prepared>, problem: &Problem) {
    if problem.spoils_connection() {
        lane.discard(prepared);
    }
}

/// A deadlock costs the server's `deadlock_timeout`, a second by default: patience ends sooner than this in most cases.
const MOST_ATTEMPTS: usize = 8;
