//! What is known of a request before anything is decided, and the line it leaves in the log.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cloakroom_axum::Session;
use cloakroom_core::SessionId;
use cloakroom_http::{Client, Problem, ProblemCode, Scheme};
use http::header::{ACCEPT, FORWARDED, HeaderName, VIA};
use http::{HeaderMap, HeaderValue};

use tracing::Instrument as _;

use super::App;
use super::traffic::{Traffic, UNMATCHED};
use crate::telemetry::Asked;

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
    /// Who waits for the answer.
    pub(super) reader: Reader,
    /// Whether the request came over this machine's own loopback, and through no proxy.
    pub(super) is_local: bool,
}

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reader {
    /// Somebody to whom a browser shows it.
    Person,
    /// A program that calls the API.
    Caller,
    /// Another program: a page's script, a load balancer.
    Program,
}

/// The session that a request looked at, for its line in the log.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<OnceLock<SessionId>>);

/// Gives each request its context and its span, counts it, and writes one line when it is answered.
pub(super) async fn surround(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let (Ok(id), Ok(nonce)) = (app.random_text(), app.random_text()) else {
        return Problem::new(ProblemCode::INTERNAL).to_response::<axum::body::Body>().into_response();
    };
    let context = Context::of(&app, &request, id.into(), nonce.into());
    let (traffic, seen) = (Traffic::of(&request), Seen::default());
    request.extensions_mut().insert(context.clone());
    request.extensions_mut().insert(seen.clone());
    let asked = Asked {
        request_id: &context.id,
        method: traffic.method,
        route: traffic.route,
        from_proxy: peer_of(&request).is_some_and(|peer| app.proxies.contains(peer)),
    };
    let span = app.tracing.begin(asked, request.headers(), &*app.random);
    let path = (traffic.route == UNMATCHED).then(|| shortened(request.uri().path()));
    let counting = traffic.begin();
    let started = app.sessions.clock().monotonic();
    let mut response = next.run(request).instrument(span.span().clone()).await;
    let took = app.sessions.clock().monotonic().saturating_sub(started);
    counting.answered(response.status(), took);
    span.answered(response.status());
    let Traffic { method, route } = traffic;
    let status = response.status().as_u16();
    let session = seen.0.get().map(|session| masked(*session));
    // The template of the path, not the path: people and sessions are named there. Where there is none, the path: it shows
    // what is looked for. Never the query: people paste secrets into addresses.
    span.span().in_scope(|| {
        tracing::info!(method, route, path, status, took_ms = took.as_millis(), session, "request");
    });
    if let Ok(id) = HeaderValue::from_str(&context.id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// Notes which session a request looked at. Inside the layer that knows.
pub(super) async fn note_session(request: Request, next: Next) -> Response {
    let session = request.extensions().get::<Session>().cloned();
    let seen = request.extensions().get::<Seen>().cloned();
    let response = next.run(request).await;
    if let (Some(session), Some(seen)) = (session.and_then(|session| session.seen()), seen) {
        // Nobody else sets it.
        let _ = seen.0.set(session);
    }
    response
}

/// Enough of a session's id to connect lines: `ses_` and 48 of 128 bits.
fn masked(session: SessionId) -> String {
    session.to_string().chars().take(12).chain(['…']).collect()
}

fn shortened(path: &str) -> String {
    path.chars().take(MAX_LOGGED_PATH).collect()
}

fn peer_of(request: &Request) -> Option<std::net::IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

impl Context {
    fn of(app: &App, request: &Request, id: Arc<str>, nonce: Arc<str>) -> Self {
        let peer = peer_of(request);
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
            reader: match request.uri().path() {
                path if path.starts_with("/v1/") => Reader::Caller,
                path if wants_page(headers) && !is_api(path) => Reader::Person,
                _ => Reader::Program,
            },
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

/// Characters of a path that leads nowhere in the log.
const MAX_LOGGED_PATH: usize = 128;
