//! Health and metrics, for machines.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::App;
use super::context::Context;
use super::refusal::Refusal;

/// The process lives.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "The process lives")))]
pub(super) async fn livez() -> Response {
    text("ok\n")
}

/// Whether sign-in and sessions work: the store answers, and so do the accounts.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "Ready to serve", body = std::collections::BTreeMap<String, String>),
    (status = 503, description = "Not ready: `store` and `accounts` are `ok` or `unavailable`", body = std::collections::BTreeMap<String, String>)))]
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let now = app.sessions.clock().monotonic();
    let was_ready = app.ready_at.lock().is_some_and(|at| now.saturating_sub(at) < ASKED_EVERY);
    let (store, accounts) = if was_ready {
        (true, true)
    } else {
        (app.sessions.ping().await.is_ok(), app.accounts.count().await.is_ok())
    };
    let ready = store && accounts;
    if ready && !was_ready {
        *app.ready_at.lock() = Some(now);
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |ok| if ok { "ok" } else { "unavailable" };
    (status, axum::Json(json!({ "store": word(store), "accounts": word(accounts) }))).into_response()
}

/// Metrics in Prometheus' text format, for this machine only; `metrics_listen` opens them to others.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Metrics in Prometheus' text format"), (status = 404, description = "Asked from another machine")))]
pub(super) async fn metrics(State(app): State<App>, context: Context) -> Response {
    match &app.metrics {
        Some(handle) if context.is_local && app.config.metrics_listen.is_none() => {
            exposition(&handle.render())
        }
        _ => Refusal::not_found().into_response(),
    }
}

/// Metrics as they are served.
pub(crate) fn exposition(metrics: &str) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.to_owned()).into_response()
}

fn text(body: &'static str) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// A store proves that it can write by writing; anybody may ask, but not make it write as often as they like.
const ASKED_EVERY: Duration = Duration::from_secs(1);
