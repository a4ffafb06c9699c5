//! The disk is full, fails or hangs: errors that say what happened, and no restart afterwards.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, principal_id};
use cloakroom_core::EndReason::SignedOut;
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use cloakroom_store::{
    Applied, EndRequest, ErrorKind, InsertRequest, Inserted, Lookup, Selector, Store, StoreError, Verb,
};

use crate::disk::{Disk, Mood};
use crate::{Test, block_on, patient, tests};

pub(crate) const TESTS: &[Test] = tests!("fault";
    a_full_disk_refuses_without_a_trace_and_is_written_to_again_once_there_is_room,
    a_failed_sync_is_unknown_and_the_store_goes_on,
    a_disk_that_fills_up_loses_nothing_and_ends_happen_or_say_that_they_did_not,
    a_log_that_fills_the_disk_begins_again_and_ends_go_on,
    a_full_disk_is_the_reason_for_everybody_in_the_group_it_failed,
    a_hanging_disk_keeps_nobody_waiting_for_ever,
    closing_on_a_hanging_disk_leaves_nobody_waiting_for_ever,
    a_locked_file_is_a_timeout_for_all_who_wait,
    a_ping_finds_out_whether_anything_can_be_written,
    reads_are_answered_while_nothing_can_be_written,
);

fn a_full_disk_refuses_without_a_trace_and_is_written_to_again_once_there_is_room() {
    let (disk, store) = opened();
    let [first, second] = two();
    block_on(async {
        disk.set_mood(Mood::Full);
        let error = insert(&store, &first).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, Applied::No));
        disk.set_mood(Mood::Well);
        assert_eq!(store.get(first.digest, T0).await.unwrap(), Lookup::Unknown);
        for filing in [&first, &second] {
            insert(&store, filing).await.unwrap();
        }
    });
    let store = reopened(&disk, store);
    block_on(async {
        for filing in [&first, &second] {
            assert_eq!(store.get(filing.digest, T0).await.unwrap(), Lookup::Live(filing.live()));
        }
    });
}

fn a_failed_sync_is_unknown_and_the_store_goes_on() {
    let (disk, store) = opened();
    let [first, second] = two();
    block_on(async {
        disk.set_mood(Mood::Failing);
        let error = insert(&store, &first).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
        disk.set_mood(Mood::Well);
        insert(&store, &second).await.unwrap();
        let found = store.get(first.digest, T0).await.unwrap();
        assert!(
            [Lookup::Unknown, Lookup::Live(first.live())].contains(&found),
            "whole or not at all, not {found:?}"
        );
        assert_eq!(store.get(second.digest, T0).await.unwrap(), Lookup::Live(second.live()));
    });
}

fn a_hanging_disk_keeps_nobody_waiting_for_ever() {
    let disk = Disk::new();
    let options = SqliteOptions::new(disk.database()).with_answer_timeout(Duration::from_secs(2));
    let store = SqliteStore::open(options).unwrap();
    let [first, second] = two();
    block_on(async {
        disk.set_mood(Mood::Hanging);
        let (written, queued) = tokio::join!(insert(&store, &first), insert(&store, &second));
        for error in [written.unwrap_err(), queued.unwrap_err()] {
            assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
        }
        assert_eq!(
            store.get(first.digest, T0).await.unwrap(),
            Lookup::Unknown,
            "reads do not wait for writes"
        );
    });
    assert_eq!(store.close().unwrap_err().kind(), ErrorKind::Timeout, "nor does closing");
    disk.set_mood(Mood::Well);
    store.close().unwrap();
}

/// The clock that bounds everybody's wait outlasts the store's own threads.
fn closing_on_a_hanging_disk_leaves_nobody_waiting_for_ever() {
    let disk = Disk::new();
    let options = SqliteOptions::new(disk.database()).with_answer_timeout(Duration::from_millis(400));
    let store = Arc::new(SqliteStore::open(options).unwrap());
    let [filing, _] = two();
    block_on(async {
        disk.set_mood(Mood::Hanging);
        let writing = {
            let store = Arc::clone(&store);
            tokio::spawn(async move { insert(&store, &filing).await })
        };
        disk.hangs().await;
        let closing = tokio::task::spawn_blocking(move || store.close());
        let (written, closed) = tokio::join!(writing, closing);
        let error = written.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
        assert_eq!(closed.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    });
    disk.set_mood(Mood::Well);
}

/// No room at all: whatever is acknowledged holds, whatever is refused left nothing, and with room again everything goes on.
fn a_disk_that_fills_up_loses_nothing_and_ends_happen_or_say_that_they_did_not() {
    let (disk, store) = opened();
    let mut fixtures = Fixtures::new(1);
    block_on(async {
        insert(&store, &fixtures.anonymous()).await.unwrap();
        disk.leave(400_000);
        let (mut filed, mut refused) = (Vec::new(), Vec::new());
        // Several in a row: a small record may still fit where a larger one did not.
        while refused.len() < 20 {
            let filing = fixtures.signed_in("alice").with_attribute("cart", vec![7; 1_500]);
            match insert(&store, &filing).await {
                Ok(()) => filed.push(filing),
                Err(error) => {
                    assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, Applied::No));
                    refused.push(filing);
                }
            }
            assert!(filed.len() < 10_000, "a disk is full some day");
        }
        check(&store, &filed, &[], &refused).await;
        let (mut ended, mut alive) = (Vec::new(), Vec::new());
        for filing in filed {
            let selector = Selector::One(filing.record.id);
            match store.end(EndRequest { selector: &selector, reason: SignedOut, now: T0 }).await {
                Ok(_) => ended.push(filing),
                Err(error) => {
                    assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, Applied::No));
                    alive.push(filing);
                }
            }
        }
        check(&store, &alive, &ended, &refused).await;
        disk.leave(10_000_000);
        let selector = Selector::Principal { principal: principal_id("alice"), except: None };
        let ending = store.end(EndRequest { selector: &selector, reason: SignedOut, now: T0 }).await.unwrap();
        assert_eq!(ending.ended.len(), alive.len(), "with room again, all of them end");
        ended.append(&mut alive);
        check(&store, &[], &ended, &refused).await;
        for filing in &refused {
            insert(&store, filing).await.unwrap();
        }
        check(&store, &refused, &ended, &[]).await;
    });
    drop(store);
}

async fn check(store: &SqliteStore, alive: &[Filing], ended: &[Filing], refused: &[Filing]) {
    for filing in alive {
        assert_eq!(store.get(filing.digest, T0).await.unwrap(), Lookup::Live(filing.live()));
    }
    for filing in ended {
        assert_eq!(
            store.get(filing.digest, T0).await.unwrap(),
            Lookup::Ended(filing.tombstone(SignedOut, T0))
        );
    }
    for filing in refused {
        assert_eq!(store.get(filing.digest, T0).await.unwrap(), Lookup::Unknown);
    }
}

/// Activity and ends need no room in the file, only in the log: where that fills the disk, its content goes to the file.
fn a_log_that_fills_the_disk_begins_again_and_ends_go_on() {
    let (disk, store) = opened();
    let mut fixtures = Fixtures::new(1);
    let filings: Vec<Filing> = (0..100).map(|_| fixtures.signed_in("alice")).collect();
    for filing in &filings {
        block_on(insert(&store, filing)).unwrap();
    }
    let store = reopened(&disk, store);
    block_on(async {
        // Somebody reads as well: as long as a connection is open, SQLite does not clear the log up by itself.
        check(&store, &filings, &[], &[]).await;
        disk.leave(300_000);
        let mut refused = 0;
        for filing in &filings {
            let selector = Selector::One(filing.record.id);
            let end = EndRequest { selector: &selector, reason: SignedOut, now: T0 };
            if let Err(error) = store.end(end).await {
                assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, Applied::No));
                store.end(end).await.expect("once it was refused there is room");
                refused += 1;
            }
        }
        assert!((1..20).contains(&refused), "the log filled the disk now and then: {refused}");
        check(&store, &[], &filings, &[]).await;
    });
}

/// Where pages leave the cache before the commit, one operation already meets the full disk, and SQLite gives up the
/// whole transaction.
fn a_full_disk_is_the_reason_for_everybody_in_the_group_it_failed() {
    let disk = Disk::new();
    let store = Arc::new(SqliteStore::open(patient(disk.database()).with_cache_bytes(0)).unwrap());
    let mut fixtures = Fixtures::new(1);
    let first = fixtures.anonymous();
    let large = fixtures.signed_in("alice").with_attribute("cart", vec![7; 4_000_000]);
    let rest: Vec<Filing> = (0..5).map(|_| fixtures.signed_in("bob")).collect();
    block_on(async {
        disk.set_mood(Mood::Hanging);
        let alone = {
            let (store, first) = (Arc::clone(&store), first.clone());
            tokio::spawn(async move { insert(&store, &first).await })
        };
        disk.hangs().await;
        // These come while the disk hangs, so that they are one group.
        let filings: Vec<Filing> = std::iter::once(large).chain(rest.clone()).collect();
        let mut group: Vec<_> = filings.iter().map(|filing| Box::pin(insert(&store, filing))).collect();
        for call in &mut group {
            let step = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            assert!(step.is_pending());
        }
        disk.set_mood(Mood::Full);
        alone.await.unwrap().unwrap();
        for answer in group {
            let error = answer.await.unwrap_err();
            assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, Applied::No), "{error:?}");
        }
        disk.set_mood(Mood::Well);
        for filing in &rest {
            assert_eq!(store.get(filing.digest, T0).await.unwrap(), Lookup::Unknown);
            insert(&store, filing).await.unwrap();
        }
        assert_eq!(store.get(first.digest, T0).await.unwrap(), Lookup::Live(first.live()));
    });
}

fn a_locked_file_is_a_timeout_for_all_who_wait() {
    let disk = Disk::new();
    let options = patient(disk.database()).with_busy_timeout(Duration::from_millis(50));
    let store = SqliteStore::open(options).unwrap();
    let [first, second] = two();
    let other = rusqlite::Connection::open(disk.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    block_on(async {
        let (one, another) = tokio::join!(insert(&store, &first), insert(&store, &second));
        for error in [one.unwrap_err(), another.unwrap_err()] {
            assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::No));
        }
        assert_eq!(store.get(first.digest, T0).await.unwrap(), Lookup::Unknown, "readers wait for no writer");
        other.execute_batch("COMMIT").unwrap();
        insert(&store, &first).await.unwrap();
    });
}

fn a_ping_finds_out_whether_anything_can_be_written() {
    let (disk, store) = opened();
    block_on(async {
        assert_eq!(store.ping().await.unwrap(), None);
        disk.set_mood(Mood::Full);
        let error = store.ping().await.unwrap_err();
        assert_eq!((error.kind(), error.verb()), (ErrorKind::Full, Verb::Ping));
        disk.set_mood(Mood::Well);
        assert_eq!(store.ping().await.unwrap(), None);
    });
}

fn reads_are_answered_while_nothing_can_be_written() {
    let (disk, store) = opened();
    let [filing, _] = two();
    block_on(async {
        insert(&store, &filing).await.unwrap();
        disk.set_mood(Mood::Full);
        assert_eq!(store.get(filing.digest, T0).await.unwrap(), Lookup::Live(filing.live()));
        assert_eq!(store.count(T0).await.unwrap().signed_in, 1);
        disk.set_mood(Mood::Well);
    });
}

fn opened() -> (Arc<Disk>, SqliteStore) {
    let disk = Disk::new();
    let store = SqliteStore::open(patient(disk.database())).unwrap();
    (disk, store)
}

fn reopened(disk: &Disk, store: SqliteStore) -> SqliteStore {
    drop(store);
    SqliteStore::open(patient(disk.database())).unwrap()
}

fn two() -> [Filing; 2] {
    let mut fixtures = Fixtures::new(1);
    [fixtures.signed_in("alice"), fixtures.signed_in("bob")]
}

async fn insert(store: &SqliteStore, filing: &Filing) -> Result<(), StoreError> {
    let Filing { record, digest } = filing;
    let request = InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 };
    let inserted = store.insert(request).await?;
    assert_eq!(inserted, Inserted::Done { ended: Vec::new() });
    Ok(())
}
