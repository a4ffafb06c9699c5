//! The suite that every list of ends passes, on files in directories of their own.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_conformance::{Corruption, ListHarness};
use cloakroom_sqlite::{SqliteOptions, SqliteRevocations};
use cloakroom_store::RevocationList;
use tempfile::TempDir;

struct Sqlite;

impl ListHarness for Sqlite {
    type Place = TempDir;

    fn place(&self) -> TempDir {
        tempfile::tempdir().expect("there is room for temporary files")
    }

    async fn open(&self, place: &TempDir) -> Arc<dyn RevocationList> {
        let options = SqliteOptions::new(place.path().join("sessions.db"));
        // Rules are not about waiting, and the disk may be busy with everything else.
        let options = options.with_answer_timeout(Duration::from_secs(60));
        Arc::new(SqliteRevocations::open(options).expect("a directory of one's own can hold a list"))
    }

    async fn corrupt(&self, place: &TempDir, number: u64) -> Corruption {
        let connection =
            rusqlite::Connection::open(place.path().join("sessions.db")).expect("the file is there");
        let damage = "UPDATE revocation SET entry = x'01' WHERE number = ?1";
        let number = i64::try_from(number).expect("numbers fit");
        assert_eq!(connection.execute(damage, [number]).expect("another process may write"), 1);
        Corruption::Done
    }
}

fn main() -> ExitCode {
    cloakroom_conformance::run_lists("sqlite", Sqlite)
}
