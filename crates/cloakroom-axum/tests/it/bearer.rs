//! Clients without cookies.

use axum::body::Body;
use axum::routing::any;
use cloakroom::{AuthLevel, Method};
use cloakroom_axum::{Rejection, Session, SignIn, SignedIn};
use http::Request;

use crate::site::{Answer, Cookie, Kind, Site, on_both, principal};

async fn token_of(session: &Session) -> Result<String, Rejection> {
    Ok(session.bearer_token().await?.map_or_else(String::new, |token| token.as_str().to_owned()))
}

fn site(kind: Kind) -> Site {
    Site::of(kind)
        .with_sign_in()
        .route("/who", any(async |_: SignedIn| "in"))
        .route(
            "/sign-in-as-bearer",
            any(async |session: Session| -> Result<String, Rejection> {
                let sign_in = SignIn::new(principal("alice"), AuthLevel::One, Method::password());
                session.sign_in(sign_in.as_bearer()).await?;
                token_of(&session).await
            }),
        )
        .route(
            "/rotate",
            any(async |session: Session| -> Result<String, Rejection> {
                session.rotate().await?;
                token_of(&session).await
            }),
        )
        .route("/sign-out", any(async |session: Session| session.sign_out().await))
}

async fn bearing(site: &Site, path: &str, token: &str) -> Answer {
    let request = Request::post(path).header("authorization", format!("Bearer {token}"));
    site.send(request.body(Body::empty()).unwrap()).await
}

#[test]
fn the_same_session_works_by_bearer_and_no_cookie_is_ever_set() {
    on_both(async |kind| {
        let site = site(kind);
        let signed_in = site.send(Request::post("/sign-in-as-bearer").body(Body::empty()).unwrap()).await;
        assert_eq!(signed_in.cookie(), Cookie::Untouched);
        let first = signed_in.body;
        assert_eq!(bearing(&site, "/who", &first).await.status, 200);

        let rotated = bearing(&site, "/rotate", &first).await;
        assert_eq!(rotated.cookie(), Cookie::Untouched);
        let second = rotated.body;
        assert_ne!(first, second);
        assert_eq!(bearing(&site, "/who", &first).await.told(), (401, "session_unknown".into()));
        assert_eq!(bearing(&site, "/who", &second).await.status, 200);

        let again = bearing(&site, "/sign-in?alice", &second).await;
        assert_eq!(again.cookie(), Cookie::Untouched, "in the same manner as the old one");
        let out = bearing(&site, "/sign-out", &second).await;
        assert_eq!(out.cookie(), Cookie::Untouched);
        assert_eq!(bearing(&site, "/who", &second).await.told(), (401, "session_ended".into()));
    });
}

#[test]
fn a_browser_is_never_told_its_own_token() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let rotated = browser.post("/rotate").await;
        assert_eq!((rotated.body.as_str(), rotated.is_set()), ("", true));
    });
}

#[test]
fn bearer_requests_need_no_origin_and_other_bearers_are_nobody() {
    on_both(async |kind| {
        let site = site(kind);
        let token = site.send(Request::post("/sign-in-as-bearer").body(Body::empty()).unwrap()).await.body;
        let cross = Request::post("/who").header("sec-fetch-site", "cross-site");
        let cross = cross.header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
        assert_eq!(site.send(cross).await.status, 200);
        site.asked();
        for other in ["crk_service", "eyJhbGciOiJub25lIn0.e30."] {
            assert_eq!(
                bearing(&site, "/who", other).await.told(),
                (401, "session_missing".into()),
                "{other}"
            );
        }
        assert_eq!(bearing(&site, "/who", "cr1_malformed").await.told(), (401, "session_unknown".into()));
        assert_eq!(site.asked(), []);
    });
}
