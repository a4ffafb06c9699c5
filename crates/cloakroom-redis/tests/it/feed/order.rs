//! What was acknowledged before a proof began has been told when the proof is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_servers::{Redis, RedisCluster};
use cloakroom_store::{Feed, Parts, ReplaceRequest, Replaced, Store as _, Version};

use super::super::{file_all, lasting, open, run, touch};
use super::{Recorder, eventually_proven, part, watched};

/// Writers that change their own sessions by handles of their own; after each acknowledgement, whoever follows proves, and
/// must have been told. Meanwhile others keep the servers busy.
async fn every_acknowledged_change_is_told_before_it_is_proven(url: &str, writes: usize) {
    let (store, recorder, feed) = watched(url).await;
    let feed: Arc<dyn Feed> = Arc::from(feed);
    let mut fixtures = Fixtures::new(1);
    let mut noise = tokio::task::JoinSet::new();
    let is_over = Arc::new(AtomicBool::new(false));
    let busy: Vec<Filing> = (0..64).map(|n| lasting(fixtures.signed_in(&format!("busy-{n}")))).collect();
    file_all(&store, &busy).await;
    {
        let (store, busy, is_over) = (open(url).await, busy.clone(), Arc::clone(&is_over));
        noise.spawn(async move {
            let mut second = 1;
            while !is_over.load(Ordering::Acquire) {
                second += 1;
                let all = busy.iter().map(|filing| touch(&store, filing, at(second)));
                for report in futures_util::future::join_all(all).await {
                    report.unwrap();
                }
            }
        });
    }
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let filing = lasting(fixtures.signed_in(&format!("user-{number}")));
        file_all(&store, std::slice::from_ref(&filing)).await;
        let (store, recorder, feed) = (open(url).await, Arc::clone(&recorder), Arc::clone(&feed));
        writers.spawn(async move { write_and_prove(&store, &recorder, &*feed, &filing, writes).await });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    is_over.store(true, Ordering::Release);
    while let Some(done) = noise.join_next().await {
        done.unwrap();
    }
    for filing in &busy {
        assert_eq!(recorder.changed(filing.digest), 1, "filing it was told, its activity was not");
    }
}

async fn write_and_prove(
    store: &cloakroom_redis::RedisStore,
    recorder: &Recorder,
    feed: &dyn Feed,
    filing: &Filing,
    writes: usize,
) {
    let mut version = Version::FIRST;
    for write in 0..writes {
        let before = recorder.changed(filing.digest);
        let request = ReplaceRequest { digest: filing.digest, version, record: &filing.record, now: T0 };
        let Replaced::Done(next) = store.replace(request).await.unwrap() else {
            panic!("nobody else writes it")
        };
        version = next;
        eventually_proven(feed, Parts::one(part(filing))).await;
        assert!(recorder.changed(filing.digest) > before, "write {write} is proven and was not told");
    }
}

const WRITERS: usize = 4;

#[test]
fn every_acknowledged_change_is_told_before_it_is_proven_by_one_server() {
    let server = Redis::start().unwrap();
    run(every_acknowledged_change_is_told_before_it_is_proven(&server.url(), 400));
}

#[test]
fn every_acknowledged_change_is_told_before_it_is_proven_by_a_server_with_threads() {
    let server = Redis::start_with(&["--io-threads", "4", "--io-threads-do-reads", "yes"]).unwrap();
    run(every_acknowledged_change_is_told_before_it_is_proven(&server.url(), 150));
}

#[test]
fn every_acknowledged_change_is_told_before_it_is_proven_by_a_cluster() {
    let cluster = RedisCluster::start().unwrap();
    run(every_acknowledged_change_is_told_before_it_is_proven(&cluster.url(), 100));
}
