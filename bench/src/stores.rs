//! The stores that are measured.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use cloakroom::Store;
use cloakroom_memory::{MemoryOptions, MemoryStore};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use serde::Serialize;

use crate::error::{Doing as _, Outcome};

/// A kind of store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// In the server's own memory.
    Memory,
    /// In a file.
    Sqlite,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Memory, Self::Sqlite];

    /// A new store of this kind; if it needs files, in `directory`.
    pub(crate) fn open(self, directory: &Path) -> Outcome<Arc<dyn Store>> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new(MemoryOptions::default().with_max_bytes(ROOM))),
            Self::Sqlite => Arc::new(
                SqliteStore::open(SqliteOptions::new(directory.join("sessions.db")))
                    .doing("opening SQLite")?,
            ),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
        })
    }
}

/// More than a million sessions need: what happens in a full store is not measured here.
const ROOM: usize = 512 << 20;
