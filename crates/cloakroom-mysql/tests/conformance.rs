//! The suite that every store passes, on a real server: a database for each place.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cloakroom_conformance::{Corruption, Effort, Harness, Suite};
use cloakroom_core::TokenDigest;
use cloakroom_mysql::{MysqlOptions, MysqlStore};
use cloakroom_servers::Mariadb;
use cloakroom_store::Store;

struct Databases {
    server: Arc<Mariadb>,
    made: AtomicU32,
}

struct Database {
    server: Arc<Mariadb>,
    name: String,
    url: String,
}

impl Drop for Database {
    fn drop(&mut self) {
        // Room for the other places; what is left over goes with the server.
        let _ = self.server.sql("mysql", &format!("DROP DATABASE {}", self.name));
    }
}

impl Harness for Databases {
    type Place = Database;

    fn place(&self) -> Database {
        let name = format!("place_{}", self.made.fetch_add(1, Ordering::Relaxed));
        let url = self.server.database(&name).expect("the server takes another database");
        Database { server: Arc::clone(&self.server), name, url }
    }

    async fn open(&self, place: &Database) -> Arc<dyn Store> {
        let options = MysqlOptions::from_url(&place.url).expect("the server says where it is");
        // Of a busy machine nothing is learnt.
        let options = options.with_deadline(Duration::from_secs(20));
        Arc::new(MysqlStore::connect(options).await.expect("a database of one's own can hold a store"))
    }

    async fn corrupt(&self, place: &Database, digest: TokenDigest) -> Corruption {
        let digest: String = digest.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let damage =
            format!("UPDATE session SET body = x'01' WHERE digest = x'{digest}'; SELECT ROW_COUNT()");
        assert_eq!(self.server.sql(&place.name, &damage).expect("anybody may write").trim(), "1");
        Corruption::Done
    }

    /// Every write waits for the disk, and every place has to be migrated.
    fn effort(&self) -> Effort {
        Effort { races: 1_000, sequences: 8 }
    }
}

fn main() -> ExitCode {
    let server = Arc::new(Mariadb::start().expect("mariadbd starts"));
    cloakroom_conformance::run_suites(vec![Suite::new(
        "mysql",
        Databases { server, made: AtomicU32::default() },
    )])
}
