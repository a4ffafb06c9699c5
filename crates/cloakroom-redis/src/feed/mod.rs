//! News of changes: what each server that keeps sessions tells on a connection of its own.
//!
//! Every record is filed under a key that begins with `record:`, every end of everything under one that begins with
//! `epoch:`. The server tells of each key with these beginnings that changes, whoever changes it: a script, an operator,
//! eviction, expiry (`CLIENT TRACKING ON BCAST`). Activity is written to keys with another beginning, of which nothing is
//! told.
//!
//! - [`line`]: one connection, and why an answer on it proves that all earlier news has come.
//! - [`tracker`]: keeps one server's line up.
//! - [`view`]: what servers say of themselves and of each other, and which parts that proves.
//! - [`coverage`]: which part is covered by what; the only one that tells the observer.

mod coverage;
mod line;
mod tracker;
mod view;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloakroom_store::{Feed, Observer, Parts, StoreError, StoreFuture, Verb};
use futures_util::future::{join, join_all};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::client::{Client, Progress};
use crate::error::Problem;
use crate::feed::coverage::{Beginning, Coverage};
use crate::feed::tracker::{Surroundings, Tracker};
use crate::feed::view::{View, covered, who_knows_others};
use crate::node::{Lane, Node, Topology};

pub(crate) use line::{follow, refused, try_to_follow};

/// The news of every server that keeps sessions, and where these are.
#[derive(Debug)]
pub(crate) struct RedisFeed {
    watch: Arc<Watch>,
    healer: AbortHandle,
}

#[derive(Debug)]
struct Watch {
    client: Arc<Client>,
    coverage: Arc<Coverage>,
    changed: Arc<Notify>,
    trackers: Mutex<Vec<Arc<Tracker>>>,
}

impl RedisFeed {
    /// Follows every server that can be reached; fails where none can be, or none allows it.
    pub(crate) async fn start(client: Arc<Client>, observer: Arc<dyn Observer>) -> Result<Self, StoreError> {
        let watch = Arc::new(Watch {
            client,
            coverage: Arc::new(Coverage::new(observer)),
            changed: Arc::default(),
            trackers: Mutex::default(),
        });
        watch.within(watch.round(Beginning::Yes)).await?;
        let healer = tokio::spawn(heal(Arc::clone(&watch))).abort_handle();
        Ok(Self { watch, healer })
    }
}

impl Drop for RedisFeed {
    fn drop(&mut self) {
        self.watch.coverage.end();
        self.healer.abort();
    }
}

impl Feed for RedisFeed {
    fn prove(&self) -> StoreFuture<'_, Parts> {
        StoreFuture::waiting(self.watch.within(self.watch.round(Beginning::No)))
    }
}

/// Covers anew what was lost, whether or not somebody asks for a proof.
async fn heal(watch: Arc<Watch>) {
    loop {
        watch.changed.notified().await;
        // Where it fails, the next line that is made or breaks is another occasion, and so is every proof.
        let _ = watch.within(watch.round(Beginning::No)).await;
    }
}

impl Watch {
    async fn within<T>(&self, work: impl Future<Output = Result<T, Problem>>) -> Result<T, StoreError> {
        self.client.within(Verb::Watch, &Progress::default(), work).await
    }

    /// Asks every server that keeps sessions what it covers.
    async fn round(&self, beginning: Beginning) -> Result<Parts, Problem> {
        let trackers = self.follow(self.client.topology.primaries().await?);
        let answers = join_all(trackers.iter().map(|tracker| self.ask(tracker))).await;
        let (mut views, mut told_by, mut failure) = (Vec::new(), Vec::new(), None);
        for (tracker, answer) in trackers.iter().zip(answers) {
            match answer {
                Ok(view) => {
                    self.note(tracker, &view);
                    views.push(view);
                    told_by.push(tracker);
                }
                Err(problem) => failure = Some((tracker, problem)),
            }
        }
        if views.is_empty()
            && let Some((tracker, problem)) = failure
        {
            if is_gone(&problem) {
                self.client.topology.lost(&tracker.node);
            }
            return Err(problem);
        }
        let proven = self.coverage.prove(covered(&views), beginning);
        self.look_elsewhere(&told_by, &views).await;
        if proven.is_empty() {
            Err(failure.map_or(Problem::Unconfirmed, |(_, problem)| problem))
        } else {
            Ok(proven)
        }
    }

    /// A tracker for each of these nodes, and for no other.
    fn follow(&self, nodes: Vec<Arc<Node>>) -> Vec<Arc<Tracker>> {
        let mut trackers = self.trackers.lock().unwrap_or_else(PoisonError::into_inner);
        let present = std::mem::take(&mut *trackers);
        for node in nodes {
            let known = present.iter().find(|tracker| Arc::ptr_eq(&tracker.node, &node));
            trackers.push(known.map_or_else(|| Tracker::start(node, self.surroundings()), Arc::clone));
        }
        trackers.clone()
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            layout: self.client.layout.clone(),
            coverage: Arc::clone(&self.coverage),
            deadline: self.client.deadline(),
            changed: Arc::clone(&self.changed),
        }
    }

    /// What a server says on its line, where it is the one that is written to and where nobody says that it is replaced.
    async fn ask(&self, tracker: &Tracker) -> Result<View, Problem> {
        let patience = self.patience();
        let confirmed = self.client.topology.confirm(&tracker.node);
        let (view, confirmed) = join(tracker.view(patience), confirmed).await;
        let view = view?;
        confirmed?;
        for lane in [Lane::Commands, Lane::Durable] {
            let process = tracker.node.link(lane).process(patience).await?;
            if process.is_some_and(|process| process != view.process) {
                // Which of them is at the right place cannot be seen from here: both are looked up again.
                tracker.node.hang_up();
                tracker.give_up(view.line);
                return Err(Problem::Elsewhere { address: tracker.node.host.to_string() });
            }
        }
        Ok(view)
    }

    /// What a server does not serve any more is not covered by it any more.
    fn note(&self, tracker: &Tracker, view: &View) {
        if view.is_primary() {
            self.coverage.left(view.line, Parts::ALL.without(view.parts()));
        } else {
            // Behind its name may be the new primary by now.
            tracker.give_up(view.line);
        }
    }

    /// Draws the map of a Cluster anew where a node knows of one that is not asked yet.
    async fn look_elsewhere(&self, trackers: &[&Arc<Tracker>], views: &[View]) {
        let Topology::Cluster(cluster) = &self.client.topology else { return };
        let Some(line) = who_knows_others(views) else { return };
        let known = views.iter().zip(trackers).find(|(view, _)| view.line == line);
        if let Some((_, tracker)) = known
            && let Err(problem) = cluster.redraw(&tracker.node).await
        {
            tracing::debug!(%problem, "the map of the cluster could not be drawn anew");
        }
    }

    /// The longest that a server may be waited for: of several, none keeps the proof of the others.
    fn patience(&self) -> Duration {
        let deadline = self.client.deadline();
        if self.client.layout.is_clustered() { deadline / SHARE } else { deadline }
    }
}

/// Whether nobody is there to ask.
fn is_gone(problem: &Problem) -> bool {
    match problem {
        Problem::Unfollowed { is_gone, .. } => *is_gone,
        Problem::Connect { .. } | Problem::Broken { .. } | Problem::Overdue(_) => true,
        _ => false,
    }
}

/// The part of a proof's deadline that one server may use up.
const SHARE: u32 = 8;
