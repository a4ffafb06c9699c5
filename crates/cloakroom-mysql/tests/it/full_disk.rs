//! A server whose disk is full.

use cloakroom_conformance::{ServerDisk, check_full_disk};
use cloakroom_servers::{Mariadb, Surroundings};
use cloakroom_store::ErrorKind;

use crate::support::{open, runtime};

struct Disk(Mariadb);

impl ServerDisk for Disk {
    fn fill(&self) {
        self.0.disk().fill(0).unwrap();
    }

    fn make_room(&self) {
        self.0.disk().make_room().unwrap();
        if self.0.sql("cloakroom", "SELECT 1;").is_err() {
            self.0.restart().unwrap();
        }
    }
}

/// A statement for which there is no room is rolled back, for which InnoDB may need room as well: then MariaDB ends itself
/// (`[FATAL] InnoDB: Error (Out of disk space) in rollback`, seen with 10.11). Whether it does is not ours to say; what was
/// acknowledged is there again once it is started with room.
#[test]
fn a_full_disk_refuses_sign_ins_and_may_stop_the_server_but_loses_and_revives_nothing() {
    let disk = Disk(Mariadb::start_in(&Surroundings::default().with_disk(200), &[]).unwrap());
    let told = runtime().block_on(async { check_full_disk(open(&disk.0.url()).await, &disk).await });
    let gone = |kind: &ErrorKind| matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout);
    let expected = |kind: &ErrorKind| *kind == ErrorKind::Full || gone(kind);
    assert!(told.refusals.iter().all(|(kind, _)| expected(kind)), "{told:?}");
    assert!(told.ends.iter().all(|(kind, _)| expected(kind)), "{told:?}");
    assert!(told.lookups.iter().all(gone), "{told:?}");
}
