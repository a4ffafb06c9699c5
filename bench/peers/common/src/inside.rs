//! What a layer costs without any network: requests are handed to the router as the HTTP library would.

use std::future::Future;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::routing::RouterIntoService;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::Serialize;
use tower::Service as _;

use crate::{Arguments, HELLO, counted, greeting, pin};

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    /// Sessions that were filed.
    sessions: usize,
    /// Private memory that they took, each.
    resident_bytes: f64,
    /// What was asked of the allocator for them and not given back, each.
    allocated_bytes: f64,
    /// A read of one session again and again, above what the same request costs
    /// with a layer that does nothing.
    hot: Cost,
    /// A read of any session.
    uniform: Cost,
    /// A request of somebody without a session.
    no_cookie: Cost,
}

/// What a request costs.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    nanoseconds: f64,
    allocations: f64,
}

/// Files sessions through the router that `router` makes, reads them, and prints what that took.
///
/// # Panics
/// If anything goes wrong.
pub fn inside<F: Future<Output = Router>>(router: impl FnOnce(Arguments) -> F) {
    let arguments = Arguments::of_this_program();
    pin(arguments.cpu);
    let sessions = arguments.sessions.expect("--sessions NUMBER");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let found = runtime.block_on(async {
        let mut inside = Inside { service: router(arguments).await.into_service() };
        inside.measure(sessions).await
    });
    println!("{}", serde_json::to_string(&found).expect("numbers"));
}

struct Inside {
    service: RouterIntoService<Body>,
}

impl Inside {
    async fn measure(&mut self, sessions: usize) -> Found {
        // What starts lazily has started before anything is weighed.
        for number in 0..WARM_UP {
            self.sign_in(number).await;
        }
        // Kept in place from the start, so that they don't count as weight.
        let mut cookies = vec![[b' '; COOKIE_BYTES]; sessions.div_ceil(KEPT_ONE_IN)];
        let resident = private_memory();
        let allocated = counted().bytes;
        for number in 0..sessions {
            let cookie = self.sign_in(number).await;
            if number % KEPT_ONE_IN == 0 {
                cookies[number / KEPT_ONE_IN][..cookie.len()].copy_from_slice(cookie.as_bytes());
            }
        }
        let resident_bytes = each((private_memory() - resident) as f64, sessions);
        let allocated_bytes = each((counted().bytes - allocated) as f64, sessions);
        let mut bare = Self { service: bare() };
        let mut rounds: [Vec<Cost>; 5] = Default::default();
        for _ in 0..ROUNDS {
            rounds[0].push(bare.turn(Some(&cookies[..1])).await);
            rounds[1].push(self.turn(Some(&cookies[..1])).await);
            rounds[2].push(self.turn(Some(&cookies)).await);
            rounds[3].push(bare.turn(None).await);
            rounds[4].push(self.turn(None).await);
        }
        let [bare_read, hot, uniform, bare_hello, no_cookie] = rounds.map(median);
        let above = |cost: Cost, bare: Cost| Cost {
            nanoseconds: cost.nanoseconds - bare.nanoseconds,
            allocations: cost.allocations - bare.allocations,
        };
        Found {
            sessions,
            resident_bytes,
            allocated_bytes,
            hot: above(hot, bare_read),
            uniform: above(uniform, bare_read),
            no_cookie: above(no_cookie, bare_hello),
        }
    }

    async fn sign_in(&mut self, number: usize) -> String {
        let name = name(number);
        let mut request = request(Method::POST, &format!("/sign-in?{name}"), None);
        // Cloakroom would keep it; the others don't.
        request.headers_mut().remove(header::USER_AGENT);
        let response = self.service.call(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK, "signing in");
        let cookies = response.headers().get_all(header::SET_COOKIE).into_iter();
        let pairs: Vec<_> = cookies.filter_map(|value| value.to_str().ok()?.split(';').next()).collect();
        pairs.join("; ")
    }

    /// Reads the session of one after the other of `cookies`; without any, says hello.
    async fn turn(&mut self, cookies: Option<&[[u8; COOKIE_BYTES]]>) -> Cost {
        let path = if cookies.is_some() { "/read" } else { "/hello" };
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let begun = (Instant::now(), counted().allocations);
        for _ in 0..REQUESTS {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let cookie = cookies.map(|all| &all[(random >> 33) as usize % all.len()]);
            let request = request(Method::GET, path, cookie.map(|cookie| cookie.trim_ascii_end()));
            let response = self.service.call(request).await.expect("infallible");
            assert_eq!(response.status(), StatusCode::OK, "a read");
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            assert!(body.starts_with(b"hello, user-") && body.len() == HELLO.len(), "{body:?}");
        }
        Cost {
            nanoseconds: each(begun.0.elapsed().as_nanos() as f64, REQUESTS),
            allocations: each(counted().allocations.wrapping_sub(begun.1) as f64, REQUESTS),
        }
    }
}

/// The same answer, with a layer that does nothing: what axum needs for any layer is nobody's doing.
fn bare() -> RouterIntoService<Body> {
    let read = axum::routing::get(|| async { greeting("user-0000000") });
    let hello = axum::routing::get(|| async { HELLO });
    Router::new()
        .route("/read", read)
        .route("/hello", hello)
        .layer(tower::layer::util::Identity::new())
        .into_service()
}

fn request(method: Method, path: &str, cookie: Option<&[u8]>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in [
        (header::HOST, "localhost"),
        (header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
        (header::ACCEPT, "text/html"),
        (header::HeaderName::from_static("sec-fetch-site"), "same-origin"),
    ] {
        request = request.header(name, http::HeaderValue::from_static(value));
    }
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    request.body(Body::empty()).expect("a request")
}

fn name(number: usize) -> String {
    format!("user-{number:07}")
}

fn each(sum: f64, count: usize) -> f64 {
    sum / count.max(1) as f64
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
    costs[costs.len() / 2]
}

/// Private memory in use, in bytes.
fn private_memory() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.split_whitespace().next().and_then(|kib| kib.parse::<i64>().ok()).expect("a number") << 10
}

/// No program's cookies are longer.
const COOKIE_BYTES: usize = 192;
/// Sessions for each one whose cookie is kept to read it.
const KEPT_ONE_IN: usize = 8;
/// Sessions that are filed before anything is weighed.
const WARM_UP: usize = 200;
/// How often every kind of request takes its turn.
const ROUNDS: usize = 7;
/// Requests in a turn.
const REQUESTS: usize = 50_000;
