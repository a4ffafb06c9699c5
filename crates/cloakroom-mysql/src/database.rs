//! Connections, and what bounds their use: the deadline, what is asked again, what is thrown away.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Waker};
use std::time::Duration;

use cloakroom_store::{ErrorKind, StoreError, Verb};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, Pool, Row, Value};

use crate::error::{Problem, Sent, cause, remedy};
use crate::options::MysqlOptions;

/// Something to be done with a connection, whole or not at all, and once more where the server gave it up.
pub(crate) trait Work: Send + Sync + 'static {
    type Answer: Send + 'static;
    const VERB: Verb;
    const EFFECT: Effect;

    fn attempt(&self, link: &mut Link) -> impl Future<Output = Result<Self::Answer, Problem>> + Send;
}

/// Whether a piece of work changes anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    Reads,
    Writes,
}

/// Connections to one database.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    lines: Arc<RwLock<Arc<Lines>>>,
    opts: Opts,
    place: Arc<str>,
    deadline: Duration,
}

/// A pool of connections, and what its server was seen to do with changes.
#[derive(Debug)]
pub(crate) struct Lines {
    pool: Pool,
    seen: AtomicU8,
}

impl Lines {
    const ACCEPTS: u8 = 1;
    const REFUSES: u8 = 2;

    fn new(opts: Opts) -> Arc<Self> {
        Arc::new(Self { pool: Pool::new(opts), seen: AtomicU8::default() })
    }
}

impl Database {
    pub(crate) fn new(opts: Opts, options: &MysqlOptions) -> Self {
        Self {
            lines: Arc::new(RwLock::new(Lines::new(opts.clone()))),
            opts,
            place: options.place.to_string().into(),
            deadline: options.deadline,
        }
    }

    /// Does `work`, within the deadline whatever happens.
    ///
    /// It goes on where its caller goes away: a request that is given up must not cost a connection, and what it asked
    /// for is decided soon, in the order it was asked.
    pub(crate) async fn perform<W: Work>(&self, work: W) -> Result<W::Answer, StoreError> {
        self.undertake(work).await.map_err(|(problem, sent)| problem.into_error(W::VERB, sent))
    }

    /// The same; where it fails, what happened and how far it had come.
    pub(crate) async fn undertake<W: Work>(&self, work: W) -> Result<W::Answer, (Problem, Sent)> {
        let database = self.clone();
        match tokio::spawn(async move { database.within_deadline(&work).await }).await {
            Ok(outcome) => outcome,
            Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
            Err(_) => Err((Problem::Closed, Sent::Writing)),
        }
    }

    async fn within_deadline<W: Work>(&self, work: &W) -> Result<W::Answer, (Problem, Sent)> {
        let progress = Arc::new(Progress::default());
        let attempts = Box::pin(self.attempts(work, &progress));
        let outcome = match tokio::time::timeout(self.deadline, attempts).await {
            Ok(outcome) => outcome,
            Err(_) if progress.has_link() => Err(Problem::Overdue(self.deadline)),
            Err(_) => Err(Problem::Crowded(self.deadline)),
        };
        outcome.map_err(|problem| (problem, progress.sent(W::EFFECT)))
    }

    async fn attempts<W: Work>(&self, work: &W, progress: &Arc<Progress>) -> Result<W::Answer, Problem> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            progress.reach(Progress::WAITING);
            let lines = self.lines();
            let mut link = self.link(&lines, progress).await?;
            let outcome = work.attempt(&mut link).await;
            drop(link);
            if W::EFFECT == Effect::Writes {
                self.learn(&lines, outcome.as_ref().err());
            }
            match outcome {
                Err(problem) if attempt < MOST_ATTEMPTS && may_try_again::<W>(&problem) => {
                    tracing::debug!(verb = %W::VERB, attempt, %problem, "asking MySQL again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        Err(Problem::Restless)
    }

    /// Gives up all connections of a pool that was seen to accept changes and to refuse them: its server has become a
    /// replica, or its name leads to another server by now. What is connected to the old one would go on answering
    /// look-ups from the past.
    pub(crate) fn learn(&self, lines: &Arc<Lines>, problem: Option<&Problem>) {
        let seen = match problem.map(Problem::kind) {
            None => Lines::ACCEPTS,
            Some(ErrorKind::ReadOnly) => Lines::REFUSES,
            Some(_) => return,
        };
        if lines.seen.fetch_or(seen, Ordering::Relaxed) | seen == Lines::ACCEPTS | Lines::REFUSES {
            let mut current = self.lines.write().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&current, lines) {
                tracing::warn!(place = %self.place, "MySQL became read-only, or writable again: connecting anew");
                *current = Lines::new(self.opts.clone());
            }
        }
    }

    /// The pool that is in use.
    pub(crate) fn lines(&self) -> Arc<Lines> {
        Arc::clone(&self.lines.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection from the pool, or a new one.
    pub(crate) async fn link(&self, lines: &Lines, progress: &Arc<Progress>) -> Result<Link, Problem> {
        let conn = lines.pool.get_conn().await.map_err(|error| refused(&self.place, error))?;
        progress.reach(Progress::LINKED);
        Ok(Link { conn: Some(conn), may_be_used_again: true, progress: Arc::clone(progress) })
    }
}

/// What to say where no connection can be made.
pub(crate) fn refused(place: &str, error: mysql_async::Error) -> Problem {
    let code = match &error {
        mysql_async::Error::Server(answer) => Some(answer.code),
        _ => None,
    };
    let cause = match &error {
        mysql_async::Error::Server(answer) => answer.message.clone(),
        error => cause(error),
    };
    Problem::Connect { place: place.to_owned(), code, remedy: remedy(code, &cause), cause }
}

/// What is undone can be done again. What nobody heard of can only be read again.
fn may_try_again<W: Work>(problem: &Problem) -> bool {
    problem.is_passing() || (W::EFFECT == Effect::Reads && matches!(problem, Problem::Connection(_)))
}

/// How far a call has come, for whoever has to say so when it is cut short.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    const WAITING: u8 = 0;
    const LINKED: u8 = 1;
    const SENT: u8 = 2;

    fn reach(&self, step: u8) {
        self.0.store(step, Ordering::Relaxed);
    }

    fn has_link(&self) -> bool {
        self.0.load(Ordering::Relaxed) != Self::WAITING
    }

    fn sent(&self, effect: Effect) -> Sent {
        match (self.0.load(Ordering::Relaxed), effect) {
            (Self::SENT, Effect::Writes) => Sent::Writing,
            (Self::SENT, Effect::Reads) => Sent::Reading,
            _ => Sent::Nothing,
        }
    }
}

/// A connection while one piece of work has it.
///
/// It goes back to the pool only where its last exchange came to an end that leaves nothing behind. Anything else, a
/// deadline and a dropped future above all, closes it: what is still on its way could be taken for the answer to the next
/// question, and a transaction that a killed procedure left open would be committed by the next one.
#[derive(Debug)]
pub(crate) struct Link {
    conn: Option<Conn>,
    may_be_used_again: bool,
    progress: Arc<Progress>,
}

impl Link {
    /// Asks one statement, prepared on this connection, and takes the whole answer.
    pub(crate) async fn ask(&mut self, sql: &str, values: Vec<Value>) -> Result<Answer, Problem> {
        let conn = self.conn.as_mut().ok_or(Problem::Closed)?;
        self.may_be_used_again = false;
        let outcome = exchange(conn, &self.progress, sql, values).await;
        self.may_be_used_again = outcome.as_ref().map_or_else(Problem::spares_connection, |_| true);
        outcome
    }

    /// Says something that has no answer and cannot be prepared. The connection is not used again after it, unless it is
    /// [spared](Self::spare).
    pub(crate) async fn say(&mut self, sql: &'static str) -> Result<(), Problem> {
        let conn = self.conn.as_mut().ok_or(Problem::Closed)?;
        self.may_be_used_again = false;
        self.progress.reach(Progress::SENT);
        Ok(conn.query_drop(sql).await?)
    }

    /// Something is left on the connection, which ends with it.
    pub(crate) fn hold(&mut self) {
        self.may_be_used_again = false;
    }

    /// Nothing is left on the connection.
    pub(crate) fn spare(&mut self) {
        self.may_be_used_again = true;
    }
}

async fn exchange(
    conn: &mut Conn,
    progress: &Progress,
    sql: &str,
    values: Vec<Value>,
) -> Result<Answer, Problem> {
    let statement = conn.prep(sql).await?;
    progress.reach(Progress::SENT);
    let mut result = conn.exec_iter(&statement, values).await?;
    let mut answer = Answer { affected: result.affected_rows(), sets: Vec::new() };
    while !result.is_empty() {
        answer.sets.push(result.collect::<Row>().await?);
    }
    // An error after the first results waits to be asked for; without this it would look like the end of them.
    result.drop_result().await?;
    Ok(answer)
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if !self.may_be_used_again {
            // The first step of this marks the connection as closed, which is all the pool looks at; the rest would wait
            // for the server.
            let goodbye = pin!(conn.disconnect());
            let _ = goodbye.poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// What a statement answered: a set of rows for each result, and how many rows it changed.
#[derive(Debug)]
pub struct Answer {
    pub(crate) sets: Vec<Vec<Row>>,
    pub(crate) affected: u64,
}

impl Answer {
    /// How many rows it changed.
    #[must_use]
    pub fn affected(&self) -> u64 {
        self.affected
    }

    /// The rows of a statement that has one result.
    #[must_use]
    pub fn rows(self) -> Vec<Row> {
        self.sets.into_iter().next().unwrap_or_default()
    }
}

/// A deadlock is decided at once and rarely twice; a lock that somebody holds on to outlives the deadline anyway.
const MOST_ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
