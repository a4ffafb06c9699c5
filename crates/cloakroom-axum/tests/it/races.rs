//! Requests of one session that run at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::routing::{any, get};
use cloakroom::{Attribute, EndReason, Validation};
use cloakroom_axum::{Rejection, Session, SignedIn};
use cloakroom_conformance::{Fault, Moment};
use cloakroom_store::Verb;
use futures_util::future::join_all;
use http::Request;
use tower::ServiceExt as _;

use crate::site::{Answer, Browser, Cookie, Kind, Site, on_both, run};

const COUNT: Attribute<u32> = Attribute::new("count");

fn site(kind: Kind) -> Site {
    Site::of(kind)
        .with_sign_in()
        .route("/count", any(async |session: Session| session.update(&COUNT, |count| *count += 1).await))
        .route(
            "/read",
            get(async |session: Session| session.get(&COUNT).await.map(|count| format!("{count:?}"))),
        )
        .route("/who", get(async |SignedIn(session): SignedIn| session.id().to_string()))
        .route("/rotate", any(async |session: Session| session.rotate().await))
        .route("/sign-out", any(async |session: Session| session.sign_out().await))
        .route(
            "/own/{key}",
            any(async |session: Session, axum::extract::Path(key): axum::extract::Path<String>| {
                let key = cloakroom::AttributeKey::new(&key).unwrap();
                session.change(cloakroom::Changes::new().put(key, &true).unwrap()).await
            }),
        )
}

/// A request of `browser` that is under way while the test does something else.
fn start(browser: &Browser<'_>, path: &str) -> tokio::task::JoinHandle<Answer> {
    let request = Request::post(path).header("sec-fetch-site", "same-origin");
    let request = browser.with_cookie(request).body(Body::empty()).unwrap();
    let router = browser.site.router();
    tokio::spawn(async move { Answer::of(router.oneshot(request).await.unwrap()).await })
}

#[test]
fn sixty_four_parallel_updates_all_count_and_different_attributes_merge() {
    run(async {
        let site = site(Kind::Stored);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        // Every answer lets others have their turn first, so that nearly all of them work on what they read long ago.
        for verb in std::iter::repeat_n([Verb::Get, Verb::Replace], 80).flatten() {
            site.faults.script(verb, Fault::Delay);
        }
        site.asked();
        let counting = (0..64).map(|_| start(&browser, "/count"));
        let own = (0..16).map(|number| start(&browser, &format!("/own/k{number}")));
        for answer in join_all(counting.chain(own)).await {
            assert_eq!(answer.unwrap().status, 200);
        }
        let writes = site.asked().into_iter().filter(|verb| *verb == Verb::Replace).count();
        assert!(writes >= 80 + 70, "only {writes} writes: they did not meet");
        assert_eq!(browser.get("/read").await.body, "Some(64)");
        let Validation::Active(session) = browser.standing().await else { panic!("it is alive") };
        assert_eq!(session.attributes().len(), 17);
    });
}

#[test]
fn a_write_that_was_under_way_does_not_revive_a_session_that_was_signed_out() {
    run(async {
        let site = site(Kind::Stored);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let slow = browser.clone();
        let gate = site.gates.hold(Verb::Replace, Moment::Before);
        let write = start(&slow, "/count");
        gate.reached().await;
        assert_eq!(browser.post("/sign-out").await.cookie(), Cookie::Removed);
        gate.release();
        let answer = write.await.unwrap();
        assert_eq!(answer.told(), (401, "session_ended".into()));
        assert!(!answer.is_set());
        assert!(
            matches!(slow.standing().await, Validation::Ended(end) if end.reason == EndReason::SignedOut)
        );
    });
}

#[test]
fn a_rotation_that_was_under_way_does_not_revive_it_either() {
    run(async {
        let site = site(Kind::Stored);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let slow = browser.clone();
        let gate = site.gates.hold(Verb::Rekey, Moment::Before);
        let rotation = start(&slow, "/rotate");
        gate.reached().await;
        browser.post("/sign-out").await;
        gate.release();
        let answer = rotation.await.unwrap();
        assert_eq!(answer.told(), (401, "session_ended".into()));
        assert_eq!(answer.cookie(), Cookie::Removed);
    });
}

#[test]
fn a_sibling_with_the_token_of_before_a_rotation_never_touches_the_cookie() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let mut sibling = browser.clone();
        browser.post("/rotate").await;
        for path in ["/who", "/read"] {
            let answer = sibling.get(path).await;
            assert_eq!(answer.cookie(), Cookie::Untouched, "{path}");
        }
        assert_eq!(sibling.get("/who").await.told(), (401, "session_unknown".into()));
        let write = sibling.post("/count").await;
        assert_eq!((write.told(), write.cookie()), ((409, "session_changed".into()), Cookie::Untouched));
        assert_eq!(browser.get("/who").await.status, 200, "the new token works");
    });
}

#[test]
fn a_sibling_with_the_anonymous_token_of_before_a_sign_in_never_touches_the_cookie() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/count").await;
        let mut sibling = browser.clone();
        browser.post("/sign-in?alice").await;
        assert_eq!(sibling.get("/read").await.cookie(), Cookie::Untouched);
        let write = sibling.post("/count").await;
        assert_eq!((write.told(), write.cookie()), ((409, "session_changed".into()), Cookie::Untouched));
        assert_eq!(browser.get("/who").await.status, 200);
    });
}

#[test]
fn a_write_that_meets_a_rotation_is_reported_and_not_lost_in_silence() {
    run(async {
        let site = site(Kind::Stored);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let slow = browser.clone();
        let gate = site.gates.hold(Verb::Replace, Moment::Before);
        let write = start(&slow, "/count");
        gate.reached().await;
        browser.post("/rotate").await;
        gate.release();
        let answer = write.await.unwrap();
        assert_eq!((answer.told(), answer.cookie()), ((409, "session_changed".into()), Cookie::Untouched));
    });
}

#[test]
fn of_two_rotations_at_once_one_brings_the_token_and_the_other_leaves_it_alone() {
    run(async {
        let site = site(Kind::Stored);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let slow = browser.clone();
        let gate = site.gates.hold(Verb::Rekey, Moment::Before);
        let late = start(&slow, "/rotate");
        gate.reached().await;
        assert!(browser.post("/rotate").await.is_set());
        gate.release();
        let answer = late.await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.cookie()), (200, Cookie::Untouched));
        assert!(browser.is_alive().await);
    });
}

/// Takes the count out of the session; what it was when that took effect.
async fn take(session: Session) -> Result<String, Rejection> {
    let taken = Arc::new(AtomicU32::new(0));
    let sink = Arc::clone(&taken);
    session.update(&COUNT, move |count| sink.store(std::mem::take(count), Ordering::Relaxed)).await?;
    session.save().await?;
    Ok(taken.load(Ordering::Relaxed).to_string())
}

#[test]
fn of_two_requests_that_take_something_out_at_once_one_gets_it() {
    run(async {
        let site = site(Kind::Stored).route("/take", any(take));
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        browser.post("/count").await;
        let gate = site.gates.hold(Verb::Replace, Moment::Before);
        let slow = start(&browser, "/take");
        gate.reached().await;
        assert_eq!(browser.post("/take").await.body, "1");
        gate.release();
        assert_eq!(slow.await.unwrap().body, "0");
    });
}

#[test]
fn signing_out_with_the_token_of_before_a_rotation_still_signs_out() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let mut sibling = browser.clone();
        browser.post("/rotate").await;
        let answer = sibling.post("/sign-out").await;
        assert_eq!((answer.status.as_u16(), answer.cookie()), (200, Cookie::Untouched));
        assert!(!browser.is_alive().await);
    });
}

#[test]
fn a_question_that_was_given_up_can_be_asked_again() {
    run(async {
        let site = site(Kind::Stored).route(
            "/impatient",
            get(async |session: Session| {
                let asking = session.id();
                tokio::select! { biased; _ = asking => {}, () = tokio::task::yield_now() => {} }
                session.id().await.map(|id| format!("{}", id.is_some()))
            }),
        );
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let gate = site.gates.hold(Verb::Get, Moment::Before);
        let asked = browser.get("/impatient").await;
        drop(gate);
        assert_eq!(asked.body, "true");
    });
}

#[test]
fn two_parts_of_a_handler_may_ask_at_once() {
    run(async {
        let site = Arc::new(site(Kind::Stored).route(
            "/both",
            any(async |session: Session| -> Result<String, Rejection> {
                let (one, two) = futures_util::future::join(
                    session.update(&COUNT, |count| *count += 1),
                    session.update(&COUNT, |count| *count += 1),
                )
                .await;
                one.and(two)?;
                Ok(format!("{:?}", session.get(&COUNT).await?))
            }),
        ));
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        site.asked();
        assert_eq!(browser.post("/both").await.body, "Some(2)");
        assert_eq!(site.asked(), [Verb::Get, Verb::Replace]);
    });
}
