//! What is compared: where sessions live, and how requests find a node.

use std::fmt;

use clap::ValueEnum;
use cloakroom_servers::{Mariadb, Memcached, Postgres, Redis, RedisCluster, RedisSentinel};
use serde::Serialize;

use crate::Outcome;

/// Where sessions live.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// In the memory of the node that issued them.
    Memory,
    /// Redis, one server.
    Redis,
    /// Redis, a primary with two replicas, watched by three sentinels.
    RedisSentinel,
    /// Redis, three primaries with a replica each.
    RedisCluster,
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
    /// Three memcached servers.
    Memcached,
}

/// How requests find a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balancing {
    /// One node after the other (HAProxy).
    RoundRobin,
    /// By a cookie of the balancer (HAProxy).
    Sticky,
    /// One node after the other (nginx).
    NginxRoundRobin,
    /// By the client's address (nginx).
    NginxSticky,
}

/// One line of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Scenario {
    /// Where sessions live.
    pub store: Store,
    /// How requests find a node.
    pub balancing: Balancing,
}

impl Store {
    /// All of them that nodes can share.
    pub const SHARED: [Self; 6] = [
        Self::Redis,
        Self::RedisSentinel,
        Self::RedisCluster,
        Self::Postgres,
        Self::Mariadb,
        Self::Memcached,
    ];

    /// Starts what the store needs.
    pub(crate) fn start(self) -> Outcome<Running> {
        Ok(match self {
            Self::Memory => Running::Memory,
            Self::Redis => Running::Redis(Redis::start()?),
            Self::RedisSentinel => Running::RedisSentinel(RedisSentinel::start()?),
            Self::RedisCluster => Running::RedisCluster(RedisCluster::start()?),
            Self::Postgres => Running::Postgres(Postgres::start()?),
            Self::Mariadb => Running::Mariadb(Mariadb::start()?),
            Self::Memcached => {
                Running::Memcached(Box::new([Memcached::start()?, Memcached::start()?, Memcached::start()?]))
            }
        })
    }
}

impl Scenario {
    /// What is worth comparing: each way to balance with memory, and each shared store without stickiness; Redis behind both
    /// balancers, since any shared store is the same to them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let memory =
            [Balancing::RoundRobin, Balancing::Sticky, Balancing::NginxRoundRobin, Balancing::NginxSticky];
        let memory = memory.map(|balancing| Self { store: Store::Memory, balancing });
        let shared = Store::SHARED.map(|store| Self { store, balancing: Balancing::RoundRobin });
        let nginx = Self { store: Store::Redis, balancing: Balancing::NginxRoundRobin };
        [memory.as_slice(), &[nginx], shared.as_slice()].concat()
    }
}

/// A store's servers, which end with this.
pub(crate) enum Running {
    Memory,
    Redis(Redis),
    RedisSentinel(RedisSentinel),
    RedisCluster(RedisCluster),
    Postgres(Postgres),
    Mariadb(Mariadb),
    Memcached(Box<[Memcached; 3]>),
}

impl Running {
    /// The address that nodes are given, with more patience than a service would have: the scenarios are not about waiting,
    /// and the machine has all of this at once.
    pub(crate) fn url(&self) -> String {
        let server = match self {
            Self::Memory => return "memory:".to_owned(),
            Self::Redis(server) => server.url(),
            Self::RedisSentinel(servers) => servers.url(),
            Self::RedisCluster(servers) => servers.url(),
            Self::Postgres(server) => server.url(),
            Self::Mariadb(server) => server.url(),
            Self::Memcached(servers) => {
                let addresses: Vec<String> = servers.iter().map(Memcached::address).collect();
                format!("memcached://{}", addresses.join(","))
            }
        };
        format!("{server}?deadline=20s")
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Memory => "each node's memory",
            Self::Redis => "Redis",
            Self::RedisSentinel => "Redis, Sentinel",
            Self::RedisCluster => "Redis, Cluster",
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
            Self::Memcached => "memcached, three",
        })
    }
}

impl fmt::Display for Balancing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RoundRobin => "HAProxy, in turn",
            Self::Sticky => "HAProxy, sticky",
            Self::NginxRoundRobin => "nginx, in turn",
            Self::NginxSticky => "nginx, sticky",
        })
    }
}
