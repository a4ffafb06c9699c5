//! How much a cookie holds, as the browser sees it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderName};
use axum::response::Html;
use axum::routing::{get, post};
use cloakroom::{Attribute, AuthLevel, Method, Persistence, Principal, PrincipalId, Sessions, Timestamp};
use cloakroom_axum::{Rejection, Session, SessionLayer, SignIn, SignedIn};
use cloakroom_http::CookiePolicy;
use cloakroom_memory::MemoryRevocations;
use cloakroom_sealed::{KeyRing, NewKey, Place, Sealer};
use e2e::{Browser, Neighbour, Outcome, Profile, Scripts, alone};

/// What a sealed session's cookie may take: name, value and attributes together.
const OURS: usize = Sealer::COOKIE_BYTES_MAX;
const NOTE: Attribute<String> = Attribute::new("note");

/// Sets the cookie with a value of so many characters, in exactly the words of the default policy for somebody who is
/// remembered for as long as can be.
async fn set(Path(size): Path<usize>) -> ([(HeaderName, String); 1], Html<&'static str>) {
    let attributes = "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=34560000";
    let line = format!("{}={}{attributes}", CookiePolicy::DEFAULT_NAME, "A".repeat(size));
    assert_eq!(line.len() - size, CookiePolicy::default().bytes_around_value());
    ([(SET_COOKIE, line)], Html(PAGE))
}

/// How many bytes of the cookie's value arrived.
async fn seen(headers: HeaderMap) -> Html<String> {
    let cookies = headers.get("cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let prefix = format!("{}=", CookiePolicy::DEFAULT_NAME);
    let values = cookies.split("; ").filter_map(|pair| pair.strip_prefix(&prefix));
    Html(format!("{PAGE}<p id=seen>{}</p>", values.map(|value| value.len().to_string()).collect::<String>()))
}

/// The size of the value that is kept and sent back after it was offered one of `size` bytes, beside one of 50 that was
/// there before.
async fn kept(site: &Neighbour, browser: &Browser, size: usize) -> Outcome<usize> {
    browser.chromium("Storage.clearCookies", serde_json::json!({})).await?;
    for offered in [50, size] {
        browser.goto(&site.path("localhost", &format!("/set/{offered}"))).await?;
    }
    browser.goto(&site.path("localhost", "/seen")).await?;
    let sent = browser.text("#seen").await?.parse()?;
    let cookies = browser.cookies().await?;
    assert_eq!(
        cookies.iter().map(|cookie| cookie.value.len()).collect::<Vec<_>>(),
        [sent],
        "what is kept is what is sent"
    );
    Ok(sent)
}

#[test]
fn a_cookie_of_our_largest_size_is_kept_and_sent_back_whole_and_chromium_has_room_for_no_more_than_its_attributes()
 {
    alone(async || -> Outcome {
        let site =
            Neighbour::of(Router::new().route("/set/{size}", get(set)).route("/seen", get(seen))).await?;
        let browser = Browser::open(Profile::fresh()?, Scripts::Run).await?;
        let around = CookiePolicy::default().bytes_around_value();
        // One byte below our bound, at it, and beyond: the sealer refuses, Chromium would not.
        for size in [OURS - 1 - around, OURS - around, OURS + 1 - around] {
            assert_eq!(kept(&site, &browser, size).await?, size);
        }
        // Chromium counts name and value, as RFC 6265bis section 5.7 says, and keeps what was there before.
        let name = CookiePolicy::DEFAULT_NAME.len();
        assert_eq!(kept(&site, &browser, 4_096 - name).await?, 4_096 - name);
        assert_eq!(
            kept(&site, &browser, 4_097 - name).await?,
            50,
            "one byte over: the cookie of before stays"
        );
        browser.check_console().await?;
        browser.close().await
    });
}

/// A site whose sessions are in their cookies.
fn sealed_site() -> Outcome<Router> {
    let policy = CookiePolicy::default();
    let place = Place { cookie: policy.name().to_owned(), application: "size".to_owned() };
    let ring = KeyRing::first(NewKey::from_random(&[7; NewKey::RANDOM_BYTES]), Timestamp::EPOCH);
    let sealer = Sealer::new(ring, &place, policy.bytes_around_value());
    let sessions = Sessions::sealed(sealer).revocations(Arc::new(MemoryRevocations::default())).build()?;
    Ok(Router::new()
        .route("/sign-in", get(sign_in))
        .route("/note/{size}", post(note))
        .route("/", get(page))
        .layer(SessionLayer::new(sessions).cookie(policy)))
}

async fn sign_in(session: Session) -> Result<Html<&'static str>, Rejection> {
    let alice = Principal::new(PrincipalId::new("alice").expect("a name"));
    let sign_in = SignIn::new(alice, AuthLevel::One, Method::password());
    session.sign_in(sign_in.persistence(Persistence::Remembered)).await?;
    Ok(Html(PAGE))
}

async fn note(session: Session, Path(size): Path<usize>) -> Result<(), Rejection> {
    session.set(&NOTE, &"x".repeat(size)).await
}

async fn page(SignedIn(session): SignedIn) -> Html<String> {
    let note = session.get(&NOTE).ok().flatten().unwrap_or_default().len();
    let who = session.principal().map_or("", |principal| principal.id().as_str());
    Html(format!("{PAGE}<p id=who>{who}</p><p id=note>{note}</p>"))
}

/// Has a script of the page keep a note of so many bytes; what it was answered.
async fn keep(browser: &Browser, size: usize) -> Outcome<(u64, String)> {
    let script = "const done = arguments[arguments.length - 1]; \
        fetch('/note/SIZE', {method: 'POST'}).then(async (answer) => done([answer.status, await answer.text()]))";
    let answer = browser.script_async(&script.replace("SIZE", &size.to_string())).await?;
    let text = |index| answer.get(index).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    Ok((answer.get(0).and_then(serde_json::Value::as_u64).unwrap_or_default(), text(1)))
}

#[test]
fn a_session_that_outgrows_its_cookie_leaves_the_one_in_the_browser_as_it_was() {
    alone(async || -> Outcome {
        let site = Neighbour::of(sealed_site()?).await?;
        let browser = Browser::open(Profile::fresh()?, Scripts::Run).await?;
        browser.goto(&site.path("localhost", "/sign-in")).await?;
        let around = CookiePolicy::default().bytes_around_value();
        let stored = async || -> Outcome<usize> {
            let cookies = browser.cookies().await?;
            assert_eq!(cookies.len(), 1);
            Ok(cookies.first().map_or(0, |cookie| cookie.value.len()) + around)
        };
        // A note that leaves a little room, then one byte more each time, until the next would not fit.
        let empty = stored().await?;
        let mut size = (OURS - empty) * 3 / 4 - 160;
        let mut sizes = Vec::new();
        let refused = loop {
            let (status, body) = keep(&browser, size).await?;
            if status != 200 {
                break (status, serde_json::from_str::<serde_json::Value>(&body)?);
            }
            sizes.push(stored().await?);
            size += 1;
        };
        // Room may be kept below the bound for what grows by itself: instants, one more proof of identity.
        let largest = sizes.last().copied().unwrap_or_default();
        assert!(sizes.len() > 3 && sizes.is_sorted(), "{sizes:?}");
        assert!((OURS - 160..=OURS).contains(&largest), "{sizes:?}");
        let (status, problem) = refused;
        assert_eq!((status, problem.get("code").cloned()), (413, Some("attributes_too_large".into())));
        assert_eq!(problem.get("largest"), Some(&"attribute `note`".into()));
        assert!(problem.get("bytes").and_then(serde_json::Value::as_u64).is_some_and(|bytes| bytes > 4_096));

        // A far larger one is refused like that, and after both the browser has the cookie of before, and is signed in.
        assert_eq!(keep(&browser, 3_900).await?.0, 413);
        assert_eq!(stored().await?, largest);
        browser.goto(&site.path("localhost", "/")).await?;
        assert_eq!(browser.text("#who").await?, "alice");
        assert_eq!(browser.text("#note").await?, (size - 1).to_string());
        assert_eq!(keep(&browser, 10).await?.0, 200, "and it can become smaller again");
        browser.goto(&site.path("localhost", "/")).await?;
        assert_eq!(browser.text("#note").await?, "10");
        for path in [format!("/note/{size}"), "/note/3900".to_owned()] {
            browser.expect_refusal(&path);
        }
        browser.check_console().await?;
        browser.close().await
    });
}

const PAGE: &str = "<!doctype html><title>size</title><link rel=icon href='data:,'>";
