//! People who switched scripts off.

use e2e::{Profile, Scripts, eventually, run};

use crate::people::{
    NAME, NEW_PASSWORD, PASSWORD, complete_set_up, cookie_of, is_refused, sessions_shown, sign_in, sign_out,
};

#[test]
fn everything_on_the_account_page_works_without_script() {
    run("without_script", &[], async |world| {
        let browser = world.browser_with(Profile::fresh()?, Scripts::Blocked).await?;
        let link = world.server.setup_link().await?;
        browser.goto(&link).await?;
        complete_set_up(world, &browser, PASSWORD).await?;
        browser.arrives_at("/account").await?;
        assert!(browser.count("time[data-relative]").await? > 0, "there are times to be shown");
        world.photograph(&browser, "account-without-script").await?;
        sign_out(&browser).await?;
        sign_in(world, &browser, PASSWORD).await?;

        let second = world.browser().await?;
        sign_in(world, &second, PASSWORD).await?;
        let theirs = cookie_of(world, &second).await?.value;
        world.visit(&browser, "/account").await?;
        assert_eq!(sessions_shown(&browser).await?, 2);
        browser.click("[data-session]:not([data-current='true']) [data-test='end-session']").await?;
        browser.find("[data-notice='session_ended']").await?;
        is_refused(&world.server, &theirs, "revoked_by_user").await?;

        sign_in(world, &second, PASSWORD).await?;
        let theirs = cookie_of(world, &second).await?.value;
        world.visit(&browser, "/account").await?;
        browser.press("end-others").await?;
        browser.find("[data-notice='others_ended']").await?;
        assert_eq!(sessions_shown(&browser).await?, 1);
        is_refused(&world.server, &theirs, "revoked_by_user").await?;

        world.output.note_secret(NEW_PASSWORD)?;
        browser.fill("current", PASSWORD).await?;
        browser.fill("new", NEW_PASSWORD).await?;
        browser.press("change-password").await?;
        browser.find("[data-notice='password_changed']").await?;
        cookie_of(world, &browser).await?;
        sign_out(&browser).await?;
        Ok(())
    });
}

#[test]
fn going_back_after_signing_out_shows_nothing_even_where_no_script_can_help() {
    run("back_without_script", &[], async |world| {
        let browser = world.browser_with(Profile::fresh()?, Scripts::Blocked).await?;
        let link = world.server.setup_link().await?;
        browser.goto(&link).await?;
        complete_set_up(world, &browser, PASSWORD).await?;
        browser.arrives_at("/account").await?;
        let token = cookie_of(world, &browser).await?.value;
        sign_out(&browser).await?;
        is_refused(&world.server, &token, "signed_out").await?;
        for _ in 0..2 {
            browser.web().back().await?;
            eventually("a page after going back", crate::PATIENCE, async || {
                Ok((browser.script("return document.readyState").await? == "complete").then_some(()))
            })
            .await?;
            let text = browser.text("body").await?;
            assert!(!text.contains(NAME), "{text}");
            assert_eq!(browser.count("[data-session]").await?, 0);
        }
        Ok(())
    });
}
