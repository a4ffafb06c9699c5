//! Places for a suite: a database each, on one server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cloakroom_mysql::MysqlOptions;
use cloakroom_servers::Mariadb;

pub(crate) struct Databases {
    server: Arc<Mariadb>,
    made: AtomicU32,
}

pub(crate) struct Database {
    server: Arc<Mariadb>,
    name: String,
    url: String,
}

impl Databases {
    pub(crate) fn start() -> Self {
        let server = Arc::new(Mariadb::start().expect("mariadbd starts"));
        Self { server, made: AtomicU32::default() }
    }

    pub(crate) fn another(&self) -> Database {
        let name = format!("place_{}", self.made.fetch_add(1, Ordering::Relaxed));
        let url = self.server.database(&name).expect("the server takes another database");
        Database { server: Arc::clone(&self.server), name, url }
    }
}

impl Database {
    pub(crate) fn options(&self) -> MysqlOptions {
        let options = MysqlOptions::from_url(&self.url).expect("the server says where it is");
        // Of a busy machine nothing is learnt.
        options.with_deadline(Duration::from_secs(20))
    }

    /// Changes one row by this statement.
    pub(crate) fn damage(&self, update: &str) {
        let sql = format!("{update}; SELECT ROW_COUNT()");
        assert_eq!(self.server.sql(&self.name, &sql).expect("anybody may write").trim(), "1");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Room for the other places; what is left over goes with the server.
        let _ = self.server.sql("mysql", &format!("DROP DATABASE {}", self.name));
    }
}
