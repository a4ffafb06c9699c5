//! The suite that every store passes, in schemas of their own on one server.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_conformance::{Corruption, Effort, Harness};
use cloakroom_core::TokenDigest;
use cloakroom_postgres::{PostgresOptions, PostgresStore};
use cloakroom_servers::Postgres;
use cloakroom_store::Store;

struct InPostgres {
    server: Arc<Postgres>,
    places: AtomicU64,
}

impl Harness for InPostgres {
    /// The name of a schema.
    type Place = String;

    fn place(&self) -> String {
        format!("place_{}", self.places.fetch_add(1, Ordering::Relaxed))
    }

    async fn open(&self, place: &String) -> Arc<dyn Store> {
        let options = PostgresOptions::from_url(&self.server.url()).expect("a server knows its URL");
        // Patience for a machine that is busy with other tests: none of these is about waiting.
        let options = options.with_schema(place).expect("a fitting name").with_deadline(PATIENCE);
        Arc::new(PostgresStore::connect(options).await.expect("a server of one's own can hold a store"))
    }

    async fn corrupt(&self, place: &String, digest: TokenDigest) -> Corruption {
        let digest: String = digest.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let damage = format!(
            "UPDATE {place}.session SET body = '\\x01' WHERE digest = '\\x{digest}' RETURNING 'damaged';"
        );
        let answer = self.server.sql("cloakroom", &damage).expect("an operator may do anything");
        assert_eq!(answer.trim(), "damaged", "the digest names a session");
        Corruption::Done
    }

    /// Every write is a round trip and waits for the disk.
    fn effort(&self) -> Effort {
        Effort { races: 1_000, sequences: 12 }
    }
}

fn main() -> ExitCode {
    let server = Arc::new(Postgres::start().expect("PostgreSQL is installed"));
    let harness = InPostgres { server: Arc::clone(&server), places: AtomicU64::new(0) };
    cloakroom_conformance::run("postgres", harness)
}

const PATIENCE: Duration = Duration::from_secs(30);
