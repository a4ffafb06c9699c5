//! The store's own word, where a route wants it, and this node's memory, where it does not.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use cloakroom::{
    AuthLevel, Authentication, Device, EndReason, FreshnessDemand, Issue, ManualClock, Method, Reach,
    Revocation, Selector, Sessions, Store,
};
use cloakroom_axum::{Rejection, Session, SessionLayer, authoritative, require_fresh};
use cloakroom_conformance::{CountingStore, SwitchedStore};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use cloakroom_store::Verb;
use http::Request;
use tower::ServiceExt as _;

use crate::site::{Answer, principal};

/// Two nodes on one store. News reach the first of them only when the test lets them.
struct Nodes {
    here: Sessions,
    there: Sessions,
    switch: Arc<SwitchedStore>,
    calls: Arc<CountingStore>,
    routes: Router,
    token: String,
    _dir: tempfile::TempDir,
}

impl Nodes {
    /// Somebody is signed in, and this node remembers it.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(SqliteOptions::new(dir.path().join("sessions.db"))).unwrap());
        let switch = Arc::new(SwitchedStore::new(Arc::<SqliteStore>::clone(&store)));
        let calls = Arc::new(CountingStore::new(Arc::<SwitchedStore>::clone(&switch)));
        let clock = Arc::new(ManualClock::default());
        let node = |store: Arc<dyn Store>| {
            Sessions::builder_shared(store).clock(Arc::clone(&clock)).build().unwrap()
        };
        let (here, there) = (node(Arc::<CountingStore>::clone(&calls)), node(store));
        let watch = here.clone();
        tokio::spawn(async move { watch.upkeep(std::future::pending()).await });
        let is_trusted = || matches!(here.reach(), Reach::NearCache(state) if state.is_trusted());
        while !is_trusted() {
            tokio::task::yield_now().await;
        }

        let now = here.now();
        let authentication = Authentication::new(AuthLevel::One, Method::password(), now);
        let issue = Issue::signed_in(principal("alice"), authentication).device(Device::default());
        let issued = here.issue(issue).await.unwrap().expect_issued();
        let token = issued.token.expose().as_str().to_owned();
        let routes = routes(&here);
        let nodes = Self { here, there, switch, calls, routes, token, _dir: dir };
        assert_eq!(nodes.ask("/read").await, (200, String::new()));
        nodes
    }

    async fn ask(&self, path: &str) -> (u16, String) {
        let request = Request::get(path).header("authorization", format!("Bearer {}", self.token));
        let response = self.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        Answer::of(response).await.told()
    }

    /// Ends everything on the other node, of which this one hears nothing.
    async fn end_there(&self) {
        self.switch.hold_news();
        let because = Revocation::by_system(EndReason::RevokedByAdmin);
        assert_eq!(self.there.revoke(&Selector::All, because).await.unwrap().count(), 1);
        self.calls.take();
    }
}

fn routes(here: &Sessions) -> Router {
    let read = async |session: Session| session.require_signed_in().await.map(drop);
    let read_and_confirm = async |session: Session| -> Result<(), Rejection> {
        session.require_signed_in().await?;
        let confirmed = session.confirm().await?.is_some();
        let signed_in = session.require_signed_in().await;
        assert_eq!(confirmed, signed_in.is_ok(), "what the store said holds for the rest of the request");
        session.confirm().await?;
        signed_in.map(drop)
    };
    let demand = FreshnessDemand::within(std::time::Duration::from_secs(60));
    Router::new()
        .route("/fresh", any(read))
        .route_layer(require_fresh(demand))
        .route("/authoritative", any(read))
        .route_layer(authoritative())
        .merge(Router::new().route("/read", any(read)).route("/read-and-confirm", any(read_and_confirm)))
        .layer(SessionLayer::new(here.clone()))
}

async fn check(path: &str, answer: (u16, &str), asked: &[Verb]) {
    let nodes = Nodes::new().await;
    assert_eq!(nodes.ask(path).await.0, 200, "{path}");
    nodes.end_there().await;
    let told = nodes.ask(path).await;
    assert_eq!((told.0, told.1.as_str()), answer, "{path}");
    assert_eq!(nodes.calls.take(), asked, "{path}");
    drop(nodes.here);
}

#[tokio::test]
async fn within_a_lease_memory_may_answer_for_a_session_that_ended_elsewhere() {
    check("/read", (200, ""), &[]).await;
}

#[tokio::test]
async fn a_route_that_wants_the_stores_own_word_refuses_it_at_once() {
    check("/authoritative", (401, "session_ended"), &[Verb::Get]).await;
    check("/read-and-confirm", (401, "session_ended"), &[Verb::Get]).await;
}

#[tokio::test]
async fn what_demands_a_fresh_proof_has_the_stores_own_word() {
    check("/fresh", (401, "session_ended"), &[Verb::Get]).await;
}

#[tokio::test]
async fn confirming_costs_one_look_up_however_often_it_is_asked() {
    let nodes = Nodes::new().await;
    for path in ["/fresh", "/authoritative", "/read-and-confirm"] {
        nodes.calls.take();
        assert_eq!(nodes.ask(path).await.0, 200, "{path}");
        let mut asked = nodes.calls.take();
        // The upkeep proves its feed meanwhile.
        asked.retain(|verb| *verb != Verb::Ping);
        assert_eq!(asked, [Verb::Get], "{path}");
    }
}
