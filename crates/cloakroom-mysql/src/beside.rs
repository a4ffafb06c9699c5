//! A way into the same database for whoever keeps tables beside the sessions.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::{Applied, ErrorKind, Verb};
use mysql_async::Value;

use crate::connect;
use crate::database::{Answer, Database, Effect, Lines, Link, Progress, Work};
use crate::error::{Problem, Sent};
use crate::options::MysqlOptions;
use crate::patience::{self, Patience};
use crate::schema::{self, MysqlPlan};

/// Connections for tables of one's own, under the rules that hold for sessions: everything answers within the deadline of
/// the options, connections heal by themselves, and an error says whether a change is in doubt.
///
/// Cheap to clone; clones share the connections. It belongs to the runtime it was connected in.
#[derive(Clone, Debug)]
pub struct MysqlPool {
    database: Database,
    deadline: Duration,
}

impl MysqlPool {
    /// Connects, and brings the tables of `plan` up to date: of several nodes that start at once one does it, and the others
    /// wait for it.
    ///
    /// # Errors
    /// [`MysqlError`] where the server cannot be reached or refuses, or a later version has changed the tables. A migration
    /// that failed half-way goes on at the next start.
    pub async fn connect(options: &MysqlOptions, plan: &'static MysqlPlan) -> Result<Self, MysqlError> {
        Self::open(options, plan).await.map_err(|(problem, sent)| MysqlError::of(problem, sent))
    }

    async fn open(options: &MysqlOptions, plan: &'static MysqlPlan) -> Result<Self, (Problem, Sent)> {
        let unusable = |problem| (problem, Sent::Nothing);
        let opts = connect::for_verbs(options).map_err(unusable)?;
        let patient = connect::for_migrations(options).map_err(unusable)?;
        let database = Database::new(opts, options);
        schema::bring_up_to_date(&database, options, patient, plan).await?;
        Ok(Self { database, deadline: options.deadline() })
    }

    /// Asks something that changes nothing; once more on another connection where one had ended unnoticed.
    ///
    /// # Errors
    /// [`MysqlError`].
    pub async fn read(&self, sql: impl Into<String>, values: Vec<Value>) -> Result<Answer, MysqlError> {
        self.performed(Reading(Statement { sql: sql.into(), values })).await
    }

    /// Changes something by one statement, which happens whole or not at all. What the server gave up without a trace is
    /// asked again, a few times.
    ///
    /// # Errors
    /// [`MysqlError`].
    pub async fn write(&self, sql: impl Into<String>, values: Vec<Value>) -> Result<Answer, MysqlError> {
        self.performed(Writing(Statement { sql: sql.into(), values })).await
    }

    async fn performed<W: Work<Answer = Answer>>(&self, work: W) -> Result<Answer, MysqlError> {
        self.database.undertake(work).await.map_err(|(problem, sent)| MysqlError::of(problem, sent))
    }

    /// Begins a transaction (read committed): each of its statements sees what was committed before it.
    ///
    /// # Errors
    /// [`MysqlError`]; nothing has changed.
    pub async fn begin(&self) -> Result<MysqlTransaction, MysqlError> {
        let mut patience = patience::of(self.deadline);
        let begun = self.begun(&mut patience).await;
        let (link, lines) = begun.map_err(|problem| MysqlError::of(problem, Sent::Nothing))?;
        Ok(MysqlTransaction { link: Some(link), lines, database: self.database.clone(), patience })
    }

    async fn begun(&self, patience: &mut Patience) -> Result<(Link, Arc<Lines>), Problem> {
        let mut last = Problem::Restless;
        for _ in 0..MOST_ATTEMPTS {
            let lines = self.database.lines();
            let progress = Arc::new(Progress::default());
            let linked = patience.within(self.database.link(&lines, &progress)).await;
            let mut link = linked.unwrap_or(Err(Problem::Crowded(self.deadline)))?;
            match patience.within(link.say("START TRANSACTION")).await {
                Some(Ok(())) => return Ok((link, lines)),
                // The connection had ended while nobody used it; nothing was asked on it yet.
                Some(Err(problem @ Problem::Connection(_))) => last = problem,
                Some(Err(problem)) => return Err(problem),
                None => return Err(Problem::Overdue(self.deadline)),
            }
        }
        Err(last)
    }
}

/// Several statements that happen together or not at all. Dropped before [`commit`](Self::commit) it is undone, and its
/// connection is closed.
#[derive(Debug)]
pub struct MysqlTransaction {
    /// None once something failed: the server may have undone it all, and what is asked next would last by itself.
    link: Option<Link>,
    lines: Arc<Lines>,
    database: Database,
    patience: Patience,
}

impl MysqlTransaction {
    /// Asks one statement.
    ///
    /// # Errors
    /// [`MysqlError`]; the transaction is undone, and of no more use.
    pub async fn ask(&mut self, sql: &str, values: Vec<Value>) -> Result<Answer, MysqlError> {
        // While it waits the connection is nobody's: a caller that goes away closes it.
        let mut link = self.link.take().ok_or_else(|| MysqlError::of(Problem::Closed, Sent::Nothing))?;
        let asked = self.patience.within(link.ask(sql, values)).await;
        match asked.unwrap_or(Err(Problem::Overdue(self.patience.whole()))) {
            Ok(answer) => {
                // There is a transaction on it.
                link.hold();
                self.link = Some(link);
                Ok(answer)
            }
            Err(problem) => {
                link.hold();
                self.database.learn(&self.lines, Some(&problem));
                // Nothing was committed, so nothing was applied.
                Err(MysqlError::of(problem, Sent::Nothing))
            }
        }
    }

    /// Makes everything last that was asked.
    ///
    /// # Errors
    /// [`MysqlError`]; where it is in doubt everything was done, or nothing.
    pub async fn commit(mut self) -> Result<(), MysqlError> {
        let mut link = self.link.take().ok_or_else(|| MysqlError::of(Problem::Closed, Sent::Nothing))?;
        let said = self.patience.within(link.say("COMMIT")).await;
        let said = said.unwrap_or(Err(Problem::Overdue(self.patience.whole())));
        self.database.learn(&self.lines, said.as_ref().err());
        said.map(|()| link.spare()).map_err(|problem| MysqlError::of(problem, Sent::Writing))
    }
}

struct Statement {
    sql: String,
    values: Vec<Value>,
}

struct Reading(Statement);

impl Work for Reading {
    type Answer = Answer;
    const VERB: Verb = Verb::Get;
    const EFFECT: Effect = Effect::Reads;

    async fn attempt(&self, link: &mut Link) -> Result<Answer, Problem> {
        link.ask(&self.0.sql, self.0.values.clone()).await
    }
}

struct Writing(Statement);

impl Work for Writing {
    type Answer = Answer;
    const VERB: Verb = Verb::Replace;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<Answer, Problem> {
        link.ask(&self.0.sql, self.0.values.clone()).await
    }
}

/// The database could not be asked.
#[derive(Debug)]
pub struct MysqlError {
    problem: Problem,
    applied: Applied,
}

impl MysqlError {
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

impl fmt::Display for MysqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl Error for MysqlError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem.source()
    }
}

/// As many stale connections in a row are no accident.
const MOST_ATTEMPTS: usize = 8;
