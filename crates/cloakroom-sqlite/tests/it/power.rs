//! The power goes while sessions come and go.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, Seeded, T0, at};
use cloakroom_core::EndReason::SignedOut;
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use cloakroom_store::{EndRequest, InsertRequest, Lookup, RekeyRequest, Selector, Store, Version};

use crate::disk::Disk;
use crate::{Test, block_on, patient, tests};

pub(crate) const TESTS: &[Test] = tests!("power";
    what_was_acknowledged_survives_a_cut_at_any_moment,
    the_disk_of_these_tests_does_lose_what_was_not_synced,
);

/// What the store has acknowledged so far.
#[derive(Clone, Default)]
struct Acknowledged {
    /// Sessions that are there, and of which nobody has asked the end.
    live: HashSet<u64>,
    /// Sessions whose token was exchanged.
    rotated: HashSet<u64>,
    ended: HashSet<u64>,
}

/// What came of the cuts.
#[derive(Default)]
struct Found {
    in_commits: u32,
    in_checkpoints: u32,
    /// What was acknowledged and is not there.
    lost: Vec<String>,
}

fn what_was_acknowledged_survives_a_cut_at_any_moment() {
    let disk = Disk::new();
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let found: Arc<Mutex<Found>> = Arc::default();
    let (known, findings, mut random) = (Arc::clone(&acknowledged), Arc::clone(&found), Seeded::new(1));
    disk.watch(Box::new(move |disk, name| {
        let mut found = findings.lock().unwrap();
        let (cuts, most, one_in) = if name.ends_with("-wal") {
            (&mut found.in_commits, 16, 150)
        } else {
            (&mut found.in_checkpoints, 16, 50)
        };
        if *cuts < most && random.below(one_in) == 0 {
            *cuts += 1;
            // In this order: what is acknowledged between the two may be missing from the first, not from the second.
            let known = known.lock().unwrap().clone();
            let directory = disk.cut(&mut random).restore();
            found.lost.extend(block_on(lost(&directory.path().join("sessions.db"), &known)));
        }
    }));
    // A busy machine's disk may take its time; here that is no answer.
    let options = SqliteOptions::new(disk.database()).with_answer_timeout(Duration::from_secs(60));
    let store = SqliteStore::open(options).unwrap();
    block_on(come_and_go(Arc::new(store), &acknowledged));
    disk.stop_watching();
    let found = found.lock().unwrap();
    assert_eq!((found.in_commits, found.in_checkpoints), (16, 16), "there were cuts of both kinds");
    assert_eq!(found.lost, [""; 0]);
}

/// Without this the test above could pass for the wrong reason.
fn the_disk_of_these_tests_does_lose_what_was_not_synced() {
    let disk = Disk::new();
    let connection = rusqlite::Connection::open(disk.database()).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.execute_batch("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)").unwrap();
    connection.execute_batch("PRAGMA synchronous = NORMAL; INSERT INTO t VALUES (2)").unwrap();
    let mut random = Seeded::new(1);
    let counts: HashSet<i64> = (0..32)
        .map(|_| {
            let directory = disk.cut(&mut random).restore();
            let after = rusqlite::Connection::open(directory.path().join("sessions.db")).unwrap();
            after.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
        })
        .collect();
    assert_eq!(counts, HashSet::from([1, 2]), "sometimes the commit that was not synced is lost");
}

async fn come_and_go(store: Arc<SqliteStore>, acknowledged: &Arc<Mutex<Acknowledged>>) {
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, acknowledged) = (Arc::clone(&store), Arc::clone(acknowledged));
            tokio::spawn(async move {
                for turn in 0..SESSIONS / TASKS {
                    one(&store, &acknowledged, turn * TASKS + task).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn one(store: &SqliteStore, acknowledged: &Mutex<Acknowledged>, number: u64) {
    let filing = filing(number);
    let Filing { record, digest } = &filing;
    let request = InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 };
    store.insert(request).await.unwrap();
    acknowledged.lock().unwrap().live.insert(number);
    match number % 3 {
        0 => {
            let (old, new) = (*digest, next_digest(number));
            acknowledged.lock().unwrap().live.remove(&number);
            store
                .rekey(RekeyRequest { old, new, version: Version::FIRST, record, now: at(1) })
                .await
                .unwrap();
            acknowledged.lock().unwrap().rotated.insert(number);
        }
        1 => {
            acknowledged.lock().unwrap().live.remove(&number);
            let selector = Selector::One(filing.id());
            store.end(EndRequest { selector: &selector, reason: SignedOut, now: at(1) }).await.unwrap();
            acknowledged.lock().unwrap().ended.insert(number);
        }
        _ => {}
    }
}

/// Which acknowledgements do not hold in this file.
async fn lost(path: &Path, acknowledged: &Acknowledged) -> Vec<String> {
    let store = match SqliteStore::open(patient(path)) {
        Ok(store) => store,
        Err(error) => return vec![format!("everything: {error:?}")],
    };
    let mut lost = Vec::new();
    for &number in &acknowledged.live {
        if !matches!(store.get(filing(number).digest, at(1)).await, Ok(Lookup::Live(_))) {
            lost.push(format!("session {number}"));
        }
    }
    for &number in &acknowledged.rotated {
        let (old, new) = (filing(number).digest, next_digest(number));
        if !matches!(store.get(old, at(1)).await, Ok(Lookup::Retired(_))) {
            lost.push(format!("the retirement of the old token of session {number}"));
        }
        if !matches!(store.get(new, at(1)).await, Ok(Lookup::Live(_))) {
            lost.push(format!("the new token of session {number}"));
        }
    }
    for &number in &acknowledged.ended {
        if !matches!(store.get(filing(number).digest, at(1)).await, Ok(Lookup::Ended(_))) {
            lost.push(format!("the end of session {number}"));
        }
    }
    lost
}

fn filing(number: u64) -> Filing {
    Fixtures::new(number).signed_in("alice").with_attribute("cart", vec![7; 2_000])
}

fn next_digest(number: u64) -> cloakroom_core::TokenDigest {
    Fixtures::new(u64::MAX - number).next_digest(&filing(number))
}

const TASKS: u64 = 8;
/// Enough to fill the log a few times.
const SESSIONS: u64 = 3_000;
