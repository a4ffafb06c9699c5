//! Stores by URL.

use std::sync::Arc;

use cloakroom::Sessions;
#[cfg(not(all(feature = "memory", feature = "sqlite")))]
use cloakroom_store::{ErrorKind, Verb};
use cloakroom_store::{Store, StoreError};

use crate::config::{Config, StoreUrl};

/// Opens the store that the configuration names; a file is made where there is none.
///
/// # Errors
/// [`StoreError`] where it cannot be opened.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    let config = config.clone();
    match tokio::task::spawn_blocking(move || open_blocking(&config)).await {
        Ok(opened) => opened,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// An engine for commands that run beside a server, over the store that the configuration names: without upkeep.
///
/// `None` where such a command could see no session: the store lives inside the server, or was never made. Asking makes
/// none.
///
/// # Errors
/// [`StoreError`] where the store cannot be opened.
pub async fn beside_the_server(config: &Config) -> Result<Option<Sessions>, StoreError> {
    if config.sessions_path().is_none_or(|path| !path.exists()) {
        return Ok(None);
    }
    let builder = Sessions::builder_shared(open(config).await?).policy(config.policy.clone());
    Ok(Some(builder.build().expect("a configuration has a policy that can be kept")))
}

fn open_blocking(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    match &config.store {
        #[cfg(feature = "memory")]
        StoreUrl::Memory { max_bytes } => {
            let options = cloakroom_memory::MemoryOptions::default();
            let options = match max_bytes {
                Some(bytes) => options.with_max_bytes(usize::try_from(*bytes).unwrap_or(usize::MAX)),
                None => options,
            };
            Ok(Arc::new(cloakroom_memory::MemoryStore::new(options)))
        }
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite { path } => {
            let path = path.clone().unwrap_or_else(|| config.default_sessions_path());
            Ok(Arc::new(cloakroom_sqlite::SqliteStore::open(cloakroom_sqlite::SqliteOptions::new(path))?))
        }
        // Reading an address refuses these already, by name.
        #[cfg(not(feature = "memory"))]
        StoreUrl::Memory { .. } => Err(StoreError::new(ErrorKind::Unsupported, "memory", Verb::Open)),
        #[cfg(not(feature = "sqlite"))]
        StoreUrl::Sqlite { .. } => Err(StoreError::new(ErrorKind::Unsupported, "sqlite", Verb::Open)),
    }
}
