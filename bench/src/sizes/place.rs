//! The stores, each on a server of its own.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use cloakroom::Store;
use cloakroom_memcached::{MemcachedOptions, MemcachedStore};
use cloakroom_memory::{MemoryOptions, MemoryStore};
use cloakroom_mysql::{MysqlOptions, MysqlStore};
use cloakroom_postgres::{PostgresOptions, PostgresStore};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_servers::{Mariadb, Memcached, Postgres, Redis, RedisCluster, Role};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

use super::level::Population;
use crate::error::{Doing as _, Outcome};
use crate::machine::private_memory;

/// A kind of store, and how its servers stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Where {
    Memory,
    Sqlite,
    Redis,
    RedisCluster,
    Postgres,
    Mysql,
    Memcached,
}

impl Where {
    pub(crate) const ALL: [Self; 7] = [
        Self::Memory,
        Self::Sqlite,
        Self::Redis,
        Self::RedisCluster,
        Self::Postgres,
        Self::Mysql,
        Self::Memcached,
    ];
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
            Self::RedisCluster => "redis cluster",
            Self::Postgres => "postgres",
            Self::Mysql => "mariadb",
            Self::Memcached => "memcached",
        })
    }
}

/// A store's surroundings: whatever has to run, or to be there, while it is used.
pub(crate) enum Place {
    Memory,
    Sqlite(TempDir),
    Redis(Redis),
    RedisCluster(RedisCluster),
    Postgres(Postgres),
    Mysql(Mariadb),
    Memcached(Memcached),
}

impl Place {
    pub(crate) fn prepare(store: Where) -> Outcome<Self> {
        Ok(match store {
            Where::Memory => Self::Memory,
            Where::Sqlite => {
                Self::Sqlite(TempDir::with_prefix("cloakroom-bench-").doing("making a directory")?)
            }
            Where::Redis => Self::Redis(Redis::start_with(&["--save", ""]).doing("starting Redis")?),
            Where::RedisCluster => {
                Self::RedisCluster(RedisCluster::start().doing("starting a Redis Cluster")?)
            }
            Where::Postgres => {
                Self::Postgres(Postgres::start_with(POSTGRES_MEMORY).doing("starting PostgreSQL")?)
            }
            Where::Mysql => Self::Mysql(Mariadb::start_with(MARIADB_MEMORY).doing("starting MariaDB")?),
            Where::Memcached => Self::Memcached(
                Memcached::start_with(&["-m", MEMCACHED_MEBIBYTES]).doing("starting memcached")?,
            ),
        })
    }

    pub(crate) async fn open(&self) -> Outcome<Arc<dyn Store>> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new(MemoryOptions::default().with_max_bytes(ROOM))),
            Self::Sqlite(directory) => {
                let options = SqliteOptions::new(directory.path().join("sessions.db"));
                Arc::new(SqliteStore::open(options).doing("opening SQLite")?)
            }
            Self::Redis(server) => redis(&server.url()).await?,
            Self::RedisCluster(cluster) => redis(&cluster.url()).await?,
            Self::Postgres(server) => {
                let options = PostgresOptions::from_url(&server.url()).doing("reading an address")?;
                Arc::new(PostgresStore::connect(options).await.doing("opening PostgreSQL")?)
            }
            Self::Mysql(server) => {
                let options = MysqlOptions::from_url(&server.url()).doing("reading an address")?;
                Arc::new(MysqlStore::connect(options).await.doing("opening MariaDB")?)
            }
            Self::Memcached(server) => {
                let options = MemcachedOptions::from_url(&server.url()).doing("reading an address")?;
                Arc::new(MemcachedStore::connect(options).await.doing("opening memcached")?)
            }
        })
    }

    /// The port of the one Redis server, where that is what it is.
    pub(crate) fn redis_port(&self) -> Option<u16> {
        if let Self::Redis(server) = self { Some(server.port()) } else { None }
    }

    /// Bytes in use where the sessions lie, as whoever keeps them counts.
    pub(crate) fn weight(&self) -> Outcome<u64> {
        match self {
            Self::Memory => private_memory().doing("reading this process's memory"),
            Self::Sqlite(directory) => size_of(directory.path()),
            Self::Redis(server) => used_memory(server),
            Self::RedisCluster(cluster) => {
                let nodes = cluster.nodes().doing("asking a Redis Cluster for its nodes")?;
                let primaries = nodes.iter().filter(|node| node.role == Role::Primary);
                let servers = primaries.map(|node| cluster.server(node.port));
                servers.map(|server| used_memory(server.doing("finding a node")?)).sum()
            }
            Self::Postgres(server) => {
                let text = server.sql("cloakroom", "SELECT pg_database_size(current_database())");
                text.doing("asking PostgreSQL for its size")?.trim().parse().doing("reading a size")
            }
            Self::Mysql(server) => {
                let text = server.sql("cloakroom", MARIADB_SIZE).doing("asking MariaDB for its size")?;
                text.split_whitespace().find_map(|word| word.parse().ok()).doing("reading a size")
            }
            Self::Memcached(server) => server
                .stat("bytes")
                .doing("asking memcached for its size")?
                .trim()
                .parse()
                .doing("reading a size"),
        }
    }

    /// Does what a database does by itself sooner or later after much was written, so that it is not done meanwhile.
    pub(super) fn settle(&self) -> Outcome {
        if let Self::Postgres(server) = self {
            server.sql("cloakroom", "VACUUM (ANALYZE); CHECKPOINT;").doing("tidying up PostgreSQL")?;
        }
        Ok(())
    }

    /// Bytes of `weight` that are no store's: what the measurement remembers, where it shares its memory with the store.
    pub(super) fn own(&self, population: &Population) -> u64 {
        if let Self::Memory = self { u64::try_from(population.bytes()).unwrap_or(u64::MAX) } else { 0 }
    }
}

async fn redis(url: &str) -> Outcome<Arc<dyn Store>> {
    let options = RedisOptions::from_url(url).doing("reading an address")?;
    Ok(Arc::new(RedisStore::connect(options).await.doing("opening Redis")?))
}

fn used_memory(server: &Redis) -> Outcome<u64> {
    server.info("used_memory").doing("asking Redis for its size")?.trim().parse().doing("reading a size")
}

fn size_of(directory: &Path) -> Outcome<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory).doing("reading a directory")?.flatten() {
        sum += entry.metadata().doing("reading a file's size")?.len();
    }
    Ok(sum)
}

/// More than the sessions of the largest size need.
const ROOM: usize = 4 << 30;
const MEMCACHED_MEBIBYTES: &str = "6144";
/// What the manuals advise on such a machine, where the tests' servers have a tenth: with less than its data takes, a
/// database asks the system for pages, and what grows is that.
const POSTGRES_MEMORY: &[&str] = &["-c", "shared_buffers=4GB", "-c", "max_wal_size=4GB"];
const MARIADB_MEMORY: &[&str] = &["--innodb-buffer-pool-size=4G", "--innodb-log-file-size=1G"];
/// The files, not the optimiser's estimate.
const MARIADB_SIZE: &str = "SELECT CAST(SUM(FILE_SIZE) AS UNSIGNED) FROM \
    information_schema.INNODB_SYS_TABLESPACES WHERE NAME LIKE 'cloakroom/%'";
