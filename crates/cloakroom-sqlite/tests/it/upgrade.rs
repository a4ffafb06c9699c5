//! Files of earlier versions with people in them: each becomes today's, and nobody notices.

use std::path::Path;
use std::sync::Arc;

use cloakroom_conformance::{Ends, Residents};
use cloakroom_sqlite::{SqliteRevocations, SqliteStore};
use cloakroom_store::{Place, Reading, RevocationList, Store};
use rusqlite::Connection;

use crate::{Test, block_on, patient, tests};

pub(crate) const TESTS: &[Test] = tests!("upgrade";
    who_was_filed_before_an_upgrade_lives_or_has_ended_as_before_from_every_version,
    a_list_of_ends_is_told_as_before_after_its_file_was_upgraded,
);

/// The files of all versions.
const FILES: [&str; 5] = [
    include_str!("../../schema/001_sessions.sql"),
    include_str!("../../schema/002_end_of_all.sql"),
    include_str!("../../schema/003_changes.sql"),
    include_str!("../../schema/004_lists.sql"),
    include_str!("../../schema/005_revocations.sql"),
];

/// A file with the schema of this version.
fn file_of(version: usize, path: &Path) -> Connection {
    let file = Connection::open(path).unwrap();
    for sql in &FILES[..version] {
        file.execute_batch(sql).unwrap();
    }
    let stamp = format!("PRAGMA application_id = 1668049778; PRAGMA user_version = {version}");
    file.execute_batch(&stamp).unwrap();
    file
}

/// Files here what is in the other file, which is of the version of today: in the columns that there were then.
fn take_in(file: &Connection, version: usize, other: &Path) {
    file.execute("ATTACH ?1 AS today", [other.to_str().unwrap()]).unwrap();
    for table in ["session", "retired", "epoch", "housekeeping"] {
        let columns: Vec<String> = file
            .prepare("SELECT name FROM pragma_table_info(?1, 'main')")
            .unwrap()
            .query_map([table], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let columns = columns.join(", ");
        let copy = format!(
            "DELETE FROM main.{table}; INSERT INTO main.{table} ({columns}) SELECT {columns} FROM today.{table};"
        );
        file.execute_batch(&copy).unwrap();
    }
    if version >= 3 {
        file.execute_batch("DELETE FROM main.change; INSERT INTO main.change SELECT * FROM today.change;")
            .unwrap();
    }
    file.execute_batch("DETACH today").unwrap();
}

fn who_was_filed_before_an_upgrade_lives_or_has_ended_as_before_from_every_version() {
    for version in 1..FILES.len() {
        let directory = tempfile::tempdir().unwrap();
        let (path, today) = (directory.path().join("sessions.db"), directory.path().join("today.db"));
        let elsewhere: Arc<dyn Store> = Arc::new(SqliteStore::open(patient(&today)).unwrap());
        let residents = block_on(Residents::move_in(&elsewhere));
        drop(elsewhere);
        take_in(&file_of(version, &path), version, &today);

        let stores: Vec<Arc<dyn Store>> = std::thread::scope(|scope| {
            let open = || SqliteStore::open(patient(&path)).unwrap();
            let openings: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            let stores = openings.into_iter().map(|opening| Arc::new(opening.join().unwrap()));
            stores.map(|store| -> Arc<dyn Store> { store }).collect()
        });
        for store in &stores {
            block_on(residents.are_as_they_were(store));
        }
        block_on(residents.go_on(&stores[0]));
        let stamp =
            Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0));
        assert_eq!(stamp, Ok(5), "from version {version}");
    }
}

/// There were lists of ends only from the last version on: a file of the one before gets one, beside who is filed there.
fn a_list_of_ends_is_told_as_before_after_its_file_was_upgraded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.db");
    drop(file_of(4, &path));
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(patient(&path)).unwrap());
    let residents = block_on(Residents::move_in(&store));
    let ends = Ends::new(1).of_every_kind();
    let list = SqliteRevocations::open(patient(&path)).unwrap();
    block_on(list.add(&ends)).unwrap();
    drop(list);
    let list = SqliteRevocations::open(patient(&path)).unwrap();
    let Reading::Entries { entries, .. } = block_on(list.read(Place::START, 100)).unwrap() else {
        panic!("a short list is one page")
    };
    let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(entries, ends);
    block_on(residents.are_as_they_were(&store));
}
