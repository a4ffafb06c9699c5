//! A slot that moves to another node while its sessions are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_servers::{Look, Redis, RedisCluster, until};
use cloakroom_store::{Applied, ErrorKind, Inserted, Lookup, Store as _};

use super::{alice, end_one, file, file_all, is_live, open, run, touch};

/// The slot of alice's bucket, and a primary that does not serve it.
fn target(cluster: &RedisCluster, filing: &Filing) -> (u16, u16) {
    let slot = cluster.slot_of(&format!("{{{:02x}}}", filing.id().as_bytes()[0])).unwrap();
    let nodes = cluster.nodes().unwrap();
    let other =
        nodes.iter().find(|node| !node.owns(slot) && node.role == cloakroom_servers::Role::Primary).unwrap();
    (slot, other.port)
}

/// How long to wait for calls that are being made all the time.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often a server has answered that a slot is on its way.
fn redirected(server: &Redis) -> u64 {
    let text = server.command(&["INFO", "errorstats"]).unwrap();
    let count = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":count="));
        line.map_or(0, |count| count.trim().parse::<u64>().unwrap())
    };
    count("errorstat_ASK") + count("errorstat_TRYAGAIN")
}

/// Whether anybody has followed such an answer.
fn is_followed(cluster: &RedisCluster) -> bool {
    cluster.servers().iter().any(|server| super::cost::calls(server).contains_key("asking"))
}

#[test]
fn while_a_slot_moves_nobody_is_signed_out_nothing_is_revived_and_nothing_happens_twice() {
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let options = RedisOptions::from_url(&cluster.url()).unwrap().with_deadline(Duration::from_secs(20));
        let store = Arc::new(RedisStore::connect(options).await.unwrap());
        let mut fixtures = Fixtures::new(1);
        let steady: Vec<Filing> = (0..50).map(|_| alice(&mut fixtures)).collect();
        file_all(&store, &steady).await;
        let (slot, to) = target(&cluster, &steady[0]);
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = tokio::task::JoinSet::new();
        for seed in 0..4 {
            let (store, steady, is_over) = (Arc::clone(&store), steady.clone(), Arc::clone(&is_over));
            tasks.spawn(async move {
                let (mut fixtures, mut ended, mut rounds) = (Fixtures::new(100 + seed), Vec::new(), 0);
                while !is_over.load(Ordering::Acquire) || rounds < 20 {
                    let filing = alice(&mut fixtures);
                    let inserted = file(&store, &filing, None).await.unwrap();
                    assert_eq!(inserted, Inserted::Done { ended: Vec::new() });
                    let one = &steady[rounds % steady.len()];
                    assert!(is_live(&store, one).await.unwrap(), "a slot that moves signs nobody out");
                    touch(&store, one, at(1 + i64::try_from(rounds).unwrap())).await.unwrap();
                    assert_eq!(end_one(&store, &filing).await.unwrap().ended.len(), 1, "reported, and once");
                    ended.push(filing);
                    rounds += 1;
                }
                ended
            });
        }
        let there = cluster.primary_of(slot).unwrap();
        let migration = cluster.begin_migration(slot, to).unwrap();
        assert_eq!(migration.move_keys(40).unwrap(), 40, "some keys are here, and some are there");
        until("calls to meet it", PATIENCE, || match redirected(there) {
            0..4 => Look::NotYet("none has".to_owned()),
            _ => Look::Done(()),
        })
        .unwrap();
        assert!(!is_followed(&cluster), "half of a bucket is nothing to judge by");
        migration.finish().unwrap();
        assert_ne!(cluster.primary_of(slot).unwrap().url(), there.url());
        is_over.store(true, Ordering::Release);
        while let Some(ended) = tasks.join_next().await {
            for filing in ended.unwrap() {
                assert!(matches!(store.get(filing.digest, T0).await.unwrap(), Lookup::Ended(_)));
            }
        }
        for filing in &steady {
            assert!(is_live(&store, filing).await.unwrap());
        }
    });
}

#[test]
fn a_slot_that_is_half_way_is_waited_for_within_the_deadline_and_nothing_is_judged_by_half() {
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let (store, patient) =
            (super::open_hasty(&cluster.url()).await, super::open_patient(&cluster.url()).await);
        let mut fixtures = Fixtures::new(1);
        let filings: Vec<Filing> = (0..20).map(|_| alice(&mut fixtures)).collect();
        file_all(&patient, &filings).await;
        let (slot, to) = target(&cluster, &filings[0]);
        let migration = cluster.begin_migration(slot, to).unwrap();
        let mut strangers = Vec::new();
        for _ in 0..4 {
            migration.move_keys(12).unwrap();
            for filing in &filings[..2] {
                let error = store.get(filing.digest, T0).await.unwrap_err();
                assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::No));
            }
            // Whether the last question was on its way when the time was over, only the caller's luck decides.
            let error = end_one(&store, &filings[0]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(redirected(migration.source()) > 0, "the calls met it");
            let stranger = alice(&mut fixtures);
            assert_eq!(file(&store, &stranger, None).await.unwrap_err().kind(), ErrorKind::Timeout);
            strangers.push(stranger);
        }
        assert!(!is_followed(&cluster), "half of a bucket is nothing to judge by");
        migration.finish().unwrap();
        for stranger in &strangers {
            assert_eq!(patient.get(stranger.digest, T0).await.unwrap(), Lookup::Unknown, "it never began");
        }
        for filing in &filings {
            assert!(is_live(&patient, filing).await.unwrap(), "whole again");
        }
        assert_eq!(end_one(&patient, &filings[0]).await.unwrap().ended.len(), 1);
        // Whoever connects now finds the slot where it is.
        assert!(!is_live(&open(&cluster.url()).await, &filings[0]).await.unwrap());
    });
}
