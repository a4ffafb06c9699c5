//! Stores by URL.

use std::fmt;
use std::sync::Arc;

use cloakroom::{GuardPolicy, GuardedStore, MovingStore, Sessions, Timestamp};
#[cfg(feature = "sealed")]
use cloakroom::{Replay, SealedPolicy, SessionsBuilder, WhenUnreachable};
use cloakroom_audit::AuditLog;
use cloakroom_store::{ErrorKind, Store, StoreError, Verb};
#[cfg(feature = "sealed")]
use cloakroom_store::{RevocationList, Sealing};

#[cfg(any(feature = "postgres", feature = "mysql", feature = "redis", feature = "memcached"))]
use crate::config::StoreKind;
use crate::config::{Config, RemoteUrl, StoreUrl};
#[cfg(feature = "sealed")]
use crate::lists;

/// Where sessions are, and the guards between it and who asks.
#[derive(Debug)]
pub struct Opened {
    /// Where they are.
    pub keeping: Keeping,
    /// What guards it against its outages: none where it lives in the server, two while sessions are being moved.
    pub guards: Vec<Arc<GuardedStore>>,
}

/// Where sessions are.
#[derive(Clone, Debug)]
pub enum Keeping {
    /// In a store.
    Records(Arc<dyn Store>),
    /// Sealed, in their cookies; what was ended is in this list, where there is one.
    #[cfg(feature = "sealed")]
    Cookies(Option<Arc<dyn RevocationList>>),
}

/// Opens the store that the configuration names, guarded against its outages where it has any; a file is made where there
/// is none.
///
/// # Errors
/// [`StoreError`] where it cannot be opened, or reached.
pub async fn open(config: &Config) -> Result<Opened, StoreError> {
    #[cfg(feature = "sealed")]
    if let StoreUrl::Sealed { revocations } = &config.store {
        let list = match revocations {
            Some(url) => Some(Box::pin(lists::open(url, config)).await?),
            None => None,
        };
        return Ok(Opened { keeping: Keeping::Cookies(list), guards: Vec::new() });
    }
    let (store, guards) = open_guarded(&config.store, config).await?;
    let Some(from) = &config.store_moving_from else {
        return Ok(Opened { keeping: Keeping::Records(store), guards });
    };
    let (old, guards_of_old) = open_guarded(from, config).await?;
    let moving = Arc::new(MovingStore::new(old, store));
    Ok(Opened { keeping: Keeping::Records(moving), guards: [guards, guards_of_old].concat() })
}

type Guarded = (Arc<dyn Store>, Vec<Arc<GuardedStore>>);

async fn open_guarded(url: &StoreUrl, config: &Config) -> Result<Guarded, StoreError> {
    let store = open_bare(url, config).await?;
    if url.is_in_the_server() {
        return Ok((store, Vec::new()));
    }
    let guard = Arc::new(GuardedStore::shared(store, GuardPolicy::default()));
    Ok((guard.clone(), vec![guard]))
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

/// Since when sessions have been moving from `from` to the store of the configuration; `None` where that has not begun.
///
/// # Errors
/// [`StoreError`] where either store cannot be opened, or reached.
pub async fn moving_since(
    from: &StoreUrl,
    config: &Config,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let (old, new) = (open_bare(from, config).await?, open_bare(&config.store, config).await?);
    MovingStore::new(old, new).begun_at(now).await
}

/// An engine for commands that run beside a server, over the store that the configuration names: without upkeep.
///
/// `None` where such a command could see or end no session: the store lives inside the server, or was never made, and so for
/// the list of ends where sessions are sealed. Asking makes none. Sealed sessions are ended without a key.
///
/// # Errors
/// [`StoreError`] where the store cannot be opened, or reached.
pub async fn beside_the_server(config: &Config) -> Result<Option<Sessions>, StoreError> {
    beside(config, None).await
}

/// As [`beside_the_server`], for an act at `now`; what the engine does is told to `log`. A list of ends that has no
/// entry yet is begun, so that the act's is not taken for a sign that it remembers.
///
/// # Errors
/// As [`beside_the_server`].
pub async fn beside_the_server_telling(
    config: &Config,
    log: AuditLog,
    now: Timestamp,
) -> Result<Option<Sessions>, StoreError> {
    beside(config, Some((log, now))).await
}

async fn beside(config: &Config, act: Option<(AuditLog, Timestamp)>) -> Result<Option<Sessions>, StoreError> {
    let is_unmade = config.sessions_path().is_some_and(|path| !path.exists());
    if config.store.is_in_the_server() || (is_unmade && config.store_moving_from.is_none()) {
        return Ok(None);
    }
    if config.list_is_in_the_server() {
        return Ok(None);
    }
    let builder = match Box::pin(open(config)).await?.keeping {
        Keeping::Records(store) => Sessions::builder_shared(store),
        #[cfg(feature = "sealed")]
        Keeping::Cookies(list) => {
            if let (Some(list), Some((_, now))) = (&list, &act) {
                Box::pin(lists::begin(&**list, *now, config)).await?;
            }
            sealed(Arc::new(crate::sealing::Keyless), list, config)
        }
    };
    let builder = builder.policy(config.policy.clone());
    let builder = builder.near_cache(config.near_cache);
    let builder = act.into_iter().fold(builder, |builder, (log, _)| builder.events(log));
    Ok(Some(builder.build().expect("a configuration has a policy that can be kept")))
}

/// Begins an engine whose sessions travel sealed in their cookies, as strict as the configuration says.
#[cfg(feature = "sealed")]
pub(crate) fn sealed(
    sealing: Arc<dyn Sealing>,
    list: Option<Arc<dyn RevocationList>>,
    config: &Config,
) -> SessionsBuilder {
    let policy = SealedPolicy::default()
        .with_when_unreachable(match config.sealed.dangerously_open_when_unreachable {
            true => WhenUnreachable::Open,
            false => WhenUnreachable::Closed,
        })
        .with_replay(match config.sealed.replay {
            crate::config::Replay::Rotations => Replay::Rotations,
            crate::config::Replay::Changes => Replay::Changes,
        });
    list.into_iter()
        .fold(Sessions::sealed_shared(sealing).sealed_policy(policy), SessionsBuilder::revocations)
}

/// What somebody who runs a store's servers should know. Its text is a sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Weakness {
    /// What is weak, and what comes of it.
    pub cause: String,
    /// What to do, where the cause does not say it.
    pub remedy: Option<String>,
}

impl From<String> for Weakness {
    fn from(cause: String) -> Self {
        Self { cause, remedy: None }
    }
}

#[cfg(feature = "redis")]
impl From<cloakroom_redis::RedisWarning> for Weakness {
    fn from(warning: cloakroom_redis::RedisWarning) -> Self {
        Self { cause: warning.cause().to_owned(), remedy: Some(warning.remedy().to_owned()) }
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remedy {
            Some(remedy) => write!(f, "{}; {remedy}", self.cause),
            None => f.write_str(&self.cause),
        }
    }
}

#[cfg(any(feature = "postgres", feature = "mysql", feature = "redis"))]
fn weak<W: Into<Weakness>>(warnings: Vec<W>) -> Vec<Weakness> {
    warnings.into_iter().map(Into::into).collect()
}

/// What a store's server says of itself that somebody who runs it should know.
///
/// # Errors
/// [`StoreError`] where it cannot be reached.
pub async fn weaknesses(url: &StoreUrl) -> Result<Vec<Weakness>, StoreError> {
    if let Some(list) = url.revocations() {
        #[cfg(feature = "redis")]
        if let StoreUrl::Remote(list) = list
            && list.kind() == StoreKind::Redis
        {
            return Ok(weak(redis(list).await?.facts().await?.warnings_of_list()));
        }
        return Box::pin(weaknesses(list)).await;
    }
    match url {
        #[cfg(feature = "postgres")]
        StoreUrl::Remote(url) if url.kind() == StoreKind::Postgres => {
            Ok(weak(postgres(url).await?.facts().await?.warnings()))
        }
        #[cfg(feature = "redis")]
        StoreUrl::Remote(url) if url.kind() == StoreKind::Redis => {
            Ok(weak(redis(url).await?.facts().await?.warnings()))
        }
        #[cfg(feature = "mysql")]
        StoreUrl::Remote(url) if url.kind() == StoreKind::Mysql => {
            Ok(weak(mysql(url).await?.facts().await?.warnings()))
        }
        _ => Ok(Vec::new()),
    }
}

/// Whether the user that this address names may remove what is over, as sweeps do; `None` where a store knows no such rights, or
/// cannot tell.
///
/// # Errors
/// [`StoreError`] where it cannot be reached.
pub async fn may_remove(url: &StoreUrl) -> Result<Option<bool>, StoreError> {
    match url {
        #[cfg(feature = "postgres")]
        StoreUrl::Remote(url) if url.kind() == StoreKind::Postgres => {
            Ok(Some(postgres(url).await?.facts().await?.may_remove))
        }
        #[cfg(feature = "mysql")]
        StoreUrl::Remote(url) if url.kind() == StoreKind::Mysql => {
            Ok(Some(mysql(url).await?.facts().await?.may_remove))
        }
        _ => Ok(None),
    }
}

/// Whether trying again to open a store may help: it could not be reached, or did not answer, and nobody has to correct
/// anything first.
#[must_use]
pub fn may_come_up(error: &StoreError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) && !error.is_for_good()
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
pub(crate) fn malformed(
    url: &RemoteUrl,
    error: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::new(ErrorKind::Internal, url.kind().as_str(), Verb::Open)
        .with_remedy_in_source(true)
        .caused_by(error)
}

pub(crate) fn not_built_in(store: &'static str) -> StoreError {
    StoreError::new(ErrorKind::Unsupported, store, Verb::Open)
}
