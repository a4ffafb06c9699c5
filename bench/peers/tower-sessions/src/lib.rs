//! tower-sessions: 0.15 with its memory store; 0.14 with Redis, since the Redis store on crates.io is made for that one.
//! Settings as its own examples have them.

use axum::Router;
use peer_common::Arguments;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::{self, interfaces::ClientLike as _};

/// The router of `arguments`' variant: `memory` or `redis`.
///
/// # Panics
/// If there is no such variant.
pub async fn router(arguments: Arguments) -> Router {
    match arguments.variant.as_str() {
        "memory" => memory::router(tower_sessions::MemoryStore::default()),
        "redis" => redis::router(redis_store(arguments.redis()).await),
        other => panic!("there is no {other}"),
    }
}

async fn redis_store(url: &str) -> RedisStore<fred::clients::Pool> {
    let config = fred::types::config::Config::from_url(url).expect("an address");
    let pool = fred::clients::Pool::new(config, None, None, None, POOL).expect("a pool");
    let _ = pool.connect();
    pool.wait_for_connect().await.expect("Redis");
    RedisStore::new(pool)
}

/// As in the Redis store's example.
const POOL: usize = 6;

/// The same source for both versions.
macro_rules! program {
    ($module:ident, $library:ident) => {
        mod $module {
            use axum::Router;
            use axum::extract::RawQuery;
            use axum::http::StatusCode;
            use axum::routing::{get, post};
            use peer_common::{HELLO, greeting};
            use time::Duration;
            use $library::{Expiry, Session, SessionManagerLayer, SessionStore};

            pub(super) fn router<S: SessionStore + Clone>(store: S) -> Router {
                let layer = SessionManagerLayer::new(store)
                    .with_secure(true)
                    .with_expiry(Expiry::OnInactivity(Duration::minutes(30)));
                Router::new()
                    .route("/hello", get(|| async { HELLO }))
                    .route("/read", get(read))
                    .route("/write", post(write))
                    .route("/rotate", post(rotate))
                    .route("/sign-in", post(sign_in))
                    .layer(layer)
            }

            async fn read(session: Session) -> Result<String, StatusCode> {
                let name: Option<String> = session.get(USER).await.map_err(failed)?;
                name.as_deref().map(greeting).ok_or(StatusCode::UNAUTHORIZED)
            }

            async fn write(session: Session) -> Result<String, StatusCode> {
                let count = session.get::<u64>(COUNT).await.map_err(failed)?.unwrap_or_default() + 1;
                session.insert(COUNT, count).await.map_err(failed)?;
                Ok(count.to_string())
            }

            async fn rotate(session: Session) -> Result<String, StatusCode> {
                session.cycle_id().await.map_err(failed)?;
                write(session).await
            }

            async fn sign_in(session: Session, RawQuery(name): RawQuery) -> Result<String, StatusCode> {
                let name = name.unwrap_or_default();
                session.cycle_id().await.map_err(failed)?;
                session.insert(USER, &name).await.map_err(failed)?;
                Ok(greeting(&name))
            }

            fn failed(_: $library::session::Error) -> StatusCode {
                StatusCode::SERVICE_UNAVAILABLE
            }

            const USER: &str = "user";
            const COUNT: &str = "count";
        }
    };
}

program!(memory, tower_sessions);
program!(redis, tower_sessions_014);
