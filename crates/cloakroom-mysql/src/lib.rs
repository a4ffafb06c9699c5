//! Cloakroom sessions in MySQL or MariaDB.

mod connect;
mod database;
mod error;
mod facts;
mod map;
mod options;
mod schema;
mod store;
mod url;
mod verb;

pub use facts::MysqlFacts;
pub use options::{MysqlOptions, TlsMode, UrlError};
pub use store::MysqlStore;

/// The name of this store in errors, logs and metrics.
const NAME: &str = "mysql";
