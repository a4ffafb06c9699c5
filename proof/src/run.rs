//! One run: nodes, people, and whoever does violence meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::NearCachePolicy;
use cloakroom_servers::{Look, until};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::clock::nanos;
use crate::crew::{Node, Wish};
use crate::law::Law;
use crate::ledger::Ledger;
use crate::report::Report;
use crate::work::{Pace, Work};
use crate::{Fallible, stores};

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program that is a node when told so: this package's own.
    pub program: PathBuf,
    /// Where the driver finds the store.
    pub direct: String,
    /// The nodes.
    pub nodes: Vec<Wish>,
    /// Their lease.
    pub lease: Duration,
    /// What decides who comes and goes, and how.
    pub seed: u64,
    /// Whether a sign-in may be lost although it was acknowledged.
    pub sign_ins_may_be_lost: bool,
}

/// Where violence is done while people come and go.
#[derive(Debug)]
pub struct Stage<'a> {
    runtime: &'a Runtime,
    nodes: &'a [Node],
    pace: &'a watch::Sender<Pace>,
    ledger: &'a Ledger,
    lease: Duration,
}

impl Stage<'_> {
    /// Lets time pass.
    pub fn wait(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Lets this many leases pass.
    pub fn leases(&self, number: f64) {
        self.wait(self.lease.mul_f64(number));
    }

    /// Stops a node as `kill -STOP` does.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn pause(&self, node: usize) {
        self.nodes.get(node).expect("there is this node").pause();
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn resume(&self, node: usize) {
        self.nodes.get(node).expect("there is this node").resume();
    }

    /// From now on nobody comes or goes.
    pub fn hold(&self) {
        self.pace.send_replace(Pace::Hold);
    }

    /// How many tokens have ended until now, with an acknowledgement.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.ledger.ended()
    }

    /// Returns when so many tokens have ended since the run began, and all nodes together have let somebody in so often: in
    /// how much time, the machine decides.
    ///
    /// # Errors
    /// If that takes longer than a minute.
    pub fn until_enough(&self, ends: usize, let_in: u64) -> Fallible {
        until("enough to judge", PATIENCE, || {
            let (ended, was_let_in) = (self.ended(), self.let_in());
            if ended >= ends && was_let_in >= let_in {
                Look::Done(())
            } else {
                Look::NotYet(format!("{ended} ends, {was_let_in} times somebody was let in"))
            }
        })?;
        Ok(())
    }

    /// How often all nodes together have let somebody in until now.
    #[must_use]
    pub fn let_in(&self) -> u64 {
        self.runtime.block_on(async {
            let mut sum = 0;
            for node in self.nodes {
                sum += node.let_in().await;
            }
            sum
        })
    }

    /// Returns when every node trusts all that it remembers.
    ///
    /// # Errors
    /// If one does not within a minute.
    pub fn until_all_trust(&self) -> Fallible {
        for (number, node) in self.nodes.iter().enumerate() {
            until("a node's trust", PATIENCE, || {
                if self.runtime.block_on(node.is_trusting()) {
                    Look::Done(())
                } else {
                    Look::NotYet(format!("node {number} asks the store"))
                }
            })?;
        }
        Ok(())
    }
}

/// Runs it: people come and go until `violence` returns.
///
/// # Errors
/// If something could not be started, asked or read. That the law was broken is no error: it is in the report.
pub fn run(plan: &Plan, violence: impl FnOnce(&Stage<'_>) -> Fallible) -> Fallible<Report> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let directory = tempfile::Builder::new().prefix("cloakroom-proof-").tempdir()?;
    let (direct, nodes) = runtime.block_on(async {
        let direct = stores::engine(stores::open(&plan.direct).await?, NearCachePolicy::off(), None)?;
        let mut nodes = Vec::new();
        for (number, wish) in plan.nodes.iter().enumerate() {
            nodes.push(Node::start(&plan.program, number, wish, plan.lease, directory.path()).await?);
        }
        Fallible::Ok((direct, Arc::new(nodes)))
    })?;
    let (pace, at_pace) = watch::channel(Pace::Work);
    let ledger = Ledger::new(Arc::clone(&nodes), plan.lease);
    let stage = Stage { runtime: &runtime, nodes: &nodes, pace: &pace, ledger: &ledger, lease: plan.lease };
    stage.until_all_trust()?;
    let work = Work::new(direct, ledger.clone(), plan.seed);
    let working = runtime.spawn(work.go(at_pace));
    violence(&stage)?;
    pace.send_replace(Pace::Stop);
    runtime.block_on(working)??;
    let mut records = Vec::new();
    for node in nodes.iter() {
        records.push(runtime.block_on(node.finish())?);
    }
    let law = Law { lease: nanos(plan.lease), sign_ins_may_be_lost: plan.sign_ins_may_be_lost };
    Ok(Report::new(law, records, ledger.into_stories()))
}

const PATIENCE: Duration = Duration::from_secs(60);
