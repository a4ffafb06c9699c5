//! The one thread of this process that writes: groups of operations, one transaction, one `fsync` each.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cloakroom_store::{Applied, ErrorKind, StoreError, Verb};
use rusqlite::DEFAULT_NAME;
use rusqlite::wal::CheckpointMode;
use tokio::sync::oneshot;

use crate::database::Database;
use crate::error::Problem;
use crate::feed::Feeds;
use crate::queue::Queue;
use crate::transaction::{Purpose, Transaction};

/// Something to write, and somebody who waits for it.
pub(crate) trait Operation: Send + fmt::Debug {
    /// Does it, inside a transaction. Where it fails, what it did so far is undone, and [`settle`](Self::settle) will
    /// say why.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Failed>;

    /// What kind of failure it was, if it failed by itself.
    fn failure(&self) -> Option<ErrorKind>;

    /// Answers. Called once, after the transaction is committed or given up.
    fn settle(self: Box<Self>, group: Result<(), &Refused>);
}

/// An operation failed by itself; whether the connection is still good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failed(Connected);

/// Whether a connection can be used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Connected {
    Yes,
    No,
}

/// The fate of a group that was not committed.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    problem: Arc<Problem>,
    applied: Applied,
}

/// An operation made of a closure.
pub(crate) struct Call<T, F> {
    verb: Verb,
    work: Option<F>,
    outcome: Option<Result<T, Problem>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Call<T, F>
where
    F: FnOnce(&mut Transaction<'_>) -> Result<T, Problem>,
{
    pub(crate) fn new(verb: Verb, work: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { verb, work: Some(work), outcome: None, reply }
    }
}

impl<T, F> Operation for Call<T, F>
where
    T: Send,
    F: FnOnce(&mut Transaction<'_>) -> Result<T, Problem> + Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Failed> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let outcome = work(transaction);
        let failed = match &outcome {
            Ok(_) => Ok(()),
            Err(problem) if problem.spoils_connection() => Err(Failed(Connected::No)),
            Err(_) => Err(Failed(Connected::Yes)),
        };
        self.outcome = Some(outcome);
        failed
    }

    fn failure(&self) -> Option<ErrorKind> {
        self.outcome.as_ref()?.as_ref().err().map(Problem::kind)
    }

    fn settle(self: Box<Self>, group: Result<(), &Refused>) {
        let answer = match (self.outcome, group) {
            (Some(Ok(outcome)), Ok(())) => Ok(outcome),
            // Its own reason says more than that the group failed.
            (Some(Err(problem)), _) => Err(problem.into_error(self.verb)),
            (_, Err(refused)) => Err(Problem::shared(&refused.problem, self.verb, refused.applied)),
            (None, Ok(())) => Err(Problem::Panicked.into_error(self.verb)),
        };
        // Whoever asked may have left; what was done stays done.
        let _ = self.reply.send(answer);
    }
}

impl<T, F> fmt::Debug for Call<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("verb", &self.verb).finish_non_exhaustive()
    }
}

/// What the writing thread has.
#[derive(Debug)]
pub(crate) struct Writer {
    database: Database,
    queue: Arc<Queue<Box<dyn Operation>>>,
    feeds: Arc<Feeds>,
    /// Pages in the log at the last checkpoint.
    checkpointed_at: usize,
}

impl Writer {
    pub(crate) fn new(database: Database, queue: Arc<Queue<Box<dyn Operation>>>, feeds: Arc<Feeds>) -> Self {
        Self { database, queue, feeds, checkpointed_at: 0 }
    }

    /// Writes until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP);
        while self.queue.take(GROUP, &mut group) {
            let work = AssertUnwindSafe(|| {
                self.serve(&mut group);
                self.checkpoint_if_due();
            });
            // A defect costs the group it happens in its answers, not everybody the store.
            if catch_unwind(work).is_err() {
                group.clear();
                self.database.give_up();
            }
        }
    }

    fn serve(&mut self, group: &mut Vec<Box<dyn Operation>>) {
        match self.write(group) {
            Ok(connected) => {
                // Whoever watches knows before whoever asked.
                self.feeds.committed();
                settle(group, Ok(()));
                if connected == Connected::No {
                    self.database.give_up();
                }
            }
            Err(refused) => self.refuse(group, &refused),
        }
    }

    /// Runs and commits a group.
    fn write(&mut self, group: &mut [Box<dyn Operation>]) -> Result<Connected, Refused> {
        let mut transaction = Transaction::begin(self.database.connection()?, Purpose::Write)?;
        if let [alone] = group {
            return match alone.run(&mut transaction) {
                Ok(()) => commit(transaction).map(|()| Connected::Yes),
                Err(Failed(connected)) => Ok(connected),
            };
        }
        let mut connected = Connected::Yes;
        for operation in group {
            match transaction.savepoint(|transaction| operation.run(transaction)) {
                Ok(Ok(()) | Err(Failed(Connected::Yes))) => {}
                Ok(Err(Failed(Connected::No))) => connected = Connected::No,
                // SQLite gives up the whole transaction by itself where the disk fails or is full. What it says about the
                // savepoint then is nobody's reason; what the operation met is everybody's.
                Err(lost) => {
                    return Err(operation.failure().map_or(lost, Problem::Together).into());
                }
            }
        }
        commit(transaction).map(|()| connected)
    }

    /// Tells everyone in `group` that it was not committed.
    fn refuse(&mut self, group: &mut Vec<Box<dyn Operation>>, refused: &Refused) {
        if refused.problem.kind() == ErrorKind::Full {
            // The log may be what fills the disk: once all of it is in the file, it begins again from its start.
            let _ = self.checkpoint();
        }
        if refused.problem.spoils_connection() {
            self.database.give_up();
        }
        if refused.problem.kind() == ErrorKind::Timeout {
            // Another process has held the lock for the whole busy timeout. Who came meanwhile has waited too, and would
            // wait that long again.
            group.extend(self.queue.drain());
        }
        settle(group, Err(refused));
    }

    /// Moves the log's pages to their places in the file once there are many: after the answers, before the next group.
    fn checkpoint_if_due(&mut self) {
        let pages = self.database.wal_pages();
        // The log begins again from its start once all of it is in the file and nobody reads from it.
        let since = pages.checked_sub(self.checkpointed_at).unwrap_or(pages);
        let enough = if self.queue.is_empty() { CHECKPOINT_PAGES_IDLE } else { CHECKPOINT_PAGES_BUSY };
        if since < enough {
            return;
        }
        self.checkpointed_at = pages;
        // Nothing is lost with a failed checkpoint: the log has it all, and the next one begins again.
        if self.checkpoint().is_err_and(|problem| problem.spoils_connection()) {
            self.database.give_up();
        }
    }

    fn checkpoint(&mut self) -> Result<(), Problem> {
        let connection = self.database.connection()?;
        Ok(connection.wal_checkpoint_v2(DEFAULT_NAME, CheckpointMode::PASSIVE).map(|_| ())?)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem: Arc::new(problem), applied: Applied::No }
    }
}

fn commit(transaction: Transaction<'_>) -> Result<(), Refused> {
    transaction.commit().map_err(|problem| {
        let applied = if problem.certainly_rolled_back() { Applied::No } else { Applied::Unknown };
        Refused { problem: Arc::new(problem), applied }
    })
}

fn settle(group: &mut Vec<Box<dyn Operation>>, fate: Result<(), &Refused>) {
    for operation in group.drain(..) {
        operation.settle(fate);
    }
}

/// Most operations in one transaction: more gain nothing (an `fsync` costs as much as a dozen of them), and everyone in
/// it waits for all.
const GROUP: usize = 512;
/// Pages since the last checkpoint that cause one while nothing waits (4 MiB): it takes some ten milliseconds then, and
/// delays at most who comes in them.
const CHECKPOINT_PAGES_IDLE: usize = 1_000;
/// The same while operations wait (64 MiB): pages that are written again and again are moved once, so that under load a
/// rare checkpoint is worth a third more throughput than frequent ones, at the price of a tenth of a second each.
const CHECKPOINT_PAGES_BUSY: usize = 16_000;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::SqliteOptions;
    use crate::database::Access;
    use crate::patience::Patience;

    type Answer = Result<i64, StoreError>;

    fn call(
        work: impl FnOnce(&mut Transaction<'_>) -> Result<i64, Problem> + Send + 'static,
    ) -> (Box<dyn Operation>, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Call::new(Verb::Ping, work, reply)), answer)
    }

    fn ping(transaction: &mut Transaction<'_>) -> Result<i64, Problem> {
        transaction.statement("UPDATE housekeeping SET pings = pings + 1")?.execute([])?;
        pings(transaction)
    }

    fn pings(transaction: &mut Transaction<'_>) -> Result<i64, Problem> {
        Ok(transaction.statement("SELECT pings FROM housekeeping")?.query_row([], |row| row.get(0))?)
    }

    /// Runs `calls` as one group, whatever they are, and then asks how many pings there have been.
    fn together(calls: Vec<Box<dyn Operation>>) -> i64 {
        let directory = tempfile::tempdir().unwrap();
        let options = Arc::new(SqliteOptions::new(directory.path().join("sessions.db")));
        let queue = Arc::new(Queue::new(16));
        let feeds = Feeds::new(
            Database::new(Arc::clone(&options), Access::Read),
            Arc::new(Patience::new(Duration::from_secs(5))),
        );
        let writer = Writer::new(Database::create(options).unwrap(), Arc::clone(&queue), Arc::new(feeds));
        calls.into_iter().for_each(|call| queue.push(call).unwrap());
        let (done, finished) = mpsc::channel();
        let thread = thread::spawn(move || {
            writer.run();
            done.send(()).unwrap();
        });
        // Once they are taken, whatever comes is another group.
        while !queue.is_empty() {
            thread::yield_now();
        }
        let (count, answer) = call(pings);
        queue.push(count).unwrap();
        queue.close();
        finished.recv().unwrap();
        thread.join().unwrap();
        answer.blocking_recv().unwrap().unwrap()
    }

    #[test]
    fn an_operation_that_fails_leaves_nothing_and_the_others_of_its_group_are_done() {
        let (first, one) = call(ping);
        let (failing, none) = call(|transaction| {
            ping(transaction)?;
            Err(Problem::Misuse("a reason to fail"))
        });
        let (last, other) = call(ping);
        assert_eq!(together(vec![first, failing, last]), 2);
        assert_eq!(one.blocking_recv().unwrap().unwrap(), 1);
        assert_eq!(other.blocking_recv().unwrap().unwrap(), 2);
        let error = none.blocking_recv().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Internal, Applied::No));
    }

    #[test]
    fn an_operation_that_panics_undoes_its_group_and_nobody_is_told_otherwise() {
        let (first, one) = call(ping);
        let (panicking, none) = call(|_| panic!("a defect"));
        // No answer at all: who waits learns that nobody knows, which is more careful than need be.
        let count = together(vec![first, panicking]);
        assert!(one.blocking_recv().is_err() && none.blocking_recv().is_err());
        assert_eq!(count, 0, "the thread goes on, and nothing of the group is there");
    }
}
