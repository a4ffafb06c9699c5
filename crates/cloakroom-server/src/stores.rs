//! Stores by URL.

use std::sync::Arc;

use cloakroom::{GuardPolicy, GuardedStore, MovingStore, Sessions, SessionsBuilder};
use cloakroom_audit::AuditLog;
use cloakroom_store::{ErrorKind, Store, StoreError, Verb};

#[cfg(any(feature = "postgres", feature = "mysql", feature = "redis", feature = "memcached"))]
use crate::config::StoreKind;
use crate::config::{Config, RemoteUrl, StoreUrl};

/// A store, and the guards between it and who asks.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What guards it against its outages: none where it lives in the server, two while sessions are being moved.
    pub guards: Vec<Arc<GuardedStore>>,
}

/// Opens the store that the configuration names, guarded against its outages where it has any; a file is made where there
/// is none.
///
/// # Errors
/// [`StoreError`] where it cannot be opened, or reached.
pub async fn open(config: &Config) -> Result<Opened, StoreError> {
    let opened = open_guarded(&config.store, config).await?;
    let Some(from) = &config.store_moving_from else { return Ok(opened) };
    let from = open_guarded(from, config).await?;
    let store = Arc::new(MovingStore::new(from.store, opened.store));
    Ok(Opened { store, guards: [opened.guards, from.guards].concat() })
}

async fn open_guarded(url: &StoreUrl, config: &Config) -> Result<Opened, StoreError> {
    let store = open_bare(url, config).await?;
    if url.is_in_the_server() {
        return Ok(Opened { store, guards: Vec::new() });
    }
    let guard = Arc::new(GuardedStore::shared(store, GuardPolicy::default()));
    Ok(Opened { store: guard.clone(), guards: vec![guard] })
}

/// Opens a store without a guard, for commands that ask it once and want to hear what it says itself.
///
/// # Errors
/// [`StoreError`] where it cannot be opened, or reached.
pub async fn open_bare(url: &StoreUrl, config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        #[cfg(feature = "memory")]
        StoreUrl::Memory { max_bytes } => {
            let options = cloakroom_memory::MemoryOptions::default();
            let options = match max_bytes {
                Some(bytes) => options.with_max_bytes(usize::try_from(*bytes).unwrap_or(usize::MAX)),
                None => options,
            };
            Ok(Arc::new(cloakroom_memory::MemoryStore::new(options)))
        }
        #[cfg(not(feature = "memory"))]
        StoreUrl::Memory { .. } => Err(not_built_in("memory")),
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite { path } => {
            let path = path.clone().unwrap_or_else(|| config.default_sessions_path());
            let open = || cloakroom_sqlite::SqliteStore::open(cloakroom_sqlite::SqliteOptions::new(path));
            match tokio::task::spawn_blocking(open).await {
                Ok(opened) => Ok(Arc::new(opened?)),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        #[cfg(not(feature = "sqlite"))]
        StoreUrl::Sqlite { .. } => Err(not_built_in("sqlite")),
        StoreUrl::Remote(url) => connect(url).await,
        // Another promise: it keeps no records.
        StoreUrl::Sealed { .. } => Err(StoreError::new(ErrorKind::Unsupported, "sealed", Verb::Open)),
    }
}

/// An engine for commands that run beside a server, over the store that the configuration names: without upkeep.
///
/// `None` where such a command could see no session: the store lives inside the server, or was never made. Asking makes
/// none.
///
/// # Errors
/// [`StoreError`] where the store cannot be opened, or reached.
pub async fn beside_the_server(config: &Config) -> Result<Option<Sessions>, StoreError> {
    beside(config, None).await
}

/// As [`beside_the_server`]; what the engine does is told to `log`.
///
/// # Errors
/// As [`beside_the_server`].
pub async fn beside_the_server_telling(
    config: &Config,
    log: AuditLog,
) -> Result<Option<Sessions>, StoreError> {
    beside(config, Some(log)).await
}

async fn beside(config: &Config, log: Option<AuditLog>) -> Result<Option<Sessions>, StoreError> {
    let is_unmade = config.sessions_path().is_some_and(|path| !path.exists());
    if config.store.is_in_the_server() || (is_unmade && config.store_moving_from.is_none()) {
        return Ok(None);
    }
    let builder = Sessions::builder_shared(open(config).await?.store).policy(config.policy.clone());
    let builder = builder.near_cache(config.near_cache);
    let builder = log.into_iter().fold(builder, SessionsBuilder::events);
    Ok(Some(builder.build().expect("a configuration has a policy that can be kept")))
}

/// What a store's server says of itself that somebody who runs it should know, a sentence each.
///
/// # Errors
/// [`StoreError`] where it cannot be reached.
pub async fn weaknesses(url: &StoreUrl) -> Result<Vec<String>, StoreError> {
    match url {
        #[cfg(feature = "postgres")]
        StoreUrl::Remote(url) if url.kind() == StoreKind::Postgres => {
            Ok(postgres(url).await?.facts().await?.warnings())
        }
        #[cfg(feature = "redis")]
        StoreUrl::Remote(url) if url.kind() == StoreKind::Redis => {
            Ok(redis(url).await?.facts().await?.warnings())
        }
        #[cfg(feature = "mysql")]
        StoreUrl::Remote(url) if url.kind() == StoreKind::Mysql => {
            Ok(mysql(url).await?.facts().await?.warnings())
        }
        _ => Ok(Vec::new()),
    }
}

/// Whether trying again to open a store may help: it could not be reached, or did not answer.
#[must_use]
pub fn may_come_up(error: &StoreError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

async fn connect(url: &RemoteUrl) -> Result<Arc<dyn Store>, StoreError> {
    match url.kind() {
        #[cfg(feature = "postgres")]
        StoreKind::Postgres => Ok(Arc::new(postgres(url).await?)),
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => Ok(Arc::new(mysql(url).await?)),
        #[cfg(feature = "redis")]
        StoreKind::Redis => Ok(Arc::new(redis(url).await?)),
        #[cfg(feature = "memcached")]
        StoreKind::Memcached => {
            use cloakroom_memcached::{MemcachedOptions, MemcachedStore};
            let options = MemcachedOptions::from_url(url.expose()).map_err(|error| malformed(url, error))?;
            Ok(Arc::new(MemcachedStore::connect(options).await?))
        }
        // Reading an address refuses these already, by name.
        #[cfg(not(all(feature = "postgres", feature = "mysql", feature = "redis", feature = "memcached")))]
        kind => Err(not_built_in(kind.as_str())),
    }
}

#[cfg(feature = "postgres")]
async fn postgres(url: &RemoteUrl) -> Result<cloakroom_postgres::PostgresStore, StoreError> {
    let options = cloakroom_postgres::PostgresOptions::from_url(url.expose());
    cloakroom_postgres::PostgresStore::connect(options.map_err(|error| malformed(url, error))?).await
}

#[cfg(feature = "mysql")]
async fn mysql(url: &RemoteUrl) -> Result<cloakroom_mysql::MysqlStore, StoreError> {
    let options = cloakroom_mysql::MysqlOptions::from_url(url.expose());
    cloakroom_mysql::MysqlStore::connect(options.map_err(|error| malformed(url, error))?).await
}

#[cfg(feature = "redis")]
async fn redis(url: &RemoteUrl) -> Result<cloakroom_redis::RedisStore, StoreError> {
    let options = cloakroom_redis::RedisOptions::from_url(url.expose());
    cloakroom_redis::RedisStore::connect(options.map_err(|error| malformed(url, error))?).await
}

/// An address that was read when the configuration was cannot fail to be read again, but for a file it names.
#[cfg(any(feature = "postgres", feature = "mysql", feature = "redis", feature = "memcached"))]
fn malformed(url: &RemoteUrl, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::new(ErrorKind::Internal, url.kind().as_str(), Verb::Open).caused_by(error)
}

#[cfg(not(all(
    feature = "memory",
    feature = "sqlite",
    feature = "postgres",
    feature = "mysql",
    feature = "redis",
    feature = "memcached"
)))]
fn not_built_in(store: &'static str) -> StoreError {
    StoreError::new(ErrorKind::Unsupported, store, Verb::Open)
}
