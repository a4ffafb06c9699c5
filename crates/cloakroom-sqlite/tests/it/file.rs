//! The file: who may read it, where it may be, what happens when it goes.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cloakroom_conformance::{Filing, Fixtures, T0};
use cloakroom_core::{SessionId, Timestamp};
use cloakroom_sqlite::SqliteStore;
use cloakroom_store::{Applied, ErrorKind, InsertRequest, Lookup, Store, StoreError, Verb};
use tempfile::TempDir;

use crate::{Test, block_on, patient, tests};

pub(crate) const TESTS: &[Test] = tests!("file";
    only_its_owner_can_read_what_is_kept,
    a_missing_directory_is_named,
    a_file_of_another_program_is_refused,
    a_file_of_a_later_version_is_refused_also_when_the_upgrade_happens_meanwhile,
    many_can_open_a_new_file_at_once,
    a_file_that_is_gone_is_an_outage_until_it_is_back,
    an_empty_file_in_its_place_is_an_outage_not_a_sign_out,
    a_closed_store_has_kept_everything_and_answers_errors,
    closing_leaves_one_file_behind,
    whoever_looks_into_the_file_sees_who_is_signed_in,
    a_row_that_has_ended_cannot_be_revived_by_hand,
);

fn only_its_owner_can_read_what_is_kept() {
    let (directory, store) = opened();
    block_on(insert(&store, &alice())).unwrap();
    let modes: Vec<u32> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0o600; 3], "the file, its log and the log's index");
}

fn a_missing_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("not").join("there");
    let error = SqliteStore::open(patient(missing.join("sessions.db"))).unwrap_err();
    assert_eq!((error.kind(), error.verb()), (ErrorKind::Unavailable, Verb::Open));
    let cause = cause(&error);
    assert!(
        cause.contains(missing.to_str().unwrap()) && cause.contains("does not exist: create it"),
        "{cause}"
    );
}

fn a_file_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("invoices.db");
    connection(&path).execute_batch("CREATE TABLE invoice (number INTEGER)").unwrap();
    let error = SqliteStore::open(patient(&path)).unwrap_err();
    assert!(cause(&error).contains("another program"), "{error:?}");
    fs::write(directory.path().join("notes.txt"), [b'x'; 5_000]).unwrap();
    let error = SqliteStore::open(patient(directory.path().join("notes.txt"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

fn a_file_of_a_later_version_is_refused_also_when_the_upgrade_happens_meanwhile() {
    let (directory, store) = opened();
    let filing = alice();
    block_on(insert(&store, &filing)).unwrap();
    let upgrade = connection(&database(&directory));
    upgrade.pragma_update(None, "user_version", 99).unwrap();
    let refused = [
        block_on(insert(&store, &bob())).unwrap_err(),
        block_on(store.get(filing.digest, T0)).unwrap_err(),
        SqliteStore::open(patient(database(&directory))).unwrap_err(),
    ];
    for error in refused {
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::No));
        assert!(cause(&error).contains("schema 99"), "{error:?}");
    }
}

fn many_can_open_a_new_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(&directory);
    let stores: Vec<SqliteStore> = std::thread::scope(|scope| {
        let open = || SqliteStore::open(patient(&path)).unwrap();
        let openings: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        openings.into_iter().map(|opening| opening.join().unwrap()).collect()
    });
    let filing = alice();
    block_on(insert(&stores[0], &filing)).unwrap();
    for store in &stores {
        assert_eq!(block_on(store.get(filing.digest, T0)).unwrap(), Lookup::Live(filing.live()));
    }
}

fn a_file_that_is_gone_is_an_outage_until_it_is_back() {
    let (directory, store) = opened();
    let (filing, later) = (alice(), bob());
    block_on(insert(&store, &filing)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    move_all(directory.path(), elsewhere.path());
    for error in [
        block_on(insert(&store, &later)).unwrap_err(),
        block_on(store.get(filing.digest, T0)).map(|_| ()).unwrap_err(),
        block_on(store.ping()).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::No));
        assert!(cause(&error).contains("is gone"), "{error:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was put in its place");
    move_all(elsewhere.path(), directory.path());
    assert_eq!(block_on(store.get(filing.digest, T0)).unwrap(), Lookup::Live(filing.live()));
    block_on(insert(&store, &later)).unwrap();
    assert_eq!(block_on(store.get(later.digest, T0)).unwrap(), Lookup::Live(later.live()));
}

fn an_empty_file_in_its_place_is_an_outage_not_a_sign_out() {
    let (directory, store) = opened();
    let filing = alice();
    block_on(insert(&store, &filing)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    move_all(directory.path(), elsewhere.path());
    fs::write(database(&directory), []).unwrap();
    for error in [
        block_on(store.get(filing.digest, T0)).map(|_| ()).unwrap_err(),
        block_on(insert(&store, &bob())).unwrap_err(),
        block_on(store.get(filing.digest, T0)).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
}

fn a_closed_store_has_kept_everything_and_answers_errors() {
    let (directory, store) = opened();
    let filing = alice();
    block_on(async {
        let (inserted, closed) = tokio::join!(insert(&store, &filing), async { store.close() });
        closed.unwrap();
        // Accepted before the store was closed, for the first was polled first.
        inserted.unwrap();
    });
    store.close().unwrap();
    for error in [
        block_on(insert(&store, &bob())).unwrap_err(),
        block_on(store.get(filing.digest, T0)).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::No));
    }
    let again = SqliteStore::open(patient(database(&directory))).unwrap();
    assert_eq!(block_on(again.get(filing.digest, T0)).unwrap(), Lookup::Live(filing.live()));
}

fn closing_leaves_one_file_behind() {
    let (directory, store) = opened();
    block_on(insert(&store, &alice())).unwrap();
    drop(store);
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["sessions.db"], "the log is in the file");
}

fn whoever_looks_into_the_file_sees_who_is_signed_in() {
    let (directory, store) = opened();
    let mut fixtures = Fixtures::new(1);
    // The view goes by the machine's clock: one session that ends in the year 2128, one that has ended, one anonymous.
    let far = Timestamp::from_millis(5_000_000_000_000);
    let filings = [
        fixtures.signed_in("alice").issued_at(far).with_ip([203, 0, 113, 9]),
        fixtures.signed_in("bob").issued_at(Timestamp::EPOCH),
        fixtures.anonymous().issued_at(far),
    ];
    for filing in &filings {
        block_on(insert(&store, filing)).unwrap();
    }
    let connection = connection(&database(&directory));
    let mut statement =
        connection.prepare("SELECT session, principal, ip, created_at FROM signed_in").unwrap();
    type Seen = (String, String, String, String);
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let seen: Vec<Seen> = statement.query_map([], read).unwrap().map(Result::unwrap).collect();
    let id: SessionId = filings[0].id();
    assert_eq!(seen, [(id.to_string(), "alice".into(), "203.0.113.9".into(), far.to_string())]);
}

fn a_row_that_has_ended_cannot_be_revived_by_hand() {
    let (directory, store) = opened();
    let filing = alice();
    block_on(async {
        insert(&store, &filing).await.unwrap();
        let selector = cloakroom_store::Selector::One(filing.id());
        let reason = cloakroom_core::EndReason::SignedOut;
        store.end(cloakroom_store::EndRequest { selector: &selector, reason, now: T0 }).await.unwrap();
    });
    let revival = "UPDATE session SET ended_at = NULL, end_reason = NULL, body = x'00'";
    let refused = connection(&database(&directory)).execute(revival, []).unwrap_err();
    assert!(refused.to_string().contains("stays as it ended"), "{refused}");
}

fn opened() -> (TempDir, SqliteStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(patient(database(&directory))).unwrap();
    (directory, store)
}

fn database(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join("sessions.db")
}

fn connection(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

fn move_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        fs::rename(from.join(&name), to.join(&name)).unwrap();
    }
}

fn alice() -> Filing {
    Fixtures::new(1).signed_in("alice")
}

fn bob() -> Filing {
    Fixtures::new(2).signed_in("bob")
}

/// What the error's source says.
fn cause(error: &StoreError) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

async fn insert(store: &SqliteStore, filing: &Filing) -> Result<(), StoreError> {
    let Filing { record, digest } = filing;
    let request = InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 };
    store.insert(request).await.map(|_| ())
}
