//! Calling scripts: on whichever server serves the bucket, within the deadline, and never twice where once might have
//! been enough.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::{StoreError, Verb};
use redis::{Pipeline, RedisError, Value};
use tokio::time::Instant;

use crate::answer::Answer;
pub(crate) use crate::call::Call;
use crate::error::{Problem, never_began};
use crate::keys::Layout;
use crate::link::is_answer;
use crate::node::{Lane, Node, Topology};
use crate::options::{Host, RedisOptions, Replicas};
pub(crate) use crate::progress::Progress;
use crate::progress::Waiting;
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

/// Whoever calls may leave before the deadline. Then somebody who was silent for long enough is found out all the same:
/// callers who are less patient than the store would otherwise wait for it again and again.
struct Leaving<'a> {
    client: &'a Client,
    progress: &'a Progress,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if !self.client.topology.has_parts() {
            return;
        }
        for Waiting { node, lane, connection, asked } in self.progress.stop_waiting() {
            if asked.is_silent_for(self.client.deadline / 2) {
                node.link(lane).give_up(&connection);
                self.client.topology.fell_silent(&node, asked);
            }
        }
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
    Unreachable(Problem),
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

    /// The instant by which a verb that begins now has to be through.
    pub(crate) fn until(&self) -> Instant {
        timer_now() + self.deadline
    }

    /// What `work` comes to, within the deadline.
    pub(crate) fn within<T>(
        &self,
        verb: Verb,
        progress: &Progress,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        self.within_until(self.until(), verb, progress, work)
    }

    /// The same, with others, of whom none may take longer than the verb.
    pub(crate) async fn within_until<T>(
        &self,
        until: Instant,
        verb: Verb,
        progress: &Progress,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, StoreError> {
        let _leaving = Leaving { client: self, progress };
        match tokio::time::timeout_at(until, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(problem)) => {
                let is_of_a_part = self.topology.has_parts() && problem.is_of_one_server();
                Err(progress.error(problem, verb).of_a_part(is_of_a_part))
            }
            Err(_) => {
                // Whoever does not answer may be stopped, or behind a link that was cut: the next call finds out.
                let silent = progress.stop_waiting();
                for Waiting { node, lane, connection, asked } in &silent {
                    node.link(*lane).give_up(connection);
                    // Who was asked only just now, after others or again and again, is not the one that does not answer.
                    if asked.is_silent_for(self.deadline / 2) {
                        self.topology.fell_silent(node, *asked);
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
                Attempt::Unreachable(problem) => {
                    losses += 1;
                    if losses > MOST_LOSSES || !self.topology.has_others() {
                        return Err(problem);
                    }
                }
                Attempt::Failed(problem) => return Err(problem),
            }
        }
    }

    async fn attempt(&self, progress: &Progress, call: &Call, is_loaded: bool) -> Attempt {
        let node = match self.topology.node(call.bucket).await {
            Ok(node) => node,
            Err(problem) => return Attempt::Failed(problem),
        };
        let (link, asked) = (node.link(call.lane), self.topology.asks(&node));
        let mut connection = match link.connection().await {
            Ok(connection) => connection,
            Err(problem) => {
                self.topology.fell_silent(&node, asked);
                return Attempt::Unreachable(problem);
            }
        };
        let command = call.command(&self.layout, is_loaded);
        progress.sends(call, &node, &connection, asked);
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
                // Whoever dials next finds out whether anybody is there: it takes no longer than a refusal.
                link.give_up(&connection);
                self.topology.lost(&node);
                Attempt::Lost(link.problem(error))
            }
        }
    }

    /// Makes the server answer once replicas have what was done before.
    ///
    /// The write of its own makes sure of that also where the script found nothing to do, because an earlier call did
    /// it whose answer was lost: `WAIT` is about what this connection wrote.
    pub(crate) fn add_wait(&self, pipeline: &mut Pipeline, call: &Call) {
        if let (Lane::Durable, Some(replicas)) = (call.lane, self.replicas) {
            pipeline.cmd("SET").arg(self.layout.key(call.bucket, "ping", "replicas")).arg(1);
            let patience = u64::try_from(replicas.patience.as_millis()).unwrap_or(u64::MAX);
            pipeline.cmd("WAIT").arg(replicas.count).arg(patience);
        }
    }

    pub(crate) fn check_wait(&self, answer: Option<Value>) -> Result<(), Problem> {
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
