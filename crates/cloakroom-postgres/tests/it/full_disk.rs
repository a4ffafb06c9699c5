//! A server whose disk is full: no room for rows, or none for the log.

use std::time::Duration;

use cloakroom_conformance::{Fullness, ServerDisk, check_full_disk};
use cloakroom_servers::{Look, Postgres, Surroundings, until};
use cloakroom_store::{Applied, ErrorKind};

use crate::support::{open, runtime};

/// Its log still has room in the file that it is writing.
struct Rows(Postgres);

impl ServerDisk for Rows {
    fn fill(&self) {
        self.0.disk().fill(0).unwrap();
    }

    fn make_room(&self) {
        self.0.disk().make_room().unwrap();
    }
}

/// Its log needs another file and cannot have one: PostgreSQL gives up.
struct Log(Postgres);

impl ServerDisk for Log {
    fn fill(&self) {
        self.0.disk().fill(0).unwrap();
        let next = "SELECT pg_switch_wal(); SELECT pg_logical_emit_message(true, 'next', 'file');";
        self.0.sql("cloakroom", next).unwrap_err();
        // Until it has put its other processes out, one of them may still answer that there is no room.
        until("the server gives up", Duration::from_secs(30), || match self.0.log() {
            log if log.contains("all server processes terminated") => Look::Done(()),
            log => Look::NotYet(log),
        })
        .unwrap();
    }

    fn make_room(&self) {
        self.0.disk().make_room().unwrap();
        self.0.restart().unwrap();
    }
}

fn start() -> Postgres {
    Postgres::start_in(&Surroundings::default().with_disk(160), &[]).unwrap()
}

fn check(url: &str, disk: &impl ServerDisk) -> Fullness {
    runtime().block_on(async { check_full_disk(open(url).await, disk).await })
}

#[test]
fn a_disk_without_room_for_rows_refuses_sign_ins_and_answers_look_ups() {
    let disk = Rows(start());
    let told = check(&disk.0.url(), &disk);
    assert_eq!(told.refusals, [(ErrorKind::Full, Applied::No)], "{told:?}");
    assert_eq!(told.lookups, [], "{told:?}");
    assert!(told.ends.iter().all(|end| *end == (ErrorKind::Full, Applied::No)), "{told:?}");
}

#[test]
fn a_disk_without_room_for_the_log_stops_the_server_and_loses_nothing() {
    let disk = Log(start());
    let told = check(&disk.0.url(), &disk);
    assert!(told.refusals.iter().all(|(kind, _)| *kind == ErrorKind::Unavailable), "{told:?}");
    assert_eq!(told.lookups, [ErrorKind::Unavailable], "{told:?}");
    assert!(told.ends.iter().all(|(kind, _)| *kind == ErrorKind::Unavailable), "{told:?}");
    assert_eq!(told.fitted, 0, "{told:?}");
}
