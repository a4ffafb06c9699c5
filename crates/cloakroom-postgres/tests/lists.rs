//! The suite that every list of ends passes, in schemas of their own on one server.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_conformance::{Corruption, ListHarness};
use cloakroom_postgres::{PostgresOptions, PostgresRevocations};
use cloakroom_servers::Postgres;
use cloakroom_store::RevocationList;

struct InPostgres {
    server: Arc<Postgres>,
    places: AtomicU64,
}

impl ListHarness for InPostgres {
    /// The name of a schema.
    type Place = String;

    fn place(&self) -> String {
        format!("place_{}", self.places.fetch_add(1, Ordering::Relaxed))
    }

    async fn open(&self, place: &String) -> Arc<dyn RevocationList> {
        let options = PostgresOptions::from_url(&self.server.url()).expect("a server knows its URL");
        // Patience for a machine that is busy with other tests: none of these is about waiting.
        let options = options.with_schema(place).expect("a fitting name").with_deadline(PATIENCE);
        Arc::new(PostgresRevocations::connect(options).await.expect("a server of one's own can hold a list"))
    }

    async fn corrupt(&self, place: &String, number: u64) -> Corruption {
        let damage = format!(
            "UPDATE {place}.revocation SET entry = '\\x01' WHERE number = {number} RETURNING 'damaged';"
        );
        let answer = self.server.sql("cloakroom", &damage).expect("an operator may do anything");
        assert_eq!(answer.trim(), "damaged", "the number is that of an entry");
        Corruption::Done
    }
}

fn main() -> ExitCode {
    let server = Arc::new(Postgres::start().expect("PostgreSQL is installed"));
    let harness = InPostgres { server: Arc::clone(&server), places: AtomicU64::new(0) };
    cloakroom_conformance::run_lists("postgres", harness)
}

const PATIENCE: Duration = Duration::from_secs(30);
