//! A server whose disk is full: it cannot write to its append-only file.

use std::sync::Arc;

use cloakroom_conformance::{ServerDisk, check_full_disk};
use cloakroom_servers::{Redis, Surroundings};
use cloakroom_store::{Applied, ErrorKind};

use super::{open, run};

struct Disk(Redis);

impl Disk {
    fn of_a_server_that_syncs(policy: &str) -> Self {
        let small = Surroundings::default().with_disk(8);
        Self(Redis::start_in(&small, &["--appendfsync", policy]).unwrap())
    }
}

impl ServerDisk for Disk {
    fn fill(&self) {
        self.0.disk().fill(0).unwrap();
    }

    fn make_room(&self) {
        self.0.disk().make_room().unwrap();
        if self.0.command(&["PING"]).is_err() {
            self.0.restart().unwrap();
        }
    }
}

#[test]
fn a_full_disk_refuses_sign_ins_and_sign_outs_answers_look_ups_and_loses_nothing() {
    let disk = Disk::of_a_server_that_syncs("everysec");
    let first = disk.0.pid();
    let told = run(async { check_full_disk(Arc::new(open(&disk.0.url()).await), &disk).await });
    assert_eq!(told.refusals, [(ErrorKind::Full, Applied::No)], "{told:?}");
    assert_eq!(told.lookups, [], "{told:?}");
    assert_eq!(told.ends, [(ErrorKind::Full, Applied::No)], "{told:?}");
    assert_eq!(disk.0.pid(), first, "it runs on");
}

#[test]
fn a_server_that_syncs_each_write_gives_up_on_a_full_disk_and_loses_nothing() {
    let disk = Disk::of_a_server_that_syncs("always");
    let told = run(async { check_full_disk(Arc::new(open(&disk.0.url()).await), &disk).await });
    let unavailable = |kind: &ErrorKind| *kind == ErrorKind::Unavailable;
    assert!(told.refusals.iter().all(|(kind, _)| unavailable(kind)), "{told:?}");
    assert_eq!((told.fitted, &told.lookups[..]), (0, &[ErrorKind::Unavailable][..]), "{told:?}");
    assert!(!told.ends.is_empty() && told.ends.iter().all(|(kind, _)| unavailable(kind)), "{told:?}");
}
