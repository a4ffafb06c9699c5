//! The servers that can be started by hand.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use cloakroom_servers::{Mariadb, Memcached, Outcome, Postgres, Redis, RedisCluster, RedisSentinel};

/// A store on a server, or on several that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// One Redis.
    Redis,
    /// A primary and two replicas, watched by three Sentinels.
    RedisSentinel,
    /// Three primaries and three replicas.
    RedisCluster,
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
    /// Three memcached.
    Memcached,
}

/// What was started, held for as long as it shall run.
pub(crate) enum Kept {
    Redis(Redis),
    Sentinel(RedisSentinel),
    Cluster(RedisCluster),
    Postgres(Postgres),
    Mariadb(Mariadb),
    Memcached(Vec<Memcached>),
}

impl Kind {
    pub(crate) const ALL: &[Self] = &[
        Self::Redis,
        Self::RedisSentinel,
        Self::RedisCluster,
        Self::Postgres,
        Self::Mariadb,
        Self::Memcached,
    ];

    pub(crate) fn start(self) -> Outcome<Kept> {
        Ok(match self {
            Self::Redis => Kept::Redis(Redis::start()?),
            Self::RedisSentinel => Kept::Sentinel(RedisSentinel::start()?),
            Self::RedisCluster => Kept::Cluster(RedisCluster::start()?),
            Self::Postgres => Kept::Postgres(Postgres::start()?),
            Self::Mariadb => Kept::Mariadb(Mariadb::start()?),
            Self::Memcached => {
                Kept::Memcached((0..SEVERAL).map(|_| Memcached::start()).collect::<Outcome<_>>()?)
            }
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl Kept {
    /// The URL by which a session server reaches the store.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::Sentinel(group) => group.url(),
            Self::Cluster(cluster) => cluster.url(),
            Self::Postgres(server) => server.url(),
            Self::Mariadb(server) => server.url(),
            Self::Memcached(servers) => {
                let addresses: Vec<_> = servers.iter().map(Memcached::address).collect();
                format!("memcached://{}", addresses.join(","))
            }
        }
    }

    /// Where its servers keep their data, each in a directory of its own.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let directories: Vec<&Path> = match self {
            Self::Redis(server) => vec![server.directory()],
            Self::Sentinel(group) => {
                group.data().iter().chain(group.sentinels()).map(Redis::directory).collect()
            }
            Self::Cluster(cluster) => cluster.servers().iter().map(Redis::directory).collect(),
            Self::Postgres(server) => vec![server.directory()],
            Self::Mariadb(server) => vec![server.directory()],
            Self::Memcached(servers) => servers.iter().map(Memcached::directory).collect(),
        };
        directories.into_iter().map(Path::to_owned).collect()
    }

    /// The process ids of its servers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        match self {
            Self::Redis(server) => server.pid().into_iter().collect(),
            Self::Sentinel(group) => {
                group.data().iter().chain(group.sentinels()).filter_map(Redis::pid).collect()
            }
            Self::Cluster(cluster) => cluster.servers().iter().filter_map(Redis::pid).collect(),
            Self::Postgres(server) => server.pid().into_iter().collect(),
            Self::Mariadb(server) => server.pid().into_iter().collect(),
            Self::Memcached(servers) => servers.iter().filter_map(Memcached::pid).collect(),
        }
    }
}

/// Enough for one to be lost without the others being alone.
const SEVERAL: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_means_all_of_them_and_names_are_read_as_they_are_written() {
        assert_eq!(Kind::ALL, Kind::value_variants());
        for kind in Kind::ALL {
            assert_eq!(Kind::from_str(&kind.to_string(), false), Ok(*kind));
        }
    }
}
