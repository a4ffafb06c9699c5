//! Servers whose clocks are wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use cloakroom_conformance::{ServerClock, check_clock};
use cloakroom_core::Timestamp;
use cloakroom_memcached::{MemcachedOptions, MemcachedStore};
use cloakroom_servers::{Clock, Memcached, Surroundings};

struct Walls(Vec<Memcached>);

impl ServerClock for Walls {
    /// Memcached only looks at the time of day when it starts, and counts seconds from then on: a step is none to it.
    fn set(&self, ahead: i64) {
        for server in &self.0 {
            server.set_clock(Clock::ahead_by(ahead)).unwrap();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the clock that the server's is compared with")]
    fn true_time(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(since.as_millis().try_into().unwrap())
    }
}

#[test]
fn clocks_that_differ_and_are_set_while_sessions_live_lose_end_and_revive_none() {
    let start = |ahead| {
        let surroundings = Surroundings::default().with_clock(Clock::ahead_by(ahead));
        Memcached::start_in(&surroundings, &[]).unwrap()
    };
    let walls = Walls([600, -600, 0].map(start).into());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let hosts: Vec<String> = walls.0.iter().map(Memcached::address).collect();
        let options = MemcachedOptions::from_url(&format!("memcached://{}", hosts.join(","))).unwrap();
        let store = MemcachedStore::connect(options).await.unwrap();
        check_clock(std::sync::Arc::new(store), &walls).await;
    });
}
