//! Forms with CSRF tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::routing::{get, post};
use cloakroom::Attribute;
use cloakroom_axum::{CsrfForm, Rejection, Session};
use http::Request;

use crate::site::{Answer, Browser, Kind, Site, on_both};

const SEEN: Attribute<bool> = Attribute::new("seen");

async fn form(session: Session) -> Result<String, Rejection> {
    Ok(session.csrf_token().await?.map_or_else(String::new, |token| token.to_string()))
}

async fn form_of_a_new_session(session: Session) -> Result<String, Rejection> {
    session.set(&SEEN, &true).await?;
    form(session).await
}

async fn form_after_rotation(session: Session) -> Result<String, Rejection> {
    session.rotate().await?;
    form(session).await
}

async fn submit(CsrfForm(fields): CsrfForm<BTreeMap<String, String>>) -> String {
    fields.get("amount").cloned().unwrap_or_default()
}

fn site(kind: Kind) -> Site {
    Site::of(kind)
        .with_sign_in()
        .route("/form", get(form))
        .route("/new-form", get(form_of_a_new_session))
        .route("/rotated-form", get(form_after_rotation))
        .route("/submit", post(submit))
}

async fn send(browser: &Browser<'_>, body: String, header: Option<&str>) -> Answer {
    let request = Request::post("/submit")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded");
    let request = header.into_iter().fold(request, |request, token| request.header("x-csrf-token", token));
    browser.site.send(browser.with_cookie(request).body(Body::from(body)).unwrap()).await
}

#[test]
fn a_form_is_accepted_with_a_token_of_its_session_in_field_or_header() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let token = browser.get("/form").await.body;
        assert_ne!(token, browser.get("/form").await.body, "another one on every page");
        let good = send(&browser, format!("amount=5&csrf_token={token}"), None).await;
        assert_eq!((good.status.as_u16(), good.body.as_str()), (200, "5"));
        assert_eq!(send(&browser, "amount=6".into(), Some(&token)).await.body, "6");
    });
}

#[test]
fn a_form_is_refused_with_any_other_token() {
    on_both(async |kind| {
        let site = site(kind);
        let (mut alice, mut mallory) = (site.browser(), site.browser());
        alice.post("/sign-in?alice").await;
        mallory.post("/sign-in?mallory").await;
        let theirs = mallory.get("/form").await.body;
        let own = alice.get("/form").await.body;
        let session_token = alice.cookie.clone().unwrap();
        for body in [
            "amount=5".to_owned(),
            "amount=5&csrf_token=".to_owned(),
            format!("amount=5&csrf_token={theirs}"),
            format!("amount=5&csrf_token={session_token}"),
            format!("amount=5&csrf_token={own}&csrf_token={own}"),
        ] {
            assert_eq!(send(&alice, body.clone(), None).await.told(), (403, "cross_site".into()), "{body}");
        }
        let before_rotation = own;
        alice.get("/rotated-form").await;
        let answer = send(&alice, format!("amount=5&csrf_token={before_rotation}"), None).await;
        assert_eq!(answer.told(), (403, "cross_site".into()), "a rotation ends the tokens of before");
        assert_eq!(
            send(&site.browser(), "amount=5".into(), None).await.told(),
            (401, "session_missing".into())
        );
    });
}

#[test]
fn a_form_stays_good_while_its_session_goes_on_under_other_cookies() {
    on_both(async |kind| {
        let site = site(kind).route("/keep", post(async |session: Session| session.set(&SEEN, &true).await));
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let token = browser.get("/form").await.body;
        let before = browser.cookie.clone();
        site.clock.advance(Duration::from_secs(60));
        browser.get("/form").await;
        browser.post("/keep").await;
        // In a store it is the same cookie still; sealed, it was sealed anew for the activity and for the change.
        assert_eq!(browser.cookie == before, kind == Kind::Stored);
        let sent = send(&browser, format!("amount=8&csrf_token={token}"), None).await;
        assert_eq!((sent.status.as_u16(), sent.body.as_str()), (200, "8"));
    });
}

#[test]
fn a_form_made_while_the_token_changes_is_made_for_the_new_one() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        assert_eq!(browser.get("/form").await.body, "", "there is nothing to protect yet");
        for path in ["/new-form", "/rotated-form"] {
            let answer = browser.get(path).await;
            assert!(answer.is_set(), "{path}");
            let sent = send(&browser, format!("amount=7&csrf_token={}", answer.body), None).await;
            assert_eq!(sent.body, "7", "{path}");
        }
    });
}
