//! Rows that somebody else holds, and deadlocks.

use std::sync::Arc;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::TokenDigest;
use cloakroom_servers::Postgres;
use cloakroom_store::{Applied, ErrorKind, Selector, Store, SweepRequest, Touch, Version};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use crate::support::{change, database, end, file, is_live, kind, open, runtime, shared};

/// A person with `psql`.
pub(crate) async fn operator(url: &str) -> Client {
    let url = url.replace("cloakroom@", "postgres@");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn hold(operator: &Client, digest: TokenDigest) {
    let sql = "UPDATE cloakroom.session SET device = 'held' WHERE digest = $1";
    assert_eq!(operator.execute(sql, &[&digest.to_bytes().as_slice()]).await.unwrap(), 1);
}

#[test]
fn a_row_that_somebody_holds_is_a_timeout_that_changed_nothing() {
    let url = database("held");
    runtime().block_on(async {
        let store = open(&format!("{url}?deadline=1600ms")).await;
        let mut fixtures = Fixtures::new(1);
        let [held, free] = std::array::from_fn(|_| fixtures.signed_in("alice"));
        file(&store, &held).await;
        file(&store, &free).await;
        let operator = operator(&url).await;
        operator.batch_execute("BEGIN").await.unwrap();
        hold(&operator, held.digest).await;

        let refused = (ErrorKind::Timeout, Applied::No);
        let touch = [Touch { digest: held.digest, seen_at: at(1) }];
        let own = Selector::Principal { principal: principal_id("alice"), except: None };
        assert_eq!(kind(change(&store, &held, Version::FIRST).await), refused);
        assert_eq!(kind(store.touch(&touch, at(1)).await), refused);
        assert_eq!(kind(end(&store, &Selector::One(held.id()), at(1)).await), refused);
        assert_eq!(kind(end(&store, &own, at(1)).await), refused);
        assert!(is_live(&store, &held).await, "look-ups wait for nobody");
        assert!(is_live(&store, &free).await, "an end that failed ended nothing");
        // A sweep leaves what is held to the next round, and says that there is one.
        let round = SweepRequest { now: at(1_000), limit: 100, lease: std::time::Duration::ZERO };
        let swept = store.sweep(round).await.unwrap();
        assert_eq!((swept.ended.len(), swept.more), (1, true));

        operator.batch_execute("ROLLBACK").await.unwrap();
        let swept = store.sweep(round).await.unwrap();
        assert_eq!((swept.ended.len(), swept.more), (1, false));
    });
}

/// An emergency stop holds whatever becomes of the number it reports.
#[test]
fn the_end_of_everything_does_not_wait_for_its_count() {
    let url = database("uncounted");
    runtime().block_on(async {
        let store = open(&format!("{url}?deadline=1600ms")).await;
        let filing = Fixtures::new(1).signed_in("alice");
        file(&store, &filing).await;
        let operator = operator(&url).await;
        operator.batch_execute("BEGIN; LOCK TABLE cloakroom.session").await.unwrap();
        let ending = end(&store, &Selector::All, at(1)).await.unwrap();
        assert!(ending.ended.is_empty());
        operator.batch_execute("ROLLBACK").await.unwrap();
        assert!(!is_live(&store, &filing).await);
    });
}

/// The operator takes two rows in the order that the store never takes them in: one of both has to give way.
#[test]
fn a_deadlock_with_somebody_else_is_survived_by_asking_again() {
    let server = Postgres::start().unwrap();
    // The store finds out first, and so is the one to give way.
    let patience = "ALTER ROLE cloakroom SET deadlock_timeout = '50ms'; ALTER ROLE postgres SET deadlock_timeout = '20s';";
    server.sql("postgres", patience).unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        let mut filings: Vec<Filing> = (0..2).map(|_| fixtures.signed_in("alice")).collect();
        filings.sort_by_key(|filing| filing.digest);
        for filing in &filings {
            file(&store, filing).await;
        }
        let [first, second] = filings.try_into().unwrap();
        let operator = operator(&server.url()).await;
        operator.batch_execute("BEGIN").await.unwrap();
        hold(&operator, second.digest).await;
        let touching = {
            let store = Arc::clone(&store);
            let touches = [&first, &second].map(|filing| Touch { digest: filing.digest, seen_at: at(1) });
            tokio::spawn(async move { store.touch(&touches, at(1)).await })
        };
        // The store holds the first row and waits for the second.
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        while operator.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            assert!(!touching.is_finished(), "the store waits for the second row");
            tokio::task::yield_now().await;
        }
        hold(&operator, first.digest).await;
        operator.batch_execute("COMMIT").await.unwrap();
        assert_eq!(touching.await.unwrap().unwrap().touched, 2);
        assert!(matches!(store.get(first.digest, T0).await.unwrap(),
            cloakroom_store::Lookup::Live(live) if live.last_seen_at == at(1)));
    });
    assert!(server.log().contains("deadlock detected"), "there was one: {}", server.log());
}

#[test]
fn batches_ends_and_sign_ins_of_two_nodes_never_deadlock_among_themselves() {
    let url = database("batches");
    runtime().block_on(async {
        let stores = [open(&url).await, open(&url).await];
        let mut fixtures = Fixtures::new(1);
        for round in 0..6 {
            let filings: Vec<Filing> = (0..60).map(|_| fixtures.signed_in("alice")).collect();
            let mut filing_in = JoinSet::new();
            for filing in filings.clone() {
                let store = Arc::clone(&stores[0]);
                filing_in.spawn(async move { file(&store, &filing).await });
            }
            filing_in.join_all().await;
            let mut racers = JoinSet::new();
            for turn in 0..12 {
                let store = Arc::clone(&stores[turn % 2]);
                let mut filings = filings.clone();
                if turn % 3 == 0 {
                    filings.reverse();
                }
                filings.rotate_left(turn * 5);
                racers.spawn(async move {
                    if turn == 7 && round % 2 == 1 {
                        let own = Selector::Principal { principal: principal_id("alice"), except: None };
                        end(&store, &own, at(5)).await.unwrap();
                    } else if turn == 8 {
                        let round =
                            SweepRequest { now: at(1_000), limit: 30, lease: std::time::Duration::ZERO };
                        store.sweep(round).await.unwrap();
                    } else {
                        let touches: Vec<Touch> = filings
                            .iter()
                            .zip(1..)
                            .map(|(filing, step)| Touch { digest: filing.digest, seen_at: at(step) })
                            .collect();
                        store.touch(&touches, at(900)).await.unwrap();
                    }
                });
            }
            racers.join_all().await;
        }
    });
    assert!(!shared().log().contains("deadlock"), "{}", shared().log());
}
