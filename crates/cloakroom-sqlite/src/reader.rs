//! Threads that read: a snapshot for each handful of questions, taken after they were asked.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cloakroom_store::{Applied, StoreError, Verb};
use tokio::sync::oneshot;

use crate::database::Database;
use crate::error::Problem;
use crate::queue::Queue;
use crate::transaction::{Purpose, Transaction};

/// A question, and somebody who waits for the answer.
pub(crate) struct Question(Box<Ask>);

type Ask = dyn FnOnce(Result<&Transaction<'_>, &Arc<Problem>>) -> Sound + Send;

/// Whether the connection can be used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sound {
    Yes,
    No,
}

impl Sound {
    fn after(problem: &Problem) -> Self {
        if problem.spoils_connection() { Self::No } else { Self::Yes }
    }

    fn and(self, other: Self) -> Self {
        if self == Self::Yes { other } else { self }
    }
}

impl Question {
    pub(crate) fn new<T, F>(verb: Verb, find: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Problem> + Send + 'static,
    {
        Self(Box::new(move |transaction| {
            let (answer, sound) = match transaction {
                Err(problem) => (Err(Problem::shared(problem, verb, Applied::No)), Sound::Yes),
                Ok(transaction) => match find(transaction) {
                    Ok(answer) => (Ok(answer), Sound::Yes),
                    Err(problem) => {
                        let sound = Sound::after(&problem);
                        (Err(problem.into_error(verb)), sound)
                    }
                },
            };
            // Whoever asked may have left.
            let _ = reply.send(answer);
            sound
        }))
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question(..)")
    }
}

/// What a reading thread has.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) database: Database,
    pub(crate) queue: Arc<Queue<Question>>,
    /// Most questions answered from one snapshot.
    pub(crate) at_once: usize,
}

impl Reader {
    /// Answers until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut questions = Vec::with_capacity(self.at_once);
        while self.queue.take(self.at_once, &mut questions) {
            // A defect costs the questions it happens among their answers, not everybody the store.
            let sound = catch_unwind(AssertUnwindSafe(|| self.answer(&mut questions))).unwrap_or(Sound::No);
            questions.clear();
            if sound == Sound::No {
                self.database.give_up();
            }
        }
    }

    fn answer(&mut self, questions: &mut Vec<Question>) -> Sound {
        // All of them were asked before this snapshot is taken: what was acknowledged before is in it.
        let connection = self.database.connection();
        match connection.and_then(|connection| Transaction::begin(connection, Purpose::Read)) {
            Ok(snapshot) => {
                let sound = questions.drain(..).map(|Question(ask)| ask(Ok(&snapshot)));
                sound.fold(Sound::Yes, Sound::and)
            }
            Err(problem) => {
                let problem = Arc::new(problem);
                questions.drain(..).for_each(|Question(ask)| {
                    ask(Err(&problem));
                });
                Sound::after(&problem)
            }
        }
    }
}
