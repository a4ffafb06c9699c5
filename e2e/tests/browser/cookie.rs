//! The cookie, as the browser keeps it.

use std::time::Duration;

use e2e::{Browser, Cookie, Outcome, Scripts, World, run};

use crate::people::{NAME, PASSWORD, cookie_of, is_alive, set_up, sign_in, sign_in_to_stay, sign_out};

#[test]
fn the_cookie_belongs_to_one_host_is_secure_unseen_by_scripts_and_ends_with_the_browser() {
    run("cookie", &[], async |world| {
        let browser = world.browser().await?;
        world.visit(&browser, "/sign-in").await?;
        assert_eq!(browser.cookies().await?, [], "nothing to keep, no cookie");
        set_up(world, &browser).await?;
        let cookie = cookie_of(world, &browser).await?;
        let expected = Cookie { expires: None, ..as_promised(&cookie) };
        assert_eq!(cookie, expected);
        assert_eq!(browser.cookies().await?, [cookie], "there is no other cookie");
        assert_eq!(browser.script("return document.cookie").await?, "");
        Ok(())
    });
}

#[test]
fn who_wants_to_be_remembered_gets_a_cookie_that_outlives_the_browser_and_nobody_else_does() {
    run("remembered", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        let forgotten = cookie_of(world, &browser).await?;
        let profile = browser.profile();
        world.close(browser).await?;
        is_alive(&world.server, &forgotten.value).await?;

        let browser = world.browser_with(profile.clone(), Scripts::Run).await?;
        assert_eq!(world.session_cookie(&browser).await?, None, "it ended with the browser");
        world.visit(&browser, "/account").await?;
        browser.arrives_at("/sign-in").await?;
        sign_in_to_stay(world, &browser, NAME).await?;
        // An administrator's longest life is eight hours, remembered or not.
        let kept = lasts(world, &browser, 8).await?;
        world.close(browser).await?;

        let browser = world.browser_with(profile, Scripts::Run).await?;
        world.visit(&browser, "/account").await?;
        browser.arrives_at("/account").await?;
        assert_eq!(cookie_of(world, &browser).await?.value, kept.value);
        sign_out(&browser).await?;
        assert_eq!(world.session_cookie(&browser).await?, None);

        world.server.add_account("alice", PASSWORD)?;
        sign_in_to_stay(world, &browser, "alice").await?;
        lasts(world, &browser, 30 * 24).await?;
        world.photograph(&browser, "account-remembered").await
    });
}

#[test]
fn each_sign_in_has_a_token_of_its_own_whatever_the_browser_brought_along() {
    run("no_adoption", &[], async |world| -> Outcome {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        let first = cookie_of(world, &browser).await?.value;
        sign_out(&browser).await?;
        // Somebody planted a token that the server never issued, and one that is over.
        for planted in [format!("cr1_{}", "A".repeat(46)), first.clone()] {
            let cookie = serde_json::json!({
                "name": "__Host-cloakroom", "value": planted, "url": world.server.url("/"),
                "path": "/", "secure": true, "httpOnly": true, "sameSite": "Lax",
            });
            browser.chromium("Network.setCookie", cookie).await?;
            sign_in(world, &browser, PASSWORD).await?;
            let own = cookie_of(world, &browser).await?.value;
            assert!(own != planted && own != first);
            sign_out(&browser).await?;
        }
        Ok(())
    });
}

/// The cookie, which is forgotten in so many hours and no others.
async fn lasts(world: &World, browser: &Browser, hours: u64) -> Outcome<Cookie> {
    let cookie = cookie_of(world, browser).await?;
    let now = browser.script("return Date.now() / 1000").await?.as_f64().unwrap_or_default();
    let left = Duration::from_secs_f64(cookie.expires.unwrap_or(now) - now);
    let expected = Duration::from_secs(hours * 3600);
    // The tests themselves take a while, on a busy machine.
    assert!(left.abs_diff(expected) < Duration::from_secs(300), "{left:?} instead of {expected:?}");
    assert_eq!(cookie, Cookie { expires: cookie.expires, ..as_promised(&cookie) });
    Ok(cookie)
}

/// The attributes that the contract promises, for this name and value.
fn as_promised(cookie: &Cookie) -> Cookie {
    Cookie {
        name: "__Host-cloakroom".to_owned(),
        value: cookie.value.clone(),
        // Without a dot in front: no subdomain gets it.
        domain: "localhost".to_owned(),
        path: "/".to_owned(),
        secure: true,
        http_only: true,
        same_site: "Lax".to_owned(),
        expires: None,
    }
}
