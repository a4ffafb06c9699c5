//! Other people's pages, open in the browser of somebody who is signed in.

use e2e::{Browser, Failure, Neighbour, Outcome, World, eventually, run};
use serde_json::Value;

use crate::people::{cookie_of, is_alive, set_up};

/// `localhost` on another port is another origin of the same site: the browser sends the cookie along, whatever its
/// `SameSite`. `127.0.0.1` is another site.
const HOSTS: [&str; 2] = ["localhost", "127.0.0.1"];

#[test]
fn another_sites_form_cannot_sign_anybody_out() {
    run("foreign_form", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        let token = cookie_of(world, &browser).await?.value;
        browser.expect_refusal("/sign-out");
        let target = world.server.url("/sign-out");
        let page = format!("<!doctype html><form method=post action='{target}'><button>Win</button></form>");
        let neighbour = Neighbour::serve(page).await?;
        for host in HOSTS {
            browser.goto(&neighbour.url(host)).await?;
            browser.click("button").await?;
            browser.arrives_at("/sign-out").await?;
            assert_eq!(browser.status().await?, 403, "from {host}");
            assert_eq!(cookie_of(world, &browser).await?.value, token, "from {host}");
            is_alive(&world.server, &token).await?;
        }
        world.photograph(&browser, "refused-from-another-site").await?;
        world.visit(&browser, "/account").await?;
        browser.arrives_at("/account").await
    });
}

#[test]
fn another_sites_form_cannot_sign_anybody_in() {
    run("foreign_sign_in", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        let token = cookie_of(world, &browser).await?.value;
        browser.chromium("Network.clearBrowserCookies", serde_json::json!({})).await?;
        browser.expect_refusal("/sign-in");
        let target = world.server.url("/sign-in");
        let page = format!(
            "<!doctype html><form method=post action='{target}'><input name=username value={}>\
             <input name=password value='{}'><button>Win</button></form>",
            crate::people::NAME,
            crate::people::PASSWORD
        );
        let neighbour = Neighbour::serve(page).await?;
        for host in HOSTS {
            browser.goto(&neighbour.url(host)).await?;
            browser.click("button").await?;
            browser.arrives_at("/sign-in").await?;
            assert_eq!(browser.status().await?, 403, "from {host}");
            assert_eq!(world.session_cookie(&browser).await?, None, "from {host}");
        }
        is_alive(&world.server, &token).await
    });
}

#[test]
fn another_sites_script_can_neither_end_a_session_nor_read_it() {
    run("foreign_script", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        let token = cookie_of(world, &browser).await?.value;
        let neighbour = Neighbour::serve("<!doctype html><title>Prizes</title>".to_owned()).await?;
        for host in HOSTS {
            browser.goto(&neighbour.url(host)).await?;
            for (method, path) in [
                ("GET", "/v1/session"),
                ("GET", "/account"),
                ("DELETE", "/v1/session"),
                ("POST", "/sign-out"),
                ("POST", "/v1/session/rotate"),
                ("POST", "/v1/sign-in"),
            ] {
                let answer = fetched(world, &browser, method, path).await?;
                assert_eq!(answer, "unreadable", "{method} {path} from {host}");
            }
            assert_eq!(cookie_of(world, &browser).await?.value, token, "from {host}");
            is_alive(&world.server, &token).await?;
        }
        forget_complaints(&browser).await
    });
}

#[test]
fn no_other_page_can_frame_ours() {
    run("framed", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        let target = world.server.url("/account");
        let neighbour = Neighbour::serve(format!("<!doctype html><iframe src='{target}'></iframe>")).await?;
        for host in HOSTS {
            browser.goto(&neighbour.url(host)).await?;
            browser.web().enter_frame(0).await?;
            eventually("the frame to have loaded what it may", crate::PATIENCE, async || {
                Ok((browser.script("return document.readyState").await? == "complete").then_some(()))
            })
            .await?;
            assert_eq!(browser.count("[data-session], form").await?, 0, "from {host}");
            browser.web().enter_default_frame().await?;
        }
        forget_complaints(&browser).await
    });
}

/// Asks the server with the browser's cookies, from whatever page is shown, in the way that needs no permission first.
async fn fetched(world: &World, browser: &Browser, method: &str, path: &str) -> Outcome<Value> {
    let url = world.server.url(path);
    let mode = if method == "DELETE" { "cors" } else { "no-cors" };
    let script = format!(
        "const done = arguments[arguments.length - 1];
        fetch('{url}', {{ method: '{method}', mode: '{mode}', credentials: 'include' }})
            .then(it => it.text().then(text => done(text === '' ? 'unreadable' : text)))
            .catch(() => done('unreadable'));"
    );
    browser.script_async(&script).await
}

/// The browser complains of what it kept another site from doing, and rightly so; but only of that.
async fn forget_complaints(browser: &Browser) -> Outcome {
    for entry in browser.web().browser_log().await?.iter().filter(|entry| entry.level == "SEVERE") {
        let expected = [
            "CORS policy",
            "status of 403",
            "status of 401",
            "frame-ancestors",
            "ERR_FAILED",
            "NotSameOrigin",
        ];
        if !expected.iter().any(|words| entry.message.contains(words)) {
            return Err(Failure::new(format!("the console says: {}", entry.message)));
        }
    }
    Ok(())
}
