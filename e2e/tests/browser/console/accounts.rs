//! Accounts, from the day they are added to the day they are closed.

use e2e::{Browser, Outcome, World, eventually, run};

use super::{is_over, notice, stranger};
use crate::PATIENCE;
use crate::people::{PASSWORD, set_up, try_sign_in_as};

#[test]
fn an_account_is_added_given_roles_and_a_password_disabled_and_enabled() {
    run("console_accounts", &[], async |world| {
        let (admin, visitor) = (world.browser().await?, world.browser().await?);
        set_up(world, &admin).await?;
        fill_in_an_account(world, &admin).await?;
        admin.press("confirm-add").await?;
        let made = admin.text("[data-test='secret']").await?;
        world.output.note_secret(&made)?;
        assert!(made.len() >= 20, "a strong one");
        assert!(admin.web().source().await?.matches(&made).count() == 1, "shown once");
        admin.press("onwards").await?;
        admin.arrives_at("/admin/people/ada").await?;
        let account = admin.text("[data-test='account']").await?;
        assert!(["editor", "printer", "support"].iter().all(|role| account.contains(role)), "{account}");

        world.visit(&visitor, "/sign-in").await?;
        try_sign_in_as(world, &visitor, "ada", &made).await?;
        visitor.find("[data-test='principal']").await?;
        world.session_cookie(&visitor).await?;
        has_news(&admin, 1).await?;
        admin.press("change-roles").await?;
        admin.find("[data-test='confirm-change']").await?;
        world.examine(&admin, "console-account-roles").await?;
        admin.click("input[name='role_support']").await?;
        admin.press("confirm-change").await?;
        let told = notice(&admin, "roles").await?;
        assert!(told.contains("One session was ended."), "{told}");
        world.visit(&visitor, "/account").await?;
        visitor.arrives_at("/sign-in").await?;

        admin.press("set-password").await?;
        admin.fill("password", PASSWORD).await?;
        world.examine(&admin, "console-account-password").await?;
        admin.press("confirm-change").await?;
        notice(&admin, "password").await?;
        let one = stranger(world, "ada", "curl/8").await?;
        has_news(&admin, 1).await?;
        admin.press("disable").await?;
        let consequence = admin.text("[data-test='consequence']").await?;
        assert!(consequence.contains("its one session ends"), "{consequence}");
        world.examine(&admin, "console-account-disable").await?;
        admin.press("confirm-change").await?;
        notice(&admin, "disabled").await?;
        is_over(world, &one, "account_disabled").await?;
        world.examine(&admin, "console-person-disabled").await?;
        visitor.expect_refusal("/sign-in");
        world.visit(&visitor, "/sign-in").await?;
        try_sign_in_as(world, &visitor, "ada", PASSWORD).await?;
        visitor.find("[data-notice='invalid_credentials']").await?;
        admin.press("enable").await?;
        admin.press("confirm-change").await?;
        notice(&admin, "enabled").await?;
        stranger(world, "ada", "curl/8").await?;

        world.visit(&admin, "/admin/accounts?q=AD").await?;
        assert_eq!(admin.count("[data-account]").await?, 1);
        world.visit(&admin, "/admin/accounts").await?;
        world.examine(&admin, "console-accounts").await?;
        world.visit(&admin, "/admin/people/margaret").await?;
        assert_eq!(admin.count("[data-test='disable']").await?, 0, "nobody locks themselves out");
        Ok(())
    });
}

/// Opens the form for a new account, has it refuse a name that is taken, and fills in one that is not.
async fn fill_in_an_account(world: &World, admin: &Browser) -> Outcome {
    world.visit(admin, "/admin/accounts").await?;
    admin.press("add-account").await?;
    admin.find("[data-test='confirm-add']").await?;
    world.examine(admin, "console-account-new").await?;
    admin.expect_refusal("/admin/accounts/new");
    admin.fill("name", "margaret").await?;
    admin.press("confirm-add").await?;
    admin.find("[data-notice='name_taken'][role='alert']").await?;
    admin.fill("name", "ada").await?;
    admin.fill("password", "ada").await?;
    assert!(admin.script("return document.querySelector('[value=chosen]').checked").await? == true);
    admin.click("input[name='secret'][value='made']").await?;
    admin.click("input[name='role_support']").await?;
    admin.fill("others", "editor, printer").await?;
    // A password that was begun and given up is no obstacle.
    admin.fill("password", "").await
}

/// Waits until the page of a person shows this many sessions that live: it draws itself anew for each, and whoever clicks
/// meanwhile may hit something else.
async fn has_news(browser: &Browser, sessions: usize) -> Outcome {
    eventually("the sessions to be shown", PATIENCE, async || {
        Ok((browser.count("tr[data-session][data-alive='true']").await? == sessions).then_some(()))
    })
    .await
}
