//! What is known of a request before anything is decided, and the line it leaves in the log.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cloakroom_http::{Client, Problem, ProblemCode, Scheme};
use http::header::{ACCEPT, FORWARDED, HeaderName, VIA};
use http::{HeaderMap, HeaderValue};

use super::App;

/// How requests reach this service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// In clear.
    Plain,
    /// Through TLS of the server's own.
    Tls,
}

/// A request as all layers see it.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// Names the request in the log and on error pages.
    pub(super) id: Arc<str>,
    /// Lets the page's own script run.
    pub(super) nonce: Arc<str>,
    /// Who asks.
    pub(super) client: Client,
    /// Whether a browser wants to show the answer to somebody.
    pub(super) wants_page: bool,
    /// Whether the request came over this machine's own loopback, and through no proxy.
    pub(super) is_local: bool,
}

/// Gives each request its context, and writes one line when it is answered.
pub(super) async fn surround(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let (Ok(id), Ok(nonce)) = (app.random_text(), app.random_text()) else {
        return Problem::new(ProblemCode::INTERNAL).to_response::<axum::body::Body>().into_response();
    };
    let context = Context::of(&app, &request, id.into(), nonce.into());
    request.extensions_mut().insert(context.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let started = app.sessions.clock().monotonic();
    let mut response = next.run(request).await;
    let took = app.sessions.clock().monotonic().saturating_sub(started);
    let status = response.status().as_u16();
    // The path, never the query: people paste secrets into addresses. A path may be a set-up or session id, which
    // grant nothing.
    tracing::info!(request = %context.id, %method, path, status, took_ms = took.as_millis(), "request");
    if let Ok(id) = HeaderValue::from_str(&context.id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

impl Context {
    fn of(app: &App, request: &Request, id: Arc<str>, nonce: Arc<str>) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let scheme = match request.extensions().get::<Listener>() {
            Some(Listener::Tls) => Scheme::Https,
            _ => Scheme::Http,
        };
        let headers = request.headers();
        let proxied = PROXY_TRACES.iter().any(|name| headers.contains_key(name))
            || peer.is_some_and(|peer| app.proxies.contains(peer));
        Self {
            id,
            nonce,
            client: Client::of(headers, peer, scheme, &app.proxies),
            wants_page: wants_page(headers) && !is_api(request.uri().path()),
            is_local: peer.is_some_and(|peer| peer.to_canonical().is_loopback()) && !proxied,
        }
    }
}

/// Whether `path` belongs to programs, which get problems and never pages or redirects.
pub(super) fn is_api(path: &str) -> bool {
    path.starts_with("/v1/") || matches!(path, "/metrics" | "/livez" | "/readyz" | "/openapi.json")
}

fn wants_page(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-mode").map(HeaderValue::as_bytes) {
        Some(mode) => mode == b"navigate",
        None => headers
            .get(ACCEPT)
            .is_some_and(|accept| accept.as_bytes().trim_ascii_start().starts_with(b"text/html")),
    }
}

/// Fields that proxies add. One that adds none looks like a program on this machine, unless it is listed in
/// `trust.proxies`.
const PROXY_TRACES: [HeaderName; 6] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];
