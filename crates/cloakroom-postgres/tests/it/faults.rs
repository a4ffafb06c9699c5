//! Servers killed, stopped and cut off.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::SessionId;
use cloakroom_postgres::PostgresStore;
use cloakroom_servers::{Postgres, Relay};
use cloakroom_store::{
    Applied, EndRequest, ErrorKind, Lookup, Replaced, Selector, Store, StoreError, Verb, Version,
};

use crate::support::{
    change, database, end, file, healed, is_live, open, runtime, shared, through, try_file, undoubted,
};

/// What was acknowledged.
#[derive(Default)]
struct Said {
    filed: Vec<Filing>,
    ended: BTreeSet<SessionId>,
    /// Those whose end was asked for: they may have ended or not.
    asked: BTreeSet<SessionId>,
}

#[test]
fn what_was_acknowledged_survives_kill_9_of_the_server_under_load() {
    let server = Postgres::start().unwrap();
    let runtime = runtime();
    let store = runtime.block_on(open(&server.url()));
    for round in 0..2 {
        let said = Arc::new(Mutex::new(Said::default()));
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (store, said) = (Arc::clone(&store), Arc::clone(&said));
                let fixtures = Fixtures::new(round * 100 + task);
                runtime.spawn(async move { come_and_go(&store, fixtures, &said).await })
            })
            .collect();
        // Another moment in each round, somewhere in a transaction.
        while said.lock().unwrap().filed.len() < 200 + 57 * usize::try_from(round).unwrap() {
            assert!(tasks.iter().all(|task| !task.is_finished()), "they go on until the server is gone");
            std::thread::yield_now();
        }
        server.kill();
        for task in tasks {
            let error = runtime.block_on(task).unwrap();
            assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
        }
        server.restart().unwrap();
        runtime.block_on(async {
            healed(|| store.ping()).await;
            let said = std::mem::take(&mut *said.lock().unwrap());
            for filing in &said.filed {
                let found = store.get(filing.digest, T0).await.unwrap();
                let id = filing.id();
                match found {
                    Lookup::Live(_) => assert!(!said.ended.contains(&id), "an end was lost"),
                    Lookup::Ended(_) => assert!(said.asked.contains(&id), "nobody ended it"),
                    other => panic!("a sign-in was lost: {other:?}"),
                }
            }
        });
    }
}

/// Files and ends until the server is gone, and says so after each acknowledgement.
async fn come_and_go(store: &PostgresStore, mut fixtures: Fixtures, said: &Mutex<Said>) -> StoreError {
    let mut turns = [true, false].into_iter().cycle();
    loop {
        let filing = fixtures.signed_in("alice");
        if let Err(error) = try_file(store, &filing).await {
            return error;
        }
        said.lock().unwrap().filed.push(filing.clone());
        if turns.next() == Some(true) {
            said.lock().unwrap().asked.insert(filing.id());
            if let Err(error) = end(store, &Selector::One(filing.id()), at(1)).await {
                return error;
            }
            said.lock().unwrap().ended.insert(filing.id());
        }
    }
}

/// Every verb answers within its deadline and some slack, however the server is.
async fn bounded(store: &PostgresStore, filing: &Filing, expected: &[ErrorKind]) {
    // Slack for a busy machine; what hangs hangs for longer than that.
    let patience = DEADLINE + Duration::from_secs(4);
    let all = Selector::All;
    let query = cloakroom_store::ListQuery::new(cloakroom_store::ListFilter::default());
    let touch = [cloakroom_store::Touch { digest: filing.digest, seen_at: at(1) }];
    let request = EndRequest { selector: &all, reason: cloakroom_core::EndReason::SignedOut, now: T0 };
    let verbs = async {
        tokio::join!(
            async { store.get(filing.digest, T0).await.map(drop) },
            async { try_file(store, &Fixtures::new(99).anonymous()).await.map(drop) },
            async { change(store, filing, Version::FIRST).await.map(drop) },
            async { store.touch(&touch, at(1)).await.map(drop) },
            async { store.end(request).await.map(drop) },
            async { store.list(&query, T0).await.map(drop) },
            async { store.count(T0).await.map(drop) },
            async { store.ping().await.map(drop) },
        )
    };
    let (a, b, c, d, e, f, g, h) =
        tokio::time::timeout(patience, verbs).await.expect("every verb is bounded by the deadline");
    for answer in [a, b, c, d, e, f, g, h] {
        let error = answer.expect_err("nothing can be found out");
        assert!(expected.contains(&error.kind()), "{error:?}");
        let reading = matches!(error.verb(), Verb::Get | Verb::List | Verb::Count);
        assert!(!reading || error.applied() == Applied::No, "{error:?}");
    }
}

#[test]
fn a_server_that_is_stopped_is_a_timeout_and_answers_again_when_it_goes_on() {
    let server = Postgres::start().unwrap();
    let runtime = runtime();
    let mut fixtures = Fixtures::new(1);
    let [filing, after] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    let (patient, store) = runtime.block_on(async {
        let patient = open(&server.url()).await;
        file(&patient, &filing).await;
        let store = open(&format!("{}?deadline=700ms", server.url())).await;
        healed(|| store.get(filing.digest, T0)).await;
        (patient, store)
    });
    server.pause();
    for _ in 0..2 {
        runtime.block_on(bounded(&store, &filing, &[ErrorKind::Timeout]));
    }
    server.resume();
    runtime.block_on(async {
        healed(|| store.ping()).await;
        file(&patient, &after).await;
        let found = healed(|| store.get(after.digest, T0)).await;
        assert!(matches!(found, Lookup::Live(_)), "{found:?}");
    });
}

#[test]
fn a_server_that_is_gone_is_unavailable_at_once_and_used_again_when_it_is_back() {
    let server = Postgres::start().unwrap();
    let runtime = runtime();
    let url = format!("{}?deadline=3s", server.url());
    let filing = Fixtures::new(1).signed_in("alice");
    let store = runtime.block_on(async {
        let store = open(&url).await;
        file(&store, &filing).await;
        store
    });
    server.kill();
    // Connections that end are noticed in their own time; from then on nothing is in doubt.
    runtime.block_on(undoubted(|| try_file(&store, &filing)));
    runtime.block_on(bounded(&store, &filing, &[ErrorKind::Unavailable]));
    let error = runtime.block_on(PostgresStore::connect(crate::support::options(&url))).unwrap_err();
    let text = crate::support::whole(&error);
    assert!(text.contains("start the server") && text.contains(&server.port().to_string()), "{text}");
    server.restart().unwrap();
    runtime.block_on(async {
        assert!(healed(|| store.get(filing.digest, T0)).await == Lookup::Live(filing.live()))
    });
}

/// Wherever in the reply the connection breaks, the caller knows no more than is true.
#[test]
fn a_connection_cut_in_mid_reply_leaves_a_write_in_doubt_and_never_in_half() {
    let server = shared();
    let relay = Relay::to(server.port()).unwrap();
    let url = through(&database("cut"), server.port(), relay.port());
    runtime().block_on(async {
        let store = open(&url).await;
        let filing = Fixtures::new(1).signed_in("alice");
        file(&store, &filing).await;
        let mut version = Version::FIRST;
        let mut doubts = 0;
        for bytes in (0..420).step_by(7) {
            // A connection that is open and knows the statement: what is cut is the reply.
            healed(|| change(&store, &filing, Version::from_u64(u64::MAX))).await;
            relay.cut_replies_after(bytes);
            let answer = change(&store, &filing, version).await;
            let found = healed(|| store.get(filing.digest, T0)).await;
            let Lookup::Live(live) = found else { panic!("it lives: {found:?}") };
            match answer {
                Ok(Replaced::Done(next)) => assert_eq!(live.version, next),
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    doubts += 1;
                    assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
                    assert!(live.version == version || live.version == version.next());
                }
            }
            version = live.version;
            // Spend what is left of the order on a look-up, so that the next round begins in the open.
            while relay.will_cut() {
                let _ = store.get(filing.digest, T0).await;
            }
        }
        assert!(doubts > 5, "some were cut: {doubts}");
    });
}

#[test]
fn look_ups_survive_a_connection_that_was_cut_and_callers_that_went_away() {
    let server = shared();
    let relay = Relay::to(server.port()).unwrap();
    let url =
        format!("{}?deadline=5s&readers=1", through(&database("gone_away"), server.port(), relay.port()));
    runtime().block_on(async {
        let store = open(&url).await;
        let mut fixtures = Fixtures::new(1);
        let filings: Vec<Filing> = (0..20).map(|_| fixtures.signed_in("alice")).collect();
        for filing in &filings {
            file(&store, filing).await;
        }
        assert!(is_live(&store, filings.first().unwrap()).await);
        relay.cut();
        for filing in &filings {
            let found = store.get(filing.digest, T0).await.unwrap();
            assert_eq!(found, Lookup::Live(filing.live()), "nobody hears of it");
        }
        // Twenty ask while nothing moves; every other one goes away; the others get their own answers.
        relay.stall();
        let waiting: Vec<_> = filings
            .iter()
            .map(|filing| {
                let (store, digest) = (Arc::clone(&store), filing.digest);
                tokio::spawn(async move { store.get(digest, T0).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let mut kept = Vec::new();
        for (number, task) in waiting.into_iter().enumerate() {
            if number % 2 == 0 {
                task.abort();
            } else {
                kept.push((number, task));
            }
        }
        relay.flow();
        for (number, task) in kept {
            assert_eq!(task.await.unwrap().unwrap(), Lookup::Live(filings.get(number).unwrap().live()));
        }
        assert!(relay.accepted() <= 12, "connections are not opened for each look-up");
    });
}

#[test]
fn a_way_that_is_held_up_is_a_timeout_and_used_again_when_it_flows() {
    let server = shared();
    let relay = Relay::to(server.port()).unwrap();
    let direct = database("held_up");
    let url = format!("{}?deadline=700ms", through(&direct, server.port(), relay.port()));
    runtime().block_on(async {
        let filing = Fixtures::new(1).signed_in("alice");
        file(&*open(&direct).await, &filing).await;
        let store = open(&url).await;
        healed(|| store.get(filing.digest, T0)).await;
        relay.stall();
        bounded(&store, &filing, &[ErrorKind::Timeout]).await;
        // Stays held up for those that were there; new ones get through.
        relay.flow();
        healed(|| store.get(filing.digest, T0)).await;
        relay.refuse();
        relay.cut();
        undoubted(|| try_file(&store, &filing)).await;
        bounded(&store, &filing, &[ErrorKind::Unavailable, ErrorKind::Timeout]).await;
        relay.accept().unwrap();
        healed(|| store.ping()).await;
    });
}

#[test]
fn connections_that_an_administrator_ends_are_replaced() {
    let server = Postgres::start().unwrap();
    let kill = "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename = 'cloakroom';";
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let filing = Fixtures::new(1).signed_in("alice");
        file(&store, &filing).await;
        for _ in 0..5 {
            assert!(is_live(&store, &filing).await);
            server.sql("postgres", kill).unwrap();
            assert!(is_live(&store, &filing).await, "a look-up asks again");
            healed(|| store.ping()).await;
        }
    });
}

/// What the stores in these tests wait at most.
const DEADLINE: Duration = Duration::from_millis(700);
