//! Who serves which slot of a Cluster.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::{Value, cmd};

use crate::error::{Problem, said};
use crate::keys::Bucket;
use crate::link::{Dialer, prose};
use crate::neighbours::{Neighbours, is_agreed};
use crate::node::Node;
use crate::options::{Host, RedisOptions};
use crate::sentinel::text;

/// The nodes of a Cluster.
///
/// Redirections are followed only where the slot has moved for good. While it is on its way, the answer is waited for:
/// half of a bucket here and half there is nothing a script could judge by.
#[derive(Debug)]
pub(crate) struct Cluster {
    dialer: Dialer,
    seeds: Vec<Host>,
    /// The longest to wait for one node's map: half-dead ones must not use up a verb's deadline.
    patience: Duration,
    map: RwLock<Map>,
    /// Held by whoever draws the map, so that a fail-over is not met by a herd.
    drawing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Map {
    nodes: HashMap<Host, Arc<Node>>,
    /// By bucket.
    owners: Vec<Option<Host>>,
    /// Who was lost since it was drawn: the reason to draw it anew, and the last to be asked.
    lost: Option<Host>,
    /// Who told it: the first to be asked again.
    told_by: Option<Host>,
    /// How often it was drawn.
    edition: u64,
}

impl Map {
    fn owner(&self, bucket: Bucket) -> Option<Arc<Node>> {
        let host = self.owners.get(bucket.index())?.as_ref()?;
        self.nodes.get(host).cloned()
    }
}

impl Cluster {
    pub(crate) fn new(dialer: Dialer, options: &RedisOptions) -> Self {
        Self {
            dialer,
            seeds: options.hosts.clone(),
            patience: options.deadline / SHARE,
            map: RwLock::default(),
            drawing: tokio::sync::Mutex::default(),
        }
    }

    /// Who serves a bucket.
    pub(crate) async fn owner(&self, bucket: Bucket) -> Result<Arc<Node>, Problem> {
        let edition = {
            let map = self.read();
            match map.owner(bucket) {
                Some(node) if map.lost.is_none() => return Ok(node),
                _ => map.edition,
            }
        };
        self.draw(edition).await?;
        self.read().owner(bucket).ok_or_else(|| Problem::Uncovered { bucket: bucket.text() })
    }

    /// Who serves each of these buckets.
    pub(crate) async fn owners(&self, buckets: &[Bucket]) -> Result<Vec<Option<Arc<Node>>>, Problem> {
        let of = |map: &Map| buckets.iter().map(|bucket| map.owner(*bucket)).collect::<Vec<_>>();
        let edition = {
            let map = self.read();
            let owners = of(&map);
            if map.lost.is_none() && owners.iter().all(Option::is_some) {
                return Ok(owners);
            }
            map.edition
        };
        self.draw(edition).await?;
        Ok(of(&self.read()))
    }

    /// Every node that serves a bucket.
    pub(crate) async fn primaries(&self) -> Result<Vec<Arc<Node>>, Problem> {
        let (edition, is_current) = {
            let map = self.read();
            (map.edition, map.lost.is_none() && !map.nodes.is_empty())
        };
        if !is_current
            && let Err(problem) = self.draw(edition).await
            && self.read().nodes.is_empty()
        {
            return Err(problem);
        }
        let map = self.read();
        let mut hosts: Vec<&Host> = map.owners.iter().flatten().collect();
        hosts.sort_unstable();
        hosts.dedup();
        Ok(hosts.into_iter().filter_map(|host| map.nodes.get(host).cloned()).collect())
    }

    /// Draws the map as `node` has it.
    pub(crate) async fn redraw(&self, node: &Node) -> Result<(), Problem> {
        let owners = self.ask(node).await?;
        self.replace(&owners, node.host.clone())
    }

    /// Whether most primaries say, now, that `node` serves a bucket and is well. Where they do not, the map is drawn anew
    /// before it is used again.
    pub(crate) async fn confirm(&self, bucket: Bucket, node: &Arc<Node>) -> Result<(), Problem> {
        let primaries = self.primaries().await?;
        let ask = async |voter: &Arc<Node>| (Arc::ptr_eq(voter, node), self.neighbours(voter).await);
        let mut answers: FuturesUnordered<_> = primaries.iter().map(ask).collect();
        let (mut own, mut all, mut failure) = (None, Vec::new(), None);
        while let Some((is_own, answer)) = answers.next().await {
            match answer {
                Ok(neighbours) => {
                    if is_own {
                        own = Some(neighbours.clone());
                    }
                    all.push(neighbours);
                }
                Err(problem) => failure = Some(problem),
            }
            if own.as_ref().is_some_and(|own| is_agreed(own, &all, bucket.slot())) {
                return Ok(());
            }
        }
        self.lost(node);
        Err(failure.unwrap_or(Problem::Unconfirmed))
    }

    async fn neighbours(&self, node: &Node) -> Result<Neighbours, Problem> {
        let mut question = cmd("CLUSTER");
        question.arg("NODES");
        let answer = node.ask(&question, self.patience).await?;
        prose(answer).and_then(|text| Neighbours::read(&text)).ok_or(Problem::Answer("CLUSTER NODES"))
    }

    /// Takes note that a node is gone: the map is drawn anew before it is used again.
    pub(crate) fn lost(&self, node: &Arc<Node>) {
        let mut map = self.write();
        if map.nodes.get(&node.host).is_some_and(|present| Arc::ptr_eq(present, node)) {
            map.lost = Some(node.host.clone());
        }
    }

    /// Takes note of a bucket's new place; whether it can be reached there.
    pub(crate) fn moved(&self, bucket: Bucket, mut host: Host) -> bool {
        let mut map = self.write();
        if host.name.is_empty() {
            // The same machine as the one that said so.
            let Some(Some(old)) = map.owners.get(bucket.index()) else { return false };
            host.name.clone_from(&old.name);
        }
        if !map.nodes.contains_key(&host) {
            let Ok(node) = Node::new(&self.dialer, host.clone()) else { return false };
            map.nodes.insert(host.clone(), node);
        }
        match map.owners.get_mut(bucket.index()) {
            Some(owner) => *owner = Some(host),
            None => return false,
        }
        true
    }

    /// Asks one node after the other, unless the map was drawn anew since `edition`.
    async fn draw(&self, edition: u64) -> Result<(), Problem> {
        let _drawing = self.drawing.lock().await;
        if self.read().edition != edition {
            return Ok(());
        }
        let lost = self.read().lost.clone();
        let (mut second_best, mut detail) = (None, String::from("none was asked"));
        for host in self.candidates() {
            if second_best.is_some() && lost.as_ref() == Some(&host) {
                break;
            }
            let drawn = match self.node_at(&host) {
                Ok(node) => self.ask(&node).await,
                Err(problem) => Err(problem),
            };
            match drawn {
                // Nobody has taken the lost one's place yet, or this node was cut off and does not know.
                Ok(owners) if owners.iter().flatten().any(|owner| lost.as_ref() == Some(owner)) => {
                    second_best.get_or_insert((owners, host));
                }
                Ok(owners) => return self.replace(&owners, host),
                Err(problem) => detail = said(&problem),
            }
        }
        match second_best {
            Some((owners, host)) => self.replace(&owners, host),
            None => Err(Problem::NoMap { detail }),
        }
    }

    /// Whom to ask: whoever answered last, then everybody known, and whoever was lost at the end.
    fn candidates(&self) -> Vec<Host> {
        let map = self.read();
        let mut hosts: Vec<Host> = map.nodes.keys().chain(&self.seeds).cloned().collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.sort_by_key(|host| (map.lost.as_ref() == Some(host), map.told_by.as_ref() != Some(host)));
        hosts
    }

    fn node_at(&self, host: &Host) -> Result<Arc<Node>, Problem> {
        if let Some(node) = self.read().nodes.get(host) {
            return Ok(Arc::clone(node));
        }
        Node::new(&self.dialer, host.clone())
    }

    /// Who serves each bucket, as one node has it.
    async fn ask(&self, node: &Node) -> Result<Vec<Option<Host>>, Problem> {
        let mut question = cmd("CLUSTER");
        question.arg("SLOTS");
        let Value::Array(ranges) = node.ask(&question, self.patience).await? else {
            return Err(Problem::Answer("CLUSTER SLOTS"));
        };
        let mut owners = vec![None; usize::from(u8::MAX) + 1];
        let ranges: Vec<Range> = ranges.into_iter().filter_map(|range| Range::read(range, node)).collect();
        for bucket in crate::keys::Layout::new("", true).buckets() {
            let owner =
                ranges.iter().find(|range| (range.first..=range.last).contains(&i64::from(bucket.slot())));
            if let (Some(place), Some(range)) = (owners.get_mut(bucket.index()), owner) {
                *place = Some(range.host.clone());
            }
        }
        if owners.iter().all(Option::is_none) {
            return Err(Problem::Unusable(format!("{} serves no cluster", node.host)));
        }
        Ok(owners)
    }

    fn replace(&self, owners: &[Option<Host>], told_by: Host) -> Result<(), Problem> {
        let mut map = self.write();
        let mut nodes = HashMap::new();
        for host in owners.iter().flatten() {
            if nodes.contains_key(host) {
                continue;
            }
            // The same server keeps its connections.
            let node = match map.nodes.get(host) {
                Some(node) => Arc::clone(node),
                None => Node::new(&self.dialer, host.clone())?,
            };
            nodes.insert(host.clone(), node);
        }
        let edition = map.edition.wrapping_add(1);
        *map = Map { nodes, owners: owners.to_vec(), lost: None, told_by: Some(told_by), edition };
        Ok(())
    }

    // Nothing in here panics while it holds the lock.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Map> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slots next to each other that one primary serves.
struct Range {
    first: i64,
    last: i64,
    host: Host,
}

impl Range {
    fn read(value: Value, asked: &Node) -> Option<Self> {
        let Value::Array(parts) = value else { return None };
        let mut parts = parts.into_iter();
        let (Value::Int(first), Value::Int(last), Value::Array(primary)) =
            (parts.next()?, parts.next()?, parts.next()?)
        else {
            return None;
        };
        let mut primary = primary.into_iter();
        // A node that does not know its own name is where it was asked.
        let name = primary.next().and_then(text).filter(|name| !name.is_empty() && name != "?");
        let Some(Value::Int(port)) = primary.next() else { return None };
        let host =
            Host { name: name.unwrap_or_else(|| asked.host.name.clone()), port: u16::try_from(port).ok()? };
        Some(Self { first, last, host })
    }
}

/// The part of a verb's deadline that one node's map may use up.
const SHARE: u32 = 4;
