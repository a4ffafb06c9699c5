//! What a request costs the store (promise G12), counted by the store itself.

use axum::routing::{any, get};
use cloakroom::{Attribute, AuthLevel, Method};
use cloakroom_axum::{Rejection, Session, SignIn, SignedIn};
use cloakroom_store::Verb::{self, End, Get, Insert, Rekey, Replace};

use crate::site::{Kind, NAME, Site, on_both, principal, run};

const VISITS: Attribute<u32> = Attribute::new("visits");
const NOTE: Attribute<String> = Attribute::new("note");

async fn write(session: Session) -> Result<(), Rejection> {
    session.update(&VISITS, |visits| *visits += 1).await
}

async fn write_much(session: Session) -> Result<String, Rejection> {
    session.set(&NOTE, &"a".to_owned()).await?;
    session.update(&VISITS, |visits| *visits += 1).await?;
    session.remove(&NOTE).await?;
    session.set(&NOTE, &"b".to_owned()).await?;
    Ok(format!("{:?} {:?}", session.get(&VISITS).await?, session.get(&NOTE).await?))
}

async fn rotate_and_write(session: Session) -> Result<(), Rejection> {
    session.rotate().await?;
    session.set(&NOTE, &"c".to_owned()).await?;
    session.reauthenticate(AuthLevel::One, Method::password()).await
}

fn site(kind: Kind) -> Site {
    Site::of(kind)
        .with_sign_in()
        .route("/unused", any(async |_: Session| "nobody asked"))
        .route(
            "/read",
            get(async |session: Session| session.get(&VISITS).await.map(|visits| format!("{visits:?}"))),
        )
        .route(
            "/read-thrice",
            get(async |_: SignedIn, session: Session, _: Option<SignedIn>| session.id().await.map(drop)),
        )
        .route("/write", any(write))
        .route("/write-much", any(write_much))
        .route("/write-the-same", any(async |session: Session| session.update(&VISITS, |_| ()).await))
        .route("/rotate-and-write", any(rotate_and_write))
        .route("/sign-out", any(async |session: Session| session.sign_out().await))
        .route(
            "/set-and-remove",
            any(async |session: Session| {
                session.set(&NOTE, &"x".to_owned()).await?;
                session.remove(&NOTE).await
            }),
        )
}

fn check(path: &str, expected: &[Verb]) {
    run(async {
        let site = site(Kind::Stored);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        browser.post("/write").await;
        site.asked();
        let answer = browser.post(path).await;
        assert!(answer.status.is_success() || answer.status == 405, "{answer:?}");
        assert_eq!(site.asked(), expected, "{path}");
    });
}

#[test]
fn a_session_that_nobody_asks_for_costs_nothing() {
    check("/unused", &[]);
}

#[test]
fn reading_costs_one_look_up_however_often_it_is_asked() {
    run(async {
        let site = site(Kind::Stored);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        site.asked();
        for path in ["/read", "/read-thrice"] {
            assert_eq!(browser.get(path).await.status, 200);
            assert_eq!(site.asked(), [Get], "{path}");
        }
    });
}

#[test]
fn writing_costs_one_write_however_much_is_written() {
    check("/write", &[Get, Replace]);
    check("/write-much", &[Get, Replace]);
    check("/rotate-and-write", &[Get, Rekey]);
    check("/sign-in?alice", &[Get, Insert]);
    check("/sign-out", &[Get, End]);
}

#[test]
fn writing_what_is_there_already_writes_nothing() {
    check("/write-the-same", &[Get]);
    // What was there before is gone: nothing to write here either, since `note` never was.
    check("/set-and-remove", &[Get]);
}

#[test]
fn without_a_token_nothing_is_asked_and_without_something_to_keep_nothing_begins() {
    run(async {
        let site = site(Kind::Stored);
        for path in ["/unused", "/read", "/sign-out", "/set-and-remove"] {
            let mut browser = site.browser();
            let answer = if path == "/read" { browser.get(path).await } else { browser.post(path).await };
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(site.asked(), [], "{path}");
            assert_eq!(browser.cookie, None, "{path}");
        }
        let mut browser = site.browser();
        assert!(browser.post("/write").await.is_set());
        assert_eq!(site.asked(), [Insert]);
        assert!(!browser.post("/write").await.is_set(), "the token is the same");
        assert_eq!(site.asked(), [Get, Replace]);
        browser.post("/sign-in?alice").await;
        assert_eq!(site.asked(), [Get, Insert, End], "the anonymous session is somebody else's shard");
    });
}

#[test]
fn a_malformed_token_never_reaches_the_store() {
    run(async {
        let site = site(Kind::Stored);
        let long = "A".repeat(4_000);
        for value in ["", "x", "\"cr1_\"", "cr1_AAAA", "' OR 1=1 --", &long] {
            for (path, method) in [("/read", "GET"), ("/sign-out", "POST")] {
                let request =
                    http::Request::builder().method(method).uri(path).header("sec-fetch-site", "same-origin");
                let request = request.header("cookie", format!("{NAME}={value}"));
                site.send(request.body(axum::body::Body::empty()).unwrap()).await;
                assert_eq!(site.asked(), [], "{value} {path}");
            }
        }
    });
}

#[test]
fn every_way_to_change_a_session_is_saved_alone_and_together_with_others() {
    on_both(async |kind| {
        let site = site(kind).route("/both", get(both)).route("/change", any(change));
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        for (ways, expected) in [
            ("set", "None Some(\"set\")"),
            ("update", "Some(1) Some(\"set\")"),
            ("remove", "Some(1) None"),
            ("update,set", "Some(2) Some(\"set\")"),
            ("set,remove,update", "Some(3) None"),
            ("update,update,set", "Some(5) Some(\"set\")"),
            ("rotate,update,remove", "Some(6) None"),
            ("set,rotate", "Some(6) Some(\"set\")"),
            ("update,save,update", "Some(8) Some(\"set\")"),
            ("save,rotate,save,remove", "Some(8) None"),
            ("reauthenticate,set", "Some(8) Some(\"set\")"),
            ("update,sign-in", "None None"),
            ("sign-in,update", "Some(1) None"),
        ] {
            assert_eq!(browser.post(&format!("/change?{ways}")).await.status, 200, "{ways}");
            assert_eq!(browser.get("/both").await.body, expected, "{ways}");
        }
    });
}

async fn both(session: Session) -> Result<String, Rejection> {
    Ok(format!("{:?} {:?}", session.get(&VISITS).await?, session.get(&NOTE).await?))
}

async fn change(session: Session, uri: http::Uri) -> Result<(), Rejection> {
    for way in uri.query().unwrap_or_default().split(',') {
        match way {
            "set" => session.set(&NOTE, &"set".to_owned()).await?,
            "update" => session.update(&VISITS, |visits| *visits += 1).await?,
            "remove" => session.remove(&NOTE).await?,
            "rotate" => session.rotate().await?,
            "reauthenticate" => session.reauthenticate(AuthLevel::One, Method::password()).await?,
            "save" => session.save().await?,
            "sign-in" => {
                let alice = SignIn::new(principal("alice"), AuthLevel::One, Method::password());
                session.sign_in(alice).await.map(drop)?;
            }
            other => panic!("{other}"),
        }
    }
    Ok(())
}

#[test]
fn later_questions_of_a_request_see_what_it_changed() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        assert_eq!(browser.post("/write-much").await.body, "Some(1) Some(\"b\")");
        assert_eq!(browser.post("/write-much").await.body, "Some(2) Some(\"b\")");
    });
}
