//! Streams that stay open, and end with their session. Time is virtual, and connections are in memory.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use cloakroom::{EndReason, Revocation, Selector};
use cloakroom_axum::{Rejection, Session};
use cloakroom_store::ErrorKind;
use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode};
use tower::ServiceExt as _;

use crate::site::{Browser, Kind, Site};

/// A site that counts the seconds to whoever listens.
fn site(kind: Kind) -> Site {
    let seconds = async |session: Session| {
        let seconds = stream::unfold(0_u32, async |number| {
            tokio::time::sleep(SECOND).await;
            Some((Ok::<_, Infallible>(Event::default().data(number.to_string())), number + 1))
        });
        let events = session.guard_events(seconds).await?;
        Ok::<_, Rejection>(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
    };
    let ended = async |session: Session| session.ended().await.map(|end| end.to_string());
    Site::of(kind).with_sign_in().route("/seconds", get(seconds)).route("/ended", get(ended))
}

async fn signed_in(site: &Site) -> Browser<'_> {
    let mut browser = site.browser();
    browser.post("/sign-in?alice").await;
    browser
}

async fn listen(browser: &Browser<'_>) -> axum::body::BodyDataStream {
    let request = browser.with_cookie(Request::get("/seconds")).body(Body::empty()).unwrap();
    let response = browser.site.router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().into_data_stream()
}

async fn next(events: &mut axum::body::BodyDataStream) -> Option<String> {
    let chunk = tokio::time::timeout(2 * MINUTE, events.next()).await.expect("something happens");
    chunk.map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap())
}

async fn end_all(site: &Site) {
    let everybody = Revocation::by_system(EndReason::RevokedByAdmin);
    site.sessions.revoke(&Selector::All, everybody).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn events_end_with_their_session_and_the_last_one_says_why() {
    events_end(Kind::Stored).await;
    events_end(Kind::Sealed).await;
}

async fn events_end(kind: Kind) {
    let site = site(kind);
    let browser = signed_in(&site).await;
    let mut events = listen(&browser).await;
    assert_eq!(next(&mut events).await.unwrap(), "data: 0\n\n");
    assert_eq!(next(&mut events).await.unwrap(), "data: 1\n\n");
    end_all(&site).await;
    assert_eq!(next(&mut events).await.unwrap(), "event: session-ended\ndata: revoked_by_admin\n\n");
    assert_eq!(next(&mut events).await, None);
    // Whoever comes again all the same is refused; a browser gives up then.
    let mut again = browser.clone();
    assert_eq!(again.get("/seconds").await.told(), (401, "session_ended".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_proven_for_too_long_a_listener_is_asked_to_come_again() {
    let site = site(Kind::Stored);
    let mut events = listen(&signed_in(&site).await).await;
    assert_eq!(next(&mut events).await.unwrap(), "data: 0\n\n");
    site.faults.go_down(ErrorKind::Unavailable);
    let mut seconds = 0;
    let last = loop {
        match next(&mut events).await.unwrap() {
            second if second.starts_with("data: ") => seconds += 1,
            last => break last,
        }
    };
    assert!((58..=63).contains(&seconds), "a minute of patience, not {seconds} seconds");
    assert_eq!(last, "event: session-unproven\nretry: 5000\ndata: store_unavailable\n\n");
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_sealed_session_brings_its_cookie_in_its_head() {
    let site = site(Kind::Sealed);
    let browser = signed_in(&site).await;
    site.clock.advance(MINUTE);
    let request = browser.with_cookie(Request::get("/seconds")).body(Body::empty()).unwrap();
    let response = browser.site.router().oneshot(request).await.unwrap();
    assert!(response.headers().get("set-cookie").unwrap().to_str().unwrap().contains("=cs1_"));
    // It was bound to what stays: it goes on, and ends with the session.
    let mut events = response.into_body().into_data_stream();
    assert_eq!(next(&mut events).await.unwrap(), "data: 0\n\n");
    end_all(&site).await;
    assert_eq!(next(&mut events).await.unwrap(), "event: session-ended\ndata: revoked_by_admin\n\n");
}

#[tokio::test(start_paused = true)]
async fn nobody_without_a_session_is_let_into_a_stream() {
    let site = site(Kind::Stored);
    let mut browser = site.browser();
    assert_eq!(browser.get("/seconds").await.told(), (401, "session_missing".to_owned()));
    assert_eq!(browser.get("/ended").await.told(), (401, "session_missing".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_wait_for_the_end_of_its_session() {
    waits_for_the_end(Kind::Stored).await;
    waits_for_the_end(Kind::Sealed).await;
}

async fn waits_for_the_end(kind: Kind) {
    let site = site(kind);
    let browser = signed_in(&site).await;
    let request = browser.with_cookie(Request::get("/ended")).body(Body::empty()).unwrap();
    let waiting = tokio::spawn(site.router().oneshot(request));
    tokio::time::sleep(MINUTE).await;
    assert!(!waiting.is_finished());
    end_all(&site).await;
    let response = tokio::time::timeout(MINUTE, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(crate::site::Answer::of(response).await.body, "revoked_by_admin");
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
