use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::*;

#[test]
fn an_answer_that_is_not_the_sessions_own_is_an_error() {
    check(Case::WarmRead, b"hello, user-0000001", greeting(&name(1)).as_bytes()).unwrap();
    check(Case::WarmRead, b"hello, user-0000002", greeting(&name(1)).as_bytes()).unwrap_err();
    check(Case::Write, b"1", b"2").unwrap_err();
}

#[test]
fn a_request_without_a_session_presents_none() {
    let mut jar = Jar::default();
    jar.take(["id=abc"].into_iter());
    let text = |case| String::from_utf8(request(case, "user-1", &jar)).unwrap();
    assert!(!text(Case::NoCookie).contains("Cookie"));
    assert!(!text(Case::SignIn).contains("Cookie") && text(Case::SignIn).contains("/sign-in?user-1 "));
    assert!(text(Case::Unused).contains("\r\nCookie: id=abc\r\n") && text(Case::Unused).contains("/hello"));
    assert!(text(Case::Write).ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn every_request_of_every_kind_is_made_and_counted() {
    for case in Case::ALL {
        assert_eq!(load(honest(), false, case).await.unwrap(), REQUESTS, "{case}");
    }
}

#[tokio::test]
async fn a_server_without_sessions_is_asked_the_same() {
    let bare = Router::new()
        .route("/hello", get(|| async { HELLO }))
        .route("/read", get(|| async { HELLO }))
        .route("/write", post(|| async { "1" }))
        .route("/rotate", post(|| async { "1" }))
        .route("/sign-in", post(|| async { HELLO }));
    for case in Case::ALL {
        assert_eq!(load(bare.clone(), true, case).await.unwrap(), REQUESTS, "{case}");
    }
}

#[tokio::test]
async fn a_session_given_to_a_stranger_is_not_taken_for_ones_own() {
    let hello = || async { ([(header::SET_COOKIE, "id=stranger")], HELLO) };
    let router = with("/hello", get(hello));
    let done = load_all(router, false, &[Case::NoCookie, Case::WarmRead, Case::Write]).await;
    assert_eq!(done.unwrap(), 3 * REQUESTS);
}

#[tokio::test]
async fn who_does_not_do_what_is_asked_is_found_out() {
    let read = || get(|| async { greeting(&name(0)) });
    for (case, path, lie) in [
        (Case::WarmRead, "/read", get(|| async { "hello, user-7777777" })),
        (Case::ColdRead, "/read", read()),
        (Case::Write, "/write", post(|| async { "1" })),
        (Case::WriteAgain, "/write", post(|| async { "1" })),
        // The token stays what it was.
        (Case::Rotate, "/rotate", post(write)),
        (Case::RotateAgain, "/rotate", post(write)),
        (Case::SignIn, "/sign-in", post(|| async { StatusCode::UNAUTHORIZED })),
    ] {
        load(with(path, lie), false, case).await.expect_err(&case.to_string());
    }
}

/// Signs three sessions in on a connection, and makes some requests.
async fn load(router: Router, bare: bool, case: Case) -> Outcome<usize> {
    load_all(router, bare, &[case]).await
}

async fn load_all(router: Router, bare: bool, cases: &[Case]) -> Outcome<usize> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let task = LoadTask { port, connections: 1, sessions_each: 3, bare, cpu: None };
    let done = async {
        let mut user = User::enter(&task, 0).await?;
        let mut done = 0;
        for &case in cases {
            let turn = Turn { case, length: Length::RequestsEach(REQUESTS) };
            done += user.work(turn, Stopwatch::start()).await?;
        }
        Ok(done)
    };
    let done = done.await;
    serving.abort();
    done
}

const REQUESTS: usize = 7;

/// Whose session it is and how often it was written to, by cookie.
type Sessions = Arc<Mutex<HashMap<String, (String, u64)>>>;

fn honest() -> Router {
    with("/read", get(read))
}

/// A server with sessions that does one thing in another way.
fn with(path: &str, other: axum::routing::MethodRouter<Sessions>) -> Router {
    let mut router = Router::new().route(path, other);
    for (usual, handler) in [
        ("/hello", get(|| async { HELLO })),
        ("/read", get(read)),
        ("/write", post(write)),
        ("/rotate", post(rotate)),
        ("/sign-in", post(sign_in)),
    ] {
        if usual != path {
            router = router.route(usual, handler);
        }
    }
    router.with_state(Sessions::default())
}

async fn sign_in(
    State(sessions): State<Sessions>,
    RawQuery(name): RawQuery,
) -> ([(header::HeaderName, String); 1], String) {
    let name = name.unwrap();
    let mut sessions = sessions.lock().unwrap();
    let cookie = format!("id={}", sessions.len());
    sessions.insert(cookie.clone(), (name.clone(), 0));
    ([(header::SET_COOKIE, format!("{cookie}; HttpOnly"))], greeting(&name))
}

async fn read(State(sessions): State<Sessions>, headers: HeaderMap) -> String {
    greeting(&sessions.lock().unwrap()[cookie(&headers)].0)
}

async fn write(State(sessions): State<Sessions>, headers: HeaderMap) -> String {
    let mut sessions = sessions.lock().unwrap();
    let (_, writes) = sessions.get_mut(cookie(&headers)).unwrap();
    *writes += 1;
    writes.to_string()
}

async fn rotate(
    State(sessions): State<Sessions>,
    headers: HeaderMap,
) -> ([(header::HeaderName, String); 1], String) {
    let mut sessions = sessions.lock().unwrap();
    let (name, writes) = sessions.remove(cookie(&headers)).unwrap();
    let new = format!("{}x", cookie(&headers));
    sessions.insert(new.clone(), (name, writes + 1));
    ([(header::SET_COOKIE, new)], (writes + 1).to_string())
}

fn cookie(headers: &HeaderMap) -> &str {
    headers[header::COOKIE].to_str().unwrap()
}
