//! The same handlers without any session (`axum`, `actix`), and with the least that could be called one: a number in a
//! cookie, looked up in Redis without any further thought (`redis`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::web;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use peer_common::{Arguments, HELLO, announce, greeting, input_ends, pin, serve};
use redis::AsyncCommands as _;
use redis::aio::ConnectionManager;

fn main() {
    let arguments = Arguments::of_this_program();
    match arguments.variant.as_str() {
        "axum" => serve(|_| async { axum_router() }),
        "actix" => actix(arguments.cpu),
        "redis" => serve(redis_router),
        other => panic!("there is no {other}"),
    }
}

fn axum_router() -> Router {
    Router::new()
        .route("/hello", get(|| async { HELLO }))
        .route("/read", get(|| async { HELLO }))
        .route("/write", post(|| async { "1" }))
        .route("/rotate", post(|| async { "1" }))
        .route("/sign-in", post(|| async { HELLO }))
}

fn actix(cpu: Option<usize>) {
    pin(cpu);
    actix_web::rt::System::new().block_on(async {
        let server = actix_web::HttpServer::new(|| {
            actix_web::App::new()
                .route("/hello", web::get().to(|| async { HELLO }))
                .route("/read", web::get().to(|| async { HELLO }))
                .route("/write", web::post().to(|| async { "1" }))
                .route("/rotate", web::post().to(|| async { "1" }))
                .route("/sign-in", web::post().to(|| async { HELLO }))
        });
        // The others take their turns meanwhile.
        let server = server.workers(1).keep_alive(std::time::Duration::from_secs(600));
        let server = server.bind("127.0.0.1:0").expect("a port");
        announce(server.addrs().first().expect("an address").port());
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(async move {
            input_ends().await;
            handle.stop(false).await;
        });
        server.await.expect("serving");
    });
}

#[derive(Clone)]
struct Floor {
    redis: ConnectionManager,
    next: Arc<AtomicU64>,
}

async fn redis_router(arguments: Arguments) -> Router {
    let client = redis::Client::open(arguments.redis()).expect("an address");
    let redis = ConnectionManager::new(client).await.expect("Redis");
    Router::new()
        .route("/hello", get(|| async { HELLO }))
        .route("/read", get(read))
        .route("/write", post(write))
        .route("/sign-in", post(sign_in))
        .with_state(Floor { redis, next: Arc::default() })
}

async fn sign_in(
    State(mut floor): State<Floor>,
    RawQuery(name): RawQuery,
) -> Result<([(header::HeaderName, String); 1], String), StatusCode> {
    let name = name.unwrap_or_default();
    let id = format!("{:032x}", floor.next.fetch_add(1, Ordering::Relaxed));
    let () = floor.redis.set(&id, &name).await.map_err(unavailable)?;
    Ok(([(header::SET_COOKIE, format!("id={id}; Path=/; HttpOnly"))], greeting(&name)))
}

async fn read(State(mut floor): State<Floor>, headers: HeaderMap) -> Result<String, StatusCode> {
    let name: Option<String> = floor.redis.get(id_in(&headers)?).await.map_err(unavailable)?;
    name.as_deref().map(greeting).ok_or(StatusCode::UNAUTHORIZED)
}

async fn write(State(mut floor): State<Floor>, headers: HeaderMap) -> Result<String, StatusCode> {
    let key = format!("{}:count", id_in(&headers)?);
    let count: u64 = floor.redis.incr(key, 1).await.map_err(unavailable)?;
    Ok(count.to_string())
}

fn id_in(headers: &HeaderMap) -> Result<&str, StatusCode> {
    let cookie = headers.get(header::COOKIE).and_then(|value| value.to_str().ok()?.strip_prefix("id="));
    cookie.ok_or(StatusCode::UNAUTHORIZED)
}

fn unavailable(_: redis::RedisError) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}
