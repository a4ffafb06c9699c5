//! The list of ends: what only a real server shows.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_conformance::{Ends, ListTraffic, T0, at, past, principal_id};
use cloakroom_postgres::{PostgresOptions, PostgresRevocations};
use cloakroom_servers::{Postgres, Relay};
use cloakroom_store::{Applied, ErrorKind, Place, Reading, RevocationEntry, RevocationList, Scope};

use crate::cost::statements;
use crate::locks::operator;
use crate::support::{database, healed, kind, options, runtime, shared, through, undoubted, whole};

async fn open(url: &str) -> Arc<dyn RevocationList> {
    Arc::new(PostgresRevocations::connect(options(url)).await.unwrap())
}

async fn everything(list: &Arc<dyn RevocationList>) -> Vec<RevocationEntry> {
    match list.read(Place::START, 4_096).await.unwrap() {
        Reading::Entries { entries, more: false } => entries.into_iter().map(|(_, entry)| entry).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_of_the_server_and_whoever_followed_follows_on() {
    let server = Postgres::start().unwrap();
    runtime().block_on(async {
        let list = open(&format!("{}?deadline=3s", server.url())).await;
        let traffic = ListTraffic::begin(&list);
        for round in 0..2 {
            // Another moment in each round, somewhere in a transaction.
            traffic.goes_on(150 + 57 * round).await;
            server.kill();
            server.restart().unwrap();
        }
        traffic.goes_on(100).await;
        assert!(traffic.failed() > 0, "somebody was at work when the server died");
        assert_eq!(traffic.settles(&list).await, 0, "no place was lost");
    });
}

#[test]
fn a_server_that_is_stopped_is_a_timeout_and_nothing_is_lost_when_it_goes_on() {
    let server = Postgres::start().unwrap();
    runtime().block_on(async {
        drop(open(&server.url()).await);
        let list = open(&format!("{}?deadline=2s", server.url())).await;
        let traffic = ListTraffic::begin(&list);
        traffic.goes_on(50).await;
        server.pause();
        let mut ends = Ends::new(99);
        for _ in 0..2 {
            let bounded = async {
                let entry = [ends.next_entry()];
                let (add, read, prune, ping) = tokio::join!(
                    list.add(&entry),
                    list.read(Place::START, 1),
                    list.prune(T0, 1),
                    list.ping()
                );
                for (kind, applied) in [kind(add), kind(read.map(drop)), kind(prune), kind(ping)] {
                    assert_eq!(kind, ErrorKind::Timeout, "{applied:?}");
                }
            };
            tokio::time::timeout(SLACK, bounded).await.expect("every verb is bounded by the deadline");
        }
        server.resume();
        traffic.goes_on(50).await;
        // What waited in the server is decided in its own time, and nobody was told otherwise.
        assert_eq!(traffic.settles(&list).await, 0);
    });
}

/// Wherever in the reply the connection breaks, the caller knows no more than is true.
#[test]
fn a_connection_cut_in_mid_reply_leaves_an_add_in_doubt_and_never_in_half() {
    let server = shared();
    let relay = Relay::to(server.port()).unwrap();
    let one = through(&database("list_cut"), server.port(), relay.port()) + "?writers=1&readers=1";
    runtime().block_on(async {
        let (list, mut ends) = (open(&one).await, Ends::new(1));
        let (mut known, mut doubts) = (Vec::new(), 0);
        for bytes in (0..120).step_by(6) {
            // A connection that is open and knows the statement: what is cut is the reply.
            let last = ends.some(1);
            healed(|| list.ping()).await;
            list.add(&last).await.unwrap();
            known.extend(last);
            relay.cut_replies_after(bytes);
            let batch = ends.some(3);
            let answer = list.add(&batch).await;
            // Spend what is left of the order, so that the next round begins in the open.
            while relay.will_cut() {
                let _ = list.read(Place::START, 1).await;
            }
            let found = healed(|| list.read(Place::START, 4_096)).await;
            let Reading::Entries { entries, .. } = found else { panic!("the beginning is never lost") };
            let is_there = entries.len() == known.len() + batch.len();
            match answer {
                Ok(()) => assert!(is_there),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable);
                    // A connection that did not know the statement yet had not been asked.
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
    let url = database("list_held");
    runtime().block_on(async {
        let (patient, mut ends) = (open(&url).await, Ends::new(1));
        let first = ends.some(1);
        patient.add(&first).await.unwrap();
        let list = open(&format!("{url}?deadline=4s")).await;
        let operator = operator(&url).await;
        operator.batch_execute("BEGIN; SELECT FROM cloakroom.revocation_head FOR UPDATE").await.unwrap();
        let refused = (ErrorKind::Timeout, Applied::No);
        assert_eq!(kind(list.add(&ends.some(2)).await), refused);
        assert_eq!(kind(list.ping().await), refused, "it cannot be written to");
        assert_eq!(everything(&list).await, first);
        assert_eq!(list.prune(T0, 10).await.unwrap(), 0);
        operator.batch_execute("ROLLBACK").await.unwrap();
        healed(|| list.ping()).await;
        assert_eq!(everything(&list).await, first);
    });
}

/// A standby may be behind: what it does not know yet would count as proof that it did not happen.
#[test]
fn a_server_that_takes_no_changes_is_not_read_from_and_the_next_host_is() {
    let servers = [Postgres::start().unwrap(), Postgres::start().unwrap()];
    let [first, second] = &servers;
    let set = |server: &Postgres, value: &str| {
        let sql = format!("ALTER ROLE cloakroom SET default_transaction_read_only = {value};");
        server.sql("postgres", &sql).unwrap();
    };
    let part = "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename = 'cloakroom';";
    runtime().block_on(async {
        drop(open(&second.url()).await);
        let alone = open(&format!("{}?target_session_attrs=any", first.url())).await;
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", first.port(), second.port());
        let list = open(&format!("postgres://cloakroom@{hosts}/cloakroom")).await;
        let mut ends = Ends::new(1);
        let entry = ends.some(1);
        list.add(&entry).await.unwrap();
        assert_eq!(everything(&alone).await, entry);
        set(first, "on");
        first.sql("postgres", part).unwrap();
        undoubted(|| alone.add(&entry)).await;
        let error = alone.read(Place::START, 10).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::ReadOnly, Applied::No));
        assert!(whole(&error).contains("standby"), "{}", whole(&error));
        assert_eq!(kind(alone.add(&entry).await), (ErrorKind::ReadOnly, Applied::No));
        // Another history: nobody's place is there.
        let after = ends.some(1);
        healed(|| list.add(&after)).await;
        assert_eq!(everything(&list).await.last(), after.last());
        set(first, "off");
        first.sql("postgres", part).unwrap();
        healed(|| alone.add(&after)).await;
    });
}

#[test]
fn each_verb_is_one_statement_by_the_servers_own_count() {
    let counting =
        ["-c", "shared_preload_libraries=pg_stat_statements", "-c", "pg_stat_statements.track_utility=on"];
    let server = Postgres::start_with(&counting).unwrap();
    server.sql("postgres", "CREATE EXTENSION pg_stat_statements;").unwrap();
    runtime().block_on(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        // The first round opens connections and prepares statements.
        for is_counted in [false, true] {
            let check = |what: &str, (asked, most): (u64, u64)| {
                assert!(!is_counted || asked == most, "{what}: {asked} statements, not {most}");
            };
            let (one, many) = (ends.some(1), ends.some(500));
            check("add", (statements(&server, list.add(&one)).await.0, 1));
            check("add of many", (statements(&server, list.add(&many)).await.0, 1));
            check("add of none", (statements(&server, list.add(&[])).await.0, 0));
            check("read", (statements(&server, list.read(Place::START, 4_096)).await.0, 1));
            let lost = Place { number: 7, nonce: 7 };
            check("read from a lost place", (statements(&server, list.read(lost, 10)).await.0, 1));
            check("prune", (statements(&server, list.prune(at(2_000_000_000), 100)).await.0, 1));
            check("ping", (statements(&server, list.ping()).await.0, 1));
        }
    });
}

/// With twenty thousand entries, whether the server knows of them or settled on its plans before.
#[test]
fn every_statement_goes_along_an_index_and_sorts_nothing() {
    let server = Postgres::start_with(&["-c", "autovacuum=off"]).unwrap();
    let explain = "
        ALTER ROLE cloakroom SET session_preload_libraries = 'auto_explain';
        ALTER ROLE cloakroom SET auto_explain.log_min_duration = 0;";
    runtime().block_on(async {
        drop(open(&server.url()).await);
        server.sql("postgres", explain).unwrap();
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        let mut middle = Place::START;
        for is_full in [false, true] {
            for _ in 0..if is_full { 5 } else { 0 } {
                list.add(&ends.some(4_000)).await.unwrap();
            }
            for knowledge in ["SELECT 1;", "ANALYZE;"] {
                server.sql("cloakroom", knowledge).unwrap();
                let before = server.log().len();
                for _ in 0..8 {
                    list.add(&[ends.over_at(past(1)), ends.next_entry()]).await.unwrap();
                    let page = list.read(middle, 100).await.unwrap();
                    if let Reading::Entries { entries, .. } = page
                        && let Some((number, entry)) = entries.last()
                    {
                        middle = Place { number: *number, nonce: entry.nonce };
                    }
                    assert!(list.prune(past(1), 3).await.unwrap() > 0);
                    middle = if is_full { middle } else { Place::START };
                }
                let log = server.log();
                let plans = log.get(before..).unwrap();
                for bad in ["Seq Scan on revocation", "Sort", "Bitmap", "JIT"] {
                    assert!(!is_full || !plans.contains(bad), "{bad}: {plans}");
                }
                for index in ["revocation_pkey", "revocation_keep_until", "revocation_head_pkey"] {
                    assert!(!is_full || plans.contains(index), "{index}: {plans}");
                }
            }
        }
    });
}

#[test]
fn an_operator_reads_what_was_ended() {
    let url = database("list_seen");
    runtime().block_on(async {
        let (list, mut ends) = (open(&url).await, Ends::new(1));
        let principal = Scope::Principal { principal: principal_id("o'brien"), except: None };
        let entry = ends.of(principal, at(1_500));
        list.add(&[entry]).await.unwrap();
        let mut odd = ends.of_every_kind();
        list.add(&odd).await.unwrap();
        odd.truncate(1);
        let seen = shared()
            .sql("list_seen", "SELECT kind, subject, at AT TIME ZONE 'UTC', until AT TIME ZONE 'UTC', reason FROM cloakroom.revoked;")
            .unwrap();
        let first = "principal|o'brien|2027-01-15 08:00:00|2027-01-15 08:00:01.5|revoked_by_admin";
        assert_eq!(seen.lines().next(), Some(first));
        assert!(seen.lines().count() > 50, "instants that no calendar has are no error");
        assert!(seen.contains(&odd.first().unwrap().scope.subject().unwrap()), "{seen}");
    });
}

#[test]
fn a_list_without_its_head_says_so_and_adds_nothing() {
    let url = database("list_headless");
    runtime().block_on(async {
        let (list, mut ends) = (open(&url).await, Ends::new(1));
        let first = ends.some(1);
        list.add(&first).await.unwrap();
        shared().sql("list_headless", "DELETE FROM cloakroom.revocation_head;").unwrap();
        let error = list.add(&ends.some(1)).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::No));
        assert!(whole(&error).contains("revocation_head"), "{}", whole(&error));
        assert_eq!(everything(&list).await, first);
        // Somebody who puts it back cannot give a number out twice.
        shared().sql("list_headless", "INSERT INTO cloakroom.revocation_head VALUES (1, 0, 0);").unwrap();
        let last = ends.some(1);
        list.add(&last).await.unwrap();
        assert_eq!(everything(&list).await, [first, last].concat());
    });
}

#[test]
fn whoever_listens_hears_again_after_their_connection_was_cut() {
    let server = shared();
    let relay = Relay::to(server.port()).unwrap();
    let place = database("list_deaf");
    runtime().block_on(async {
        let adding = open(&place).await;
        let hearing = open(&through(&place, server.port(), relay.port())).await;
        let mut ends = Ends::new(1);
        for _ in 0..2 {
            let told = hearing.changed();
            tokio::pin!(told);
            while tokio::time::timeout(Duration::from_millis(50), told.as_mut()).await.is_err() {
                adding.add(&ends.some(1)).await.unwrap();
            }
            relay.cut();
        }
        let pooled = format!("{place}?pooler=transaction");
        let deaf = PostgresRevocations::connect(PostgresOptions::from_url(&pooled).unwrap()).await.unwrap();
        assert!(hearing.standing().tells && !deaf.standing().tells, "behind a pooler nobody can listen");
        deaf.add(&ends.some(1)).await.unwrap();
        let facts = deaf.facts().await.unwrap();
        // There are no sessions there; the test server does not wait for its disk.
        assert!(facts.warnings_of_list().iter().all(|warning| !warning.contains("told_of")), "{facts:?}");
    });
}

/// A deadline of two seconds, and some for a busy machine: what hangs hangs for longer than that.
const SLACK: Duration = Duration::from_secs(20);
