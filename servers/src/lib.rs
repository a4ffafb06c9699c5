//! Real servers for tests.
//!
//! Each is started on a private port of 127.0.0.1 and in a private directory, is ready when `start` returns (it said so
//! itself), can be killed, paused and started again on its data, and is gone when it is dropped. None outlives the process
//! that started it, however that process ends: see [`Program`].
//!
//! Everything here blocks: call it from `main` or from a test's own thread, before and beside whatever runtime the test
//! uses. All verbs take `&self`, so that a server can be shared between threads.
//!
//! # Example
//! ```no_run
//! # fn main() -> cloakroom_servers::Outcome {
//! use cloakroom_servers::Redis;
//!
//! let redis = Redis::start()?;
//! redis.command(&["SET", "greeting", "hello"])?;
//! redis.kill();
//! redis.restart()?;
//! assert_eq!(redis.command(&["GET", "greeting"])?, "hello");
//! # Ok(())
//! # }
//! ```

mod daemon;
mod failure;
mod family;
mod find;
mod mariadb;
mod memcached;
mod patience;
mod place;
mod port;
mod postgres;
mod program;
mod prometheus;
mod proxies;
mod redis;
mod relay;
mod run;
mod surroundings;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "tls")]
pub use self::tls::{Authority, Identity};
pub use self::{
    failure::{Failure, Outcome},
    family::Sighting,
    find::{find_faketime, find_program, is_open_to_all},
    mariadb::Mariadb,
    memcached::Memcached,
    patience::{Look, until},
    port::Port,
    postgres::Postgres,
    program::Program,
    prometheus::{Prometheus, promtool},
    proxies::{HaProxy, Nginx},
    redis::{ClusterNode, Migration, Redis, RedisCluster, RedisSentinel, Role},
    relay::Relay,
    surroundings::{Clock, Disk, Surroundings},
};
