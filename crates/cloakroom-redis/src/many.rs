//! Calling scripts in several buckets: one pipeline for each server, and one leave to ask it.

use std::sync::Arc;

use cloakroom_store::{StoreError, Verb};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::{Pipeline, Value};

use crate::answer::Answer;
use crate::client::{Call, Client, Progress};
use crate::error::{Problem, never_began, said};
use crate::node::{Lane, Node};
use crate::script::Access;

/// Calls that one server answers.
struct Group {
    /// Nothing where nobody serves these buckets.
    node: Option<Arc<Node>>,
    positions: Vec<usize>,
}

/// What became of the calls that one server answers.
pub(crate) struct Outcome {
    /// Which of the calls.
    pub(crate) positions: Vec<usize>,
    pub(crate) answers: Result<Vec<Answer>, StoreError>,
}

impl Client {
    /// Calls scripts in several buckets, in one pipeline for each server; the answers in the order of the calls.
    ///
    /// Not atomic: where it fails, some may have been done. Whoever can be asked is asked, also where another one is away.
    pub(crate) async fn call_all(&self, progress: &Progress, calls: &[Call]) -> Result<Vec<Answer>, Problem> {
        if let [call] = calls {
            return Ok(vec![self.call(progress, call).await?]);
        }
        let groups = self.groups(calls).await?;
        let asked = groups.iter().map(|group| self.ask_group(progress, group, calls));
        let (mut answers, mut failure) = (Vec::with_capacity(calls.len()), None);
        for group in join_all(asked).await {
            match group {
                Ok(some) => answers.extend(some),
                Err(problem) => failure = failure.or(Some(problem)),
            }
        }
        if let Some(problem) = failure {
            return Err(problem);
        }
        answers.sort_unstable_by_key(|(position, _)| *position);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// The same, each server by itself and all within one deadline: what one has done is known though another one does not
    /// answer.
    pub(crate) async fn call_each(&self, verb: Verb, calls: &[Call]) -> Result<Vec<Outcome>, StoreError> {
        let (until, progress) = (self.until(), Progress::default());
        let groups = self.within_until(until, verb, &progress, self.groups(calls)).await?;
        let outcome = async |group: Group| {
            let progress = Progress::default();
            let asked = self.ask_group(&progress, &group, calls);
            let answers = self.within_until(until, verb, &progress, asked).await;
            let answers = answers.map(|some| some.into_iter().map(|(_, answer)| answer).collect());
            Outcome { positions: group.positions, answers }
        };
        Ok(join_all(groups.into_iter().map(outcome)).await)
    }

    /// The first answer that any server gives to one of its calls. Whoever rests is asked only where nobody else answers:
    /// who tries it is somebody who waits for its answer.
    pub(crate) async fn call_any(&self, progress: &Progress, calls: &[Call]) -> Result<Answer, Problem> {
        let groups = self.groups(calls).await?;
        let (resting, awake): (Vec<Group>, Vec<Group>) = groups
            .into_iter()
            .filter(|group| group.node.is_some())
            .partition(|group| group.node.as_ref().is_some_and(|node| node.rest.is_under_way()));
        let mut failure = None;
        for groups in [awake, resting] {
            let firsts = groups.iter().filter_map(|group| calls.get(*group.positions.first()?));
            let mut asked: FuturesUnordered<_> = firsts.map(|call| self.call(progress, call)).collect();
            while let Some(answer) = asked.next().await {
                match answer {
                    Ok(answer) => return Ok(answer),
                    Err(problem) => failure = failure.or(Some(problem)),
                }
            }
        }
        Err(match failure {
            Some(problem) if !self.topology.has_parts() || !problem.is_of_one_server() => problem,
            Some(problem) => Problem::NoneAnswers { detail: said(&problem) },
            None => Problem::NoneAnswers { detail: "nobody serves a slot".to_owned() },
        })
    }

    async fn groups(&self, calls: &[Call]) -> Result<Vec<Group>, Problem> {
        let buckets: Vec<_> = calls.iter().map(|call| call.bucket).collect();
        let mut groups: Vec<Group> = Vec::new();
        for (position, node) in self.topology.owners(&buckets).await?.into_iter().enumerate() {
            let is_same = |group: &&mut Group| match (&group.node, &node) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (None, None) => true,
                _ => false,
            };
            match groups.iter_mut().find(is_same) {
                Some(group) => group.positions.push(position),
                None => groups.push(Group { node, positions: vec![position] }),
            }
        }
        Ok(groups)
    }

    async fn ask_group(
        &self,
        progress: &Progress,
        group: &Group,
        calls: &[Call],
    ) -> Result<Vec<(usize, Answer)>, Problem> {
        let chosen: Vec<(usize, &Call)> =
            group.positions.iter().filter_map(|position| Some((*position, calls.get(*position)?))).collect();
        let Some(node) = &group.node else {
            let bucket = chosen.first().map_or_else(String::new, |(_, call)| call.bucket.text());
            return Err(Problem::Uncovered { bucket });
        };
        self.topology.admit(node)?;
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
        let (link, asked) = (node.link(first.lane), self.topology.asks(node));
        let Ok(mut connection) = link.connection().await else {
            self.topology.fell_silent(node, asked);
            return Ok(None);
        };
        let mut pipeline = Pipeline::with_capacity(calls.len() + 2);
        for (position, (_, call)) in calls.iter().enumerate() {
            // The first one teaches the server the script where those behind it must not come back for it: whoever waits
            // for replicas waits once.
            pipeline.add_command(call.command(&self.layout, position > 0 || call.lane == Lane::Commands));
            progress.sends(call, node, &connection, asked);
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
                self.topology.lost(node);
                if calls.iter().any(|(_, call)| call.script.access == Access::Writes) {
                    return Err(link.problem(error));
                }
                Ok(None)
            }
        }
    }
}
