//! Where accounts can be: a file, or a database of its own on a real server.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use cloakroom_server::accounts::{self, AccountStore};
use cloakroom_server::config::{Config, Loaded, Sources};
use cloakroom_servers::{Mariadb, Postgres};

/// A kind of database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Mysql,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::Mysql];
    pub(crate) const ON_SERVERS: [Self; 2] = [Self::Postgres, Self::Mysql];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }
}

/// Wraps what is opened, for the tests of the tests.
pub(crate) type Wrap = fn(Arc<dyn AccountStore>) -> Arc<dyn AccountStore>;

/// An empty place for accounts, which several nodes may open.
pub(crate) struct Place {
    config: Config,
    wrap: Wrap,
    _dir: Option<tempfile::TempDir>,
}

impl Place {
    /// Patience for a machine that is busy with other tests: the suite is not about waiting.
    pub(crate) fn new(kind: Kind) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("accounts_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        match kind {
            Kind::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}", dir.path().join("accounts.db").display());
                Self { _dir: Some(dir), ..Self::at(&url) }
            }
            Kind::Postgres | Kind::Mysql => Self::at(&url(kind, &name)),
        }
    }

    pub(crate) fn at(url: &str) -> Self {
        let text = format!("accounts = \"{url}\"");
        let config = Loaded::from_sources(&Sources::of_text(&text)).unwrap().config;
        Self { config, wrap: |store| store, _dir: None }
    }

    pub(crate) fn wrapped(self, wrap: Wrap) -> Self {
        Self { wrap, ..self }
    }

    /// Another node's way in.
    pub(crate) async fn node(&self) -> Arc<dyn AccountStore> {
        (self.wrap)(accounts::open(&self.config).await.unwrap())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }
}

/// The address of an empty database of this name, on a server that several tests share.
pub(crate) fn url(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Sqlite => unreachable!("a file is on no server"),
        Kind::Postgres => format!("{}?schema={name}&deadline=30s", POSTGRES.url()),
        Kind::Mysql => format!("{}?deadline=30s", MARIADB.database(name).unwrap()),
    }
}

/// Servers for the tests that do them no harm. They end with this process.
static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| Postgres::start().unwrap());
static MARIADB: LazyLock<Mariadb> = LazyLock::new(|| Mariadb::start().unwrap());
