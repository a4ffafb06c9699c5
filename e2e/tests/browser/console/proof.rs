//! A proof of identity that has grown old in the middle of something that cannot be undone.

use e2e::{Browser, Outcome, World, eventually, run};
use reqwest::Method;

use super::{confirm, is_over, lives, notice, stranger};
use crate::PATIENCE;
use crate::people::{PASSWORD, cookie_of, set_up};

#[test]
fn whoever_proves_identity_again_comes_back_to_the_confirmation_and_nothing_was_done_before() {
    run("console_proof", &[], async |world| {
        let admin = world.browser().await?;
        set_up(world, &admin).await?;
        world.server.add_account("ada", PASSWORD)?;
        let (one, other) = (stranger(world, "ada", "curl/8").await?, stranger(world, "ada", "curl/8").await?);
        let path = "/admin/sessions/end";
        world.visit(&admin, &format!("{path}?s={}&s={}", one.id, other.id)).await?;
        admin.click("select[name='reason'] option[value='compromised']").await?;
        admin.fill("note", "seen in a paste & elsewhere").await?;
        the_proof_grows_old(world, &admin).await?;
        admin.press("confirm-end").await?;

        admin.arrives_at("/reauthenticate").await?;
        world.server.kill_and_restart_with(FRESH_WITHIN, "5m").await?;
        lives(world, &one).await?;
        world.examine(&admin, "console-reauthenticate").await?;
        admin.fill("password", PASSWORD).await?;
        admin.press("reauthenticate").await?;
        admin.arrives_at(path).await?;
        lives(world, &one).await?;
        assert_eq!(admin.count("[data-test='to-end'] li").await?, 2, "the same sessions");
        let filled = admin.script(
            "return [document.querySelector('[name=reason]').value, document.querySelector('[name=note]').value].join()",
        );
        assert_eq!(filled.await?, "compromised,seen in a paste & elsewhere", "and what was filled in");
        confirm(&admin, "seen in a paste").await?;
        notice(&admin, "ended").await?;
        is_over(world, &one, "compromised").await?;
        is_over(world, &other, "compromised").await?;

        the_proof_grows_old(world, &admin).await?;
        world.visit(&admin, "/admin/people/ada/disable").await?;
        admin.arrives_at("/reauthenticate").await?;
        world.server.kill_and_restart_with(FRESH_WITHIN, "5m").await?;
        admin.fill("password", PASSWORD).await?;
        admin.press("reauthenticate").await?;
        admin.arrives_at("/admin/people/ada/disable").await?;
        admin.find("[data-test='confirm-change']").await?;
        Ok(())
    });
}

/// From now on the proof that `admin` gave is too old.
async fn the_proof_grows_old(world: &mut World, admin: &Browser) -> Outcome {
    // A page that follows the log would complain in its console that the server is gone.
    if admin.count("[data-test='confirm-end']").await? == 0 {
        world.visit(admin, "/account").await?;
    }
    world.server.kill_and_restart_with(FRESH_WITHIN, "1s").await?;
    let cookie = format!("__Host-cloakroom={}", cookie_of(world, admin).await?.value);
    eventually("the proof to grow old", PATIENCE, async || {
        let reply = world.server.ask(Method::GET, "/admin/sessions/end", &[("cookie", &cookie)]).await?;
        Ok((reply.status == 303).then_some(()))
    })
    .await
}

const FRESH_WITHIN: &str = "CLOAKROOM__CONSOLE__FRESH_WITHIN";
