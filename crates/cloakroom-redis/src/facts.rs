//! What the servers say of themselves: what `doctor` has to know.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::{Cmd, Value, cmd};

use crate::client::Client;
use crate::error::Problem;
use crate::feed::try_to_follow;
use crate::keys::Bucket;
use crate::link::{field, prose};
use crate::node::{Lane, Node};
use crate::options::RedisOptions;
use crate::sentinel::text;

/// What the servers say of themselves, and what follows from it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RedisFacts {
    /// Each server that keeps sessions: one, or every primary of a Cluster.
    pub servers: Vec<ServerFacts>,
    /// How many replicas have to acknowledge an end.
    pub replicas_demanded: u32,
    /// Whether sessions travel in clear to another machine.
    pub is_in_clear: bool,
    /// Whether another machine's server lets everybody in who reaches it: no password is given.
    pub is_open: bool,
}

/// What one server says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ServerFacts {
    /// Where it is.
    pub address: String,
    /// Its version; Valkey tells the version of Redis it is compatible with.
    pub version: String,
    /// Whether it writes changes to a file as they happen.
    pub append_only: bool,
    /// `appendfsync`; `None` where the user is not allowed to ask (`CONFIG GET`).
    pub append_fsync: Option<String>,
    /// `maxmemory-policy`.
    pub eviction_policy: String,
    /// `maxmemory`, in bytes; zero without a limit.
    pub max_memory: u64,
    /// How many replicas it has.
    pub replicas: u64,
    /// Whether it tells this user of changes; without, no near cache can be used.
    pub tells_changes: bool,
}

impl RedisFacts {
    /// Whether what is acknowledged is there after a crash of a server's machine, as far as the servers say.
    #[must_use]
    pub fn survives_a_crash(&self) -> bool {
        let is_safe = |server: &ServerFacts| {
            server.append_only
                && server.append_fsync.as_deref() == Some("always")
                && server.eviction_policy == NO_EVICTION
        };
        self.servers.iter().all(is_safe)
    }
}

/// Whether keys without a time to live may be evicted: the list of ends is one.
pub(crate) fn may_evict_everything(policy: &str) -> bool {
    policy != NO_EVICTION && !policy.starts_with("volatile-")
}

/// Asks every server that keeps one of these buckets.
pub(crate) async fn facts(
    client: &Client,
    exposure: Exposure,
    buckets: impl Iterator<Item = Bucket>,
) -> Result<RedisFacts, Problem> {
    let mut nodes: Vec<Arc<Node>> = Vec::new();
    let buckets: Vec<Bucket> = buckets.collect();
    for (bucket, owner) in buckets.iter().zip(client.topology.owners(&buckets).await?) {
        let node = owner.ok_or_else(|| Problem::Uncovered { bucket: bucket.text() })?;
        if !nodes.iter().any(|other| Arc::ptr_eq(other, &node)) {
            nodes.push(node);
        }
    }
    let servers = try_join_all(nodes.iter().map(|node| of_server(client, node))).await?;
    let Exposure { is_in_clear, is_open } = exposure;
    Ok(RedisFacts { servers, replicas_demanded: client.replicas_demanded(), is_in_clear, is_open })
}

async fn of_server(client: &Client, node: &Node) -> Result<ServerFacts, Problem> {
    let information = Information::of(node).await?;
    let number = |name| information.field(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let mut question = cmd("CONFIG");
    question.arg("GET").arg("appendfsync");
    let append_fsync = match ask(node, &question).await {
        Ok(Value::Map(pairs)) => pairs.into_iter().next().and_then(|(_, value)| text(value)),
        Ok(Value::Array(values)) => values.into_iter().nth(1).and_then(text),
        // The rights that the book names do not include it.
        Ok(_) | Err(Problem::Server { .. }) => None,
        Err(problem) => return Err(problem),
    };
    let trial = try_to_follow(node.link(Lane::Commands), &client.layout, client.deadline()).await;
    let tells_changes = match trial {
        Ok(()) => true,
        Err(Problem::Deaf { .. }) => false,
        Err(problem) => return Err(problem),
    };
    Ok(ServerFacts {
        address: node.host.to_string(),
        version: information.field("redis_version").unwrap_or("unknown").to_owned(),
        append_only: information.field("aof_enabled") == Some("1"),
        append_fsync,
        eviction_policy: information.field("maxmemory_policy").unwrap_or("unknown").to_owned(),
        max_memory: number("maxmemory"),
        replicas: number("connected_slaves"),
        tells_changes,
    })
}

async fn ask(node: &Node, question: &Cmd) -> Result<Value, Problem> {
    let link = node.link(Lane::Commands);
    let mut connection = link.connection().await?;
    connection.ask(question).await.map_err(|error| link.problem(error))
}

/// What `INFO` says: lines of a name and a value.
pub(crate) struct Information(pub(crate) String);

impl Information {
    pub(crate) async fn of(node: &Node) -> Result<Self, Problem> {
        prose(ask(node, &cmd("INFO")).await?).map(Self).ok_or(Problem::Answer("INFO"))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.0, name)
    }
}

/// What the way to the servers lets others do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exposure {
    is_in_clear: bool,
    is_open: bool,
}

impl Exposure {
    pub(crate) fn of(options: &RedisOptions) -> Self {
        let is_here = |name: &str| {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        let is_elsewhere = !options.hosts.iter().all(|host| is_here(&host.name));
        Self {
            is_in_clear: is_elsewhere && options.tls.is_none(),
            is_open: is_elsewhere && options.credentials.password.is_none(),
        }
    }
}

pub(crate) const NO_EVICTION: &str = "noeviction";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RedisWarning;

    fn sound() -> ServerFacts {
        ServerFacts {
            address: "10.0.0.7:6379".to_owned(),
            version: "7.0.15".to_owned(),
            append_only: true,
            append_fsync: Some("always".to_owned()),
            eviction_policy: NO_EVICTION.to_owned(),
            max_memory: 1 << 30,
            replicas: 0,
            tells_changes: true,
        }
    }

    fn of(server: ServerFacts, replicas_demanded: u32) -> RedisFacts {
        RedisFacts { servers: vec![server], replicas_demanded, is_in_clear: false, is_open: false }
    }

    #[test]
    fn what_can_lose_or_refuse_something_is_warned_of_by_its_name() {
        assert_eq!(of(sound(), 0).warnings(), []);
        assert_eq!(of(ServerFacts { replicas: 2, ..sound() }, 2).warnings(), []);
        assert!(of(sound(), 0).survives_a_crash());
        for (facts, name) in [
            (of(ServerFacts { append_only: false, ..sound() }, 0), "appendonly yes"),
            (of(ServerFacts { append_fsync: Some("everysec".to_owned()), ..sound() }, 0), "everysec"),
            (of(ServerFacts { append_fsync: None, ..sound() }, 0), "CONFIG is denied"),
            (of(ServerFacts { eviction_policy: "allkeys-lru".to_owned(), ..sound() }, 0), "allkeys-lru"),
            (of(ServerFacts { tells_changes: false, ..sound() }, 0), "+client|tracking"),
            (of(ServerFacts { max_memory: 0, ..sound() }, 0), "maxmemory is not set"),
            (of(ServerFacts { replicas: 2, ..sound() }, 0), "?wait_replicas=2"),
            (of(ServerFacts { replicas: 1, ..sound() }, 2), "signing out fails"),
            (RedisFacts { is_in_clear: true, ..of(sound(), 0) }, "rediss://"),
            (RedisFacts { is_open: true, ..of(sound(), 0) }, "without a password"),
        ] {
            let warnings = facts.warnings();
            let [warning] = &warnings[..] else { panic!("{name}: {warnings:?}") };
            assert!(warning.to_string().contains(name) && !warning.remedy().is_empty(), "{name}: {warning}");
        }
        assert!(!of(ServerFacts { append_fsync: None, ..sound() }, 0).survives_a_crash());
    }

    #[test]
    fn what_is_so_on_several_servers_is_said_once_with_all_of_their_addresses() {
        let servers = ["10.0.0.7:1", "10.0.0.8:2", "10.0.0.9:3"].map(|address| ServerFacts {
            address: address.to_owned(),
            append_fsync: Some("everysec".to_owned()),
            replicas: 1,
            max_memory: if address.ends_with('3') { 0 } else { 1 << 30 },
            ..sound()
        });
        let facts = RedisFacts { servers: servers.to_vec(), ..of(sound(), 0) };
        for (warnings, replica) in [
            (facts.warnings(), "1 replica and no wait_replicas: a fail-over revives"),
            (facts.warnings_of_list(), "1 replica and no wait_replicas: a fail-over forgets"),
        ] {
            let causes: Vec<&str> = warnings.iter().map(RedisWarning::cause).collect();
            let [fsync, replicas, memory] = &causes[..] else { panic!("three, not nine: {causes:?}") };
            assert!(
                fsync.starts_with("10.0.0.7:1, 10.0.0.8:2, 10.0.0.9:3: appendfsync is everysec"),
                "{fsync}"
            );
            assert!(memory.starts_with("10.0.0.9:3: maxmemory"), "{memory}");
            assert!(replicas.contains(&format!("10.0.0.9:3: {replica}")), "{replicas}");
        }
        let demanded = of(ServerFacts { replicas: 0, ..sound() }, 1).warnings();
        assert!(demanded[0].cause().contains("1 replica is demanded and none is there"), "{demanded:?}");
    }

    #[test]
    fn what_can_make_a_list_forget_is_warned_of_and_what_cannot_is_not() {
        assert_eq!(of(sound(), 0).warnings_of_list(), []);
        let volatile = ServerFacts { eviction_policy: "volatile-ttl".to_owned(), ..sound() };
        assert_eq!(of(volatile, 0).warnings_of_list(), [], "the list has no time to live");
        for (facts, name) in [
            (of(ServerFacts { append_only: false, ..sound() }, 0), "appendonly yes"),
            (of(ServerFacts { append_fsync: Some("everysec".to_owned()), ..sound() }, 0), "everysec"),
            (of(ServerFacts { append_fsync: None, ..sound() }, 0), "CONFIG is denied"),
            (of(ServerFacts { eviction_policy: "allkeys-lru".to_owned(), ..sound() }, 0), "the whole list"),
            (of(ServerFacts { eviction_policy: "unknown".to_owned(), ..sound() }, 0), "the whole list"),
            (of(ServerFacts { tells_changes: false, ..sound() }, 0), "+client|tracking"),
            (of(ServerFacts { max_memory: 0, ..sound() }, 0), "maxmemory is not set"),
            (of(ServerFacts { replicas: 2, ..sound() }, 0), "?wait_replicas=2"),
            (of(ServerFacts { replicas: 1, ..sound() }, 2), "signing out fails"),
            (RedisFacts { is_in_clear: true, ..of(sound(), 0) }, "rediss://"),
        ] {
            let warnings = facts.warnings_of_list();
            let [warning] = &warnings[..] else { panic!("{name}: {warnings:?}") };
            assert!(warning.to_string().contains(name) && !warning.remedy().is_empty(), "{name}: {warning}");
        }
    }

    #[test]
    fn only_the_way_to_another_machine_can_be_listened_to() {
        for (url, is_in_clear, is_open) in [
            ("redis://127.0.0.1", false, false),
            ("redis+cluster://localhost,[::1]", false, false),
            ("redis://10.0.0.7", true, true),
            ("redis+sentinel://127.0.0.1,b/m", true, true),
            ("rediss://u:p@redis.example", false, false),
        ] {
            let exposure = Exposure::of(&RedisOptions::from_url(url).unwrap());
            assert_eq!(exposure, Exposure { is_in_clear, is_open }, "{url}");
        }
    }
}
