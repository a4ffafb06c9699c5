//! Cloakroom sessions in PostgreSQL: durable, shared by any number of nodes, in tables that people can read.
//!
//! ```no_run
//! use cloakroom_postgres::{PostgresOptions, PostgresStore};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let options = PostgresOptions::from_url("postgres://shop:secret@db.example.org/shop")?;
//! let store = PostgresStore::connect(options).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it keeps
//! - What was acknowledged is committed with `synchronous_commit=on`: it survives `kill -9` and power cuts of the server. A
//!   fail-over to an asynchronous standby can lose the last moment, ends included; to a synchronous one nothing.
//! - Limits are exact, however many nodes sign in at once; what one node ended no other one lets in.
//! - Every verb answers within the deadline, whatever the server does. The server gives up first: what it gave up was not
//!   applied. Only where the connection breaks, or nobody answers, an error says that a write is in doubt, and nothing in
//!   doubt is repeated.
//! - Connections heal by themselves, to whichever of several hosts takes writes.
//! - A full disk is [`Full`](cloakroom_store::ErrorKind::Full), a standby [`ReadOnly`](cloakroom_store::ErrorKind::ReadOnly);
//!   neither signs anybody out. A damaged record fails alone.
//!
//! # How
//! Look-ups are pipelined over a few shared connections. Everything else takes a connection of a pool, one statement at a
//! time, each prepared once. A statement is a transaction: no caller that goes away half-way leaves one open. What has to be
//! decided under a lock is a function in the schema (`schema/002_verbs.sql`); every change of a session goes through one of
//! those, or through one place in this crate.
//!
//! News of changes are rows in a list, written by triggers in the transaction of the change and read from one snapshot to the
//! next: whoever watches misses none, however late it commits, and nobody who writes waits for it.
//!
//! # Cost
//! One statement for each verb, two for the end of everything (the second one counts) and for an export's last page. 900 bytes
//! on disk for a signed-in session with a device. A touch writes the page of its row and no index. `count` and the count after
//! an end of everything go through an index, half a microsecond for each session.
//!
//! # Tables
//! `session` (live and ended), `retired` (exchanged tokens), `epoch` (ends of everything), `change` (news, for a minute), four
//! of one row each, and the view `active_sessions` for people. Migrated in place, in one transaction, by one node at a time. Operators find rights, vacuum,
//! poolers and fail-over in the book.

mod beside;
mod connect;
mod connections;
mod database;
mod ears;
mod error;
mod facts;
mod feed;
mod indexes;
mod lanes;
mod map;
mod options;
mod patience;
mod revocations;
mod schema;
mod store;
mod tls;
mod url;
mod verb;

pub use beside::{PostgresError, PostgresPool, PostgresTransaction};
pub use database::Parameters;
pub use facts::PostgresFacts;
pub use options::{PostgresOptions, TlsMode, UrlError};
pub use revocations::PostgresRevocations;
pub use schema::PostgresPlan;
pub use store::PostgresStore;
/// What answers and parameters of a [`PostgresPool`] are made of: the driver's.
pub use tokio_postgres::{
    Row,
    types::{FromSql, ToSql},
};

/// The name of this store in errors, logs and metrics.
const NAME: &str = "postgres";
