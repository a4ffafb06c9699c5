//! Servers that stop, links that break, scripts that are forgotten.

use std::sync::Arc;

use cloakroom_conformance::{Ends, ListTraffic, past};
use cloakroom_servers::{Redis, Relay};
use cloakroom_store::{Applied, ErrorKind, Place, Reading, RevocationList};

use super::super::feed::pipe::Pipe;
use super::super::{HASTE, eventually, run};
use super::{Copy, open, open_hasty, open_patient};

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
        let patient = open_patient(&server.url()).await;
        patient.add(&ends.some(2)).await.unwrap();
        let mut copy = Copy::of(&patient).await;
        server.pause();
        let waited = tokio::time::timeout(HASTE * 2, list.add(&ends.some(1))).await;
        let error = waited.expect("a deadline bounds it").unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
        for _ in 0..2 {
            let waited = tokio::time::timeout(HASTE * 2, copy.read(&list)).await;
            let error = waited.expect("a deadline bounds it").unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error:?}");
            assert!(tokio::time::timeout(HASTE * 2, list.prune(past(0), 1)).await.unwrap().is_err());
            assert!(tokio::time::timeout(HASTE * 2, list.ping()).await.unwrap().is_err());
        }
        server.resume();
        eventually("the list", || list.ping()).await;
        let next = ends.next_entry();
        patient.add(std::slice::from_ref(&next)).await.unwrap();
        assert!(copy.read(&patient).await.unwrap());
        assert!(matches!(copy.known.len(), 3 | 4), "the one that was in doubt may be there, once");
        assert_eq!(copy.known.last(), Some(&next));
    });
}

#[test]
fn an_answer_cut_in_the_middle_is_an_error_that_admits_what_happened_and_nothing_is_added_twice() {
    let server = Redis::start().unwrap();
    let (relay, url) = relay_to(&server);
    run(async {
        let (list, direct) = (open_patient(&url).await, open_patient(&server.url()).await);
        let (hasty, mut ends) = (open_hasty(&url).await, Ends::new(1));
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
        let waited = tokio::time::timeout(HASTE * 2, other.read(&hasty)).await;
        assert!(waited.expect("a deadline bounds it").is_err());
        relay.flow();
        eventually("reading", || list.read(Place::START, 1)).await;
    });
}

#[test]
fn whatever_happens_to_the_server_what_was_acknowledged_is_there_once_and_whoever_follows_reads_all_of_it() {
    let server = Redis::start().unwrap();
    let (relay, url) = relay_to(&server);
    run(async {
        let list: Arc<dyn RevocationList> = Arc::new(open_hasty(&url).await);
        let traffic = ListTraffic::begin(&list);
        for _ in 0..2 {
            traffic.goes_on(50).await;
            let failed = traffic.failed();
            server.kill();
            super::until("adding fails", async || traffic.failed() > failed).await;
            server.restart().unwrap();
            traffic.goes_on(50).await;
            for _ in 0..5 {
                server.command(&["SCRIPT", "FLUSH"]).unwrap();
                relay.cut_replies_after(3);
                traffic.goes_on(10).await;
                relay.cut();
            }
            let failed = traffic.failed();
            server.pause();
            super::until("adding fails", async || traffic.failed() > failed).await;
            server.resume();
            traffic.goes_on(50).await;
        }
        let acknowledged = traffic.acknowledged();
        assert_eq!(traffic.settles(&list).await, 0, "nobody's place was lost");
        println!("{acknowledged} entries acknowledged");
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
