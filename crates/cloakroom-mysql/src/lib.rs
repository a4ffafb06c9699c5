//! Cloakroom sessions in MySQL or MariaDB: durable, readable tables, migrated in place.
//!
//! ```no_run
//! use cloakroom_mysql::{MysqlOptions, MysqlStore};
//!
//! # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
//! let options = MysqlOptions::from_url("mysql://shop:secret@db.example.org/sessions")?;
//! let store = MysqlStore::connect(options).await?;
//! for warning in store.facts().await?.warnings() {
//!     tracing::warn!("{warning}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it keeps
//! - What was acknowledged is committed. With `innodb_flush_log_at_trx_commit = 1`, the default of both, it is on the disk:
//!   it survives `kill -9` and a power cut, ends of sessions included. [`MysqlFacts`] tells where that is not so.
//! - Every verb is one transaction, on every node's account. A limit is exact however many sign in at once.
//! - A read sees everything that was acknowledged before it was asked, by whichever node; on the server it asks. A replica
//!   is behind, and a fail-over to one that had not received an end revives that session: use a replica that has what the
//!   primary acknowledged, or end everything issued before the fail-over.
//! - A server that is down, stopped, full or read-only answers errors within the deadline, and is used again when it is
//!   well; nobody has to restart anything. Nothing in doubt is repeated; what the server has undone (a deadlock) is.
//! - A damaged record fails alone.
//!
//! # How
//! One table of sessions, live and ended: ending changes a row, so that digest and id stay taken. State changes are stored
//! procedures, so that each is one statement whole on the server, and no transaction of ours ever spans two statements: a
//! caller that goes away, or a link that breaks, cannot leave half a change behind. A connection goes back to the pool only
//! after an exchange that came to its end; after anything else it is closed. Whoever locks several sessions locks them in
//! the order of their digests. The end of everything is a row that every read compares with.
//!
//! # Cost
//! Statements by the server's own count (`tests/it/cost.rs`): one for each verb; two where a change was not made and its
//! caller is told why, and for the last page of sessions of an export. 800 to 1 000 bytes on disk for a signed-in session,
//! indexes included. No verb but `count` looks at more rows than it answers with; the end of everything counts what it ended
//! to a quarter of a million.

mod beside;
mod connect;
mod database;
mod error;
mod facts;
mod map;
mod options;
mod patience;
mod revocations;
mod schema;
mod store;
mod url;
mod verb;

pub use beside::{MysqlError, MysqlPool, MysqlTransaction};
pub use database::Answer;
pub use facts::MysqlFacts;
/// What answers and parameters of a [`MysqlPool`] are made of: the driver's.
pub use mysql_async::{Row, Value, prelude::FromValue};
pub use options::{MysqlOptions, TlsMode, UrlError};
pub use revocations::MysqlRevocations;
pub use schema::{MysqlPlan, MysqlStep};
pub use store::MysqlStore;

/// The name of this store in errors, logs and metrics.
const NAME: &str = "mysql";
