//! Redis Cluster.

use super::{Files, Listening, Redis, SETTLING, strings};
use crate::{
    Failure, Outcome,
    patience::{Look, until},
    place::Place,
    run::run,
};

/// Three primaries with a replica each. A primary that is silent for two seconds is replaced, in three to five seconds in all.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<Redis>,
}

/// What a node of a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It owns slots and takes writes.
    Primary,
    /// It follows a primary.
    Replica,
}

/// A node, as another node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterNode {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// What it is.
    pub role: Role,
    /// Its name in the cluster.
    pub id: String,
    /// Whether the node that was asked believes that it answers.
    pub is_up: bool,
    /// The slots that it owns, as inclusive ranges.
    pub slots: Vec<(u16, u16)>,
}

impl ClusterNode {
    /// Whether it owns `slot`.
    #[must_use]
    pub fn owns(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

impl RedisCluster {
    /// Starts all six, and returns when every node says that the cluster is whole and every replica is in step.
    ///
    /// # Errors
    /// If Redis is not installed, or they do not find together.
    pub fn start() -> Outcome<Self> {
        Self::start_with(&[])
    }

    /// Starts all six with further options.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(options: &[&str]) -> Outcome<Self> {
        Self::launch(options, |_| Ok(None))
    }

    /// Starts all six with further options, such that they speak TLS only, with each other, too, by certificates of
    /// `authority`, and demand one of whoever connects; the URL's scheme is `rediss+cluster`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[cfg(feature = "tls")]
    pub fn start_tls(authority: &crate::Authority, options: &[&str]) -> Outcome<Self> {
        let all = [super::MUTUAL, &["--tls-cluster", "yes"], options].concat();
        Self::launch(&all, |place| Files::issued_by(authority, place).map(Some))
    }

    fn launch(options: &[&str], files: impl Fn(&Place) -> Outcome<Option<Files>>) -> Outcome<Self> {
        let all = [CLUSTER, options].concat();
        let servers = (0..NODES).map(|_| {
            let place = Place::new("redis-cluster", None)?;
            let listening = Listening::to_servers(files(&place)?);
            Redis::launch(place, listening, BUS, strings(&all))
        });
        let cluster = Self { servers: servers.collect::<Outcome<Vec<_>>>()? };
        cluster.join()?;
        cluster.settle()?;
        Ok(cluster)
    }

    /// `redis+cluster://127.0.0.1:A,127.0.0.1:B,127.0.0.1:C`: the nodes that were primaries at the start.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<_> =
            self.servers.iter().take(PRIMARIES).map(|one| format!("127.0.0.1:{}", one.port())).collect();
        let is_tls = self.servers.iter().any(|server| server.client.files.is_some());
        format!("{}+cluster://{}", if is_tls { "rediss" } else { "redis" }, addresses.join(","))
    }

    /// The servers: those that were killed, too.
    #[must_use]
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// The server on `port`.
    ///
    /// # Errors
    /// If there is none.
    pub fn server(&self, port: u16) -> Outcome<&Redis> {
        let found = self.servers.iter().find(|server| server.port() == port);
        found.ok_or_else(|| Failure::new("looking for a node", format!("none of ours is on port {port}")))
    }

    /// All nodes, as the first one that runs sees them.
    ///
    /// # Errors
    /// If none runs.
    pub fn nodes(&self) -> Outcome<Vec<ClusterNode>> {
        let asked = self.servers.iter().find(|server| server.pid().is_some());
        let asked = asked.ok_or_else(|| Failure::new("asking for the cluster's nodes", "none runs"))?;
        nodes_seen_by(asked)
    }

    /// The slot of `key`: only what stands in its first braces counts, if it has any.
    ///
    /// # Errors
    /// If no node runs.
    pub fn slot_of(&self, key: &str) -> Outcome<u16> {
        let asked = self.servers.iter().find(|server| server.pid().is_some());
        let asked = asked.ok_or_else(|| Failure::new("asking for a slot", "no node runs"))?;
        let reply = asked.command(&["CLUSTER", "KEYSLOT", key])?;
        reply.parse().map_err(|_| Failure::new("asking for a slot", reply))
    }

    /// The primary that owns `slot`.
    ///
    /// # Errors
    /// If nobody does.
    pub fn primary_of(&self, slot: u16) -> Outcome<&Redis> {
        let nodes = self.nodes()?;
        let owner = nodes.iter().find(|node| node.role == Role::Primary && node.is_up && node.owns(slot));
        let owner = owner
            .ok_or_else(|| Failure::new(format!("looking for the owner of slot {slot}"), "none is up"))?;
        self.server(owner.port)
    }

    /// Kills the primary that owns `slot` and answers with its port. Returns at once:
    /// [`wait_for_promotion`](Self::wait_for_promotion).
    ///
    /// # Errors
    /// If nobody owns it.
    pub fn kill_primary_of(&self, slot: u16) -> Outcome<u16> {
        let primary = self.primary_of(slot)?;
        primary.kill();
        Ok(primary.port())
    }

    /// Returns when every node that runs names one other primary than `old` for `slot` and says that the cluster is whole;
    /// answers with its port.
    ///
    /// # Errors
    /// If that does not happen within a minute.
    pub fn wait_for_promotion(&self, slot: u16, old: u16) -> Outcome<u16> {
        until("a replica's promotion", SETTLING, || {
            let mut owners = Vec::new();
            for server in self.servers.iter().filter(|server| server.pid().is_some()) {
                if let Err(failure) = is_whole(server) {
                    return Look::NotYet(failure.to_string());
                }
                match nodes_seen_by(server) {
                    Err(failure) => return Look::NotYet(failure.to_string()),
                    Ok(nodes) => {
                        owners.extend(nodes.iter().filter(|node| node.owns(slot)).map(|node| node.port));
                    }
                }
            }
            match owners.as_slice() {
                [first, others @ ..] if *first != old && others.iter().all(|port| port == first) => {
                    Look::Done(*first)
                }
                _ => Look::NotYet(format!("the nodes name {owners:?}")),
            }
        })
    }

    /// Starts every node that was killed, and returns when all are up and in step.
    ///
    /// # Errors
    /// If one does not come up, or they do not find together within a minute.
    pub fn heal(&self) -> Outcome {
        for server in self.servers.iter().filter(|server| server.pid().is_none()) {
            server.restart()?;
        }
        self.settle()
    }

    /// Moves `slot` with all its keys to the primary on port `to`, while it is in use.
    ///
    /// # Errors
    /// If nobody owns it, or one of the two refuses.
    pub fn migrate_slot(&self, slot: u16, to: u16) -> Outcome {
        let migration = self.begin_migration(slot, to)?;
        while migration.move_keys(KEYS_AT_ONCE)? > 0 {}
        migration.finish()
    }

    /// Opens `slot` for being moved to the primary on port `to`, and leaves it half-way: from now on its owner answers
    /// `ASK` for keys that it does not have, and `TRYAGAIN` for several of which it has only some.
    ///
    /// # Errors
    /// If nobody owns it, or one of the two refuses.
    pub fn begin_migration(&self, slot: u16, to: u16) -> Outcome<Migration<'_>> {
        let source = self.primary_of(slot)?;
        let target = self.server(to)?;
        let number = slot.to_string();
        let name = |server: &Redis| server.command(&["CLUSTER", "MYID"]);
        target.command(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &name(source)?])?;
        source.command(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &name(target)?])?;
        Ok(Migration { cluster: self, source, target, slot })
    }

    fn join(&self) -> Outcome {
        let [first, ..] = self.servers.as_slice() else { return Ok(()) };
        let mut command = first.client.command();
        command.args(["--cluster", "create"]);
        command.args(self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port())));
        command.args(["--cluster-replicas", "1", "--cluster-yes"]);
        run(&mut command, "", SETTLING).map(|_| ())
    }

    fn settle(&self) -> Outcome {
        until("the cluster to be whole", SETTLING, || self.is_settled().into())
    }

    fn is_settled(&self) -> Outcome {
        for server in &self.servers {
            is_whole(server)?;
            let nodes = nodes_seen_by(server)?;
            let up = |role| nodes.iter().filter(|node| node.role == role && node.is_up).count();
            let seen = (up(Role::Primary), up(Role::Replica));
            if seen != (PRIMARIES, NODES - PRIMARIES) {
                return Err(Failure::new(
                    "asking a node",
                    format!("it sees {seen:?} primaries and replicas"),
                ));
            }
            if server.info("role")? == "slave" {
                let link = server.info("master_link_status")?;
                if link != "up" {
                    return Err(Failure::new(
                        "asking a replica",
                        format!("its link to its primary is {link}"),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// A slot that is being moved: until [`finish`](Self::finish), some of its keys are here and some there.
#[derive(Debug)]
#[must_use = "a migration that is not finished leaves its slot half-way"]
pub struct Migration<'a> {
    cluster: &'a RedisCluster,
    source: &'a Redis,
    target: &'a Redis,
    slot: u16,
}

impl Migration<'_> {
    /// The node from which keys are moved.
    #[must_use]
    pub fn source(&self) -> &Redis {
        self.source
    }

    /// The node to which keys are moved.
    #[must_use]
    pub fn target(&self) -> &Redis {
        self.target
    }

    /// Moves up to `count` keys and answers with how many there were to move.
    ///
    /// # Errors
    /// If one of the two nodes refuses.
    pub fn move_keys(&self, count: usize) -> Outcome<usize> {
        let reply =
            self.source.command(&["CLUSTER", "GETKEYSINSLOT", &self.slot.to_string(), &count.to_string()])?;
        let keys: Vec<&str> = reply.lines().filter(|key| !key.is_empty()).collect();
        if !keys.is_empty() {
            let port = self.target.port().to_string();
            let head = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            self.source.command(&[&head, keys.as_slice()].concat())?;
        }
        Ok(keys.len())
    }

    /// Moves the keys that are left, and gives the slot to its new owner on every primary.
    ///
    /// # Errors
    /// If one of the two nodes refuses, or a node does not learn of the new owner within a minute.
    pub fn finish(self) -> Outcome {
        while self.move_keys(KEYS_AT_ONCE)? > 0 {}
        let (slot, name) = (self.slot.to_string(), self.target.command(&["CLUSTER", "MYID"])?);
        // The new owner first: if we stopped in between, the slot would have an owner all the same.
        for server in [self.target, self.source] {
            server.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &name])?;
        }
        let (slot, to) = (self.slot, self.target.port());
        until("every node to know the slot's new owner", SETTLING, || {
            for server in self.cluster.servers.iter().filter(|server| server.pid().is_some()) {
                match nodes_seen_by(server) {
                    Err(failure) => return Look::NotYet(failure.to_string()),
                    Ok(nodes) if nodes.iter().any(|node| node.owns(slot) && node.port == to) => {}
                    Ok(_) => return Look::NotYet(format!("the node on port {} does not", server.port())),
                }
            }
            Look::Done(())
        })
    }
}

fn is_whole(server: &Redis) -> Outcome {
    let info = server.command(&["CLUSTER", "INFO"])?;
    if info.lines().any(|line| line.trim() == "cluster_state:ok") {
        return Ok(());
    }
    let state = info.lines().next().unwrap_or_default().trim().to_owned();
    Err(Failure::new(format!("asking the node on port {}", server.port()), state))
}

fn nodes_seen_by(server: &Redis) -> Outcome<Vec<ClusterNode>> {
    let reply = server.command(&["CLUSTER", "NODES"])?;
    let nodes: Option<Vec<_>> = reply.lines().filter(|line| !line.trim().is_empty()).map(node).collect();
    nodes.ok_or_else(|| Failure::new("reading CLUSTER NODES", reply))
}

/// Reads a line of `CLUSTER NODES`: id, address, flags, primary, ping, pong, epoch, link, slots.
fn node(line: &str) -> Option<ClusterNode> {
    let mut fields = line.split_whitespace();
    let id = fields.next()?.to_owned();
    let address = fields.next()?.split('@').next()?;
    let port = address.rsplit(':').next()?.parse().ok()?;
    let flags: Vec<&str> = fields.next()?.split(',').collect();
    let role = if flags.contains(&"master") { Role::Primary } else { Role::Replica };
    let is_silent = ["fail", "fail?", "handshake", "noaddr"].iter().any(|flag| flags.contains(flag));
    let link = fields.nth(4)?;
    let is_up = !is_silent && (link == "connected" || flags.contains(&"myself"));
    // A slot in square brackets is one that is being moved.
    let slots = fields.filter(|slot| !slot.starts_with('[')).map(|slot| {
        let (first, last) = slot.split_once('-').unwrap_or((slot, slot));
        Some((first.parse().ok()?, last.parse().ok()?))
    });
    Some(ClusterNode { port, role, id, is_up, slots: slots.collect::<Option<Vec<_>>>()? })
}

const PRIMARIES: usize = 3;
const NODES: usize = 6;
const KEYS_AT_ONCE: usize = 100;

/// Distance of the port on which nodes talk to each other.
const BUS: &[u16] = &[10_000];

/// A node that is kept from running for a moment, on a machine that is busy with other tests, is not given up. Replicas stay with their primary, and are promoted however long they have not heard of it.
const CLUSTER: &[&str] = &[
    "--cluster-enabled",
    "yes",
    "--cluster-config-file",
    "nodes.conf",
    "--cluster-node-timeout",
    "2000",
    "--cluster-replica-validity-factor",
    "0",
    "--cluster-allow-replica-migration",
    "no",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_cluster_nodes_is_read_whole() {
        let line = "07c3 127.0.0.1:7001@17001 myself,master - 0 1426 2 connected 0-5460 9000 [93->-e7d1]";
        let expected = ClusterNode {
            port: 7001,
            role: Role::Primary,
            id: "07c3".to_owned(),
            is_up: true,
            slots: vec![(0, 5460), (9000, 9000)],
        };
        assert_eq!(node(line), Some(expected.clone()));
        assert!(expected.owns(5460) && expected.owns(9000) && !expected.owns(5461));
        let replica = node("e7d1 127.0.0.1:7004@17004,host slave,fail 07c3 1 2 4 disconnected").unwrap();
        assert_eq!((replica.role, replica.is_up, replica.port), (Role::Replica, false, 7004));
        assert_eq!(node("nonsense"), None);
    }
}
