//! Lists of what was ended of sealed sessions, by their address.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{OsRandom, Random as _, SealedPolicy, Timestamp};
use cloakroom_store::{
    ErrorKind, ListStanding, Place, Reading, RevocationEntry, RevocationList, StoreError, StoreFuture, Verb,
};

use crate::config::{Config, StoreUrl};
#[cfg(any(feature = "postgres", feature = "mysql", feature = "redis"))]
use crate::config::{RemoteUrl, StoreKind};
use crate::stores::not_built_in;

/// Opens the list at `url`, which answers within a bounded time from then on; a file is made where there is none.
///
/// # Errors
/// [`StoreError`] where it cannot be opened, or reached.
pub(crate) async fn open(url: &StoreUrl, config: &Config) -> Result<Arc<dyn RevocationList>, StoreError> {
    Ok(Arc::new(Bounded { list: open_bare(url, config).await?, deadline: DEADLINE }))
}

async fn open_bare(url: &StoreUrl, config: &Config) -> Result<Arc<dyn RevocationList>, StoreError> {
    match url {
        #[cfg(feature = "memory")]
        StoreUrl::Memory { .. } => Ok(Arc::new(cloakroom_memory::MemoryRevocations::default())),
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite { path } => {
            let path = path.clone().unwrap_or_else(|| config.default_revocations_path());
            let options = cloakroom_sqlite::SqliteOptions::new(path);
            let opened =
                tokio::task::spawn_blocking(|| cloakroom_sqlite::SqliteRevocations::open(options)).await;
            match opened {
                Ok(opened) => Ok(Arc::new(opened?)),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        #[cfg(any(feature = "postgres", feature = "mysql", feature = "redis"))]
        StoreUrl::Remote(url) => connect(url).await,
        // Reading an address refuses what can keep no list, by name.
        other => Err(not_built_in(kind(other))),
    }
}

#[cfg(any(feature = "postgres", feature = "mysql", feature = "redis"))]
async fn connect(url: &RemoteUrl) -> Result<Arc<dyn RevocationList>, StoreError> {
    use crate::stores::malformed;
    match url.kind() {
        #[cfg(feature = "postgres")]
        StoreKind::Postgres => {
            let options = cloakroom_postgres::PostgresOptions::from_url(url.expose());
            let options = options.map_err(|error| malformed(url, error))?;
            Ok(Arc::new(cloakroom_postgres::PostgresRevocations::connect(options).await?))
        }
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => {
            let options = cloakroom_mysql::MysqlOptions::from_url(url.expose());
            let options = options.map_err(|error| malformed(url, error))?;
            Ok(Arc::new(cloakroom_mysql::MysqlRevocations::connect(options).await?))
        }
        #[cfg(feature = "redis")]
        StoreKind::Redis => {
            let options = cloakroom_redis::RedisOptions::from_url(url.expose());
            let options = options.map_err(|error| malformed(url, error))?;
            Ok(Arc::new(cloakroom_redis::RedisRevocations::connect(options).await?))
        }
        kind => Err(not_built_in(kind.as_str())),
    }
}

fn kind(url: &StoreUrl) -> &'static str {
    match url {
        StoreUrl::Memory { .. } => "memory",
        StoreUrl::Sqlite { .. } => "sqlite",
        StoreUrl::Remote(remote) => remote.kind().as_str(),
        StoreUrl::Sealed { .. } => "sealed",
    }
}

/// A list whose answers come within a time, or not at all.
///
/// A list needs no breaker before it: one read at a time asks it for a whole node, and what adds to it is rare. The engine gives up
/// earlier on what it reads and adds; this bounds the rest, and what commands and `doctor` ask.
#[derive(Debug)]
struct Bounded {
    list: Arc<dyn RevocationList>,
    deadline: Duration,
}

impl Bounded {
    fn within<'a, T: Send + Unpin + 'a>(
        &'a self,
        verb: Verb,
        answer: StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        StoreFuture::waiting(async move {
            match tokio::time::timeout(self.deadline, answer).await {
                Ok(answered) => answered,
                // What was sent may still arrive.
                Err(_) => Err(StoreError::new(ErrorKind::Timeout, self.list.name(), verb).maybe_applied()),
            }
        })
    }
}

impl RevocationList for Bounded {
    fn name(&self) -> &'static str {
        self.list.name()
    }

    fn standing(&self) -> ListStanding {
        self.list.standing()
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        self.within(Verb::End, self.list.add(entries))
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        self.within(Verb::Watch, self.list.read(place, limit))
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        self.within(Verb::Sweep, self.list.prune(now, limit))
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        self.list.changed()
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.within(Verb::Ping, self.list.ping())
    }
}

/// Begins a list without a single entry [as a server does](RevocationEntry::of_the_beginning) that finds one.
///
/// To be done before a command adds to it. A list with an entry is taken for one that remembers, and whoever was signed out
/// before it was emptied would be let in again.
///
/// # Errors
/// [`StoreError`] where it cannot be read or added to.
pub(crate) async fn begin(
    list: &dyn RevocationList,
    now: Timestamp,
    config: &Config,
) -> Result<(), StoreError> {
    let is_empty = match list.read(Place::START, 1).await? {
        Reading::Entries { entries, .. } => entries.is_empty(),
        Reading::Lost => false,
    };
    if !is_empty {
        return Ok(());
    }
    let mut nonce = [0; 8];
    OsRandom
        .fill(&mut nonce)
        .map_err(|error| StoreError::new(ErrorKind::Internal, list.name(), Verb::End).caused_by(error))?;
    let longest_life = SealedPolicy::default().longest_life(&config.policy);
    list.add(&[RevocationEntry::of_the_beginning(now, longest_life, u64::from_be_bytes(nonce))]).await
}

/// As long as a store is waited for that keeps sessions.
const DEADLINE: Duration = Duration::from_secs(8);
