//! A site to visit, and browsers to visit it with.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use cloakroom::{
    AuthLevel, Clock as _, Event, EventKind, EventSink, ManualClock, Method, Policy, Principal, PrincipalId,
    Role, SessionToken, Sessions, Store,
};
use cloakroom_axum::{CookiePolicy, Session, SessionLayer, SignIn};
use cloakroom_conformance::{CountingStore, FaultyStore, GatedStore};
use cloakroom_memory::MemoryStore;
use cloakroom_sealed::{KeyRing, NewKey, Place, Sealer, SharedRing};
use cloakroom_store::Verb;
use http::header::{COOKIE, SET_COOKIE};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::list::WatchedList;

/// An engine over a memory store, or over a list of ends, that can be counted and made to fail; the store also
/// made to wait.
pub(crate) struct Site {
    pub(crate) sessions: Sessions,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) calls: Arc<CountingStore>,
    pub(crate) faults: Arc<FaultyStore>,
    pub(crate) gates: Arc<GatedStore>,
    pub(crate) list: Arc<WatchedList>,
    pub(crate) ring: Arc<SharedRing>,
    pub(crate) seen: Arc<Seen>,
    routes: Router,
    layer: SessionLayer,
}

/// Every event that was reported.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Vec<Event>>);

impl EventSink for Seen {
    fn record(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Seen {
    pub(crate) fn count(&self, kind: EventKind) -> usize {
        self.0.lock().unwrap().iter().filter(|seen| seen.kind == kind).count()
    }

    pub(crate) fn first(&self, kind: EventKind) -> Event {
        self.0.lock().unwrap().iter().find(|seen| seen.kind == kind).cloned().unwrap()
    }
}

/// Where sessions live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// In a store.
    Stored,
    /// In their tokens, with a list of ends.
    Sealed,
    /// In their tokens, and nobody knows what was ended.
    Listless,
}

/// Runs a test of what is promised wherever sessions live.
#[expect(clippy::print_stderr, reason = "a test that fails says where sessions lived")]
pub(crate) fn on_both(test: impl AsyncFn(Kind)) {
    for kind in [Kind::Stored, Kind::Sealed] {
        eprintln!("{kind:?}");
        run(test(kind));
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::of(Kind::Stored)
    }

    pub(crate) fn of(kind: Kind) -> Self {
        Self::under(kind, Policy::default())
    }

    pub(crate) fn under(kind: Kind, policy: Policy) -> Self {
        let list = Arc::new(WatchedList::default());
        let clock = Arc::new(ManualClock::default());
        let ring = Arc::new(SharedRing::new(KeyRing::first(NewKey::from_random(&[7; 36]), clock.now())));
        Self::on(kind, policy, SharedParts { clock, list, ring })
    }

    /// Another node beside `other`: its clock, its list, its keys.
    pub(crate) fn beside(other: &Self, kind: Kind, policy: Policy) -> Self {
        let (clock, list, ring) =
            (Arc::clone(&other.clock), Arc::clone(&other.list), Arc::clone(&other.ring));
        Self::on(kind, policy, SharedParts { clock, list, ring })
    }

    fn on(kind: Kind, policy: Policy, parts: SharedParts) -> Self {
        let SharedParts { clock, list, ring } = parts;
        let seen = Arc::new(Seen::default());
        let gates = Arc::new(GatedStore::new(Arc::new(MemoryStore::default())));
        let faults = Arc::new(FaultyStore::new(shared(&gates)));
        let calls = Arc::new(CountingStore::new(shared(&faults)));
        let builder = match kind {
            Kind::Stored => Sessions::builder_shared(shared(&calls)),
            Kind::Sealed => Sessions::sealed(sealer(&ring)).revocations(Arc::<WatchedList>::clone(&list)),
            Kind::Listless => Sessions::sealed(sealer(&ring)),
        };
        let builder = builder.policy(policy).clock(Arc::clone(&clock)).events(Arc::clone(&seen));
        let sessions = builder.build().unwrap();
        let layer = SessionLayer::new(sessions.clone());
        Self { sessions, clock, calls, faults, gates, list, ring, seen, routes: Router::new(), layer }
    }

    pub(crate) fn route(mut self, path: &str, handler: MethodRouter) -> Self {
        self.routes = self.routes.route(path, handler);
        self
    }

    pub(crate) fn layered(mut self, change: impl FnOnce(SessionLayer) -> SessionLayer) -> Self {
        self.layer = change(self.layer);
        self
    }

    /// A route that signs in whom `?` names, as an administrator where it begins with `root`.
    pub(crate) fn with_sign_in(self) -> Self {
        self.route(
            "/sign-in",
            any(async |session: Session, uri: http::Uri| {
                let name = uri.query().unwrap_or("alice").to_owned();
                session
                    .sign_in(SignIn::new(principal(&name), AuthLevel::One, Method::password()))
                    .await
                    .map(drop)
            }),
        )
    }

    pub(crate) fn router(&self) -> Router {
        self.routes.clone().layer(self.layer.clone())
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.router().oneshot(request).await.unwrap()).await
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser { site: self, cookie: None }
    }

    /// What the store was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Verb> {
        self.calls.take()
    }
}

/// What nodes have in common.
struct SharedParts {
    clock: Arc<ManualClock>,
    list: Arc<WatchedList>,
    ring: Arc<SharedRing>,
}

/// Seals for the default cookie of an application.
pub(crate) fn sealer(ring: &Arc<SharedRing>) -> Sealer {
    let place = Place { cookie: NAME.to_owned(), application: "test".to_owned() };
    Sealer::new(Arc::clone(ring), &place, CookiePolicy::default().bytes_around_value())
}

fn shared<S: Store>(store: &Arc<S>) -> Arc<dyn Store> {
    Arc::<S>::clone(store)
}

pub(crate) fn principal(name: &str) -> Principal {
    let roles = name.starts_with("root").then(|| Role::new("admin").unwrap());
    Principal::new(PrincipalId::new(name).unwrap()).with_roles(roles).unwrap()
}

/// A browser with the one cookie that matters.
#[derive(Clone)]
pub(crate) struct Browser<'a> {
    pub(crate) site: &'a Site,
    pub(crate) cookie: Option<String>,
}

impl Browser<'_> {
    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.send(Request::get(target)).await
    }

    pub(crate) async fn post(&mut self, target: &str) -> Answer {
        self.send(Request::post(target).header("sec-fetch-site", "same-origin")).await
    }

    pub(crate) async fn send(&mut self, request: http::request::Builder) -> Answer {
        let answer = self.site.send(self.with_cookie(request).body(Body::empty()).unwrap()).await;
        self.receive(&answer);
        answer
    }

    pub(crate) fn with_cookie(&self, request: http::request::Builder) -> http::request::Builder {
        match &self.cookie {
            Some(value) => request.header(COOKIE, format!("theme=dark; {NAME}={value}")),
            None => request,
        }
    }

    pub(crate) fn receive(&mut self, answer: &Answer) {
        match answer.cookie() {
            Cookie::Untouched => {}
            Cookie::Set(value) => self.cookie = Some(value),
            Cookie::Removed => self.cookie = None,
        }
    }

    /// The session that the store has for this browser's cookie.
    pub(crate) async fn standing(&self) -> cloakroom::Validation {
        let token = SessionToken::parse(self.cookie.as_ref().unwrap().as_bytes()).unwrap();
        self.site.sessions.validate(&token, cloakroom::Activity::Ignored).await.unwrap()
    }

    pub(crate) async fn is_alive(&self) -> bool {
        matches!(self.standing().await, cloakroom::Validation::Active(_))
    }
}

pub(crate) const NAME: &str = "__Host-cloakroom";

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

/// What a response does to the session cookie.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Cookie {
    Untouched,
    Set(String),
    Removed,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) fn cookie(&self) -> Cookie {
        let lines: Vec<_> =
            self.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
        let ours: Vec<_> =
            lines.iter().filter_map(|line| line.strip_prefix(NAME)?.strip_prefix('=')).collect();
        assert!(ours.len() <= 1, "a response sets a cookie once");
        match ours.first().map(|line| line.split_once(';').unwrap()) {
            None => Cookie::Untouched,
            Some(("", rest)) => {
                assert!(rest.contains("Max-Age=0"), "{rest}");
                Cookie::Removed
            }
            Some((value, _)) => Cookie::Set(value.to_owned()),
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        matches!(self.cookie(), Cookie::Set(_))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn problem(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// Status and code of a refusal, or the status and nothing.
    pub(crate) fn told(&self) -> (u16, String) {
        let is_problem = self.header("content-type") == Some("application/problem+json");
        let code = if is_problem {
            self.problem().get("code").unwrap().as_str().unwrap().to_owned()
        } else {
            String::new()
        };
        (self.status.as_u16(), code)
    }
}

/// A runtime without timers: nothing here may wait for time.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
