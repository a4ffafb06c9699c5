//! How much a cookie holds, as the browser sees it.

use axum::Router;
use axum::extract::Path;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderName};
use axum::response::Html;
use axum::routing::get;
use cloakroom_http::CookiePolicy;
use e2e::{Browser, Neighbour, Outcome, Profile, Scripts, alone};

/// What a sealed session's cookie may take: name, value and attributes together.
const OURS: usize = 4_096;

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

const PAGE: &str = "<!doctype html><title>size</title><link rel=icon href='data:,'>";
