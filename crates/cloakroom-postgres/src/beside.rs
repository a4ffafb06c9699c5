//! A way into the same database for whoever keeps tables beside the sessions.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::{Applied, ErrorKind};
use deadpool_postgres::Object;
use tokio_postgres::Row;

use crate::connect::Connector;
use crate::connections::Connections;
use crate::database::Parameters;
use crate::error::{Problem, Sent};
use crate::options::PostgresOptions;
use crate::patience::{self, Patience};
use crate::schema::{self, PostgresPlan, localized};

/// Connections for tables of one's own, under the rules that hold for sessions: everything answers within the deadline of
/// the options, connections heal by themselves, and an error says whether a change is in doubt.
///
/// In every statement `cloakroom.` stands for the schema of the options. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct PostgresPool {
    connections: Arc<Connections>,
    schema: Arc<str>,
    begin: Arc<str>,
    deadline: Duration,
}

impl PostgresPool {
    /// Connects once, and brings the tables of `plan` up to date: of several nodes that start at once one does it, and the
    /// others wait for it.
    ///
    /// # Errors
    /// [`PostgresError`] where the server cannot be reached or refuses, or a later version has changed the tables; nothing
    /// has changed then.
    pub async fn connect(options: &PostgresOptions, plan: &PostgresPlan) -> Result<Self, PostgresError> {
        Self::open(options, plan).await.map_err(|problem| PostgresError::of(problem, Sent::Nothing))
    }

    async fn open(options: &PostgresOptions, plan: &PostgresPlan) -> Result<Self, Problem> {
        let connector = Connector::new(&options.clone().along_indexes())?;
        let overdue = || Problem::Overdue(options.deadline());
        let mut patience = patience::of(options.deadline());
        let connection = patience.within(connector.open()).await.ok_or_else(overdue)??;
        schema::prepare(&connection.client, options, plan).await?;
        let millis = options.deadline().as_millis().max(1);
        // A node that is stopped inside a transaction is thrown out: others wait for its locks.
        let begin = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {millis}");
        Ok(Self {
            connections: Arc::new(Connections::new(options, connector)?),
            schema: options.schema().into(),
            begin: begin.into(),
            deadline: options.deadline(),
        })
    }

    /// Asks something that changes nothing; once more on another connection where one had ended unnoticed.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn read(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, PostgresError> {
        self.read_where(sql, parameters, |_| Ok(())).await
    }

    /// The same, where who answered is one that may: `check` looks at the answer. A connection to one that may not is given
    /// up like one that failed.
    pub(crate) async fn read_where(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
        check: Check,
    ) -> Result<Vec<Row>, PostgresError> {
        let mut patience = patience::of(self.deadline);
        let (sql, mut sent) = (localized(sql, &self.schema), Sent::Nothing);
        let mut result = self.ask(&mut patience, &sql, parameters, (&mut sent, check)).await;
        for _ in 0..self.connections.number() {
            if !matches!(&result, Err(problem) if problem.ends_connection()) {
                break;
            }
            result = self.ask(&mut patience, &sql, parameters, (&mut sent, check)).await;
        }
        result.map_err(|problem| PostgresError::of(problem, Sent::Reading))
    }

    /// Changes something by one statement, which happens whole or not at all. What the server gave up without a trace is
    /// asked again, a few times.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn write(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, PostgresError> {
        let mut patience = patience::of(self.deadline);
        let sql = localized(sql, &self.schema);
        for _ in 1..MOST_ATTEMPTS {
            let mut sent = Sent::Nothing;
            match self.ask(&mut patience, &sql, parameters, (&mut sent, |_| Ok(()))).await {
                Err(problem) if is_unsent(&problem, sent) || problem.is_passing() => {
                    tracing::debug!(%problem, "asked again");
                }
                result => return result.map_err(|problem| PostgresError::of(problem, sent)),
            }
        }
        let mut sent = Sent::Nothing;
        let result = self.ask(&mut patience, &sql, parameters, (&mut sent, |_| Ok(()))).await;
        result.map_err(|problem| PostgresError::of(problem, sent))
    }

    /// Begins a transaction (read committed): each of its statements sees what was committed before it.
    ///
    /// # Errors
    /// [`PostgresError`]; nothing has changed.
    pub async fn begin(&self) -> Result<PostgresTransaction, PostgresError> {
        let mut patience = patience::of(self.deadline);
        let begun = self.begun(&mut patience).await;
        let object = begun.map_err(|problem| PostgresError::of(problem, Sent::Nothing))?;
        let (connections, schema) = (Arc::clone(&self.connections), Arc::clone(&self.schema));
        Ok(PostgresTransaction { object: Some(object), connections, schema, patience })
    }

    async fn begun(&self, patience: &mut Patience) -> Result<Object, Problem> {
        for _ in 0..=self.connections.number() {
            let object = self.connections.take(patience).await?;
            let problem = match patience.within(object.batch_execute(&self.begin)).await {
                Some(Ok(())) => return Ok(object),
                Some(Err(error)) => Problem::from(error),
                None => Problem::Overdue(patience.whole()),
            };
            self.connections.release(object, &problem);
            // A connection may have ended while nobody used it; nothing was asked on it yet.
            if !problem.ends_connection() {
                return Err(problem);
            }
        }
        Err(Problem::Restless)
    }

    async fn ask(
        &self,
        patience: &mut Patience,
        sql: &str,
        parameters: Parameters<'_>,
        (sent, check): (&mut Sent, Check),
    ) -> Result<Vec<Row>, Problem> {
        *sent = Sent::Nothing;
        let object = self.connections.take(patience).await?;
        let result = asked(&object, patience, sql, parameters, sent).await;
        let result = result.and_then(|rows| check(&rows).map(|()| rows));
        if let Err(problem) = &result {
            self.connections.release(object, problem);
        }
        result
    }
}

/// Several statements that happen together or not at all. Dropped before [`commit`](Self::commit) it is undone, and its
/// connection is closed.
#[derive(Debug)]
pub struct PostgresTransaction {
    object: Option<Object>,
    connections: Arc<Connections>,
    schema: Arc<str>,
    patience: Patience,
}

impl PostgresTransaction {
    /// Asks one statement.
    ///
    /// # Errors
    /// [`PostgresError`]; the transaction is undone, and of no more use.
    pub async fn ask(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, PostgresError> {
        let object = self.object.take().ok_or_else(|| PostgresError::of(Problem::Closed, Sent::Nothing))?;
        let sql = localized(sql, &self.schema);
        // While it waits the connection is nobody's: a caller that goes away closes it.
        let guard = Unfinished(Some(object));
        let asked = asked(guard.object()?, &mut self.patience, &sql, parameters, &mut Sent::Nothing).await;
        match asked {
            Ok(rows) => {
                self.object = guard.finished();
                Ok(rows)
            }
            Err(problem) => {
                if problem.spoils_connection()
                    && let Some(object) = guard.finished()
                {
                    self.connections.release(object, &problem);
                }
                // Nothing was committed, so nothing was applied.
                Err(PostgresError::of(problem, Sent::Nothing))
            }
        }
    }

    /// Makes everything last that was asked.
    ///
    /// # Errors
    /// [`PostgresError`]; where it is in doubt everything was done, or nothing.
    pub async fn commit(mut self) -> Result<(), PostgresError> {
        let object = self.object.take().ok_or_else(|| PostgresError::of(Problem::Closed, Sent::Nothing))?;
        let guard = Unfinished(Some(object));
        let problem = match self.patience.within(guard.object()?.batch_execute("COMMIT")).await {
            Some(Ok(())) => {
                drop(guard.finished());
                return Ok(());
            }
            Some(Err(error)) => Problem::from(error),
            None => Problem::Overdue(self.patience.whole()),
        };
        if let Some(object) = guard.finished() {
            self.connections.release(object, &problem);
        }
        Err(PostgresError::of(problem, Sent::Writing))
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        drop(Unfinished(self.object.take()));
    }
}

/// A connection with a transaction on it: closed when dropped, which undoes the transaction.
#[derive(Debug)]
struct Unfinished(Option<Object>);

impl Unfinished {
    fn object(&self) -> Result<&Object, PostgresError> {
        self.0.as_ref().ok_or_else(|| PostgresError::of(Problem::Closed, Sent::Nothing))
    }

    /// The connection, of which somebody else takes care from now on.
    fn finished(mut self) -> Option<Object> {
        self.0.take()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

async fn asked(
    object: &Object,
    patience: &mut Patience,
    sql: &str,
    parameters: Parameters<'_>,
    sent: &mut Sent,
) -> Result<Vec<Row>, Problem> {
    let overdue = Problem::Overdue(patience.whole());
    let statement = match patience.within(object.prepare_cached(sql)).await {
        Some(prepared) => prepared.map_err(Problem::from)?,
        None => return Err(overdue),
    };
    *sent = Sent::Writing;
    match patience.within(object.query(&statement, parameters)).await {
        Some(rows) => rows.map_err(Problem::from),
        None => Err(overdue),
    }
}

/// Whether who answered may have.
type Check = fn(&[Row]) -> Result<(), Problem>;

/// Whether a connection ended before the question was sent on it.
fn is_unsent(problem: &Problem, sent: Sent) -> bool {
    sent == Sent::Nothing && problem.ends_connection()
}

/// The database could not be asked.
#[derive(Debug)]
pub struct PostgresError {
    problem: Problem,
    applied: Applied,
}

impl PostgresError {
    fn of(problem: Problem, sent: Sent) -> Self {
        let applied = problem.applied(sent);
        Self { problem, applied }
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.problem.kind()
    }

    /// Whether a change was made all the same.
    #[must_use]
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// Whether a later version of the program has changed the tables.
    #[must_use]
    pub fn is_of_a_later_version(&self) -> bool {
        matches!(self.problem, Problem::Newer { .. })
    }
}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl Error for PostgresError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem.source()
    }
}

/// A row that changes under everybody's hands passes sooner than patience.
const MOST_ATTEMPTS: usize = 8;
