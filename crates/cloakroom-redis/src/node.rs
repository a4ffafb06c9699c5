//! A server that keeps sessions, and how its place is found: given, asked of sentinels, or of a Cluster.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value, cmd};

use crate::cluster::Cluster;
use crate::error::Problem;
use crate::keys::Bucket;
use crate::link::{Connection, Dialer, Link};
use crate::options::{Host, RedisOptions, Servers};
use crate::progress::Asked;
use crate::rest::{Rest, timer_now};
use crate::sentinel::Sentinel;

/// A server that keeps sessions.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) host: Host,
    commands: Link,
    /// For calls that wait for replicas: whatever follows on their connection waits with them.
    durable: Link,
    /// Used in a Cluster alone: elsewhere one server is all there is.
    pub(crate) rest: Rest,
}

/// On which of a node's connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    Commands,
    Durable,
}

impl Node {
    pub(crate) fn new(dialer: &Dialer, host: Host) -> Result<Arc<Self>, Problem> {
        Ok(Arc::new(Self {
            commands: dialer.link(&host)?,
            durable: dialer.link(&host)?,
            rest: Rest::default(),
            host,
        }))
    }

    pub(crate) fn link(&self, lane: Lane) -> &Link {
        match lane {
            Lane::Commands => &self.commands,
            Lane::Durable => &self.durable,
        }
    }

    /// Gives up its connections: behind its name may be another server by now.
    pub(crate) fn hang_up(&self) {
        self.commands.hang_up();
        self.durable.hang_up();
    }

    /// Asks one question, within `patience`.
    pub(crate) async fn ask(&self, question: &Cmd, patience: Duration) -> Result<Value, Problem> {
        ask(&self.commands, question, patience).await
    }
}

/// Asks one question of a server, within `patience`.
pub(crate) async fn ask(link: &Link, question: &Cmd, patience: Duration) -> Result<Value, Problem> {
    let mut asked: Option<Connection> = None;
    let answer = tokio::time::timeout(patience, async {
        let mut connection = link.connection().await?;
        asked = Some(connection.clone());
        connection.ask(question).await.map_err(|error| link.problem(error))
    });
    let answer = answer.await.unwrap_or(Err(Problem::Overdue(patience)));
    if let (Err(Problem::Overdue(_) | Problem::Broken { .. }), Some(connection)) = (&answer, &asked) {
        link.give_up(connection);
    }
    answer
}

/// Where the servers are.
#[derive(Debug)]
pub(crate) enum Topology {
    /// One server, at an address that was given.
    Standalone(Arc<Node>),
    /// The primary that sentinels tell of.
    Sentinel(Arc<Sentinel>),
    /// Whoever serves a slot.
    Cluster(Box<Cluster>),
}

impl Topology {
    pub(crate) fn new(options: &RedisOptions) -> Result<Self, Problem> {
        let dialer = Dialer::to_servers(options)?;
        let [first, ..] = options.hosts.as_slice() else { return Err(Problem::Misuse("no host")) };
        match &options.servers {
            Servers::Standalone => Ok(Self::Standalone(Node::new(&dialer, first.clone())?)),
            Servers::Sentinel(name) => Ok(Self::Sentinel(Sentinel::new(name.clone(), dialer, options)?)),
            Servers::Cluster => Ok(Self::Cluster(Box::new(Cluster::new(dialer, options)))),
        }
    }

    /// The server that a bucket is asked of, and leave to ask it.
    pub(crate) async fn node(&self, bucket: Bucket) -> Result<Arc<Node>, Problem> {
        match self {
            Self::Standalone(node) => Ok(Arc::clone(node)),
            Self::Sentinel(sentinel) => sentinel.node().await,
            Self::Cluster(cluster) => {
                let node = cluster.owner(bucket).await?;
                self.admit(&node)?;
                Ok(node)
            }
        }
    }

    /// The same, whether or not it may be asked now.
    pub(crate) async fn owner(&self, bucket: Bucket) -> Result<Arc<Node>, Problem> {
        match self {
            Self::Standalone(_) | Self::Sentinel(_) => self.node(bucket).await,
            Self::Cluster(cluster) => cluster.owner(bucket).await,
        }
    }

    /// The same for each of these buckets, as one map has it; nothing where nobody serves one.
    pub(crate) async fn owners(&self, buckets: &[Bucket]) -> Result<Vec<Option<Arc<Node>>>, Problem> {
        match self {
            Self::Standalone(node) => Ok(vec![Some(Arc::clone(node)); buckets.len()]),
            Self::Sentinel(sentinel) => Ok(vec![Some(sentinel.node().await?); buckets.len()]),
            Self::Cluster(cluster) => cluster.owners(buckets).await,
        }
    }

    /// Leave to ask a server, once: where it does not answer, one caller has it for each pause.
    pub(crate) fn admit(&self, node: &Node) -> Result<(), Problem> {
        if node.rest.admits() { Ok(()) } else { Err(Problem::Away { address: node.host.to_string() }) }
    }

    /// Takes note that a server is asked now.
    pub(crate) fn asks(&self, node: &Node) -> Asked {
        Asked { at: self.has_parts().then(timer_now), epoch: node.rest.epoch() }
    }

    /// Every server that keeps sessions, as far as is known.
    pub(crate) async fn primaries(&self) -> Result<Vec<Arc<Node>>, Problem> {
        match self {
            Self::Standalone(node) => Ok(vec![Arc::clone(node)]),
            Self::Sentinel(sentinel) => Ok(vec![sentinel.node().await?]),
            Self::Cluster(cluster) => cluster.primaries().await,
        }
    }

    /// Whether whoever decides who the primary is says that it is this one.
    pub(crate) async fn confirm(&self, node: &Arc<Node>) -> Result<(), Problem> {
        match self {
            // Nobody decides; or the nodes themselves, who are asked on the way by which their news come.
            Self::Standalone(_) | Self::Cluster(_) => Ok(()),
            Self::Sentinel(sentinel) => sentinel.confirm(node).await,
        }
    }

    /// Whether whoever decides who serves a bucket says, now, that it is this one.
    pub(crate) async fn vouch(&self, bucket: Bucket, node: &Arc<Node>) -> Result<(), Problem> {
        match self {
            Self::Cluster(cluster) => cluster.confirm(bucket, node).await,
            Self::Standalone(_) | Self::Sentinel(_) => self.confirm(node).await,
        }
    }

    /// Takes note that a server is gone, or no primary any more: the next call looks where its place is now.
    pub(crate) fn lost(&self, node: &Arc<Node>) {
        match self {
            Self::Standalone(_) => {}
            Self::Sentinel(sentinel) => sentinel.lost(node),
            Self::Cluster(cluster) => cluster.lost(node),
        }
    }

    /// The same where it did not answer: in a Cluster it is left alone for a moment.
    pub(crate) fn fell_silent(&self, node: &Arc<Node>, asked: Asked) {
        if self.has_parts() {
            node.rest.begin(asked.epoch);
        }
        self.lost(node);
    }

    /// Whether a server that is away leaves others that serve their own sessions.
    pub(crate) fn has_parts(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Takes note that a bucket is served elsewhere; whether that can be followed.
    pub(crate) fn moved(&self, bucket: Bucket, host: Host) -> bool {
        match self {
            Self::Standalone(_) | Self::Sentinel(_) => false,
            Self::Cluster(cluster) => cluster.moved(bucket, host),
        }
    }

    /// Whether another server may take a lost one's place.
    pub(crate) fn has_others(&self) -> bool {
        !matches!(self, Self::Standalone(_))
    }
}

/// What a server plays.
pub(crate) fn role() -> Cmd {
    cmd("ROLE")
}
