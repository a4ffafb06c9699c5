//! Auditors see and change nothing; support helps one person at a time.

use e2e::{Browser, Outcome, World, run};

use super::{confirm, is_over, lives, notice, staff, stranger};
use crate::people::{PASSWORD, cookie_of, set_up};

const CHANGES: &str = "[data-test='end-one'], [data-test='end-session'], [data-test='end-person'], [data-test='end-many'],
    [data-test='pick'], [data-test='add-account'], [data-test='disable'], [data-test='change-roles'], [data-test='set-password']";

#[test]
fn an_auditor_sees_everything_and_can_change_nothing() {
    run("console_auditor", &[], async |world| {
        let (margaret, auditor) = (world.browser().await?, world.browser().await?);
        set_up(world, &margaret).await?;
        world.server.add_account("ada", PASSWORD)?;
        let one = stranger(world, "ada", "curl/8").await?;
        staff(world, &auditor, "edith", "auditor").await?;
        let session = format!("/admin/sessions/{}", one.id);
        for path in ["/admin", "/admin/sessions", &session, "/admin/people/ada", "/admin/accounts"] {
            world.visit(&auditor, path).await?;
            assert_eq!(auditor.status().await?, 200, "{path}");
            assert_eq!(auditor.count(CHANGES).await?, 0, "{path} offers a change");
        }
        world.examine(&auditor, "console-accounts-auditor").await?;
        world.visit(&auditor, "/admin/sessions").await?;
        world.examine(&auditor, "console-sessions-auditor").await?;
        is_forbidden(world, &auditor, &format!("{session}/end")).await?;
        is_forbidden(world, &auditor, "/admin/sessions/end").await?;
        is_forbidden(world, &auditor, "/admin/people/ada/disable").await?;
        is_forbidden(world, &auditor, "/admin/accounts/new").await?;
        lives(world, &one).await
    });
}

#[test]
fn support_helps_one_person_at_a_time_and_sees_no_addresses() {
    run("console_support", &[], async |world| {
        let (margaret, support) = (world.browser().await?, world.browser().await?);
        set_up(world, &margaret).await?;
        world.server.add_account("ada", PASSWORD)?;
        let one = stranger(world, "ada", "curl/8").await?;
        staff(world, &support, "sol", "support").await?;

        world.visit(&support, "/admin").await?;
        world.examine(&support, "console-support").await?;
        support.expect_refusal("/admin/people");
        support.fill("id", "ad").await?;
        support.press("find").await?;
        support.find("[data-notice='no_such_person']").await?;
        // A page without a notice: the next one is an answer to what is asked next.
        world.visit(&support, "/admin").await?;
        support.fill("id", "margaret").await?;
        support.press("find").await?;
        let told = notice(&support, "no_such_person").await?;
        assert!(told.contains("belongs to the staff"), "{told}");
        world.examine(&support, "console-support-staff").await?;

        support.fill("id", "ada").await?;
        support.press("find").await?;
        support.arrives_at("/admin/people/ada").await?;
        let page = support.text("main").await?;
        assert!(!page.contains("127.0.0.1") && page.contains("Addresses are hidden from you."), "{page}");
        assert_eq!(support.count("[data-test='disable'], [data-test='set-password']").await?, 0);
        world.examine(&support, "console-support-person").await?;
        world.visit(&support, &format!("/admin/sessions/{}", one.id)).await?;
        let page = support.text("main").await?;
        assert!(!page.contains("127.0.0.1") && page.contains("hidden from you"), "{page}");
        support.press("end-session").await?;
        confirm(&support, "lost the telephone").await?;
        notice(&support, "ended").await?;
        is_over(world, &one, "revoked_by_admin").await?;

        for path in
            ["/admin/sessions", "/admin/accounts", "/admin/sessions/end", "/admin/people/ada/password"]
        {
            is_forbidden(world, &support, path).await?;
        }
        is_forbidden(world, &support, "/admin/people/margaret").await
    });
}

/// The page is refused, and so is its form, whatever a person sends.
async fn is_forbidden(world: &World, browser: &Browser, path: &str) -> Outcome {
    browser.expect_refusal(path);
    world.visit(browser, path).await?;
    assert_eq!(browser.status().await?, 403, "{path}");
    world.visit(browser, "/account").await?;
    let csrf = browser.script("return document.querySelector('[name=csrf_token]').value").await?;
    let cookie = format!("__Host-cloakroom={}", cookie_of(world, browser).await?.value);
    let headers = [("cookie", &*cookie), ("sec-fetch-site", "same-origin")];
    let fields = [("csrf_token", csrf.as_str().unwrap_or_default()), ("all", "true")];
    let reply = world.server.send_form(path, &headers, &fields).await?;
    assert!(matches!(reply.status, 403 | 405), "{path}: {}", reply.status);
    Ok(())
}
