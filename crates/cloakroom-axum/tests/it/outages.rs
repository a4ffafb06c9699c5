//! A store that does not answer signs nobody out and lets nobody in (promise G9).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::{any, get};
use cloakroom::{Attribute, AuthLevel, Method};
use cloakroom_axum::{Rejection, Session, SignIn, SignedIn};
use cloakroom_conformance::Fault;
use cloakroom_store::{ErrorKind, Verb};
use http::StatusCode;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::site::{Cookie, Site, principal, run};

const COUNT: Attribute<u32> = Attribute::new("count");

fn site() -> Site {
    Site::new()
        .with_sign_in()
        .route(
            "/count",
            any(async |session: Session| {
                session.update(&COUNT, |count| *count += 1).await.map(|()| "counted")
            }),
        )
        .route(
            "/read",
            get(async |session: Session| session.get(&COUNT).await.map(|count| format!("{count:?}"))),
        )
        .route("/who", get(async |_: SignedIn| "signed in"))
        .route("/optional", get(async |who: Option<SignedIn>| who.is_some().to_string()))
        .route("/rotate", any(async |session: Session| session.rotate().await))
        .route("/sign-out", any(async |session: Session| session.sign_out().await))
        .route(
            "/rotate-then-fail",
            any(async |session: Session| -> Result<StatusCode, Rejection> {
                session.rotate().await?;
                session.update(&COUNT, |count| *count += 1).await?;
                Ok(StatusCode::INTERNAL_SERVER_ERROR)
            }),
        )
}

#[test]
fn while_the_store_is_down_every_question_is_unavailable_and_no_cookie_changes() {
    run(async {
        let site = site();
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        browser.post("/count").await;
        let token = browser.cookie.clone();
        for kind in [
            ErrorKind::Unavailable,
            ErrorKind::Timeout,
            ErrorKind::Full,
            ErrorKind::ReadOnly,
            ErrorKind::Internal,
        ] {
            site.faults.go_down(kind);
            for path in [
                "/read",
                "/who",
                "/optional",
                "/count",
                "/rotate",
                "/sign-out",
                "/sign-in?bob",
                "/rotate-then-fail",
            ] {
                let gets = matches!(path, "/read" | "/who" | "/optional");
                let answer = if gets { browser.get(path).await } else { browser.post(path).await };
                assert_eq!(answer.told(), (503, "store_unavailable".into()), "{path} {kind:?}");
                assert_eq!(answer.header("retry-after"), Some("2"));
                assert_eq!(answer.cookie(), Cookie::Untouched, "{path} {kind:?}");
            }
            site.faults.heal();
        }
        assert_eq!(browser.cookie, token);
        assert_eq!(browser.get("/read").await.body, "Some(1)", "nothing was overwritten");
    });
}

#[test]
fn a_write_that_fails_fails_the_response() {
    run(async {
        let site = site();
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        site.faults.script(Verb::Replace, Fault::FailBefore);
        let answer = browser.post("/count").await;
        assert_eq!((answer.told(), answer.cookie()), ((503, "store_unavailable".into()), Cookie::Untouched));
        assert_eq!(browser.get("/read").await.body, "None");
        site.faults.script(Verb::Insert, Fault::FailBefore);
        let mut stranger = site.browser();
        let answer = stranger.post("/count").await;
        assert_eq!((answer.told(), answer.cookie()), ((503, "store_unavailable".into()), Cookie::Untouched));
        site.faults.script(Verb::End, Fault::FailBefore);
        let answer = browser.post("/sign-out").await;
        assert_eq!((answer.told(), answer.cookie()), ((503, "store_unavailable".into()), Cookie::Untouched));
        assert!(browser.is_alive().await, "and the user was not told otherwise");
    });
}

#[test]
fn a_handler_that_fails_after_a_rotation_keeps_the_session() {
    run(async {
        let site = site();
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let answer = browser.post("/rotate-then-fail").await;
        assert_eq!((answer.status.as_u16(), answer.is_set()), (500, true));
        assert_eq!(browser.get("/who").await.status, 200);
        assert_eq!(browser.get("/read").await.body, "Some(1)");
    });
}

#[test]
fn a_sign_in_that_succeeded_is_handed_over_even_where_a_later_write_fails() {
    run(async {
        let site = site().route(
            "/sign-in-and-count",
            any(async |session: Session| -> Result<(), Rejection> {
                session.sign_in(SignIn::new(principal("alice"), AuthLevel::One, Method::password())).await?;
                session.update(&COUNT, |count| *count += 1).await
            }),
        );
        let mut browser = site.browser();
        site.faults.script(Verb::Replace, Fault::FailBefore);
        let answer = browser.post("/sign-in-and-count").await;
        assert_eq!((answer.status.as_u16(), answer.is_set()), (503, true));
        assert_eq!(browser.get("/who").await.status, 200);
    });
}

#[test]
fn a_record_that_cannot_be_decoded_is_a_fresh_start_and_no_error() {
    run(async {
        let site = site();
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        site.faults.go_down(ErrorKind::Corrupt);
        assert_eq!(browser.get("/optional").await.body, "false");
        assert_eq!(browser.cookie, None);
        site.faults.heal();
        assert!(browser.post("/count").await.is_set());
    });
}

/// A body that remembers whether anybody has begun to read it.
struct Watched {
    polled: Arc<AtomicBool>,
}

impl futures_util::Stream for Watched {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let first = !self.polled.swap(true, Ordering::Relaxed);
        Poll::Ready(first.then(|| Ok(Bytes::from_static(b"streamed"))))
    }
}

#[test]
fn a_stream_begins_after_everything_is_written_and_a_failure_replaces_it_whole() {
    run(async {
        let polled = Arc::new(AtomicBool::new(false));
        let body = Arc::clone(&polled);
        let site = Site::new().route(
            "/stream",
            any(async move |session: Session| -> Result<Response, Rejection> {
                session.update(&COUNT, |count| *count += 1).await?;
                Ok(Response::new(Body::from_stream(Watched { polled: Arc::clone(&body) })))
            }),
        );
        let request = || http::Request::post("/stream").body(Body::empty()).unwrap();
        site.faults.script(Verb::Insert, Fault::FailBefore);
        let failed = site.send(request()).await;
        assert_eq!(failed.told(), (503, "store_unavailable".into()));
        assert!(!polled.load(Ordering::Relaxed), "nothing of it was sent");

        let response = site.router().oneshot(request()).await.unwrap();
        assert_eq!(site.asked(), [Verb::Insert, Verb::Insert], "the second one is done");
        assert!(!polled.load(Ordering::Relaxed));
        assert!(response.headers().contains_key("set-cookie"));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "streamed");
    });
}

#[test]
fn what_is_changed_after_the_response_has_begun_is_refused_and_reading_still_works() {
    run(async {
        let (send, receive) = tokio::sync::oneshot::channel();
        let send = Arc::new(std::sync::Mutex::new(Some(send)));
        let site = Site::new().with_sign_in().route(
            "/leave-behind",
            any(async move |session: Session| {
                session.get(&COUNT).await.unwrap();
                assert!(send.lock().unwrap().take().unwrap().send(session).is_ok());
            }),
        );
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        browser.post("/leave-behind").await;
        let left_behind: Session = receive.await.unwrap();
        assert!(left_behind.id().await.unwrap().is_some());
        for refused in [
            left_behind.set(&COUNT, &1).await,
            left_behind.rotate().await,
            left_behind.sign_out().await,
            left_behind.save().await,
        ] {
            assert!(matches!(refused, Err(Rejection::Misused(_))), "{refused:?}");
        }
        assert!(browser.is_alive().await);
    });
}
