//! Around signing in: proving identity again, leading back, and what a page says of itself.

use e2e::run;
use serde_json::json;

use crate::people::{
    PASSWORD, WRONG_PASSWORD, cookie_of, is_alive, look, set_up, sign_in, sign_out, try_sign_in,
};

#[test]
fn proving_identity_again_gives_another_token_and_leads_back() {
    run("reauthentication", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        let before = cookie_of(world, &browser).await?.value;
        world.visit(&browser, "/reauthenticate?return_to=%2Faccount").await?;
        world.photograph(&browser, "reauthenticate").await?;
        world.output.note_secret(WRONG_PASSWORD)?;
        browser.expect_refusal("/reauthenticate");
        browser.fill("password", WRONG_PASSWORD).await?;
        browser.press("reauthenticate").await?;
        browser.find("[data-notice='invalid_credentials'][role='alert']").await?;
        assert_eq!(cookie_of(world, &browser).await?.value, before);

        browser.fill("password", PASSWORD).await?;
        browser.press("reauthenticate").await?;
        browser.arrives_at("/account").await?;
        let after = cookie_of(world, &browser).await?.value;
        assert_ne!(after, before);
        is_alive(&world.server, &after).await?;
        assert_eq!(look(&world.server, &before).await?.0, 401, "the token before is dead");
        Ok(())
    });
}

#[test]
fn signing_in_leads_back_to_where_one_came_from_and_nowhere_else() {
    run("return_to", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        sign_out(&browser).await?;
        for (wanted, shown) in [
            ("/account/end-others", "/account/end-others"),
            ("https://evil.example/", "/account"),
            ("//evil.example/", "/account"),
            ("/\\evil.example", "/account"),
            ("javascript:alert(1)", "/account"),
        ] {
            let query: String = wanted.bytes().map(|byte| format!("%{byte:02X}")).collect();
            world.visit(&browser, &format!("/sign-in?return_to={query}")).await?;
            try_sign_in(world, &browser, PASSWORD).await?;
            browser.arrives_at(shown).await?;
            cookie_of(world, &browser).await?;
            sign_out(&browser).await?;
        }
        Ok(())
    });
}

#[test]
fn a_browser_that_keeps_no_cookies_is_told_so_instead_of_going_round_in_circles() {
    run("no_cookies", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        sign_out(&browser).await?;
        browser.expect_refusal("/sign-in/done");
        browser.chromium("Network.enable", json!({})).await?;
        // What a browser does whose owner has blocked this site's cookies.
        browser.chromium("Emulation.setDocumentCookieDisabled", json!({ "disabled": true })).await?;
        world.visit(&browser, "/sign-in/done").await?;
        browser.find("[data-test='cookie-refused']").await?;
        world.photograph(&browser, "cookie-refused").await?;
        sign_in(world, &browser, PASSWORD).await
    });
}
