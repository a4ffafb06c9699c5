//! Cloakroom's embedded default: sessions in one SQLite file.
//!
//! ```no_run
//! use cloakroom_sqlite::{SqliteOptions, SqliteStore};
//!
//! let store = SqliteStore::open(SqliteOptions::new("cloakroom-data/sessions.db"))?;
//! # Ok::<(), cloakroom_store::StoreError>(())
//! ```
//!
//! # What it keeps
//! - What was acknowledged is on the disk: it survives `kill -9` and a power cut, ends of sessions included.
//! - Several processes may use one file at once, the command line beside the server for example. Whatever decides
//!   something decides it inside a write transaction.
//! - A read sees everything that was acknowledged before it was asked, by whichever process.
//! - A file that is lost, full, locked or read-only answers errors, within a bounded time, and is used again when it is
//!   well again; nobody has to restart anything. A lost file is never replaced by an empty one while the store is open.
//! - A damaged record fails alone.
//!
//! The file has to be on a local disk: SQLite's write-ahead log needs shared memory.
//!
//! # How
//! One thread writes. It takes whatever waits, up to 512 operations, into one transaction, each behind a savepoint, and
//! answers all of them after the commit, that is after one `fsync`. A few threads read, each with a connection of its
//! own. Nothing in here blocks an async task, needs a runtime, or reads a clock.
//!
//! Live and ended sessions are rows of one table: an end changes its row and takes the record out of it. The end of
//! everything is a row of its own that every read compares with. The instant of a session's last activity is in no
//! index; what the sweeper goes by instead is an instant at which the session *may* be over, which it moves when it
//! comes by too early. So a touch writes one page, and a sweep looks at what is due instead of at everything.
//!
//! Triggers write every change into a ring of 4096 rows, whoever makes it. Whoever [watches](cloakroom_store::Store::watch) is told
//! from there: of this process's changes by the writing thread, before the answer; of others' by a thread that looks
//! every 5 to 25 ms while somebody watches, and whenever a proof is asked for, which then costs 15 µs.
//!
//! # Cost
//! At a million sessions, on two shared cores: a `get` 10 to 20 µs of processor time, some ten thousand writes a second
//! from many tasks, 0.3 ms for one alone (the `fsync`); while operations wait, a checkpoint of a tenth of a second every
//! 64 MiB of log. `count` and the end of everything go through an index, 0.1 to 0.2 µs for each live session; 1 000
//! sessions swept hold writers up for 20 ms. A page of a list costs what is on it, except with an address in its filter,
//! which no index knows (1 µs for each session). 530 bytes on disk for a signed-in session with a small attribute.
//! A page of an `export` goes through its rows in the order of filing, a session after the other, then exchanged tokens; an
//! `import` is a write like any other.
//!
//! # When the disk is full
//! Reads go on. Writes answer `Full` and leave nothing behind. A log that fills the disk is moved into the file, so that ends
//! and activity, which need no room there, go on; but not where the log holds new sessions for which the file has none: then
//! ends answer `Full` too. Nobody is put out for want of room. With room again, everything goes on by itself.
//!
//! # Seen from outside
//! ```text
//! $ sqlite3 cloakroom-data/sessions.db 'SELECT * FROM signed_in'
//! ses_AAECAwQFBgcICQoLDA0ODw|alice|203.0.113.9|2026-03-01T09:30:00.000Z|2026-03-01T09:41:12.345Z|…
//! ```
//! The file is readable by its owner only. It holds digests of tokens, never tokens.

mod database;
mod epoch;
mod error;
mod feed;
mod follower;
mod hints;
mod map;
mod options;
mod patience;
mod queue;
mod reader;
mod revocations;
mod schema;
mod store;
mod threads;
mod transaction;
mod verb;
mod writer;

pub use options::SqliteOptions;
pub use revocations::SqliteRevocations;
pub use store::SqliteStore;

/// The name of this store in errors, logs and metrics.
const NAME: &str = "sqlite";
