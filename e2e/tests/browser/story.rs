//! The whole story of a fresh machine.

use e2e::{Browser, Outcome, World, run};

use crate::people::{
    NAME, NEW_PASSWORD, PASSWORD, WRONG_PASSWORD, complete_set_up, cookie_of, is_alive, is_refused,
    sessions_shown, sign_in, sign_out, try_sign_in,
};

#[test]
fn a_person_sets_up_signs_in_ends_another_session_changes_the_password_and_signs_out() {
    run("story", &[], async |world| {
        let desk = world.browser().await?;
        let link = the_link_works_once(world, &desk).await?;
        the_password_is_asked_for(world, &desk).await?;
        let second = world.browser().await?;
        another_session_is_ended(world, &desk, &second).await?;
        the_password_is_changed(world, &desk, &second).await?;
        nothing_is_left_after_signing_out(world, &desk).await?;
        the_link_is_dead(world, &desk, &link).await
    });
}

async fn the_link_works_once(world: &mut World, desk: &Browser) -> Outcome<String> {
    let link = world.server.setup_link().await?;
    world.visit(desk, "/").await?;
    desk.arrives_at("/setup").await?;
    desk.find("[data-test='setup-closed']").await?;
    world.photograph(desk, "set-up-without-link").await?;

    desk.goto(&link).await?;
    world.photograph(desk, "set-up").await?;
    desk.expect_refusal("/setup");
    complete_set_up(world, desk, "margaret123").await?;
    let refusal = desk.text("[data-notice='weak_password'][role='alert']").await?;
    assert!(refusal.len() > 20, "the refusal explains itself: {refusal}");
    assert_eq!(
        desk.count(&format!("input[name='username'][value='{NAME}']")).await?,
        1,
        "what was typed stays"
    );
    world.photograph(desk, "set-up-weak-password").await?;

    complete_set_up(world, desk, PASSWORD).await?;
    desk.arrives_at("/account").await?;
    assert_eq!(desk.text("[data-test='principal']").await?, NAME);
    sign_out(desk).await?;
    world.photograph(desk, "sign-in-after-sign-out").await?;
    Ok(link)
}

async fn the_password_is_asked_for(world: &World, desk: &Browser) -> Outcome {
    world.visit(desk, "/account").await?;
    desk.arrives_at("/sign-in").await?;
    desk.expect_refusal("/sign-in");
    try_sign_in(world, desk, WRONG_PASSWORD).await?;
    desk.find("[data-notice='invalid_credentials'][role='alert']").await?;
    assert_eq!(desk.status().await?, 401);
    assert_eq!(world.session_cookie(desk).await?, None);
    world.photograph(desk, "sign-in-refused").await?;

    try_sign_in(world, desk, PASSWORD).await?;
    desk.arrives_at("/account").await?;
    assert_eq!(sessions_shown(desk).await?, 1);
    let own = desk.text("[data-session][data-current='true']").await?;
    assert!(own.contains("This device") && own.contains("127.0.0.1"), "{own}");
    Ok(())
}

async fn another_session_is_ended(world: &World, desk: &Browser, second: &Browser) -> Outcome {
    sign_in(world, second, PASSWORD).await?;
    let theirs = cookie_of(world, second).await?;
    world.visit(desk, "/account").await?;
    assert_eq!(sessions_shown(desk).await?, 2);
    world.photograph(desk, "account-two-sessions").await?;

    desk.click("[data-session]:not([data-current='true']) [data-test='end-session']").await?;
    desk.find("dialog[open]").await?;
    world.photograph(desk, "account-confirm").await?;
    desk.press("confirm-cancel").await?;
    is_alive(&world.server, &theirs.value).await?;
    desk.click("[data-session]:not([data-current='true']) [data-test='end-session']").await?;
    desk.press("confirm").await?;
    desk.find("[data-notice='session_ended']").await?;
    assert_eq!(sessions_shown(desk).await?, 1);
    world.photograph(desk, "account-session-ended").await?;

    world.visit(second, "/account").await?;
    second.arrives_at("/sign-in").await?;
    let why = second.text("[data-notice='revoked_by_user']").await?;
    assert!(why.contains("another of your devices"), "{why}");
    world.photograph(second, "sign-in-ended-elsewhere").await?;
    is_refused(&world.server, &theirs.value, "revoked_by_user").await
}

async fn the_password_is_changed(world: &World, desk: &Browser, second: &Browser) -> Outcome {
    sign_in(world, second, PASSWORD).await?;
    let theirs = cookie_of(world, second).await?;
    let before = cookie_of(world, desk).await?;
    world.visit(desk, "/account").await?;
    desk.expect_refusal("/account/password");
    change_password(world, desk, WRONG_PASSWORD, NEW_PASSWORD).await?;
    desk.find("[data-notice='invalid_credentials'][role='alert']").await?;
    world.photograph(desk, "account-wrong-password").await?;
    assert_eq!(cookie_of(world, desk).await?.value, before.value, "a refusal changes no token");
    is_alive(&world.server, &theirs.value).await?;

    change_password(world, desk, PASSWORD, NEW_PASSWORD).await?;
    desk.find("[data-notice='password_changed']").await?;
    assert_eq!(sessions_shown(desk).await?, 1);
    let after = cookie_of(world, desk).await?;
    assert_ne!(after.value, before.value, "a change of password changes the token");
    is_refused(&world.server, &theirs.value, "password_changed").await?;
    is_alive(&world.server, &after.value).await?;

    world.visit(second, "/account").await?;
    second.find("[data-notice='password_changed']").await?;
    second.expect_refusal("/sign-in");
    try_sign_in(world, second, PASSWORD).await?;
    second.find("[data-notice='invalid_credentials']").await?;
    Ok(())
}

async fn change_password(world: &World, browser: &Browser, current: &str, new: &str) -> Outcome {
    world.output.note_secret(current)?;
    world.output.note_secret(new)?;
    browser.fill("current", current).await?;
    browser.fill("new", new).await?;
    browser.press("change-password").await
}

async fn nothing_is_left_after_signing_out(world: &World, desk: &Browser) -> Outcome {
    let token = cookie_of(world, desk).await?.value;
    world.visit(desk, "/account").await?;
    // Chromium may keep a page as it was left and show it again without asking; that would be noted here.
    let watch =
        "addEventListener('pageshow', it => { if (it.persisted) localStorage.setItem('kept', 'yes') })";
    desk.script(watch).await?;
    sign_out(desk).await?;
    assert_eq!(world.session_cookie(desk).await?, None, "the cookie is removed");
    is_refused(&world.server, &token, "signed_out").await?;

    desk.script("window.signedOut = true; history.back()").await?;
    e2e::eventually("another page than the one after signing out", crate::PATIENCE, async || {
        Ok((desk.script("return window.signedOut === true").await? == false).then_some(()))
    })
    .await?;
    desk.arrives_at("/sign-in").await?;
    assert_eq!(desk.script("return localStorage.getItem('kept')").await?, serde_json::Value::Null);
    assert_eq!(desk.count("[data-session], [data-test='principal']").await?, 0);
    assert_eq!(world.session_cookie(desk).await?, None);
    Ok(())
}

async fn the_link_is_dead(world: &World, desk: &Browser, link: &str) -> Outcome {
    desk.goto(link).await?;
    desk.arrives_at("/sign-in").await?;
    let key = link.rsplit('=').next().unwrap_or_default();
    let fields = [("key", key), ("username", "intruder"), ("password", WRONG_PASSWORD)];
    let reply = world.server.send_form("/setup", &[("sec-fetch-site", "same-origin")], &fields).await?;
    assert_eq!((reply.status, reply.cookies.len()), (403, 0), "{}", reply.body);
    sign_in(world, desk, NEW_PASSWORD).await?;
    assert_eq!(desk.text("[data-test='principal']").await?, NAME);
    Ok(())
}
