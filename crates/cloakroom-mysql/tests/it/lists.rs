//! The list of ends: what only a real server shows.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_conformance::{Ends, ListTraffic, T0, at, principal_id};
use cloakroom_mysql::MysqlRevocations;
use cloakroom_servers::{Mariadb, Relay};
use cloakroom_store::{Applied, ErrorKind, Place, Reading, RevocationEntry, RevocationList, Scope};

use crate::cost::Meter;
use crate::support::{Outsider, eventually, failure, options, runtime, shared, through, whole};

async fn open(url: &str) -> Arc<dyn RevocationList> {
    Arc::new(MysqlRevocations::connect(options(url)).await.unwrap())
}

async fn everything(list: &Arc<dyn RevocationList>) -> Vec<RevocationEntry> {
    match list.read(Place::START, 4_096).await.unwrap() {
        Reading::Entries { entries, more: false } => entries.into_iter().map(|(_, entry)| entry).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_of_the_server_and_whoever_followed_follows_on() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let list = open(&server.url()).await;
        let traffic = ListTraffic::begin(&list);
        for round in 0..2 {
            // Another moment in each round, somewhere in a transaction.
            traffic.goes_on(150 + 57 * round).await;
            server.kill();
            server.restart().unwrap();
        }
        traffic.goes_on(100).await;
        assert!(traffic.failed() > 0, "somebody was at work when the server died");
        // InnoDB shows what is not on its disk yet: whoever has read that is told that their place is lost.
        assert!(traffic.settles(&list).await <= 2);
    });
}

#[test]
fn a_server_that_is_stopped_is_a_timeout_and_nothing_is_lost_when_it_goes_on() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let list: Arc<dyn RevocationList> = Arc::new(
            MysqlRevocations::connect(options(&server.url()).with_deadline(Duration::from_secs(2)))
                .await
                .unwrap(),
        );
        let traffic = ListTraffic::begin(&list);
        traffic.goes_on(50).await;
        server.pause();
        let mut ends = Ends::new(99);
        for _ in 0..2 {
            let entry = [ends.next_entry()];
            let (add, read, prune, ping) = tokio::join!(
                failure(list.add(&entry)),
                failure(list.read(Place::START, 1)),
                failure(list.prune(T0, 1)),
                failure(list.ping()),
            );
            assert_eq!(read, (ErrorKind::Timeout, Applied::No));
            for (kind, applied) in [add, prune, ping] {
                assert_eq!(kind, ErrorKind::Timeout, "{applied:?}");
            }
        }
        server.resume();
        traffic.goes_on(50).await;
        assert_eq!(traffic.settles(&list).await, 0);
    });
}

/// Wherever in the reply the connection breaks, the caller knows no more than is true.
#[test]
fn a_connection_cut_in_mid_reply_leaves_an_add_in_doubt_and_never_in_half() {
    let server = shared();
    let place = server.database("list_cut").unwrap();
    let relay = Relay::to(server.port()).unwrap();
    runtime().block_on(async {
        let one = options(&through(&place, server.port(), relay.port())).with_connections(NonZeroUsize::MIN);
        let list: Arc<dyn RevocationList> = Arc::new(MysqlRevocations::connect(one).await.unwrap());
        let (mut ends, mut known, mut doubts) = (Ends::new(1), Vec::new(), 0);
        for bytes in (0..60).step_by(3) {
            // A connection that is open and knows the statement: what is cut is the reply.
            let mut last = ends.some(1);
            eventually(|| list.ping()).await;
            list.add(&last).await.unwrap();
            known.append(&mut last);
            relay.cut_replies_after(bytes);
            let batch = ends.some(3);
            let answer = list.add(&batch).await;
            while relay.will_cut() {
                let _ = list.read(Place::START, 1).await;
            }
            let found = eventually(|| list.read(Place::START, 4_096)).await;
            let Reading::Entries { entries, .. } = found else { panic!("the beginning is never lost") };
            let is_there = entries.len() == known.len() + batch.len();
            match answer {
                Ok(()) => assert!(is_there),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable);
                    assert!(error.applied() == Applied::Unknown || !is_there, "{error:?}");
                    doubts += u32::from(error.applied() == Applied::Unknown);
                }
            }
            if is_there {
                known.extend(batch);
            }
            let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
            assert_eq!(entries, known, "whole or not at all");
        }
        assert!(doubts > 3, "some were cut: {doubts}");
    });
}

#[test]
fn a_head_that_somebody_holds_is_a_timeout_that_added_nothing_and_reads_go_on() {
    let url = shared().database("list_held").unwrap();
    runtime().block_on(async {
        let (patient, mut ends) = (open(&url).await, Ends::new(1));
        let first = ends.some(1);
        patient.add(&first).await.unwrap();
        let list = open(&format!("{url}?deadline=2s")).await;
        let mut operator = Outsider::connect(&url).await;
        operator.says("START TRANSACTION").await;
        operator.says("SELECT last FROM revocation_head FOR UPDATE").await;
        let (kind, _) = failure(list.add(&ends.some(2))).await;
        assert_eq!(kind, ErrorKind::Timeout);
        assert_eq!(everything(&patient).await, first);
        assert_eq!(patient.prune(T0, 10).await.unwrap(), 0, "nor does clearing up wait for whoever adds");
        operator.says("ROLLBACK").await;
        let last = ends.some(1);
        patient.add(&last).await.unwrap();
        let found = everything(&patient).await;
        assert!(found.first() == first.first() && found.last() == last.last(), "{found:?}");
    });
}

/// A replica may be behind: what it does not know yet would count as proof that it did not happen.
#[test]
fn a_server_that_takes_no_changes_is_not_read_from() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        drop(open(&server.url()).await);
        server.sql("mysql", ACCOUNT).unwrap();
        let list = open(&server.url().replace("cloakroom@", "ordinary@")).await;
        let entry = Ends::new(1).some(1);
        list.add(&entry).await.unwrap();
        server.sql("mysql", "SET GLOBAL read_only = 1").unwrap();
        let refused = (ErrorKind::ReadOnly, Applied::No);
        let error = list.read(Place::START, 10).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), refused);
        assert!(whole(&error).contains("replica"), "{}", whole(&error));
        assert_eq!(failure(list.add(&entry)).await, refused);
        assert_eq!(failure(list.prune(T0, 1)).await, refused);
        assert_eq!(failure(list.ping()).await, refused);
        server.sql("mysql", "SET GLOBAL read_only = 0").unwrap();
        assert_eq!(everything(&list).await, entry);
    });
}

#[test]
fn each_verb_is_one_statement_by_the_servers_own_count() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let one = options(&server.url()).with_connections(NonZeroUsize::MIN);
        let list = MysqlRevocations::connect(one).await.unwrap();
        assert!(!list.facts().await.unwrap().is_read_only);
        let (mut meter, mut ends) = (Meter::of(&server), Ends::new(1));
        let own = meter.own();
        // The first round opens the connection and prepares statements.
        for is_counted in [false, true] {
            let mut check = |verb: &str, most: u64| {
                let asked = meter.read() - own;
                assert!(!is_counted || asked == most, "{verb}: {asked} statements, not {most}");
            };
            check("nothing", 0);
            list.add(&ends.some(1)).await.unwrap();
            check("add", 1);
            list.add(&ends.some(500)).await.unwrap();
            check("add of many", 1);
            list.add(&[]).await.unwrap();
            check("add of none", 0);
            list.read(Place::START, 4_096).await.unwrap();
            check("read", 1);
            assert_eq!(list.read(Place { number: 7, nonce: 7 }, 10).await.unwrap(), Reading::Lost);
            check("read from a lost place", 1);
            list.prune(at(2_000_000_000), 100).await.unwrap();
            check("prune", 1);
            list.ping().await.unwrap();
            check("ping", 1);
        }
    });
}

#[test]
fn an_operator_reads_what_was_ended() {
    let server = shared();
    let url = server.database("list_seen").unwrap();
    runtime().block_on(async {
        let (list, mut ends) = (open(&url).await, Ends::new(1));
        let principal = Scope::Principal { principal: principal_id("o'brien"), except: None };
        list.add(&[ends.of(principal, at(1_500))]).await.unwrap();
        list.add(&ends.of_every_kind()).await.unwrap();
        let select = "SELECT kind, subject, `at`, `until`, reason FROM revoked";
        let seen = server.sql("list_seen", select).unwrap();
        let first =
            "principal\to'brien\t2027-01-15 08:00:00.000000\t2027-01-15 08:00:01.500000\trevoked_by_admin";
        assert_eq!(seen.lines().next(), Some(first), "{seen}");
        assert!(seen.lines().count() > 50, "instants that no calendar has are no error");
    });
}

#[test]
fn a_list_without_its_head_says_so_and_adds_nothing() {
    let server = shared();
    let url = server.database("list_headless").unwrap();
    runtime().block_on(async {
        let (list, mut ends) = (open(&url).await, Ends::new(1));
        let first = ends.some(1);
        list.add(&first).await.unwrap();
        server.sql("list_headless", "DELETE FROM revocation_head").unwrap();
        let error = list.add(&ends.some(1)).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::No));
        assert!(whole(&error).contains("revocation_head"), "{}", whole(&error));
        assert_eq!(everything(&list).await, first);
        // Somebody who puts it back cannot give a number out twice.
        server.sql("list_headless", "INSERT INTO revocation_head VALUES (1, 0, 0)").unwrap();
        let last = ends.some(1);
        list.add(&last).await.unwrap();
        assert_eq!(everything(&list).await, [first, last].concat());
    });
}

/// The account of the test server may change tables of a read-only server; an ordinary one may not.
const ACCOUNT: &str = "CREATE USER ordinary@'%' IDENTIFIED BY '';
    GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON cloakroom.* TO ordinary@'%';";
