//! The suite that every store passes, on a real server: a database for each place.

use std::process::ExitCode;
use std::sync::Arc;

use cloakroom_conformance::{Corruption, Effort, Harness, Suite};
use cloakroom_core::TokenDigest;
use cloakroom_mysql::MysqlStore;
use cloakroom_store::Store;
use databases::{Database, Databases};

mod databases;

impl Harness for Databases {
    type Place = Database;

    fn place(&self) -> Database {
        self.another()
    }

    async fn open(&self, place: &Database) -> Arc<dyn Store> {
        let store = MysqlStore::connect(place.options()).await;
        Arc::new(store.expect("a database of one's own can hold a store"))
    }

    async fn corrupt(&self, place: &Database, digest: TokenDigest) -> Corruption {
        let digest: String = digest.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        place.damage(&format!("UPDATE session SET body = x'01' WHERE digest = x'{digest}'"));
        Corruption::Done
    }

    /// Every write waits for the disk, and every place has to be migrated.
    fn effort(&self) -> Effort {
        Effort { races: 1_000, sequences: 8 }
    }
}

fn main() -> ExitCode {
    cloakroom_conformance::run_suites(vec![Suite::new("mysql", Databases::start())])
}
