//! Servers that stop, links that break, scripts that are forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom_conformance::{Ends, T0};
use cloakroom_servers::{Redis, Relay};
use cloakroom_store::{Applied, ErrorKind, Place, Reading, RevocationList as _};

use super::super::feed::pipe::Pipe;
use super::super::{HASTE, eventually, run};
use super::{Copy, open, open_hasty};

fn relay_to(server: &Redis) -> (Relay, String) {
    let relay = Relay::to(server.url().rsplit(':').next().unwrap().parse().unwrap()).unwrap();
    let url = format!("redis://127.0.0.1:{}", relay.port());
    (relay, url)
}

#[test]
fn a_stopped_server_is_an_error_within_the_deadline_and_heals() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open_hasty(&server.url()).await, Ends::new(1));
        list.add(&ends.some(2)).await.unwrap();
        let mut copy = Copy::of(&list).await;
        server.pause();
        let waited = tokio::time::timeout(HASTE * 2, list.add(&ends.some(1))).await;
        let error = waited.expect("a deadline bounds it").unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
        for _ in 0..2 {
            let waited = tokio::time::timeout(HASTE * 2, copy.read(&list)).await;
            let error = waited.expect("a deadline bounds it").unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error:?}");
            assert!(tokio::time::timeout(HASTE * 2, list.prune(T0, 1)).await.unwrap().is_err());
            assert!(tokio::time::timeout(HASTE * 2, list.ping()).await.unwrap().is_err());
        }
        server.resume();
        eventually("the list", || list.ping()).await;
        let next = ends.next_entry();
        list.add(std::slice::from_ref(&next)).await.unwrap();
        assert!(copy.read(&list).await.unwrap());
        assert!(matches!(copy.known.len(), 3 | 4), "the one that was in doubt may be there, once");
        assert_eq!(copy.known.last(), Some(&next));
    });
}

#[test]
fn an_answer_cut_in_the_middle_is_an_error_that_admits_what_happened_and_nothing_is_added_twice() {
    let server = Redis::start().unwrap();
    let (relay, url) = relay_to(&server);
    run(async {
        let (list, direct, mut ends) = (open_hasty(&url).await, open(&server.url()).await, Ends::new(1));
        direct.add(&ends.some(1)).await.unwrap();
        let mut copy = Copy::of(&direct).await;
        for bytes in [0, 1, 2, 7] {
            let batch = ends.some(3);
            eventually("a connection", || list.ping()).await;
            relay.cut_replies_after(bytes);
            let error = list.add(&batch).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.applied()),
                (ErrorKind::Unavailable, Applied::Unknown),
                "{bytes}"
            );
            let before = copy.known.len();
            assert!(copy.read(&direct).await.unwrap());
            assert_eq!(copy.known[before..], batch, "once, and whole");
            // A read may be asked twice, and is.
            eventually("a connection", || list.ping()).await;
            relay.cut_replies_after(bytes);
            assert!(matches!(list.read(copy.place, 10).await.unwrap(), Reading::Entries { .. }), "{bytes}");
        }
        let mut other = Copy::of(&list).await;
        assert_eq!(other.known, copy.known);
        relay.stall();
        let waited = tokio::time::timeout(HASTE * 2, other.read(&list)).await;
        assert!(waited.expect("a deadline bounds it").is_err());
        relay.flow();
        eventually("reading", || list.read(Place::START, 1)).await;
    });
}

#[test]
fn scripts_that_the_server_forgot_are_taught_again_while_they_are_in_use() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, is_over) = (Arc::new(open(&server.url()).await), Arc::new(AtomicBool::new(false)));
        let mut tasks = tokio::task::JoinSet::new();
        for seed in 0..4 {
            let (list, is_over) = (Arc::clone(&list), Arc::clone(&is_over));
            tasks.spawn(async move {
                let (mut ends, mut copy, mut added) = (Ends::new(seed), Copy::default(), Vec::new());
                while !is_over.load(Ordering::Acquire) {
                    added.push(ends.next_entry());
                    list.add(&added[added.len() - 1..]).await.unwrap();
                    assert!(copy.read(&list).await.unwrap());
                    assert!(copy.known.contains(&added[added.len() - 1]), "acknowledged before it was read");
                    list.prune(T0, 1).await.unwrap();
                }
                added
            });
        }
        for _ in 0..20 {
            server.command(&["SCRIPT", "FLUSH"]).unwrap();
        }
        is_over.store(true, Ordering::Release);
        let mut count = 0;
        while let Some(added) = tasks.join_next().await {
            count += added.unwrap().len();
        }
        assert_eq!(Copy::of(&list).await.known.len(), count, "each of them once");
    });
}

#[test]
fn a_server_that_is_killed_while_many_add_keeps_what_it_acknowledged_and_nothing_by_half() {
    let server = Redis::start().unwrap();
    run(async {
        let list = Arc::new(open(&server.url()).await);
        let mut copy = Copy::of(&list).await;
        for round in 0..3 {
            let mut tasks = tokio::task::JoinSet::new();
            for seed in 0..4 {
                let list = Arc::clone(&list);
                tasks.spawn(async move {
                    let (mut ends, mut acknowledged) = (Ends::new(1_000 * round + seed), Vec::new());
                    loop {
                        let batch = ends.some(3);
                        match list.add(&batch).await {
                            Ok(()) => acknowledged.push(batch),
                            Err(_) => return acknowledged,
                        }
                    }
                });
            }
            super::until("something is acknowledged", async || {
                copy.read(&list).await.unwrap();
                copy.known.len() > usize::try_from(round + 1).unwrap() * 60
            })
            .await;
            server.kill();
            let mut acknowledged = Vec::new();
            while let Some(some) = tasks.join_next().await {
                acknowledged.append(&mut some.unwrap());
            }
            server.restart().unwrap();
            eventually("the list", || list.ping()).await;
            assert!(copy.read(&list).await.unwrap(), "whoever had read goes on reading");
            let all = Copy::of(&list).await.known;
            assert_eq!(copy.known, all);
            for batch in acknowledged {
                let at = all.iter().position(|entry| *entry == batch[0]).expect("it was acknowledged");
                assert_eq!(all[at..at + 3], batch);
            }
            assert!(all.len().is_multiple_of(3), "whole batches only");
        }
    });
}

#[test]
fn a_server_that_is_a_replica_by_now_is_not_read_from_also_where_it_may_be_written_to() {
    let [server, other] = [Redis::start().unwrap(), Redis::start().unwrap()];
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        list.add(&ends.some(2)).await.unwrap();
        let mut copy = Copy::of(&list).await;
        let port = other.url().rsplit(':').next().unwrap().to_owned();
        server.command(&["CONFIG", "SET", "replica-read-only", "no"]).unwrap();
        server.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
        let error = copy.read(&list).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::Unavailable), "{error:?}");
        let error = list.add(&ends.some(1)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::Unavailable), "{error:?}");
        assert_eq!(error.applied(), Applied::No);
        super::until("it has what the other one has: nothing", async || {
            server.info("master_link_status").unwrap() == "up"
        })
        .await;
        server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
        assert!(!copy.read(&list).await.unwrap(), "it has followed another one: nothing is left");
    });
}

#[test]
fn behind_a_name_that_leads_to_two_servers_nothing_is_read() {
    let [one, other] = [Redis::start().unwrap(), Redis::start().unwrap()];
    let pipe = Pipe::to(one.url().rsplit(':').next().unwrap().parse().unwrap());
    run(async {
        let list = open(&format!("{}?wait_replicas=1&wait_timeout=10ms", pipe.url())).await;
        let mut ends = Ends::new(1);
        assert_eq!(
            list.read(Place::START, 10).await.unwrap(),
            Reading::Entries { entries: vec![], more: false }
        );
        pipe.lead_to(other.url().rsplit(':').next().unwrap().parse().unwrap());
        // What waits for replicas has a connection of its own, which is made now.
        list.add(&ends.some(1)).await.unwrap_err();
        let error = list.read(Place::START, 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        let found = eventually("reading", || list.read(Place::START, 10)).await;
        assert!(matches!(found, Reading::Entries { entries, .. } if entries.len() == 1));
    });
}
