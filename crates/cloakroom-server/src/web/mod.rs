//! What the server answers: pages for people, an API for programs, health for machines.
//!
//! [`routes`] is the one list of everything that can be asked. From outside to inside a request passes the request's
//! own [`Context`], the security headers, the insistence on https, the session layer, and its handler.

mod admin;
mod api;
mod assets;
mod body;
mod completing;
mod context;
mod door;
mod events;
mod extract;
mod health;
mod openapi;
mod pages;
mod refusal;
mod routes;
mod security;
mod staff;
mod state;
mod traffic;

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use cloakroom_axum::{CookiePolicy, OriginGuard, SessionLayer, TrustedProxies};
use tower_http::catch_panic::CatchPanicLayer;

pub use context::Listener;
pub use openapi::description;
pub use routes::{Access, Route, routes};
pub use staff::{Duty, Right};
pub use state::{App, AppParts};

/// Metrics in Prometheus' text format, as they are served.
pub(crate) use health::exposition;

/// Describes every metric of the product to the installed recorder.
pub(crate) fn describe_metrics() {
    cloakroom::describe_metrics();
    cloakroom_audit::describe_metrics();
    events::describe_metrics();
    traffic::describe_metrics();
    crate::telemetry::describe_metrics();
    crate::serve::describe_metrics();
    crate::detection::describe_metrics();
}

/// The whole server as one service.
///
/// `listener` says how requests arrive: encrypted or not.
pub fn router(app: &App, listener: Listener) -> Router {
    let table =
        routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    table
        .fallback(refusal::not_found)
        .method_not_allowed_fallback(refusal::method_not_allowed)
        .layer(from_fn(body::read_in_time))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn(context::note_session))
        .layer(session_layer(app))
        .layer(from_fn_with_state(app.audit.clone(), completing::witness))
        .layer(from_fn_with_state(app.clone(), security::insist_on_https))
        .layer(from_fn_with_state(app.clone(), refusal::dress))
        .layer(CatchPanicLayer::custom(refusal::panicked))
        .layer(from_fn_with_state(app.clone(), security::add_headers))
        .layer(from_fn_with_state(app.clone(), context::surround))
        .layer(from_fn_with_state(app.running.clone(), completing::complete))
        .layer(Extension(listener))
        .with_state(app.clone())
}

fn session_layer(app: &App) -> SessionLayer {
    SessionLayer::new(app.sessions.clone())
        .cookie(CookiePolicy::clone(&app.cookie))
        .origin_guard(OriginGuard::clone(&app.guard))
        .trusted_proxies(TrustedProxies::clone(&app.proxies))
        .sign_in_at("/sign-in")
        .reauthenticate_at("/reauthenticate")
        .inspector(app.detection.clone())
        .rejections(refusal::restyle)
}

/// Most bytes of a request's body: a form, or a few attributes.
const BODY_MAX_BYTES: usize = 64 << 10;
