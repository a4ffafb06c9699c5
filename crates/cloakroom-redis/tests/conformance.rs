//! The suite that every store passes, on real servers: one alone, one behind sentinels, and a cluster.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cloakroom_conformance::{Corruption, Effort, Harness, Suite, run_suites};
use cloakroom_core::TokenDigest;
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_servers::{Redis, RedisCluster, RedisSentinel};
use cloakroom_store::Store;

mod damage;
mod reach;

/// Servers at an address; each place is a prefix of its own.
struct OnServers {
    url: String,
    places: AtomicU32,
    effort: Effort,
}

impl Harness for OnServers {
    type Place = String;

    fn place(&self) -> String {
        format!("place-{}", self.places.fetch_add(1, Ordering::Relaxed))
    }

    async fn open(&self, place: &String) -> Arc<dyn Store> {
        let options = RedisOptions::from_url(&self.url).and_then(|options| options.with_prefix(place));
        // Few cores for eleven servers and their suite: what waits here waits for them.
        let options = options.expect("an address").with_deadline(std::time::Duration::from_secs(20));
        Arc::new(RedisStore::connect(options).await.expect("servers that were started can be used"))
    }

    async fn corrupt(&self, place: &String, digest: TokenDigest) -> Corruption {
        damage::damage(&self.url, place, digest).await;
        Corruption::Done
    }

    fn effort(&self) -> Effort {
        self.effort
    }
}

fn main() -> ExitCode {
    let redis = Redis::start().expect("redis starts");
    let sentinel = RedisSentinel::start().expect("redis and its sentinels start");
    let cluster = RedisCluster::start().expect("a cluster of redis starts");
    let suite = |name, url, races, sequences| {
        let effort = Effort { races, sequences };
        Suite::new(name, OnServers { url, places: AtomicU32::new(0), effort })
    };
    run_suites(vec![
        suite("redis", redis.url(), 10_000, 128),
        suite("redis-sentinel", sentinel.url(), 3_000, 32),
        // Whatever is about everything is about 256 buckets there.
        suite("redis-cluster", cluster.url(), 3_000, 16),
    ])
}
