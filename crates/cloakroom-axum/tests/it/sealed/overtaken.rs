//! Requests of one session that run at once: an answer that says no more than "the client was here" takes nothing back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use super::{INTERVAL, beside, site, with_slow};
use crate::site::{Answer, Browser, Cookie, Kind, run};

/// A request of `browser` that has looked at the session, and waits with its answer.
async fn slow(browser: &Browser<'_>) -> JoinHandle<Answer> {
    let request = browser.with_cookie(Request::get("/slow")).body(Body::empty()).unwrap();
    let router = browser.site.router();
    let answer = tokio::spawn(async move { Answer::of(router.oneshot(request).await.unwrap()).await });
    // It runs until it waits: there is one thread, and nothing else to wait for.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    answer
}

/// What a slow answer brings, begun when a touch was due, where meanwhile its sibling asks for `path`.
async fn brings(kind: Kind, path: &str) -> Cookie {
    let may_answer = Arc::new(Semaphore::new(0));
    let site = with_slow(site(kind), &may_answer);
    let mut browser = site.browser();
    browser.post("/sign-in?alice").await;
    browser.post("/count").await;
    site.clock.advance(INTERVAL);
    let slow = slow(&browser).await;
    let sibling = browser.post(path).await;
    assert_eq!(sibling.status, 200, "{path}");
    may_answer.add_permits(1);
    slow.await.unwrap().cookie()
}

#[test]
fn a_slow_answer_never_takes_back_what_its_sibling_changed_exchanged_or_ended() {
    run(async {
        for kind in [Kind::Sealed, Kind::Listless] {
            for path in ["/count", "/rotate", "/sign-out", "/sign-in?alice", "/sign-in?bob", "/public-count"]
            {
                assert_eq!(brings(kind, path).await, Cookie::Untouched, "{kind:?} {path}");
            }
            for path in ["/who", "/nothing-new", "/unused"] {
                assert!(matches!(brings(kind, path).await, Cookie::Set(_)), "{kind:?} {path}");
            }
        }
    });
}

#[test]
fn nor_what_another_node_exchanged_or_ended_once_the_news_are_here() {
    run(async {
        for (path, taken) in [("/rotate", true), ("/sign-out", true), ("/count", false)] {
            let may_answer = Arc::new(Semaphore::new(0));
            let here = with_slow(site(Kind::Sealed), &may_answer);
            let there = beside(&here, Kind::Sealed);
            let mut browser = here.browser();
            browser.post("/sign-in?alice").await;
            here.clock.advance(INTERVAL);
            let slow = slow(&browser).await;
            let mut elsewhere = there.browser();
            elsewhere.cookie = browser.cookie.clone();
            assert_eq!(elsewhere.post(path).await.status, 200);
            browser.post("/confirm").await;
            may_answer.add_permits(1);
            let brought = slow.await.unwrap().cookie();
            // That another node changed it is known to nobody: of several answers the last stays.
            assert_eq!(brought == Cookie::Untouched, taken, "{path}");
        }
    });
}

#[test]
fn a_client_that_asks_before_the_answer_has_arrived_is_not_given_the_old_state_either() {
    run(async {
        let site = site(Kind::Sealed);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        site.clock.advance(INTERVAL);
        let mut early = browser.clone();
        browser.post("/count").await;
        site.clock.advance(Duration::from_secs(10));
        assert_eq!(early.get("/read").await.cookie(), Cookie::Untouched, "its answer may still be under way");
        site.clock.advance(Duration::from_millis(1));
        assert!(early.get("/read").await.is_set(), "it never got it, and must not go idle for that");
        site.clock.advance(INTERVAL);
        assert!(browser.get("/read").await.is_set(), "whoever got it is touched as ever");
        assert_eq!(browser.get("/read").await.body, "Some(1)");
    });
}

#[test]
fn a_change_under_way_is_not_written_over_a_sibling_that_ended_the_session() {
    run(async {
        let may_answer = Arc::new(Semaphore::new(0));
        let waits = Arc::clone(&may_answer);
        let site = site(Kind::Listless).route(
            "/slow",
            axum::routing::any(async move |session: cloakroom_axum::Session| {
                session.update(&super::COUNT, |count| *count += 1).await?;
                drop(waits.acquire().await);
                Ok::<_, cloakroom_axum::Rejection>(())
            }),
        );
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let slow = slow(&browser).await;
        browser.post("/sign-out").await;
        may_answer.add_permits(1);
        let answer = slow.await.unwrap();
        assert_eq!((answer.told(), answer.cookie()), ((409, "session_changed".into()), Cookie::Untouched));
    });
}
