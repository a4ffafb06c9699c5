//! What responses say in their heads.

use std::time::Duration;

use axum::routing::{any, get};
use cloakroom::{
    Attribute, AuthLevel, EndReason, Method, Persistence, Policy, Revocation, Selector, Validation,
};
use cloakroom_axum::{CookiePolicy, Rejection, SameSite, Session, SignIn, SignedIn, not_activity};
use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderValue, Request};

use crate::site::{Browser, Cookie, Kind, NAME, Site, on_both, principal};

const CART: Attribute<Vec<String>> = Attribute::new("cart");
const NOTE: Attribute<String> = Attribute::new("note");

async fn add(session: Session) -> Result<(), Rejection> {
    session.update(&CART, |cart| cart.push("umbrella".into())).await
}

async fn sign_in_with_cart(session: Session, uri: http::Uri) -> Result<(), Rejection> {
    let name = uri.query().unwrap_or("alice").to_owned();
    let sign_in = SignIn::new(principal(&name), AuthLevel::One, Method::password()).carrying(&CART);
    session.sign_in(sign_in.persistence(Persistence::Remembered)).await.map(drop)
}

fn site_under(kind: Kind, policy: Policy) -> Site {
    Site::under(kind, policy)
        .with_sign_in()
        .route("/", get(async || "hello"))
        .route("/add", any(add))
        .route("/note", any(async |session: Session| session.set(&NOTE, &"private".into()).await))
        .route(
            "/cart",
            get(async |session: Session| session.get(&CART).await.map(|cart| format!("{cart:?}"))),
        )
        .route(
            "/all",
            get(async |session: Session| {
                session
                    .active()
                    .await
                    .map(|session| session.map_or(0, |session| session.attributes().len()).to_string())
            }),
        )
        .route("/who", get(async |_: SignedIn| "signed in"))
        .route("/poll", get(async |_: SignedIn| "still there").layer(not_activity()))
        .route("/sign-in-with-cart", any(sign_in_with_cart))
        .route("/sign-out", any(async |session: Session| session.sign_out().await))
        .route(
            "/sign-out-and-note",
            any(async |session: Session| {
                session.sign_out().await?;
                session.set(&NOTE, &"you are signed out".into()).await
            }),
        )
}

fn site(kind: Kind) -> Site {
    site_under(kind, Policy::default())
}

#[test]
fn a_response_depends_on_the_cookie_exactly_where_the_session_was_asked_for() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        assert_eq!(browser.get("/").await.header("vary"), None);
        for path in ["/cart", "/who"] {
            assert_eq!(browser.get(path).await.header("vary"), Some("Cookie, Authorization"), "{path}");
        }
        browser.post("/sign-in?alice").await;
        let read = browser.get("/cart").await;
        assert_eq!(
            (read.header("vary"), read.header("cache-control")),
            (Some("Cookie, Authorization"), None)
        );
        assert_eq!(browser.get("/").await.header("vary"), None);
    });
}

#[test]
fn a_response_with_a_cookie_is_cached_by_its_own_browser_at_most_where_its_handler_chose() {
    on_both(async |kind| {
        let site = site(kind).route(
            "/chosen",
            any(async |session: Session| {
                session
                    .rotate()
                    .await
                    .map(|()| [(CACHE_CONTROL, HeaderValue::from_static("private, max-age=1"))])
            }),
        );
        let site = site.route(
            "/public",
            any(async |session: Session| {
                session
                    .rotate()
                    .await
                    .map(|()| [(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"))])
            }),
        );
        let mut browser = site.browser();
        assert_eq!(browser.post("/sign-in?alice").await.header("cache-control"), Some("no-store"));
        let chosen = browser.post("/chosen").await;
        assert_eq!((chosen.is_set(), chosen.header("cache-control")), (true, Some("private, max-age=1")));
        let public = browser.post("/public").await;
        assert_eq!((public.is_set(), public.header("cache-control")), (true, Some("no-store")));
        assert_eq!(browser.post("/sign-out").await.header("cache-control"), Some("no-store"));
    });
}

#[test]
fn what_the_handler_says_of_caches_and_cookies_stays() {
    on_both(async |kind| {
        let site = Site::of(kind).with_sign_in().route(
            "/own",
            any(async |session: Session| {
                session.rotate().await.map(|()| [("vary", "accept-language"), ("set-cookie", "theme=dark")])
            }),
        );
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let answer = browser.post("/own").await;
        let all = |name| {
            answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(all(VARY.as_str()), ["accept-language", "cookie", "authorization"]);
        assert_eq!(all("set-cookie")[0], "theme=dark");
        assert!(answer.is_set());
    });
}

#[test]
fn a_cookie_has_the_attributes_it_was_given_and_is_removed_with_the_same() {
    on_both(async |kind| {
        let policy = CookiePolicy::builder().named(NAME).same_site(SameSite::Strict).build().unwrap();
        let site = site(kind).layered(|layer| layer.cookie(policy));
        let mut browser = site.browser();
        let set = browser.post("/sign-in?alice").await;
        let attributes = "; Path=/; Secure; HttpOnly; SameSite=Strict";
        let line = set.header("set-cookie").unwrap();
        let prefix = if kind == Kind::Stored { "cr1_" } else { "cs1_" };
        assert!(line.ends_with(attributes) && line.starts_with(&format!("__Host-cloakroom={prefix}")));
        let removed = browser.post("/sign-out").await;
        assert_eq!(
            removed.header("set-cookie").unwrap(),
            format!("__Host-cloakroom={attributes}; Max-Age=0")
        );
    });
}

#[test]
fn only_a_remembered_sign_in_outlives_the_browser() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        assert!(!browser.post("/sign-in?alice").await.header("set-cookie").unwrap().contains("Max-Age"));
        let remembered = browser.post("/sign-in-with-cart").await;
        assert!(remembered.header("set-cookie").unwrap().ends_with("; Max-Age=2592000"));
    });
}

#[test]
fn a_token_that_was_not_issued_is_never_adopted() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        let chosen = cloakroom::SessionToken::from_random(cloakroom_core::Route::from_bytes([1, 2]), [3; 32]);
        browser.cookie = Some(chosen.expose().as_str().to_owned());
        let answer = browser.post("/add").await;
        let Cookie::Set(issued) = answer.cookie() else { panic!("a session began") };
        assert_ne!(issued, chosen.expose().as_str());
        browser.cookie = Some(chosen.expose().as_str().to_owned());
        assert!(matches!(browser.standing().await, Validation::Unknown));
        assert_eq!(site.seen.count(cloakroom::EventKind::UnknownToken), 2);
    });
}

#[test]
fn a_sign_in_carries_over_what_it_names_and_ends_the_session_before() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/add").await;
        browser.post("/note").await;
        let before = browser.clone();
        browser.post("/sign-in-with-cart?alice").await;
        assert_ne!(browser.cookie, before.cookie);
        assert_eq!(browser.get("/cart").await.body, "Some([\"umbrella\"])");
        assert_eq!(browser.get("/all").await.body, "1", "the note stayed behind");
        assert!(
            matches!(before.standing().await, Validation::Ended(end) if end.reason == EndReason::Replaced)
        );
    });
}

#[test]
fn nothing_of_one_principals_session_passes_to_another() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        browser.post("/add").await;
        let alices = browser.clone();
        browser.post("/sign-in-with-cart?bob").await;
        assert_eq!(browser.get("/cart").await.body, "None");
        assert!(!alices.is_alive().await);
        browser.post("/add").await;
        browser.post("/sign-in-with-cart?bob").await;
        assert_eq!(browser.get("/cart").await.body, "Some([\"umbrella\"])", "the same one keeps it");
    });
}

#[test]
fn signing_out_makes_the_token_worthless_and_a_later_word_begins_another_session() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let stolen = browser.clone();
        browser.post("/sign-out").await;
        assert_eq!(browser.cookie, None);
        assert!(!stolen.is_alive().await);
        assert_eq!(browser.post("/sign-out").await.cookie(), Cookie::Untouched, "there is nothing to remove");

        browser.post("/sign-in?alice").await;
        let before = browser.cookie.clone();
        assert!(browser.post("/sign-out-and-note").await.is_set());
        assert_ne!(browser.cookie, before);
        assert_eq!(browser.get("/who").await.told(), (401, "session_missing".into()));
    });
}

#[test]
fn a_token_of_an_ended_session_is_answered_with_the_reason_and_taken_back() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let everything = Revocation::by_system(EndReason::RevokedByAdmin);
        site.sessions.revoke(&Selector::All, everything).await.unwrap();
        let answer = browser.get("/who").await;
        assert_eq!(answer.told(), (401, "session_ended".into()));
        assert_eq!(answer.problem()["end_reason"], "revoked_by_admin");
        assert_eq!(answer.problem()["ended_at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert_eq!(browser.cookie, None);
    });
}

#[test]
fn polling_keeps_no_session_alive_and_activity_does() {
    on_both(async |kind| {
        let site = site(kind);
        for (path, alive) in [("/poll", false), ("/who", true)] {
            let mut browser = site.browser();
            browser.post("/sign-in?alice").await;
            for _ in 0..3 {
                site.clock.advance(Duration::from_secs(14 * 60));
                browser.get(path).await;
            }
            assert_eq!(browser.cookie.is_some(), alive, "{path}");
        }
    });
}

#[test]
fn a_token_that_is_due_is_exchanged_when_a_page_is_loaded_and_not_by_its_parts() {
    on_both(async |kind| {
        let policy = Policy::default().with_rotate_every(Some(Duration::from_secs(600)));
        let site = site_under(kind, policy);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let page = || Request::get("/who").header("sec-fetch-mode", "navigate");
        let part = || Request::get("/who").header("sec-fetch-mode", "no-cors");
        // Sealed sessions change their cookies for other reasons too: what counts is whether the one of before is dead.
        let exchanges = async |browser: &mut Browser<'_>, request| {
            let before = browser.clone();
            assert_eq!(browser.send(request).await.status, 200);
            !before.is_alive().await
        };
        site.clock.advance(Duration::from_millis(599_999));
        assert!(!exchanges(&mut browser, page()).await);
        site.clock.advance(Duration::from_millis(1));
        assert!(!exchanges(&mut browser, part()).await);
        assert!(exchanges(&mut browser, page()).await && browser.is_alive().await);
        assert_eq!(browser.send(page()).await.cookie(), Cookie::Untouched, "until it is due again");
        assert_eq!(
            browser.send(Request::get("/").header("sec-fetch-mode", "navigate")).await.header("vary"),
            None
        );
    });
}

#[test]
fn nothing_that_is_printed_of_a_request_or_session_shows_the_token() {
    on_both(async |kind| {
        let site = Site::of(kind).with_sign_in().route(
            "/debug",
            get(async |session: Session, SignedIn(active): SignedIn, uri: http::Uri| {
                format!("{session:?} {active:?} {uri:?}")
            }),
        );
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let printed = browser.get("/debug").await.body;
        let token = browser.cookie.clone().unwrap();
        assert!(printed.contains("alice") && !printed.contains(&token["cr1_".len()..]), "{printed}");
        assert!(!format!("{:?}", site.layered(|layer| layer).router()).contains(&token));
    });
}
