//! Keeping one server's line up, for as long as the server is one of those that keep sessions.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::coverage::{Coverage, LineNumber};
use super::line::{Line, holds};
use super::view::View;
use crate::error::{Problem, said};
use crate::keys::Layout;
use crate::link::Link;
use crate::node::{Lane, Node};
use crate::nonce::Nonces;

/// One server whose changes are followed: a task that connects, answers whoever asks, and connects anew.
#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) node: Arc<Node>,
    questions: mpsc::Sender<Question>,
    coverage: Arc<Coverage>,
    task: AbortHandle,
}

/// Who wants to know what the server says of itself, once all news from before has come.
type Question = oneshot::Sender<Result<View, Problem>>;

/// What every tracker of a feed works with.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) layout: Layout,
    pub(super) coverage: Arc<Coverage>,
    /// The longest that a server may be silent.
    pub(super) deadline: Duration,
    /// Notified when a line was made or broke: something may be covered anew, or has to be looked for elsewhere.
    pub(super) changed: Arc<Notify>,
}

impl Tracker {
    pub(super) fn start(node: Arc<Node>, surroundings: Surroundings) -> Arc<Self> {
        let (questions, asked) = mpsc::channel(MOST_QUESTIONS);
        let coverage = Arc::clone(&surroundings.coverage);
        let work = Work { node: Arc::clone(&node), asked, surroundings, jitter: Nonces::default() };
        Arc::new(Self { node, questions, coverage, task: tokio::spawn(work.run()).abort_handle() })
    }

    /// What the server says of itself, once all news from before this was called has come.
    pub(super) async fn view(&self, patience: Duration) -> Result<View, Problem> {
        let (question, answer) = oneshot::channel();
        let asked = async {
            let gone = || self.unfollowed("nobody follows it any more");
            self.questions.send(question).await.map_err(|_| gone())?;
            answer.await.unwrap_or_else(|_| Err(gone()))
        };
        timeout(patience, asked).await.unwrap_or(Err(Problem::Overdue(patience)))
    }

    /// Gives up a line whose other end is not what it was; another is made at once.
    pub(super) fn give_up(&self, line: LineNumber) {
        self.coverage.close(line);
        // Nobody waits for the answer: whoever is asked finds that the line is closed. Where the queue is full, somebody
        // else's question does the same.
        let (question, _) = oneshot::channel();
        let _ = self.questions.try_send(question);
    }

    fn unfollowed(&self, detail: &str) -> Problem {
        Problem::Unfollowed { address: self.node.host.to_string(), detail: detail.to_owned(), is_gone: false }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task.
struct Work {
    node: Arc<Node>,
    asked: mpsc::Receiver<Question>,
    surroundings: Surroundings,
    jitter: Nonces,
}

/// Why there is no line.
struct Failure {
    detail: String,
    /// Nobody is there; else it is, and refuses.
    is_gone: bool,
}

impl Failure {
    fn of(problem: &Problem) -> Self {
        Self { detail: said(problem), is_gone: !holds(problem) }
    }

    fn problem(&self, link: &Link) -> Problem {
        let address = link.address().to_owned();
        Problem::Unfollowed { address, detail: self.detail.clone(), is_gone: self.is_gone }
    }
}

impl Work {
    async fn run(mut self) {
        let (mut failure, mut pause) = (None, FIRST_PAUSE);
        loop {
            let node = Arc::clone(&self.node);
            let Surroundings { layout, coverage, deadline, changed } = self.surroundings.clone();
            let connecting = timeout(deadline, Line::open(node.link(Lane::Commands), &layout, &coverage));
            // Whoever asks before the first attempt was made waits for it.
            let line = match &failure {
                Some(failure) => self.refusing(failure, connecting).await,
                None => connecting.await,
            };
            let next = match line.unwrap_or(Err(Problem::Overdue(deadline))) {
                Ok(line) => {
                    changed.notify_one();
                    let (has_served, next) = self.serve(&line).await;
                    if has_served {
                        pause = FIRST_PAUSE;
                    }
                    tracing::info!(address = %node.host, detail = next.detail, "changes are not followed any more");
                    next
                }
                Err(problem) => self.refuse_all(problem),
            };
            changed.notify_one();
            self.refusing(&next, sleep(self.jitter.jittered(pause))).await;
            failure = Some(next);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Answers questions until the line is gone: whether it ever could, and why it is gone.
    async fn serve(&mut self, line: &Line) -> (bool, Failure) {
        let node = Arc::clone(&self.node);
        let link = node.link(Lane::Commands);
        let deadline = self.surroundings.deadline;
        let mut has_served = false;
        loop {
            let question = match select(pin!(line.broken()), pin!(self.asked.recv())).await {
                Either::Right((Some(question), _)) => question,
                Either::Left(_) | Either::Right((None, _)) => return (has_served, Failure::broken()),
            };
            // Whoever asked before the server is asked is answered with them.
            let mut waiting = vec![question];
            while let Ok(question) = self.asked.try_recv() {
                waiting.push(question);
            }
            let view = if self.surroundings.coverage.is_open(line.number) {
                match select(pin!(line.broken()), pin!(timeout(deadline, line.view(link)))).await {
                    Either::Left(_) => Err(Failure::broken().problem(link)),
                    Either::Right((view, _)) => view.unwrap_or(Err(Problem::Overdue(deadline))),
                }
            } else {
                Err(Failure::broken().problem(link))
            };
            match view {
                Ok(view) => {
                    has_served = true;
                    for question in waiting {
                        let _ = question.send(Ok(view.clone()));
                    }
                }
                Err(problem) => {
                    let failure = Failure::of(&problem);
                    refuse(waiting, problem, &failure, link);
                    // A server that is busy has not forgotten whom it tells.
                    if failure.is_gone {
                        return (has_served, failure);
                    }
                }
            }
        }
    }

    /// Does something else, and meanwhile answers whoever asks why there is no answer.
    async fn refusing<T>(&mut self, failure: &Failure, work: impl Future<Output = T>) -> T {
        let node = Arc::clone(&self.node);
        let mut work = pin!(work);
        loop {
            match select(work.as_mut(), pin!(self.asked.recv())).await {
                Either::Left((done, _)) => return done,
                Either::Right((Some(question), _)) => {
                    let _ = question.send(Err(failure.problem(node.link(Lane::Commands))));
                }
                // Nobody can ask any more: the task is about to be ended.
                Either::Right((None, _)) => return work.await,
            }
        }
    }

    fn refuse_all(&mut self, problem: Problem) -> Failure {
        let mut waiting = Vec::new();
        while let Ok(question) = self.asked.try_recv() {
            waiting.push(question);
        }
        let failure = Failure::of(&problem);
        refuse(waiting, problem, &failure, self.node.link(Lane::Commands));
        failure
    }
}

/// The first to have asked gets the problem itself, the others what it was.
fn refuse(waiting: Vec<Question>, problem: Problem, failure: &Failure, link: &Link) {
    let mut waiting = waiting.into_iter();
    if let Some(first) = waiting.next() {
        let _ = first.send(Err(problem));
    }
    for question in waiting {
        let _ = question.send(Err(failure.problem(link)));
    }
}

impl Failure {
    fn broken() -> Self {
        Self { detail: "the connection broke".to_owned(), is_gone: true }
    }
}

/// Before a connection that broke is made anew for the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Between two attempts to reach a server that is not there.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Questions that may wait for a server; more wait to be asked.
const MOST_QUESTIONS: usize = 64;
