//! Requests that are refused, and how they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::routing::{any, get};
use cloakroom::{Attribute, EventKind, Policy};
use cloakroom_axum::{Fresh, FreshnessRule, OriginGuard, Rejection, Session, SignedIn};
use http::{Request, StatusCode};

use crate::site::{Answer, Browser, Cookie, Kind, NAME, Site, on_both, run};

const NOTE: Attribute<String> = Attribute::new("note");

struct Always;
impl FreshnessRule for Always {
    fn demand() -> cloakroom::FreshnessDemand {
        cloakroom::FreshnessDemand::within(std::time::Duration::ZERO)
    }
}

fn site_under(kind: Kind, policy: Policy) -> Site {
    Site::under(kind, policy)
        .with_sign_in()
        .route("/who", any(async |_: SignedIn| "in"))
        .route("/sensitive", get(async |_: Fresh<Always>| "in"))
        .route("/unused", any(async || "hello"))
        .route(
            "/note",
            any(async |session: Session, uri: http::Uri| {
                session.set(&NOTE, &uri.query().unwrap_or_default().to_owned()).await
            }),
        )
        .route(
            "/read",
            get(async |session: Session| session.get(&NOTE).await.map(|note| format!("{note:?}"))),
        )
}

fn site(kind: Kind) -> Site {
    site_under(kind, Policy::default())
}

#[test]
fn a_request_that_another_site_sent_reaches_no_handler() {
    on_both(async |kind| {
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        let site =
            site(kind).route("/act", any(async move || count.fetch_add(1, Ordering::Relaxed).to_string()));
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        site.asked();
        let refused = (403, "cross_site".to_owned());
        for request in [
            Request::post("/act").header("sec-fetch-site", "cross-site"),
            Request::post("/act").header("sec-fetch-site", "same-site"),
            Request::post("/act").header("origin", "https://evil.example"),
            Request::post("/act").header("origin", "null"),
            Request::delete("/act"),
            Request::get("/act").header("upgrade", "websocket").header("origin", "https://evil.example"),
        ] {
            let answer = browser.send(request).await;
            assert_eq!((answer.told(), answer.cookie()), (refused.clone(), Cookie::Untouched));
        }
        assert_eq!(reached.load(Ordering::Relaxed), 0);
        assert_eq!(site.seen.count(EventKind::CrossSiteBlocked), 6);
        assert_eq!(site.asked(), []);
        browser.send(Request::post("/act").header("sec-fetch-site", "same-origin")).await;
        browser.send(Request::get("/act").header("sec-fetch-site", "cross-site")).await;
        assert_eq!(reached.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn another_site_can_sign_nobody_in() {
    on_both(async |kind| {
        let site = site(kind);
        let cross = |site: &str| Request::post("/sign-in?mallory").header("sec-fetch-site", site);
        for origin in ["cross-site", "same-site"] {
            assert_eq!(site.browser().send(cross(origin)).await.told(), (403, "cross_site".into()));
        }
        let program = site.send(Request::post("/sign-in?alice").body(Body::empty()).unwrap()).await;
        assert_eq!(program.status, 200, "a program that sends no cookies is no browser");
    });
}

#[test]
fn a_guard_that_knows_its_origins_judges_old_browsers_by_them() {
    on_both(async |kind| {
        let guard = OriginGuard::new(["https://shop.example".parse().unwrap()])
            .trusting(["https://pay.example".parse().unwrap()]);
        let site = site(kind).layered(|layer| layer.origin_guard(guard));
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        for (origin, status) in
            [("https://shop.example", 200), ("https://pay.example", 200), ("https://a.shop.example", 403)]
        {
            assert_eq!(
                browser.send(Request::post("/who").header("origin", origin)).await.status,
                status,
                "{origin}"
            );
        }
        let open = Site::of(kind)
            .route("/who", any(async || "in"))
            .layered(cloakroom_axum::SessionLayer::dangerously_without_origin_guard);
        let answer = open.browser().send(Request::post("/who").header("sec-fetch-site", "cross-site")).await;
        assert_eq!(answer.status, 200);
    });
}

async fn with_cookies(site: &Site, path: &str, cookies: &str) -> Answer {
    site.send(Request::get(path).header("cookie", cookies).body(Body::empty()).unwrap()).await
}

#[test]
fn several_different_session_cookies_are_refused_by_whoever_asks() {
    on_both(async |kind| {
        let site = site(kind);
        let (mut one, mut two) = (site.browser(), site.browser());
        one.post("/sign-in?alice").await;
        two.post("/sign-in?mallory").await;
        let value = |browser: &Browser<'_>| format!("{NAME}={}", browser.cookie.clone().unwrap());
        let both = format!("{}; {}", value(&one), value(&two));
        site.asked();
        for path in ["/who", "/read"] {
            let answer = with_cookies(&site, path, &both).await;
            assert_eq!(answer.told(), (400, "conflicting_credentials".into()), "{path}");
            assert_eq!(answer.cookie(), Cookie::Untouched);
        }
        assert_eq!(with_cookies(&site, "/unused", &both).await.status, 200);
        assert_eq!(site.asked(), []);
        assert_eq!(site.seen.count(EventKind::ConflictingTokens), 3);
        let twice = format!("{}; {}", value(&one), value(&one));
        assert_eq!(with_cookies(&site, "/who", &twice).await.status, 200, "the same one twice is one");
    });
}

#[test]
fn a_token_in_the_address_is_ignored_and_seen() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let token = browser.cookie.clone().unwrap();
        let answer = site.browser().get(&format!("/who?token={token}")).await;
        assert_eq!(answer.told(), (401, "session_missing".into()));
        assert_eq!(site.seen.count(EventKind::TokenInUrl), 1);
    });
}

#[test]
fn attributes_over_the_limit_are_refused_with_both_sizes_and_change_nothing() {
    on_both(async |kind| {
        let site = site_under(kind, Policy::default().with_attributes_max_bytes(100));
        let mut browser = site.browser();
        browser.post("/note?short").await;
        // The key takes 4 bytes, the text's length 2.
        let at_limit = browser.post(&format!("/note?{}", "a".repeat(94))).await;
        assert_eq!(at_limit.status, 200);
        let answer = browser.post(&format!("/note?{}", "b".repeat(95))).await;
        assert_eq!(answer.told(), (413, "attributes_too_large".into()));
        assert_eq!(
            (answer.problem()["bytes"].clone(), answer.problem()["max_bytes"].clone()),
            (101.into(), 100.into())
        );
        assert!(browser.get("/read").await.body.contains(&"a".repeat(94)));
    });
}

#[test]
fn a_browser_that_asks_for_a_page_is_sent_to_where_it_can_sign_in() {
    on_both(async |kind| {
        let site =
            site(kind).layered(|layer| layer.sign_in_at("/sign-in").reauthenticate_at("/confirm?step=1"));
        let mut browser = site.browser();
        let page = |target: &str| Request::get(target).header("sec-fetch-mode", "navigate");
        let nobody = browser.send(page("/who?tab=2&x=%26")).await;
        assert_eq!(nobody.status, StatusCode::SEE_OTHER);
        assert_eq!(nobody.header("location"), Some("/sign-in?return_to=%2Fwho%3Ftab%3D2%26x%3D%2526"));
        assert_eq!(nobody.header("vary"), Some("Cookie, Authorization"));
        assert_eq!(nobody.header("cache-control"), Some("no-store"));
        assert_eq!(browser.get("/who").await.status, 401, "a program is told in its own words");

        browser.post("/sign-in?alice").await;
        let stale = browser.send(page("/sensitive")).await;
        assert_eq!(stale.header("location"), Some("/confirm?step=1&return_to=%2Fsensitive"));
        site.clock.advance(std::time::Duration::from_secs(3_600));
        let form = Request::post("/who")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-site", "same-origin");
        let expired = browser.send(form).await;
        assert_eq!(
            expired.header("location"),
            Some("/sign-in?ended=idle_timeout"),
            "a form is not sent again"
        );
        assert_eq!(expired.cookie(), Cookie::Removed);
    });
}

#[test]
fn an_application_restyles_every_refusal_in_one_place() {
    run(async {
        let site = site(Kind::Stored).layered(|layer| {
            layer.rejections(|rejection, facts| {
                let page =
                    format!("{} {} {}", facts.method(), facts.uri(), rejection.problem().code().as_str());
                (!matches!(rejection, Rejection::Forbidden))
                    .then(|| (StatusCode::IM_A_TEAPOT, page).into_response())
            })
        });
        let mut browser = site.browser();
        assert_eq!(browser.get("/who?a").await.body, "GET /who?a session_missing");
        let cross = browser.send(Request::post("/who").header("sec-fetch-site", "cross-site")).await;
        assert_eq!(cross.body, "POST /who cross_site");
        site.faults.script(cloakroom_store::Verb::Insert, cloakroom_conformance::Fault::FailBefore);
        let failed = browser.post("/note?x").await;
        assert_eq!(
            (failed.status, failed.body.as_str()),
            (StatusCode::IM_A_TEAPOT, "POST /note?x store_unavailable")
        );
        assert_eq!(failed.header("vary"), Some("Cookie, Authorization"));
    });
}
