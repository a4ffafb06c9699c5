//! Cloakroom sessions in PostgreSQL.

mod connect;
mod database;
mod error;
mod lanes;
mod map;
mod options;
mod patience;
mod schema;
mod store;
mod tls;
mod url;
mod verb;

pub use options::{PostgresOptions, TlsMode, UrlError};
pub use store::PostgresStore;

/// The name of this store in errors, logs and metrics.
const NAME: &str = "postgres";
