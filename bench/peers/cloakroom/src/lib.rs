//! Cloakroom in memory, in SQLite and in Redis. Default settings; metrics are collected, as by a server that is watched.

use std::sync::Arc;

use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use cloakroom::{Attribute, AuthLevel, Method, NearCachePolicy, Principal, PrincipalId, Sessions, Store};
use cloakroom_axum::{Rejection, Session, SessionLayer, SignIn, SignedIn};
use cloakroom_memory::{MemoryOptions, MemoryStore};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use metrics_exporter_prometheus::PrometheusBuilder;
use peer_common::{Arguments, HELLO, greeting};

/// The router of `arguments`' variant: `memory`, `sqlite`, `redis`, or `redis-small`, whose near cache holds next to
/// nothing.
///
/// # Panics
/// If there is no such variant.
pub async fn router(arguments: Arguments) -> Router {
    if arguments.sessions.is_none() {
        collect_metrics();
    }
    let store: Arc<dyn Store> = match arguments.variant.as_str() {
        "memory" => Arc::new(MemoryStore::new(MemoryOptions::default().with_max_bytes(ROOM))),
        "sqlite" => {
            let options = SqliteOptions::new(arguments.directory().join("sessions.db"));
            Arc::new(SqliteStore::open(options).expect("SQLite"))
        }
        "redis" | "redis-small" => {
            let options = RedisOptions::from_url(arguments.redis()).expect("an address");
            Arc::new(RedisStore::connect(options).await.expect("Redis"))
        }
        other => panic!("there is no {other}"),
    };
    let mut builder = Sessions::builder_shared(store);
    if arguments.variant == "redis-small" {
        let lease = NearCachePolicy::default().lease();
        builder =
            builder.near_cache(NearCachePolicy::new(NearCachePolicy::MIN_BYTES, lease).expect("a policy"));
    }
    let sessions = builder.build().expect("a policy that can be kept");
    let upkeep = sessions.clone();
    tokio::spawn(async move { upkeep.upkeep(std::future::pending()).await });
    Router::new()
        .route("/hello", get(|| async { HELLO }))
        .route("/read", get(read))
        .route("/write", post(write))
        .route("/rotate", post(rotate))
        .route("/sign-in", post(sign_in))
        .layer(SessionLayer::new(sessions))
}

/// As a server that is watched does: measured values are drained every few seconds, as if somebody had asked for them. Not
/// where memory is weighed: undrained, every value counts.
fn collect_metrics() {
    let recorder = PrometheusBuilder::new().install_recorder().expect("the first recorder");
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            recorder.run_upkeep();
        }
    });
}

async fn read(SignedIn(session): SignedIn) -> String {
    session.principal().map_or_else(String::new, |principal| greeting(principal.id().as_str()))
}

async fn write(session: Session) -> Result<String, Response> {
    session.require_signed_in().await.map_err(Rejection::into_response)?;
    session.update(&COUNT, |count| *count += 1).await.map_err(Rejection::into_response)?;
    let count = session.get(&COUNT).await.map_err(Rejection::into_response)?;
    Ok(count.unwrap_or_default().to_string())
}

async fn rotate(session: Session) -> Result<String, Response> {
    session.rotate().await.map_err(Rejection::into_response)?;
    write(session).await
}

async fn sign_in(session: Session, RawQuery(name): RawQuery) -> Result<String, Response> {
    let name = name.unwrap_or_default();
    let id = PrincipalId::new(&*name).map_err(|_| StatusCode::BAD_REQUEST.into_response())?;
    let sign_in = SignIn::new(Principal::new(id), AuthLevel::One, Method::password());
    session.sign_in(sign_in).await.map_err(Rejection::into_response)?;
    Ok(greeting(&name))
}

const COUNT: Attribute<u64> = Attribute::new("count");

/// More than a million sessions need: what happens in a full store is not measured here.
const ROOM: usize = 512 << 20;
