//! The suite that every store passes, on files in directories of their own.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_conformance::{Corruption, Effort, Harness};
use cloakroom_core::TokenDigest;
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use cloakroom_store::Store;
use tempfile::TempDir;

struct Sqlite;

impl Harness for Sqlite {
    type Place = TempDir;

    fn place(&self) -> TempDir {
        tempfile::tempdir().expect("there is room for temporary files")
    }

    async fn open(&self, place: &TempDir) -> Arc<dyn Store> {
        let options = SqliteOptions::new(place.path().join("sessions.db"));
        // Rules are not about waiting, and the disk may be busy with everything else.
        let options = options.with_answer_timeout(Duration::from_secs(60));
        Arc::new(SqliteStore::open(options).expect("a directory of one's own can hold a store"))
    }

    async fn corrupt(&self, place: &TempDir, digest: TokenDigest) -> Corruption {
        let connection =
            rusqlite::Connection::open(place.path().join("sessions.db")).expect("the file is there");
        let damage = "UPDATE session SET body = x'01' WHERE digest = ?1";
        let rows = connection.execute(damage, [digest.to_bytes()]).expect("another process may write");
        assert_eq!(rows, 1, "the digest names a session");
        Corruption::Done
    }

    /// Every write waits for the disk.
    fn effort(&self) -> Effort {
        Effort { races: 10_000, sequences: 64 }
    }
}

fn main() -> ExitCode {
    cloakroom_conformance::run("sqlite", Sqlite)
}
