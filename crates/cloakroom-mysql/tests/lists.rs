//! The suite that every list of ends passes, on a real server: a database for each place.

use std::process::ExitCode;
use std::sync::Arc;

use cloakroom_conformance::{Corruption, ListHarness};
use cloakroom_mysql::MysqlRevocations;
use cloakroom_store::RevocationList;
use databases::{Database, Databases};

mod databases;

impl ListHarness for Databases {
    type Place = Database;

    fn place(&self) -> Database {
        self.another()
    }

    async fn open(&self, place: &Database) -> Arc<dyn RevocationList> {
        let list = MysqlRevocations::connect(place.options()).await;
        Arc::new(list.expect("a database of one's own can hold a list"))
    }

    async fn corrupt(&self, place: &Database, number: u64) -> Corruption {
        place.damage(&format!("UPDATE revocation SET entry = x'01' WHERE number = {number}"));
        Corruption::Done
    }
}

fn main() -> ExitCode {
    cloakroom_conformance::run_lists("mysql", Databases::start())
}
