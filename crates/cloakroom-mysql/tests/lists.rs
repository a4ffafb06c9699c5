//! The suite that every list of ends passes, on a real server: a database for each place.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cloakroom_conformance::{Corruption, ListHarness, ListSuite};
use cloakroom_mysql::{MysqlOptions, MysqlRevocations};
use cloakroom_servers::Mariadb;
use cloakroom_store::RevocationList;

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

impl ListHarness for Databases {
    type Place = Database;

    fn place(&self) -> Database {
        let name = format!("place_{}", self.made.fetch_add(1, Ordering::Relaxed));
        let url = self.server.database(&name).expect("the server takes another database");
        Database { server: Arc::clone(&self.server), name, url }
    }

    async fn open(&self, place: &Database) -> Arc<dyn RevocationList> {
        let options = MysqlOptions::from_url(&place.url).expect("the server says where it is");
        // Of a busy machine nothing is learnt.
        let options = options.with_deadline(Duration::from_secs(20));
        Arc::new(MysqlRevocations::connect(options).await.expect("a database of one's own can hold a list"))
    }

    async fn corrupt(&self, place: &Database, number: u64) -> Corruption {
        let damage =
            format!("UPDATE revocation SET entry = x'01' WHERE number = {number}; SELECT ROW_COUNT()");
        assert_eq!(self.server.sql(&place.name, &damage).expect("anybody may write").trim(), "1");
        Corruption::Done
    }
}

fn main() -> ExitCode {
    let server = Arc::new(Mariadb::start().expect("mariadbd starts"));
    let databases = Databases { server, made: AtomicU32::default() };
    cloakroom_conformance::run_list_suites(vec![ListSuite::new("mysql", databases)])
}
