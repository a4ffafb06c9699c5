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

    /// What somebody who runs this should know, a sentence each with its remedy; nothing where all is well.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings_of(&SESSIONS)
    }

    /// The same where what is kept there is a list of what was ended ([`RedisRevocations`](crate::RedisRevocations)): whatever
    /// it loses, lets sessions live again that were ended.
    #[must_use]
    pub fn warnings_of_list(&self) -> Vec<String> {
        self.warnings_of(&ENDS)
    }
}

impl RedisFacts {
    fn warnings_of(&self, kept: &Kept) -> Vec<String> {
        let mut warnings = self.warnings_of_way();
        for server in &self.servers {
            let about = server.warnings(kept, self.replicas_demanded);
            warnings.extend(about.into_iter().map(|warning| format!("{}: {warning}", server.address)));
        }
        warnings
    }

    fn warnings_of_way(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.is_in_clear {
            warnings.push(
                "sessions travel to Redis in clear: write rediss:// and give the server a certificate"
                    .to_owned(),
            );
        }
        if self.is_open {
            warnings.push(
                "Redis is asked without a password: whoever reaches it can end and forge sessions; give it a user, \
                 as docs/book/stores/redis.md says"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// What is kept on servers, and what it means to lose some of it.
struct Kept {
    /// What a restart without an append-only file does.
    restarted: &'static str,
    /// What losing the last moments does to what ended in them.
    loses: &'static str,
    may_evict: fn(policy: &str) -> bool,
    /// What a full server may do that evicts it.
    evicted: &'static str,
    /// What comes of not being told of changes, and what to allow.
    deaf: &'static str,
    /// Whose URL it is where replicas can be demanded.
    name: &'static str,
}

const SESSIONS: Kept = Kept {
    restarted: "a crash loses the sessions of the last minutes and revives those that ended in them",
    loses: "revives sessions that",
    may_evict: |policy| policy != NO_EVICTION,
    evicted: "signs people out",
    deaf: "nothing is cached and every read asks Redis; allow it +client|tracking +ping, in a Cluster also +cluster|nodes",
    name: "store",
};

const ENDS: Kept = Kept {
    restarted: "a restart forgets what ended, and whoever was signed out is let in again",
    loses: "forgets what",
    may_evict: may_evict_everything,
    evicted: "may forget the whole list of ends, and whoever was signed out is let in again",
    deaf: "other nodes hear of an end at their next reading only; allow it +client|tracking +ping",
    name: "list",
};

impl ServerFacts {
    fn warnings(&self, kept: &Kept, demanded: u32) -> Vec<String> {
        let Kept { restarted, loses, evicted, deaf, name, .. } = kept;
        let mut warnings = Vec::new();
        match self.append_fsync.as_deref() {
            _ if !self.append_only => {
                warnings.push(format!("no append-only file: {restarted}; set appendonly yes"));
            }
            None => warnings.push(format!(
                "could not ask how often the append-only file is written (CONFIG is denied): see that appendfsync is always, \
                 or a crash {loses} ended in the last second"
            )),
            Some("always") => {}
            Some(other) => warnings.push(format!(
                "appendfsync is {other}: a crash of the machine {loses} ended in the last second or more; set it to always, \
                 or accept that"
            )),
        }
        let policy = &self.eviction_policy;
        if (kept.may_evict)(policy) {
            warnings
                .push(format!("maxmemory-policy is {policy}: a full server {evicted}; set it to noeviction"));
        }
        if !self.tells_changes {
            warnings.push(format!("the user may not follow changes: {deaf}"));
        }
        if self.max_memory == 0 {
            let unlimited =
                "maxmemory is not set: a server that grows beyond the machine's memory is killed; set it";
            warnings.push(unlimited.to_owned());
        }
        let replicas = self.replicas;
        if replicas > 0 && demanded == 0 {
            warnings.push(format!(
                "{replicas} replicas and no wait_replicas: a fail-over {loses} ended just before it; add \
                 ?wait_replicas={replicas} to the {name}'s URL"
            ));
        }
        if replicas < u64::from(demanded) {
            warnings.push(format!(
                "{demanded} replicas are demanded and {replicas} are there: signing out fails; start the others, or demand fewer"
            ));
        }
        warnings
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
    for bucket in buckets {
        let node = client.topology.node(bucket).await?;
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

const NO_EVICTION: &str = "noeviction";

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(of(sound(), 0).warnings(), Vec::<String>::new());
        assert_eq!(of(ServerFacts { replicas: 2, ..sound() }, 2).warnings(), Vec::<String>::new());
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
            assert!(warnings.len() == 1 && warnings[0].contains(name), "{name}: {warnings:?}");
        }
        assert!(!of(ServerFacts { append_fsync: None, ..sound() }, 0).survives_a_crash());
    }

    #[test]
    fn what_can_make_a_list_forget_is_warned_of_and_what_cannot_is_not() {
        assert_eq!(of(sound(), 0).warnings_of_list(), Vec::<String>::new());
        let volatile = ServerFacts { eviction_policy: "volatile-ttl".to_owned(), ..sound() };
        assert_eq!(of(volatile, 0).warnings_of_list(), Vec::<String>::new(), "the list has no time to live");
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
            assert!(warnings.len() == 1 && warnings[0].contains(name), "{name}: {warnings:?}");
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
