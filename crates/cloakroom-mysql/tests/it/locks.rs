//! Locks that others hold, and locks that meet in opposite orders.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_mysql::MysqlStore;
use cloakroom_servers::Mariadb;
use cloakroom_store::{
    Applied, ErrorKind, Inserted, Rekeyed, Replaced, Selector, Store, SweepRequest, Version,
};

use crate::support::{
    Outsider, change, end, eventually, exchange, failure, file, hex, is_live, note, open, runtime, try_file,
};

async fn crowd(store: &MysqlStore, seed: u64, size: usize) -> Vec<Filing> {
    let mut fixtures = Fixtures::new(seed);
    let mut filings: Vec<Filing> = (0..size).map(|_| fixtures.signed_in("alice")).collect();
    filings.sort_by_key(|filing| filing.digest);
    for filing in &filings {
        file(store, filing).await;
    }
    filings
}

fn alice() -> Selector {
    Selector::Principal { principal: principal_id("alice"), except: None }
}

/// The outsider has changed more rows, so that InnoDB gives up the store's transaction, not theirs.
async fn weighs_more(outsider: &mut Outsider, heavy: &[Filing]) {
    outsider.says("START TRANSACTION").await;
    for filing in heavy {
        let id = hex(filing.id().as_bytes());
        outsider.says(&format!("UPDATE session SET version = version + 1 WHERE id = x'{id}'")).await;
    }
}

#[test]
fn a_deadlock_with_somebody_elses_transaction_is_done_again_and_nobody_hears_of_it() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let mut fixtures = Fixtures::new(9);
        let heavy: Vec<Filing> = (0..40).map(|_| fixtures.anonymous()).collect();
        for filing in &heavy {
            file(&store, filing).await;
        }
        for verb in ["end", "touch"] {
            let filings = crowd(&store, u64::from(verb == "end"), 4).await;
            let mut outsider = Outsider::connect(&server.url()).await;
            weighs_more(&mut outsider, &heavy).await;
            outsider.locks(&filings[3]).await;
            let (asking, batch) = (Arc::clone(&store), filings.clone());
            let task = tokio::spawn(async move {
                match verb {
                    "end" => end(&asking, &alice(), T0).await.map(|ending| ending.ended.len()),
                    _ => note(&asking, &batch, at(5)).await.map(|report| report.touched),
                }
            });
            outsider.sees_somebody_wait().await;
            // The store has the first and waits for the last; now the outsider wants the first.
            outsider.locks(&filings[0]).await;
            outsider.says("COMMIT").await;
            assert_eq!(task.await.unwrap().unwrap(), 4, "{verb}");
        }
        let deadlocks = server.sql("mysql", "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").unwrap();
        assert_eq!(deadlocks.trim(), "Innodb_deadlocks\t2", "the test provoked what it says");
    });
}

#[test]
fn a_lock_that_somebody_holds_on_to_is_a_timeout_for_its_session_alone() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let patient = open(&server.url()).await;
        let filings = crowd(&patient, 1, 2).await;
        let mut outsider = Outsider::connect(&server.url()).await;
        outsider.says("START TRANSACTION").await;
        outsider.locks(&filings[0]).await;
        let store = open(&format!("{}?deadline=2s", server.url())).await;
        let (blocked, other) = tokio::join!(
            failure(change(&store, &filings[0], Version::FIRST)),
            change(&patient, &filings[1], Version::FIRST)
        );
        assert_eq!(blocked, (ErrorKind::Timeout, Applied::Unknown));
        assert_eq!(other.unwrap(), Replaced::Done(Version::from_u64(2)));
        assert!(is_live(&patient, &filings[0]).await, "reading waits for nobody");
        // Looking again, as whoever got `Unknown` does, tells what became of it.
        outsider.says("ROLLBACK").await;
        let version = eventually(|| async {
            match change(&store, &filings[0], Version::FIRST).await {
                Ok(Replaced::Done(version)) => Ok(version),
                Ok(Replaced::Conflict(live)) => Ok(live.version),
                other => Err(other),
            }
        });
        assert_eq!(version.await, Version::from_u64(2));
    });
}

#[test]
fn a_sweep_leaves_locked_rows_to_the_next_round_and_waits_for_none() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let filings = crowd(&store, 1, 3).await;
        let mut outsider = Outsider::connect(&server.url()).await;
        outsider.says("START TRANSACTION").await;
        outsider.locks(&filings[1]).await;
        let round = || store.sweep(SweepRequest { now: at(1_000), limit: 10, lease: Duration::ZERO });
        // The outsider lets go only afterwards: whoever waited for the row would be told of a timeout.
        let swept = round().await.unwrap();
        assert_eq!((swept.ended.len(), swept.more), (2, true));
        outsider.says("COMMIT").await;
        let swept = round().await.unwrap();
        assert_eq!((swept.ended.len(), swept.more), (1, false));
    });
}

/// Everything that locks several rows, all at once, on the same rows, for a while.
#[test]
fn nothing_the_store_does_itself_ever_meets_in_a_deadlock() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let stores = [open(&server.url()).await, open(&server.url()).await];
        let filings = crowd(&stores[0], 1, 24).await;
        let limit = SessionLimit { max: NonZeroU32::new(26).unwrap(), on_limit: OnLimit::EndOldest };
        let mut tasks = Vec::new();
        for turn in 0..8_u64 {
            let (store, mut filings) = (Arc::clone(&stores[usize::from(turn % 2 == 1)]), filings.clone());
            if turn % 4 >= 2 {
                filings.reverse();
            }
            let mut fixtures = Fixtures::new(100 + turn);
            tasks.push(tokio::spawn(async move {
                for round in 0..25 {
                    note(&store, &filings, at(round + 1)).await.unwrap();
                    let newcomer = fixtures.signed_in("alice");
                    let inserted = try_file(&store, &newcomer, Some(limit)).await.unwrap();
                    assert!(matches!(inserted, Inserted::Done { .. }));
                    let next = newcomer.rotated(fixtures.next_digest(&newcomer), T0);
                    let exchanged = exchange(&store, &newcomer, &next, Version::FIRST).await.unwrap();
                    assert!(matches!(exchanged, Rekeyed::Done(_) | Rekeyed::Ended(_)));
                    store.sweep(SweepRequest { now: at(1), limit: 10, lease: Duration::ZERO }).await.unwrap();
                    if round == 20 && turn == 0 {
                        end(&store, &alice(), T0).await.unwrap();
                        end(&store, &Selector::All, T0).await.unwrap();
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    let deadlocks = server.sql("mysql", "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").unwrap();
    let latest = || server.sql("mysql", "SHOW ENGINE INNODB STATUS").unwrap();
    assert_eq!(deadlocks.trim(), "Innodb_deadlocks\t0", "{}", latest());
}
