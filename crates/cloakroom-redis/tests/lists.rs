//! The suite that every list of ends passes, on real servers: one alone, one behind sentinels, and a cluster.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cloakroom_conformance::{Corruption, ListHarness, ListSuite, run_list_suites};
use cloakroom_redis::{RedisOptions, RedisRevocations};
use cloakroom_servers::{Redis, RedisCluster, RedisSentinel};
use cloakroom_store::RevocationList;
use redis::cmd;

mod reach;

/// Servers at an address; each place is a prefix of its own.
struct OnServers {
    url: String,
    places: AtomicU32,
}

impl ListHarness for OnServers {
    type Place = String;

    fn place(&self) -> String {
        format!("place-{}", self.places.fetch_add(1, Ordering::Relaxed))
    }

    async fn open(&self, place: &String) -> Arc<dyn RevocationList> {
        let options = RedisOptions::from_url(&self.url).and_then(|options| options.with_prefix(place));
        // Few cores for all these servers and their suite: what waits here waits for them.
        let options = options.expect("an address").with_deadline(Duration::from_secs(20));
        Arc::new(RedisRevocations::connect(options).await.expect("servers that were started can be used"))
    }

    async fn corrupt(&self, place: &String, number: u64) -> Corruption {
        let tag = if self.url.contains("cluster") { "{00}:" } else { "" };
        for server in reach::servers(&self.url).await {
            let mut connection = reach::connect(&server).await;
            let mut question = cmd("EVAL");
            question.arg(DAMAGE).arg(1).arg(format!("{place}:ends:{tag}list")).arg(&number.to_be_bytes());
            // Another node has it, or this is a replica.
            if question.query_async::<i64>(&mut connection).await == Ok(1) {
                return Corruption::Done;
            }
        }
        panic!("no server has the entry");
    }
}

/// Leaves the number and the nonce, and no entry behind them.
const DAMAGE: &str = "
local member = redis.call('ZRANGE', KEYS[1], '[L' .. ARGV[1], '(M', 'BYLEX', 'LIMIT', 0, 1)[1]
redis.call('ZADD', KEYS[1], 0, string.sub(member, 1, 17) .. 'no entry')
return redis.call('ZREM', KEYS[1], member)";

fn main() -> ExitCode {
    let redis = Redis::start().expect("redis starts");
    let sentinel = RedisSentinel::start().expect("redis and its sentinels start");
    let cluster = RedisCluster::start().expect("a cluster of redis starts");
    let suite = |name, url| ListSuite::new(name, OnServers { url, places: AtomicU32::new(0) });
    run_list_suites(vec![
        suite("redis", redis.url()),
        // In this one, what is added reaches both replicas before it is acknowledged.
        suite("redis-sentinel", format!("{}?wait_replicas=2", sentinel.url())),
        suite("redis-cluster", cluster.url()),
    ])
}
