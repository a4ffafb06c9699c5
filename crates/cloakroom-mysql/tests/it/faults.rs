//! Servers killed, stopped and cut off.

use std::collections::BTreeSet;
use std::future::Future;
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionId, SessionLimit};
use cloakroom_mysql::MysqlStore;
use cloakroom_servers::{Mariadb, Relay};
use cloakroom_store::{Applied, ErrorKind, Inserted, Lookup, Replaced, Selector, Store, StoreError, Version};

use crate::support::{
    Outsider, change, end, eventually, exchange, failure, file, is_live, note, open, options, runtime,
    shared, through, try_file, whole,
};

/// What was acknowledged.
#[derive(Default)]
struct Said {
    filed: Vec<Filing>,
    ended: BTreeSet<SessionId>,
    /// Those whose end was asked for: they may have ended or not.
    asked: BTreeSet<SessionId>,
}

/// Signs in and out until the store fails.
async fn come_and_go(store: &MysqlStore, mut fixtures: Fixtures, said: &Mutex<Said>) -> StoreError {
    loop {
        let filing = fixtures.signed_in("alice");
        if let Err(error) = try_file(store, &filing, None).await {
            return error;
        }
        let id = filing.id();
        {
            let mut said = said.lock().unwrap();
            said.filed.push(filing);
            if said.filed.len().is_multiple_of(2) {
                continue;
            }
            said.asked.insert(id);
        }
        match end(store, &Selector::One(id), T0).await {
            Ok(_) => said.lock().unwrap().ended.insert(id),
            Err(error) => return error,
        };
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_of_the_server_under_load() {
    let server = Mariadb::start().unwrap();
    let runtime = runtime();
    let store = runtime.block_on(open(&server.url()));
    for round in 0..3 {
        let said = Arc::new(Mutex::new(Said::default()));
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (store, said) = (Arc::clone(&store), Arc::clone(&said));
                let fixtures = Fixtures::new(round * 100 + task);
                runtime.spawn(async move { come_and_go(&store, fixtures, &said).await })
            })
            .collect();
        // Another moment in each round, somewhere in a transaction.
        let enough = 100 + 57 * usize::try_from(round).unwrap();
        while said.lock().unwrap().filed.len() < enough {
            std::thread::yield_now();
        }
        server.kill();
        for task in tasks {
            let error = runtime.block_on(task).unwrap();
            assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
        }
        server.restart().unwrap();
        runtime.block_on(async {
            eventually(|| store.ping()).await;
            let said = std::mem::take(&mut *said.lock().unwrap());
            for filing in &said.filed {
                let id = filing.id();
                match store.get(filing.digest, T0).await.unwrap() {
                    Lookup::Live(_) => assert!(!said.ended.contains(&id), "an end was lost"),
                    Lookup::Ended(_) => assert!(said.asked.contains(&id), "nobody ended it"),
                    other => panic!("a sign-in was lost: {other:?}"),
                }
            }
        });
    }
}

#[test]
fn connections_that_a_restart_closed_are_replaced_before_anybody_asks_over_them() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let filing = Fixtures::new(1).signed_in("alice");
        file(&store, &filing).await;
        let lookups: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn({
                    let (store, filing) = (Arc::clone(&store), filing.clone());
                    async move { is_live(&store, &filing).await }
                })
            })
            .collect();
        for lookup in lookups {
            assert!(lookup.await.unwrap());
        }
        server.kill();
        server.restart().unwrap();
        // The very first answer is right: no write is in doubt because of a connection that was dead before.
        assert_eq!(
            change(&store, &filing, Version::FIRST).await.unwrap(),
            Replaced::Done(Version::from_u64(2))
        );
    });
}

#[test]
fn a_server_that_is_down_is_unavailable_and_nothing_is_in_doubt() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let filing = Fixtures::new(1).signed_in("alice");
        file(&store, &filing).await;
        server.kill();
        assert_eq!(failure(store.get(filing.digest, T0)).await, (ErrorKind::Unavailable, Applied::No));
        assert_eq!(
            failure(change(&store, &filing, Version::FIRST)).await,
            (ErrorKind::Unavailable, Applied::No)
        );
        let refused = MysqlStore::connect(options(&server.url())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        let text = whole(&refused);
        assert!(
            text.contains(&format!("127.0.0.1:{}", server.port())) && text.contains("start the server"),
            "{text}"
        );
        server.restart().unwrap();
        assert!(
            eventually(|| async {
                Ok::<_, StoreError>(matches!(store.get(filing.digest, T0).await?, Lookup::Live(_)))
            })
            .await
        );
    });
}

#[test]
fn a_server_that_is_stopped_times_out_within_the_deadline_and_heals() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let filing = Fixtures::new(1).signed_in("alice");
        file(&*open(&server.url()).await, &filing).await;
        let store = open(&format!("{}?deadline=2s", server.url())).await;
        server.pause();
        // More calls than there are connections: some wait for one, some for an answer.
        let reads = (0..30).map(|_| failure(store.get(filing.digest, T0)));
        for outcome in futures_of(reads).await {
            assert_eq!(outcome, (ErrorKind::Timeout, Applied::No));
        }
        let (kind, _) = failure(change(&store, &filing, Version::FIRST)).await;
        assert_eq!(kind, ErrorKind::Timeout);
        server.resume();
        eventually(|| store.ping()).await;
        assert!(is_live(&store, &filing).await);
    });
}

async fn futures_of<T: Send + 'static>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        pending.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(value) => {
                done.push(value);
                false
            }
            Poll::Pending => true,
        });
        if pending.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done
}

#[test]
fn a_link_that_hangs_in_the_middle_of_an_answer_takes_no_connection_with_it() {
    let server = shared();
    let place = server.database("hangs").unwrap();
    let relay = Relay::to(server.port()).unwrap();
    runtime().block_on(async {
        let two = NonZeroUsize::new(2).unwrap();
        let url = through(&place, server.port(), relay.port());
        let filing = Fixtures::new(1).signed_in("alice");
        file(&*open(&place).await, &filing).await;
        let quick = options(&url).with_connections(two).with_deadline(Duration::from_secs(2));
        let store = Arc::new(MysqlStore::connect(quick).await.unwrap());
        eventually(|| store.ping()).await;
        relay.stall();
        for _ in 0..4 {
            assert_eq!(failure(store.get(filing.digest, T0)).await.0, ErrorKind::Timeout);
        }
        relay.flow();
        let both = || async { tokio::try_join!(store.get(filing.digest, T0), store.get(filing.digest, T0)) };
        let answers = eventually(both).await;
        assert!(matches!(answers, (Lookup::Live(_), Lookup::Live(_))), "{answers:?}");
    });
}

/// Every verb with its answer cut after each number of bytes, until it gets through.
#[test]
fn an_answer_that_is_cut_anywhere_is_an_error_and_never_a_wrong_answer() {
    let server = shared();
    let place = server.database("cut").unwrap();
    let relay = Relay::to(server.port()).unwrap();
    runtime().block_on(async {
        let one = NonZeroUsize::MIN;
        let url = through(&place, server.port(), relay.port());
        let store = MysqlStore::connect(options(&url).with_connections(one)).await.unwrap();
        let judge = open(&place).await;
        let mut fixtures = Fixtures::new(1);
        let mut in_doubt = 0;
        for bytes in [0, 1, 4, 5, 11, 30, 60, 90, 140, 250, 600, 1_200] {
            let filing = fixtures.signed_in("alice");
            file(&judge, &filing).await;
            // Over a connection that has the statement prepared, so that what is cut is its answer.
            let other = fixtures.signed_in("bob");
            file(&judge, &other).await;
            let next = other.rotated(fixtures.next_digest(&other), T0);
            eventually(|| exchange(&store, &other, &next, Version::FIRST)).await;
            // Whether it is told or not, it has happened whole or not at all.
            relay.cut_replies_after(bytes);
            let next = filing.rotated(fixtures.next_digest(&filing), T0);
            match exchange(&store, &filing, &next, Version::FIRST).await {
                Ok(answer) => assert!(matches!(answer, cloakroom_store::Rekeyed::Done(_)), "{answer:?}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                    // Cut before it was asked, while it was being prepared: then that is known.
                    if error.applied() == Applied::No {
                        assert!(is_live(&judge, &filing).await);
                    }
                    in_doubt += usize::from(error.applied() == Applied::Unknown);
                }
            }
            let old = eventually(|| judge.get(filing.digest, T0)).await;
            let new = eventually(|| judge.get(next.digest, T0)).await;
            let whole = matches!(
                (&old, &new),
                (Lookup::Live(_), Lookup::Unknown) | (Lookup::Retired(_), Lookup::Live(_))
            );
            assert!(whole, "after {bytes} bytes: {old:?}, {new:?}");
            eventually(|| store.ping()).await;
            relay.cut_replies_after(bytes);
            let id = filing.id();
            let _ = end(&store, &Selector::One(id), T0).await;
            let principal = Selector::Principal { principal: principal_id("alice"), except: None };
            end(&judge, &principal, T0).await.unwrap();
            let found = eventually(|| store.get(next.digest, T0)).await;
            assert!(!matches!(found, Lookup::Live(_)), "after {bytes} bytes: {found:?}");
            // Reading is asked again by itself: a cut is no reason for an error.
            let reader = fixtures.anonymous();
            file(&judge, &reader).await;
            eventually(|| store.ping()).await;
            relay.cut_replies_after(bytes);
            assert_eq!(store.get(reader.digest, T0).await.unwrap(), Lookup::Live(reader.live()));
        }
        assert!(in_doubt > 0, "some were cut between the asking and the answer");
    });
}

#[test]
fn callers_that_go_away_leave_no_answer_behind_for_the_next_one() {
    let server = shared();
    let place = server.database("callers").unwrap();
    runtime().block_on(async {
        let store = MysqlStore::connect(options(&place).with_connections(NonZeroUsize::MIN)).await.unwrap();
        let mut fixtures = Fixtures::new(1);
        let filings: Vec<Filing> = (0..40).map(|_| fixtures.signed_in("alice")).collect();
        for filing in &filings {
            file(&store, filing).await;
        }
        for (turn, filing) in filings.iter().enumerate() {
            {
                let mut abandoned = pin!(store.get(filings[(turn + 1) % filings.len()].digest, T0));
                for _ in 0..turn % 5 {
                    let answered = std::future::poll_fn(|context| {
                        Poll::Ready(abandoned.as_mut().poll(context).is_ready())
                    });
                    if answered.await {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            assert_eq!(store.get(filing.digest, T0).await.unwrap(), Lookup::Live(filing.live()));
        }
    });
}

/// `KILL QUERY` ends a procedure without its handler: what it had done stays open on its connection.
#[test]
fn a_procedure_that_was_killed_half_way_is_undone_and_not_committed_by_the_next_one() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let one = options(&server.url()).with_connections(NonZeroUsize::MIN);
        let store = Arc::new(MysqlStore::connect(one).await.unwrap());
        let mut fixtures = Fixtures::new(1);
        let [old, new] = std::array::from_fn(|_| fixtures.signed_in("alice"));
        file(&store, &old).await;
        let mut outsider = Outsider::connect(&server.url()).await;
        outsider.says("START TRANSACTION").await;
        outsider.locks(&old).await;
        let limit = SessionLimit { max: NonZeroU32::MIN, on_limit: OnLimit::EndOldest };
        let (asking, newcomer) = (Arc::clone(&store), new.clone());
        let task = tokio::spawn(async move { try_file(&asking, &newcomer, Some(limit)).await });
        // It has written its row and waits for the one it puts out.
        let mut killer = Outsider::connect(&server.url()).await;
        let id = killer.sees_somebody_wait().await;
        killer.says(&format!("KILL QUERY {id}")).await;
        let killed = task.await.unwrap();
        assert_eq!(killed.unwrap_err().kind(), ErrorKind::Timeout);
        outsider.says("COMMIT").await;
        let other = fixtures.signed_in("bob");
        file(&store, &other).await;
        assert_eq!(store.get(new.digest, T0).await.unwrap(), Lookup::Unknown);
        assert!(is_live(&store, &old).await && is_live(&store, &other).await);
        note(&store, std::slice::from_ref(&old), at(1)).await.unwrap();
        assert!(matches!(try_file(&store, &new, Some(limit)).await.unwrap(), Inserted::Done { ended } if ended.len() == 1));
    });
}
