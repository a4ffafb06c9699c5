//! What the layer costs in allocations, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use cloakroom::{ActiveSession, Activity, SessionToken, Sessions, Timestamp};
use cloakroom_axum::{Inspection, Inspector, RequestFacts, Session, SessionLayer, SignIn};
use cloakroom_memory::MemoryStore;
use http::Request;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::site::{Answer, Cookie, NAME, principal, run};

/// The system's allocator, counting per thread what it is asked for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator as it came.
#[expect(unsafe_code, reason = "a global allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Has a head, so that another line in it is no allocation.
fn answer() -> Result<Response, Infallible> {
    Ok(Response::builder().header("content-type", "text/plain").body(Body::empty()).unwrap())
}

async fn ignore(_: Request<Body>) -> Result<Response, Infallible> {
    answer()
}

async fn read(request: Request<Body>) -> Result<Response, Infallible> {
    let session = request.extensions().get::<Session>().unwrap();
    assert!(session.active().await.unwrap().is_some());
    answer()
}

/// Allocations of one request to `service`, as it comes from a server: with extensions, and its address shared.
fn cost<S>(mut service: S, mut request: Request<Body>) -> usize
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    run(async {
        request.extensions_mut().insert("from the server");
        drop(request.uri().clone());
        service.ready().await.unwrap();
        allocations(async { service.call(request).await }).await
    })
}

async fn allocations<T>(work: impl Future<Output = T>) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    let done = work.await;
    let count = ALLOCATIONS.with(Cell::get) - before;
    drop(done);
    count
}

/// A router that is not finished puts the layer around its handlers at each request.
#[test]
fn putting_the_layer_around_a_handler_allocates_nothing() {
    let sessions = Sessions::builder(MemoryStore::default()).build().unwrap();
    let layer = SessionLayer::new(sessions).sign_in_at("/sign-in");
    assert_eq!(run(allocations(async { layer.layer(service_fn(ignore)) })), 0);
}

#[test]
fn a_read_costs_two_allocations_and_finding_and_checking_its_token_none() {
    let sessions = Sessions::builder(MemoryStore::default()).build().unwrap();
    let layer = SessionLayer::new(sessions.clone());
    let sign_in = service_fn(async |request: Request<Body>| {
        let session = request.extensions().get::<Session>().unwrap();
        let alice = SignIn::new(principal("alice"), cloakroom::AuthLevel::One, cloakroom::Method::password());
        session.sign_in(alice).await.unwrap();
        answer()
    });
    let request = || Request::get("/a?b=c").header("accept", "*/*");
    let Cookie::Set(token) = run(async {
        let response = layer.layer(sign_in).oneshot(request().body(Body::empty()).unwrap()).await.unwrap();
        Answer::of(response).await.cookie()
    }) else {
        panic!("a session began")
    };
    let with_token =
        || request().header("cookie", format!("theme=dark; {NAME}={token}")).body(Body::empty()).unwrap();

    let bare = cost(service_fn(ignore), with_token());
    // The handle, and the box in which a request carries it: the same with a token as without.
    for request in [with_token(), request().body(Body::empty()).unwrap()] {
        assert_eq!(cost(layer.layer(service_fn(ignore)), request) - bare, 2);
    }
    // The store may unpack a session again until it has seen it is a busy one.
    let token = SessionToken::parse(token.as_bytes()).unwrap();
    let validation = || run(allocations(sessions.validate(&token, Activity::Counts)));
    for _ in 0..16 {
        validation();
    }
    // From then on neither checking its token nor reading it costs anything more.
    assert_eq!(validation(), 0);
    assert_eq!(cost(layer.layer(service_fn(read)), with_token()) - bare, 2);
    // Nor does an inspector that has nothing to say.
    assert_eq!(cost(layer.inspector(Content).layer(service_fn(read)), with_token()) - bare, 2);
}

/// Looks at everything and has nothing to say.
#[derive(Debug)]
struct Content;

impl Inspector for Content {
    fn inspect(&self, session: &ActiveSession, request: &RequestFacts, now: Timestamp) -> Inspection {
        assert!(session.device().is_some() && request.client().ip().is_none() && now >= session.created_at());
        Inspection::GoOn
    }
}
