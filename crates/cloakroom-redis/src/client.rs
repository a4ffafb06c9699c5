//! Calling scripts: on whichever server serves the bucket, within the deadline, and never twice where once might have
//! been enough.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloakroom_store::{StoreError, Verb};
use futures_util::future::join_all;
use redis::{Pipeline, RedisError, Value};
use tokio::time::Instant;

use crate::answer::Answer;
pub(crate) use crate::call::Call;
use crate::error::{Problem, never_began};
use crate::keys::Layout;
use crate::link::{Connection, is_answer};
use crate::node::{Lane, Node, Topology};
use crate::options::{Host, RedisOptions, Replicas};
use crate::rest::timer_now;
use crate::script::Access;

/// The servers of a store.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) layout: Layout,
    pub(crate) topology: Topology,
    deadline: Duration,
    replicas: Option<Replicas>,
}

/// How far a verb has come: what its caller has to be told if it fails now.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Changes that were sent and not refused.
    in_doubt: AtomicUsize,
    /// Whom it waits for.
    waiting: Mutex<Vec<Waiting>>,
}

/// An answer that was not heard yet.
#[derive(Debug)]
struct Waiting {
    node: Arc<Node>,
    lane: Lane,
    connection: Connection,
    since: Instant,
}

impl Progress {
    fn sends(&self, call: &Call, node: &Arc<Node>, connection: &Connection) {
        if call.script.access != Access::Reads {
            self.in_doubt.fetch_add(1, Ordering::AcqRel);
        }
        let (node, connection) = (Arc::clone(node), connection.clone());
        self.waiting().push(Waiting { node, lane: call.lane, connection, since: timer_now() });
    }

    /// The other end of a connection is there: whatever else may be waited for, it is not the connection's fault.
    fn hears(&self, connection: &Connection) {
        self.waiting().retain(|waiting| !waiting.connection.is(connection));
    }

    fn was_refused(&self, call: &Call) {
        if call.script.access != Access::Reads {
            self.in_doubt.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn error(&self, problem: Problem, verb: Verb) -> StoreError {
        let error = problem.into_error(verb);
        if self.in_doubt.load(Ordering::Acquire) > 0 { error.maybe_applied() } else { error }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of one attempt.
enum Attempt {
    Answered(Value, Arc<Node>),
    /// The server never began: asked again, somebody may.
    Refused(RedisError, Arc<Node>),
    /// Nobody knows what became of it.
    Lost(Problem),
    /// There was nobody to ask.
    Unreachable(Problem, Arc<Node>),
    Failed(Problem),
}

impl Client {
    pub(crate) fn new(options: &RedisOptions) -> Result<Self, Problem> {
        let topology = Topology::new(options)?;
        let layout = Layout::new(&options.prefix, matches!(topology, Topology::Cluster(_)));
        // Whoever waits for replicas has to hear of it before the deadline.
        let longest = options.deadline / 4 * 3;
        let replicas = options
            .replicas
            .map(|replicas| Replicas { patience: replicas.patience.min(longest), ..replicas });
        Ok(Self { layout, topology, deadline: options.deadline, replicas })
    }

    /// The longest that a verb may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// How many replicas have to know of an end.
    pub(crate) fn replicas_demanded(&self) -> u32 {
        self.replicas.map_or(0, |replicas| replicas.count)
    }

    /// The lane for calls that have to reach replicas, where that is asked for.
    pub(crate) fn durable(&self) -> Lane {
        if self.replicas.is_some() { Lane::Durable } else { Lane::Commands }
    }

    /// What `work` comes to, within the deadline.
    pub(crate) async fn within<T>(
        &self,
        verb: Verb,
        progress: &Progress,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.deadline, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(problem)) => {
                let is_of_a_part = self.topology.has_parts() && problem.is_of_one_server();
                Err(progress.error(problem, verb).of_a_part(is_of_a_part))
            }
            Err(_) => {
                // Whoever does not answer may be stopped, or behind a link that was cut: the next call finds out.
                let silent: Vec<_> = progress.waiting().drain(..).collect();
                for Waiting { node, lane, connection, since } in &silent {
                    node.link(*lane).give_up(connection);
                    // Who was asked only just now, after others or again and again, is not the one that does not answer.
                    if since.elapsed() >= self.deadline / 2 {
                        self.topology.fell_silent(node);
                    } else {
                        self.topology.lost(node);
                    }
                }
                let error = progress.error(Problem::Overdue(self.deadline), verb);
                Err(error.of_a_part(self.topology.has_parts() && !silent.is_empty()))
            }
        }
    }

    /// Calls a script in one bucket.
    pub(crate) async fn call(&self, progress: &Progress, call: &Call) -> Result<Answer, Problem> {
        self.call_somebody(progress, call).await.map(|(answer, _)| answer)
    }

    /// The same, and who answered.
    pub(crate) async fn call_somebody(
        &self,
        progress: &Progress,
        call: &Call,
    ) -> Result<(Answer, Arc<Node>), Problem> {
        // A call that waits for replicas would wait in vain for a script that the server has yet to be taught.
        let (mut is_loaded, mut hops, mut losses) = (call.lane == Lane::Commands, 0, 0);
        loop {
            match self.attempt(progress, call, is_loaded).await {
                Attempt::Answered(value, node) => {
                    return Ok((Answer { of: call.script.name, value }, node));
                }
                Attempt::Refused(error, node) => match error.code() {
                    Some("NOSCRIPT") if is_loaded => is_loaded = false,
                    Some("MOVED") => {
                        hops += 1;
                        if hops > MOST_HOPS {
                            return Err(Problem::Wandering { bucket: call.bucket.text(), hops });
                        }
                        let to =
                            error.redirect_node().map(|(name, port)| Host { name: name.to_owned(), port });
                        if !to.is_some_and(|host| self.topology.moved(call.bucket, host)) {
                            return Err(Problem::Unusable(CLUSTERED.to_owned()));
                        }
                    }
                    // The slot is on its way to another node.
                    Some("ASK" | "TRYAGAIN") => tokio::time::sleep(PAUSE).await,
                    // It is a replica by now. Its name may lead to the new primary already.
                    Some("READONLY" | "MASTERDOWN") => {
                        node.hang_up();
                        self.topology.lost(&node);
                        losses += 1;
                        if losses > MOST_LOSSES {
                            return Err(Problem::Replica { address: node.host.to_string() });
                        }
                    }
                    _ => {
                        if error.code() == Some("CLUSTERDOWN") {
                            self.topology.lost(&node);
                        }
                        return Err(node.link(call.lane).problem(error));
                    }
                },
                Attempt::Lost(problem) => {
                    losses += 1;
                    if call.script.access == Access::Writes || losses > MOST_LOSSES {
                        return Err(problem);
                    }
                }
                Attempt::Unreachable(problem, node) => {
                    self.topology.fell_silent(&node);
                    losses += 1;
                    if losses > MOST_LOSSES || !self.topology.has_others() {
                        return Err(problem);
                    }
                }
                Attempt::Failed(problem) => return Err(problem),
            }
        }
    }

    /// Calls scripts in several buckets, in one pipeline for each server; the answers in the order of the calls.
    ///
    /// Not atomic: where it fails, some may have been done.
    pub(crate) async fn call_all(&self, progress: &Progress, calls: &[Call]) -> Result<Vec<Answer>, Problem> {
        if let [call] = calls {
            return Ok(vec![self.call(progress, call).await?]);
        }
        let mut groups: Vec<(Arc<Node>, Vec<usize>)> = Vec::new();
        for (position, call) in calls.iter().enumerate() {
            let node = self.topology.node(call.bucket).await?;
            match groups.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &node)) {
                Some((_, positions)) => positions.push(position),
                None => groups.push((node, vec![position])),
            }
        }
        let groups = groups.iter().map(|(node, positions)| self.call_group(progress, node, calls, positions));
        let mut answers: Vec<(usize, Answer)> = Vec::with_capacity(calls.len());
        for group in join_all(groups).await {
            answers.extend(group?);
        }
        answers.sort_unstable_by_key(|(position, _)| *position);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    async fn call_group(
        &self,
        progress: &Progress,
        node: &Arc<Node>,
        calls: &[Call],
        positions: &[usize],
    ) -> Result<Vec<(usize, Answer)>, Problem> {
        let chosen: Vec<(usize, &Call)> =
            positions.iter().filter_map(|position| Some((*position, calls.get(*position)?))).collect();
        let (mut answers, mut left) = (Vec::new(), Vec::new());
        match self.pipelined(progress, node, &chosen).await? {
            None => left = chosen,
            Some(values) => {
                for ((position, call), value) in chosen.into_iter().zip(values) {
                    match value.extract_error() {
                        Ok(value) => answers.push((position, Answer { of: call.script.name, value })),
                        // Some of them may have to be asked elsewhere, or with the script's text.
                        Err(error) if never_began(&error) => {
                            progress.was_refused(call);
                            left.push((position, call));
                        }
                        Err(error) => return Err(node.link(call.lane).problem(error)),
                    }
                }
            }
        }
        let rest = left
            .into_iter()
            .map(async |(position, call)| self.call(progress, call).await.map(|answer| (position, answer)));
        for answer in join_all(rest).await {
            answers.push(answer?);
        }
        Ok(answers)
    }

    /// The answers of one server to several calls; nothing where none of them was sent, or may be sent again.
    async fn pipelined(
        &self,
        progress: &Progress,
        node: &Arc<Node>,
        calls: &[(usize, &Call)],
    ) -> Result<Option<Vec<Value>>, Problem> {
        let Some((_, first)) = calls.first() else { return Ok(None) };
        let link = node.link(first.lane);
        let Ok(mut connection) = link.connection().await else {
            self.topology.fell_silent(node);
            return Ok(None);
        };
        let mut pipeline = Pipeline::with_capacity(calls.len() + 2);
        for (position, (_, call)) in calls.iter().enumerate() {
            // The first one teaches the server the script where those behind it must not come back for it: whoever waits
            // for replicas waits once.
            pipeline.add_command(call.command(&self.layout, position > 0 || call.lane == Lane::Commands));
            progress.sends(call, node, &connection);
        }
        self.add_wait(&mut pipeline, first);
        let count = pipeline.len();
        let answer = connection.ask_all(&pipeline, count).await;
        progress.hears(&connection);
        match answer {
            Ok(mut values) => {
                node.rest.end();
                if first.lane == Lane::Durable {
                    self.check_wait(values.pop())?;
                    values.pop();
                }
                Ok(Some(values))
            }
            Err(error) => {
                link.give_up(&connection);
                self.topology.fell_silent(node);
                if calls.iter().any(|(_, call)| call.script.access == Access::Writes) {
                    return Err(link.problem(error));
                }
                Ok(None)
            }
        }
    }

    async fn attempt(&self, progress: &Progress, call: &Call, is_loaded: bool) -> Attempt {
        let node = match self.topology.node(call.bucket).await {
            Ok(node) => node,
            Err(problem) => return Attempt::Failed(problem),
        };
        let link = node.link(call.lane);
        let mut connection = match link.connection().await {
            Ok(connection) => connection,
            Err(problem) => return Attempt::Unreachable(problem, node),
        };
        let command = call.command(&self.layout, is_loaded);
        progress.sends(call, &node, &connection);
        let answer = match call.lane {
            Lane::Commands => connection.ask(&command).await,
            Lane::Durable => {
                let mut pipeline = Pipeline::with_capacity(3);
                pipeline.add_command(command);
                self.add_wait(&mut pipeline, call);
                match connection.ask_all(&pipeline, 3).await {
                    Ok(values) => {
                        let mut values = values.into_iter();
                        let answer = values.next().unwrap_or_default().extract_error();
                        if let (Ok(_), Err(problem)) = (&answer, self.check_wait(values.last())) {
                            return Attempt::Failed(problem);
                        }
                        answer
                    }
                    Err(error) => Err(error),
                }
            }
        };
        progress.hears(&connection);
        if answer.as_ref().err().is_none_or(is_answer) {
            node.rest.end();
        }
        match answer {
            Ok(value) => Attempt::Answered(value, node),
            Err(error) if never_began(&error) => {
                progress.was_refused(call);
                Attempt::Refused(error, node)
            }
            Err(error) if is_answer(&error) => Attempt::Failed(link.problem(error)),
            Err(error) => {
                link.give_up(&connection);
                self.topology.fell_silent(&node);
                Attempt::Lost(link.problem(error))
            }
        }
    }

    /// Makes the server answer once replicas have what was done before.
    ///
    /// The write of its own makes sure of that also where the script found nothing to do, because an earlier call did
    /// it whose answer was lost: `WAIT` is about what this connection wrote.
    fn add_wait(&self, pipeline: &mut Pipeline, call: &Call) {
        if let (Lane::Durable, Some(replicas)) = (call.lane, self.replicas) {
            pipeline.cmd("SET").arg(self.layout.key(call.bucket, "ping", "replicas")).arg(1);
            let patience = u64::try_from(replicas.patience.as_millis()).unwrap_or(u64::MAX);
            pipeline.cmd("WAIT").arg(replicas.count).arg(patience);
        }
    }

    fn check_wait(&self, answer: Option<Value>) -> Result<(), Problem> {
        let Some(Replicas { count, .. }) = self.replicas else { return Ok(()) };
        match answer {
            Some(Value::Int(acknowledged)) if acknowledged >= i64::from(count) => Ok(()),
            Some(Value::Int(acknowledged)) => Err(Problem::Replicas { acknowledged, demanded: count }),
            _ => Err(Problem::Answer("WAIT")),
        }
    }
}

/// Between two questions after a slot that is on its way.
const PAUSE: Duration = Duration::from_millis(10);
/// Servers that may turn out to be gone during one call.
const MOST_LOSSES: u32 = 2;
/// Servers that may send a call on to another.
const MOST_HOPS: u32 = 8;
const CLUSTERED: &str =
    "the server is a node of a Cluster: write redis+cluster:// with the addresses of its nodes";
