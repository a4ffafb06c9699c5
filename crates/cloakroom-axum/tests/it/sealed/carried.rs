//! What is handed over, and when.

use axum::body::Body;
use axum::routing::any;
use cloakroom::{Attribute, AuthLevel, Method, Persistence};
use cloakroom_axum::{Rejection, Session, SignIn};
use cloakroom_sealed::{NewKey, Rotation};
use http::Request;
use std::time::Duration;

use super::{COUNT, INTERVAL, site};
use crate::site::{Answer, Cookie, Kind, Site, principal, run};

const ONE: Duration = Duration::from_millis(1);

#[test]
fn a_session_that_nobody_asks_for_costs_nothing_and_changes_no_cookie() {
    run(async {
        let site = site(Kind::Sealed);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        site.clock.advance(2 * INTERVAL);
        site.list.take();
        let answer = browser.post("/unused").await;
        assert_eq!((answer.cookie(), answer.header("vary")), (Cookie::Untouched, None));
        assert_eq!(site.list.take(), (0, 0), "it was not even opened");
        assert_eq!(site.asked(), [], "and there is no store");
    });
}

#[test]
fn an_activity_is_sealed_once_per_touch_interval() {
    run(async {
        let site = site(Kind::Sealed);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let id = browser.get("/who").await.body;
        for _ in 0..3 {
            site.clock.advance(INTERVAL - ONE);
            assert_eq!(browser.get("/who").await.cookie(), Cookie::Untouched);
            site.clock.advance(ONE);
            let before = browser.cookie.clone();
            let touched = browser.get("/who").await;
            assert!(touched.is_set());
            assert_ne!(browser.cookie, before);
            assert_eq!(touched.body, id, "it is the same session");
            assert_eq!(touched.header("cache-control"), Some("no-store"));
            assert_eq!(touched.header("vary"), Some("Cookie, Authorization"));
            assert_eq!(browser.get("/who").await.cookie(), Cookie::Untouched);
        }
        assert_eq!(site.list.take().0, 0, "nothing of it is on the list");
    });
}

#[test]
fn a_cookie_that_is_sealed_anew_is_remembered_for_as_long_as_the_one_before() {
    run(async {
        let site = site(Kind::Sealed).route(
            "/remember",
            any(async |session: Session| {
                let alice = SignIn::new(principal("alice"), AuthLevel::One, Method::password());
                session.sign_in(alice.persistence(Persistence::Remembered)).await.map(drop)
            }),
        );
        let mut browser = site.browser();
        let age = |answer: &Answer| {
            answer.header("set-cookie").unwrap().split_once("; Max-Age=").unwrap().1.parse::<u64>().unwrap()
        };
        let first = age(&browser.post("/remember").await);
        site.clock.advance(INTERVAL);
        assert_eq!(age(&browser.get("/who").await), first - INTERVAL.as_secs());
        assert_eq!(age(&browser.post("/count").await), first - INTERVAL.as_secs());
        let mut other = site.browser();
        other.post("/sign-in?alice").await;
        site.clock.advance(INTERVAL);
        let touched = other.get("/who").await;
        assert!(touched.is_set() && !touched.header("set-cookie").unwrap().contains("Max-Age"));
    });
}

#[test]
fn a_change_is_another_cookie_and_no_change_is_none() {
    run(async {
        let site = site(Kind::Sealed);
        let mut browser = site.browser();
        for expected in 1..4 {
            assert!(browser.post("/count").await.is_set());
            assert_eq!(browser.get("/read").await.body, format!("Some({expected})"));
        }
        assert_eq!(browser.post("/nothing-new").await.cookie(), Cookie::Untouched);
        assert_eq!(browser.get("/read").await.cookie(), Cookie::Untouched);
    });
}

#[test]
fn what_was_written_in_the_middle_of_a_request_stays_whatever_is_asked_after() {
    run(async {
        let site = site(Kind::Sealed).route(
            "/all",
            any(async |session: Session, uri: http::Uri| -> Result<String, Rejection> {
                for word in uri.query().unwrap_or_default().split(',') {
                    match word {
                        "count" => session.update(&COUNT, |count| *count += 1).await?,
                        "save" => session.save().await?,
                        "confirm" => drop(session.confirm().await?),
                        "rotate" => session.rotate().await?,
                        "sign-in" => {
                            let alice = SignIn::new(principal("alice"), AuthLevel::One, Method::password());
                            drop(session.sign_in(alice.carrying(&COUNT)).await?);
                        }
                        other => panic!("{other}"),
                    }
                }
                Ok(format!("{:?}", session.get(&COUNT).await?))
            }),
        );
        for words in [
            "count,save,confirm",
            "count,save,count,save,confirm",
            "count,sign-in,count,save,confirm",
            "sign-in,count,rotate,save,count,confirm",
            "count,confirm,rotate,save,confirm,count",
        ] {
            let mut browser = site.browser();
            browser.post("/sign-in?alice").await;
            // So that there is a touch to be sealed besides.
            site.clock.advance(INTERVAL);
            let told = browser.post(&format!("/all?{words}")).await;
            let counts = words.matches("count").count();
            assert_eq!(told.body, format!("Some({counts})"), "{words}");
            assert_eq!(browser.get("/read").await.body, told.body, "{words}");
            assert_eq!(browser.get("/read").await.cookie(), Cookie::Untouched, "{words}: touched with it");
        }
    });
}

#[test]
fn a_session_that_outgrows_its_cookie_leaves_the_one_of_before_as_it_was() {
    run(async {
        let site = site(Kind::Sealed);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        browser.post("/count").await;
        let before = browser.cookie.clone();
        site.clock.advance(INTERVAL);
        for path in ["/large", "/large-and-rotate"] {
            let answer = browser.post(path).await;
            assert_eq!(answer.told(), (413, "attributes_too_large".into()), "{path}");
            assert_eq!(answer.header("set-cookie"), None, "{path}: not even that it was here");
            let problem = answer.problem();
            assert_eq!(
                (&problem["max_bytes"], &problem["largest"]),
                (&4_096.into(), &"attribute `note`".into())
            );
            assert!(
                problem["bytes"].as_u64().unwrap() > 4_096
                    && problem["largest_bytes"].as_u64().unwrap() > 3_500
            );
            let sentence = problem["detail"].as_str().unwrap();
            assert!(sentence.contains("4096") && sentence.contains("`note`"), "{sentence}");
        }
        assert_eq!(browser.cookie, before);
        assert_eq!(browser.get("/read").await.body, "Some(1)");
        assert_eq!(browser.get("/note").await.body, "");
        assert_eq!(browser.post("/rotate").await.status, 200, "and it can still be changed");
    });
}

#[test]
fn a_sign_in_that_would_not_fit_ends_nothing() {
    const BIG: Attribute<String> = Attribute::new("big");
    run(async {
        let site = site(Kind::Sealed).route(
            "/sign-in-with-big",
            any(async |session: Session| -> Result<(), Rejection> {
                session.set(&BIG, &"y".repeat(3_500)).await?;
                let bob = SignIn::new(principal("bob"), AuthLevel::One, Method::password());
                session.sign_in(bob.carrying(&BIG)).await.map(drop)
            }),
        );
        let mut browser = site.browser();
        browser.post("/count").await;
        site.list.take();
        let answer = browser.post("/sign-in-with-big").await;
        assert_eq!(
            (answer.told(), answer.cookie()),
            ((413, "attributes_too_large".into()), Cookie::Untouched)
        );
        assert_eq!(browser.get("/read").await.body, "Some(1)", "the anonymous session lives");
        assert_eq!(site.list.take().0, 0);
    });
}

#[test]
fn a_key_that_goes_out_of_use_is_left_at_the_next_answer() {
    run(async {
        let site = site(Kind::Sealed);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let (now, window) = (site.sessions.now(), Duration::from_secs(1_800));
        let rotation = Rotation { now, spread: Duration::from_secs(5), window };
        site.ring.replace(site.ring.ring().rotated(NewKey::from_random(&[8; 36]), &rotation).unwrap());
        site.clock.advance(Duration::from_secs(4));
        assert_eq!(browser.get("/who").await.cookie(), Cookie::Untouched, "the new key does not seal yet");
        site.clock.advance(Duration::from_secs(1));
        assert_eq!(browser.post("/unused").await.cookie(), Cookie::Untouched);
        let mut left_behind = browser.clone();
        assert!(browser.get("/who").await.is_set());
        assert_eq!(browser.get("/who").await.cookie(), Cookie::Untouched, "once");
        site.clock.advance(window);
        assert_eq!(left_behind.get("/who").await.told(), (401, "session_unknown".into()));
        assert_eq!(left_behind.cookie, None);
    });
}

#[test]
fn a_cookie_of_another_application_or_key_is_refused_and_taken_back() {
    run(async {
        let (here, there) = (site(Kind::Sealed), site(Kind::Sealed));
        let foreign = cloakroom_sealed::KeyRing::first(NewKey::from_random(&[9; 36]), there.sessions.now());
        there.ring.replace(foreign);
        let mut browser = there.browser();
        browser.post("/sign-in?alice").await;
        let mut moved = here.browser();
        moved.cookie = browser.cookie.clone();
        let answer = moved.get("/who").await;
        assert_eq!((answer.told(), answer.cookie()), ((401, "session_unknown".into()), Cookie::Removed));
        assert_eq!(browser.get("/who").await.status, 200);
        let mut cut = browser.clone();
        cut.cookie = cut.cookie.map(|value| value[..value.len() - 4].to_owned());
        assert_eq!(cut.get("/who").await.told(), (401, "session_unknown".into()));
    });
}

#[test]
fn a_cache_that_serves_others_is_handed_no_cookie() {
    run(async {
        let site = site(Kind::Sealed);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        site.clock.advance(INTERVAL);
        let shared = browser.get("/public").await;
        assert_eq!(
            (shared.cookie(), shared.header("cache-control")),
            (Cookie::Untouched, Some("public, max-age=60"))
        );
        assert!(browser.get("/read").await.is_set(), "the next answer brings it");
        let changed = browser.post("/public-count").await;
        assert!(changed.is_set(), "or the change would be lost");
        assert_eq!(changed.header("cache-control"), Some("no-store"));
    });
}

async fn bearing(site: &Site, path: &str, token: &str) -> Answer {
    let request = Request::post(path).header("authorization", format!("Bearer {token}"));
    site.send(request.body(Body::empty()).unwrap()).await
}

#[test]
fn a_client_without_cookies_is_told_its_token_whenever_it_changes_and_nobody_else_is() {
    run(async {
        for kind in [Kind::Sealed, Kind::Stored] {
            let site = site(kind)
                .route(
                    "/sign-in-as-bearer",
                    any(async |session: Session| -> Result<String, Rejection> {
                        let sign_in = SignIn::new(principal("alice"), AuthLevel::One, Method::password());
                        session.sign_in(sign_in.as_bearer()).await?;
                        Ok(session
                            .bearer_token()
                            .await?
                            .map_or_else(String::new, |token| token.as_str().to_owned()))
                    }),
                )
                .route(
                    "/count-and-tell",
                    any(async |session: Session| -> Result<String, Rejection> {
                        session.update(&COUNT, |count| *count += 1).await?;
                        Ok(session
                            .bearer_token()
                            .await?
                            .map_or_else(String::new, |token| token.as_str().to_owned()))
                    }),
                );
            let field = |answer: &Answer| answer.header("x-cloakroom-token").map(str::to_owned);
            let signed_in = site.send(Request::post("/sign-in-as-bearer").body(Body::empty()).unwrap()).await;
            let first = signed_in.body.clone();
            if kind == Kind::Stored {
                for path in ["/count-and-tell", "/rotate"] {
                    assert_eq!(field(&bearing(&site, path, &first).await), None, "{path}");
                }
                continue;
            }
            assert_eq!(field(&signed_in), Some(first.clone()));
            assert_eq!(field(&bearing(&site, "/who", &first).await), None, "nothing has changed");

            let counted = bearing(&site, "/count-and-tell", &first).await;
            let second = field(&counted).unwrap();
            assert_eq!(
                (counted.body.as_str(), counted.header("cache-control")),
                (&*second, Some("no-store"))
            );
            assert_eq!(counted.cookie(), Cookie::Untouched);
            let third = field(&bearing(&site, "/count", &second).await).unwrap();

            site.clock.advance(INTERVAL);
            let touched = bearing(&site, "/who", &third).await;
            let fourth = field(&touched).unwrap();
            assert_eq!(touched.header("cache-control"), Some("no-store"));
            let read = Request::get("/read").header("authorization", format!("Bearer {fourth}"));
            assert_eq!(site.send(read.body(Body::empty()).unwrap()).await.body, "Some(2)");

            let fifth = field(&bearing(&site, "/rotate", &fourth).await).unwrap();
            assert_eq!(bearing(&site, "/who", &fourth).await.told(), (401, "session_unknown".into()));
            assert_eq!(bearing(&site, "/who", &fifth).await.status, 200);
            assert_eq!(bearing(&site, "/sign-out", &fifth).await.status, 200);
            assert_eq!(bearing(&site, "/who", &fifth).await.told(), (401, "session_ended".into()));

            let mut browser = site.browser();
            let mut answers = vec![browser.post("/sign-in?alice").await, browser.post("/count").await];
            site.clock.advance(INTERVAL);
            answers.extend([browser.get("/read").await, browser.post("/rotate").await]);
            for answer in answers {
                assert!(answer.is_set());
                assert_eq!(field(&answer), None, "a browser is never told its own token");
            }
        }
    });
}
