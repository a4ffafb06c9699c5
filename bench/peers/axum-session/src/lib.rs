//! axum_session: with Redis through redis_pool, and without a database, which is its memory store. Default settings.

use std::fmt::Debug;

use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum_session::{DatabasePool, Session, SessionConfig, SessionLayer, SessionNullPool, SessionStore};
use axum_session_redispool::SessionRedisPool;
use peer_common::{Arguments, HELLO, greeting};

/// The router of `arguments`' variant: `memory`, `redis`, or `redis-unkept`, which keeps nothing in memory between
/// requests.
///
/// # Panics
/// If there is no such variant.
pub async fn router(arguments: Arguments) -> Router {
    let config = SessionConfig::default();
    match arguments.variant.as_str() {
        "memory" => over(SessionStore::<SessionNullPool>::new(None, config).await),
        "redis" => over(SessionStore::new(Some(pool(arguments.redis())), config).await),
        "redis-unkept" => {
            let config = config.with_memory_lifetime(time::Duration::ZERO);
            over(SessionStore::new(Some(pool(arguments.redis())), config).await)
        }
        other => panic!("there is no {other}"),
    }
}

fn pool(url: &str) -> SessionRedisPool {
    let client = redis::Client::open(url).expect("an address");
    redis_pool::SingleRedisPool::from(client).into()
}

fn over<T>(store: Result<SessionStore<T>, axum_session::SessionError>) -> Router
where
    T: DatabasePool + Clone + Debug + Send + Sync + 'static,
{
    let store = store.expect("the store");
    Router::new()
        .route("/hello", get(|| async { HELLO }))
        .route("/read", get(read::<T>))
        .route("/write", post(write::<T>))
        .route("/rotate", post(rotate::<T>))
        .route("/sign-in", post(sign_in::<T>))
        .layer(SessionLayer::new(store))
}

async fn read<T>(session: Session<T>) -> Result<String, StatusCode>
where
    T: DatabasePool + Clone + Debug + Send + Sync + 'static,
{
    let name: Option<String> = session.get(USER);
    name.as_deref().map(greeting).ok_or(StatusCode::UNAUTHORIZED)
}

async fn write<T>(session: Session<T>) -> String
where
    T: DatabasePool + Clone + Debug + Send + Sync + 'static,
{
    let count = session.get::<u64>(COUNT).unwrap_or_default() + 1;
    session.set(COUNT, count);
    count.to_string()
}

async fn rotate<T>(session: Session<T>) -> String
where
    T: DatabasePool + Clone + Debug + Send + Sync + 'static,
{
    session.renew();
    write(session).await
}

async fn sign_in<T>(session: Session<T>, RawQuery(name): RawQuery) -> String
where
    T: DatabasePool + Clone + Debug + Send + Sync + 'static,
{
    let name = name.unwrap_or_default();
    session.renew();
    session.set(USER, &name);
    greeting(&name)
}

const USER: &str = "user";
const COUNT: &str = "count";
