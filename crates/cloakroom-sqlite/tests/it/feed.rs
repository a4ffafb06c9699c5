//! News of what others do to the file: processes, people at a prompt, backups.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::EndReason::SignedOut;
use cloakroom_core::TokenDigest;
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use cloakroom_store::{
    EndRequest, ErrorKind, Feed, InsertRequest, Lookup, News, Observer, Parts, Selector, Store, StoreError,
    Verb,
};
use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::disk::{Disk, Mood};
use crate::{Test, block_on, kill, patient, tests};

pub(crate) const TESTS: &[Test] = tests!("feed";
    whoever_watches_is_told_before_whoever_asked_has_their_answer,
    what_somebody_does_at_a_prompt_is_told,
    what_another_process_acknowledged_is_told_by_the_next_proof,
    as_many_changes_as_are_kept_are_told_one_by_one_and_more_as_anything,
    another_file_in_its_place_may_be_anything,
    a_backup_restored_in_place_may_be_anything_also_where_it_has_all_that_was_told,
    changes_that_somebody_removed_may_have_been_anything,
    a_file_without_its_triggers_proves_nothing,
    a_file_that_is_gone_proves_nothing_until_it_is_back,
    a_proof_waits_for_no_writer,
    a_closed_store_has_said_so_and_proves_nothing,
    a_store_that_is_watched_leaves_one_file_behind_too,
    a_file_of_the_version_before_is_upgraded_and_told_of,
);

/// What was told.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Item {
    Changed(TokenDigest),
    Anything,
}

#[derive(Debug, Default)]
struct Ear(Mutex<Vec<Item>>);

impl Observer for Ear {
    fn told(&self, news: News<'_>) {
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match news {
            News::Changed(digests) => items.extend(digests.iter().copied().map(Item::Changed)),
            other => {
                assert_eq!(other, News::Anything(Parts::ALL));
                items.push(Item::Anything);
            }
        }
    }
}

/// A store that is watched.
struct Scene {
    store: SqliteStore,
    feed: Box<dyn Feed>,
    ear: Arc<Ear>,
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    fn at(directory: TempDir) -> Self {
        let store = SqliteStore::open(patient(directory.path().join("sessions.db"))).unwrap();
        let ear = Arc::new(Ear::default());
        let feed = block_on(store.watch(ear.clone())).unwrap();
        Self { store, feed, ear, directory }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("sessions.db")
    }

    /// Somebody else's connection.
    fn other(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn filed(&self, seed: u64) -> Filing {
        let filing = Fixtures::new(seed).signed_in("alice");
        block_on(insert(&self.store, &filing)).unwrap();
        filing
    }

    fn prove(&self) -> Result<Parts, StoreError> {
        block_on(self.feed.prove())
    }

    /// What was told by a proof.
    fn told(&self) -> Vec<Item> {
        assert_eq!(self.prove().unwrap(), Parts::ALL);
        self.take()
    }

    fn take(&self) -> Vec<Item> {
        std::mem::take(&mut *self.ear.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn insert(store: &SqliteStore, filing: &Filing) -> Result<(), StoreError> {
    let Filing { record, digest } = filing;
    let request = InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 };
    store.insert(request).await.map(|_| ())
}

async fn end(store: &SqliteStore, filing: &Filing) -> Result<(), StoreError> {
    let selector = Selector::One(filing.id());
    store.end(EndRequest { selector: &selector, reason: SignedOut, now: at(1) }).await.map(|_| ())
}

fn whoever_watches_is_told_before_whoever_asked_has_their_answer() {
    let scene = Scene::new();
    for seed in 0..100 {
        let filing = scene.filed(seed);
        assert_eq!(scene.take(), []);
        block_on(end(&scene.store, &filing)).unwrap();
        assert_eq!(scene.take(), [Item::Changed(filing.digest)]);
    }
}

fn what_somebody_does_at_a_prompt_is_told() {
    let scene = Scene::new();
    let other = scene.other();
    for (number, (sql, is_told)) in (0..).zip([
        ("UPDATE session SET idle_timeout = 1 WHERE digest = ?1", true),
        ("UPDATE session SET absolute_expires_at = 1 WHERE digest = ?1", true),
        ("UPDATE session SET principal = 'mallory' WHERE digest = ?1", true),
        ("UPDATE session SET body = x'00' WHERE digest = ?1", true),
        ("UPDATE session SET version = 7 WHERE digest = ?1", true),
        ("UPDATE session SET created_at = 0 WHERE digest = ?1", true),
        ("UPDATE session SET generation = 0 WHERE digest = ?1", true),
        ("UPDATE session SET id = zeroblob(16) WHERE digest = ?1", true),
        ("UPDATE session SET digest = zeroblob(34) WHERE digest = ?1", true),
        ("UPDATE session SET last_seen_at = 0 WHERE digest = ?1", true),
        ("UPDATE session SET ended_at = 1, end_reason = 'signed_out', body = NULL WHERE digest = ?1", true),
        ("DELETE FROM session WHERE digest = ?1", true),
        ("UPDATE session SET last_seen_at = last_seen_at + 1 WHERE digest = ?1", false),
        ("UPDATE session SET due_at = 0 WHERE digest = ?1", false),
        ("UPDATE session SET ip = '::1' WHERE digest = ?1", false),
    ]) {
        let filing = scene.filed(number);
        assert_eq!(other.execute(sql, [filing.digest.to_bytes()]).unwrap(), 1, "{sql}");
        let expected = if is_told { vec![Item::Changed(filing.digest)] } else { Vec::new() };
        assert_eq!(scene.told(), expected, "{sql}");
    }
    for sql in [
        "INSERT INTO epoch (issued_before, ended_at, end_reason) VALUES (1, 2, 'revoked_by_admin')",
        "UPDATE epoch SET issued_before = 9000000000000",
        "INSERT INTO epoch (ended_at, end_reason) VALUES (2, 'revoked_by_admin')",
    ] {
        other.execute(sql, []).unwrap();
        assert_eq!(scene.told(), [Item::Anything], "{sql}");
    }
    let [one, two] = [scene.filed(100), scene.filed(101)];
    other
        .execute(
            "DELETE FROM session WHERE ended_at IS NULL AND digest IN (?1, ?2)",
            params![one.digest.to_bytes(), two.digest.to_bytes(),],
        )
        .unwrap();
    let mut told = scene.told();
    told.sort_by_key(|item| if let Item::Changed(digest) = item { Some(*digest) } else { None });
    let mut expected = [one.digest, two.digest];
    expected.sort();
    assert_eq!(told, expected.map(Item::Changed));
}

/// Another process files and ends sessions as fast as it can, and says what was acknowledged.
fn what_another_process_acknowledged_is_told_by_the_next_proof() {
    let scene = Scene::new();
    let mut child = kill::start(&scene.path(), 0);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut said, mut told, mut proofs) = (Vec::new(), Vec::new(), 0);
    while said.len() < 400 {
        for line in lines.by_ref().take(20) {
            let line = line.unwrap();
            said.extend(
                line.strip_prefix("ended ").map(|number| kill::filing(number.parse().unwrap()).digest),
            );
        }
        told.extend(scene.told());
        proofs += 1;
        for digest in &said {
            assert!(told.contains(&Item::Changed(*digest)), "{digest:?} after {proofs} proofs");
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!told.contains(&Item::Anything), "nothing was missed");
}

fn as_many_changes_as_are_kept_are_told_one_by_one_and_more_as_anything() {
    let scene = Scene::new();
    let filing = scene.filed(1);
    let mut other = scene.other();
    for (changes, is_kept) in [(4_094, true), (4_095, true), (4_096, false), (9_000, false)] {
        let transaction = other.transaction().unwrap();
        for _ in 0..changes {
            transaction.execute("UPDATE session SET version = version + 1", []).unwrap();
        }
        transaction.commit().unwrap();
        let expected =
            if is_kept { vec![Item::Changed(filing.digest); changes] } else { vec![Item::Anything] };
        assert_eq!(scene.told(), expected, "{changes}");
    }
    let rows: i64 = other.query_row("SELECT count(*) FROM change", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 4_096);
}

fn another_file_in_its_place_may_be_anything() {
    let scene = Scene::new();
    scene.filed(1);
    let backup = scene.directory.path().join("backup.db");
    scene.other().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    assert_eq!(scene.told(), []);
    let later = scene.filed(2);
    for name in ["sessions.db-wal", "sessions.db-shm"] {
        fs::remove_file(scene.directory.path().join(name)).unwrap();
    }
    fs::rename(backup, scene.path()).unwrap();
    assert_eq!(scene.told(), [Item::Anything]);
    assert_eq!(block_on(scene.store.get(later.digest, T0)).unwrap(), Lookup::Unknown);
    let new = scene.filed(3);
    block_on(end(&scene.store, &new)).unwrap();
    assert_eq!(scene.told(), [Item::Changed(new.digest)], "and goes on from there");
}

/// `sqlite3 sessions.db '.restore backup.db'`.
fn a_backup_restored_in_place_may_be_anything_also_where_it_has_all_that_was_told() {
    let scene = Scene::new();
    let filing = scene.filed(1);
    block_on(end(&scene.store, &filing)).unwrap();
    assert_eq!(scene.told(), [Item::Changed(filing.digest)]);
    let backup = scene.directory.path().join("backup.db");
    scene.other().backup("main", &backup, None::<fn(rusqlite::backup::Progress)>).unwrap();
    // What only adds is not told, and there may be copies of it.
    let later = scene.filed(2);
    assert!(matches!(block_on(scene.store.get(later.digest, T0)).unwrap(), Lookup::Live(_)));
    assert_eq!(scene.told(), []);
    scene.other().restore("main", &backup, None::<fn(rusqlite::backup::Progress)>).unwrap();
    assert_eq!(block_on(scene.store.get(later.digest, T0)).unwrap(), Lookup::Unknown);
    assert_eq!(scene.told(), [Item::Anything]);
}

fn changes_that_somebody_removed_may_have_been_anything() {
    let scene = Scene::new();
    let filing = scene.filed(1);
    let other = scene.other();
    for sql in [
        "UPDATE session SET version = 7; DELETE FROM change",
        "UPDATE session SET version = 8",
        "UPDATE change SET mark = 0",
    ] {
        other.execute_batch(&format!("BEGIN; {sql}; COMMIT")).unwrap();
        assert_eq!(scene.told(), [Item::Anything], "{sql}");
    }
    block_on(end(&scene.store, &filing)).unwrap();
    assert_eq!(scene.told().len(), 1);
}

fn a_file_without_its_triggers_proves_nothing() {
    let scene = Scene::new();
    scene.other().execute_batch("DROP TRIGGER changed_session").unwrap();
    for _ in 0..2 {
        let error = scene.prove().unwrap_err();
        assert_eq!((error.kind(), error.verb()), (ErrorKind::Unavailable, Verb::Watch));
        assert!(cause(&error).contains("lacks the triggers"), "{error:?}");
    }
    assert_eq!(block_on(scene.store.watch(scene.ear.clone())).unwrap_err().kind(), ErrorKind::Unavailable);
}

fn a_file_that_is_gone_proves_nothing_until_it_is_back() {
    let scene = Scene::new();
    let elsewhere = tempfile::tempdir().unwrap();
    move_all(scene.directory.path(), elsewhere.path());
    assert!(cause(&scene.prove().unwrap_err()).contains("is gone"));
    move_all(elsewhere.path(), scene.directory.path());
    assert_eq!(scene.told(), [Item::Anything]);
}

fn a_proof_waits_for_no_writer() {
    let scene = Scene::new();
    let other = scene.other();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(scene.told(), []);
    other.execute_batch("COMMIT").unwrap();

    let disk = Disk::new();
    let options = SqliteOptions::new(disk.database()).with_answer_timeout(Duration::from_secs(60));
    let store = Arc::new(SqliteStore::open(options).unwrap());
    block_on(async {
        let feed = store.watch(Arc::new(Ear::default())).await.unwrap();
        disk.set_mood(Mood::Hanging);
        let writing = {
            let store = Arc::clone(&store);
            tokio::spawn(async move { insert(&store, &Fixtures::new(1).signed_in("alice")).await })
        };
        disk.hangs().await;
        assert_eq!(feed.prove().await.unwrap(), Parts::ALL, "nothing was acknowledged that was not told");
        disk.set_mood(Mood::Well);
        writing.await.unwrap().unwrap();
    });
}

fn a_closed_store_has_said_so_and_proves_nothing() {
    let scene = Scene::new();
    scene.store.close().unwrap();
    assert_eq!(scene.take(), [Item::Anything]);
    for error in
        [scene.prove().unwrap_err(), block_on(scene.store.watch(scene.ear.clone())).map(|_| ()).unwrap_err()]
    {
        assert_eq!((error.kind(), error.verb()), (ErrorKind::Unavailable, Verb::Watch));
        assert!(cause(&error).contains("closed"), "{error:?}");
    }
}

fn a_store_that_is_watched_leaves_one_file_behind_too() {
    let scene = Scene::new();
    let filing = scene.filed(1);
    block_on(end(&scene.store, &filing)).unwrap();
    let Scene { store, feed, directory, .. } = scene;
    drop(store);
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["sessions.db"], "the log is in the file");
    drop(feed);
}

fn a_file_of_the_version_before_is_upgraded_and_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let old = Connection::open(directory.path().join("sessions.db")).unwrap();
    old.execute_batch(include_str!("../../schema/001_sessions.sql")).unwrap();
    old.execute_batch(include_str!("../../schema/002_end_of_all.sql")).unwrap();
    old.execute_batch("PRAGMA application_id = 1668049778; PRAGMA user_version = 2").unwrap();
    let session =
        "INSERT INTO session (digest, id, created_at, last_seen_at, idle_timeout, absolute_expires_at,
                       retention, due_at, version, generation, body)
                   VALUES (?1, randomblob(16), 1, 1, 1, 1, 1, 1, 1, 0, x'00')";
    let digest = Fixtures::new(1).anonymous().digest;
    old.execute(session, [digest.to_bytes()]).unwrap();
    let scene = Scene::at(directory);
    old.execute("DELETE FROM session", []).unwrap();
    assert_eq!(scene.told(), [Item::Changed(digest)]);
}

fn cause(error: &StoreError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

fn move_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        fs::rename(from.join(&name), to.join(&name)).unwrap();
    }
}
