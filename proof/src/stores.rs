//! The store that a run is about.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{
    GuardPolicy, GuardedStore, NearCachePolicy, OnLimit, Policy, Sabotage, SessionLimit, Sessions, Store,
};
use cloakroom_postgres::{PostgresOptions, PostgresStore};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};

use crate::Fallible;

/// Opens the store at `url`, guarded as the session server guards it: `redis…`, `postgres…`, or the path of a file.
///
/// # Errors
/// If it cannot be opened, or reached.
pub async fn open(url: &str) -> Fallible<Arc<dyn Store>> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let options = SqliteOptions::new(path);
        return Ok(Arc::new(tokio::task::spawn_blocking(|| SqliteStore::open(options)).await??));
    }
    let store: Arc<dyn Store> = if url.starts_with("redis") {
        let options = RedisOptions::from_url(url)?.with_deadline(DEADLINE);
        Arc::new(RedisStore::connect(options).await?)
    } else {
        let options = PostgresOptions::from_url(url)?.with_deadline(DEADLINE);
        Arc::new(PostgresStore::connect(options).await?)
    };
    Ok(Arc::new(GuardedStore::shared(store, GuardPolicy::default())))
}

/// An engine over `store` as every process of a run uses it: three sessions for each principal.
///
/// # Errors
/// If the lease is out of bounds.
pub fn engine(
    store: Arc<dyn Store>,
    near: NearCachePolicy,
    sabotage: Option<Sabotage>,
) -> Fallible<Sessions> {
    let limit = SessionLimit { max: LIMIT, on_limit: OnLimit::EndOldest };
    let builder = Sessions::builder_shared(store).policy(Policy::default().with_limit(Some(limit)));
    let builder = builder.near_cache(near);
    let builder = match sabotage {
        Some(sabotage) => builder.dangerously_sabotage_near_cache(sabotage),
        None => builder,
    };
    Ok(builder.build()?)
}

/// Sessions of a principal; a fourth ends the oldest.
const LIMIT: NonZeroU32 = NonZeroU32::new(3).expect("three is more than none");
/// Short, so that a run hears of an outage while it lasts.
const DEADLINE: Duration = Duration::from_millis(700);
