//! Whoever waits is told, whatever became of the connection by which the server tells.

use std::time::Duration;

use cloakroom_conformance::Ends;
use cloakroom_redis::RedisRevocations;
use cloakroom_servers::{Redis, RedisSentinel};
use cloakroom_store::RevocationList as _;

use super::super::feed::pipe::Pipe;
use super::super::{eventually, run};
use super::{open, open_hasty, until};

/// Adds until `list` is told: the way by which it is may have to be made first.
pub(super) async fn hears(list: &RedisRevocations, writer: &RedisRevocations, ends: &mut Ends) {
    let mut told = std::pin::pin!(list.changed());
    until("it is told", async || {
        let _ = writer.add(&ends.some(1)).await;
        tokio::time::timeout(Duration::from_millis(50), told.as_mut()).await.is_ok()
    })
    .await;
    quiet(list).await;
}

/// Until nothing is told any more of what was added before.
async fn quiet(list: &RedisRevocations) {
    while tokio::time::timeout(Duration::from_millis(100), list.changed()).await.is_ok() {}
}

#[test]
fn after_whatever_became_of_its_connection_whoever_waits_is_told_of_the_next_end() {
    let server = Redis::start().unwrap();
    let pipe = Pipe::to(server.url().rsplit(':').next().unwrap().parse().unwrap());
    run(async {
        let (list, held) = (open_hasty(&server.url()).await, open_hasty(&pipe.url()).await);
        let (writer, mut ends) = (open(&server.url()).await, Ends::new(1));
        for list in [&list, &held] {
            hears(list, &writer, &mut ends).await;
        }
        // A link that hangs: given up by itself.
        pipe.hold_answers();
        writer.add(&ends.some(1)).await.unwrap();
        pipe.pass_answers();
        for words in [&["CLIENT", "KILL", "TYPE", "normal"][..], &["FLUSHALL"]] {
            server.command(words).unwrap();
            for list in [&list, &held] {
                hears(list, &writer, &mut ends).await;
            }
        }
        server.kill();
        server.restart().unwrap();
        eventually("the list", || writer.ping()).await;
        for list in [&list, &held] {
            hears(list, &writer, &mut ends).await;
        }
        // One of them waits for what another one adds, each time.
        for _ in 0..20 {
            let told = list.changed();
            writer.add(&ends.some(1)).await.unwrap();
            tokio::time::timeout(Duration::from_secs(20), told).await.expect("it is told").unwrap();
            quiet(&list).await;
        }
    });
}

#[test]
fn hints_follow_the_primary_that_sentinels_chose() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let (list, writer) = (open(&servers.url()).await, open(&servers.url()).await);
        let mut ends = Ends::new(1);
        hears(&list, &writer, &mut ends).await;
        let old = servers.kill_primary().unwrap();
        servers.wait_for_failover(old).unwrap();
        hears(&list, &writer, &mut ends).await;
    });
}
