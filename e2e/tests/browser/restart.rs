//! The server dies while people are signed in.

use e2e::run;

use crate::people::{PASSWORD, cookie_of, is_alive, is_refused, sessions_shown, set_up, sign_in, sign_out};

#[test]
fn after_kill_9_who_was_signed_in_still_is_and_what_had_ended_stays_dead() {
    run("restart", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        let ended = cookie_of(world, &browser).await?.value;
        sign_out(&browser).await?;
        sign_in(world, &browser, PASSWORD).await?;
        let alive = cookie_of(world, &browser).await?.value;

        world.server.kill_and_restart().await?;
        is_alive(&world.server, &alive).await?;
        is_refused(&world.server, &ended, "signed_out").await?;
        world.visit(&browser, "/account").await?;
        browser.arrives_at("/account").await?;
        assert_eq!(sessions_shown(&browser).await?, 1);
        assert_eq!(cookie_of(world, &browser).await?.value, alive);

        sign_out(&browser).await?;
        world.server.kill_and_restart().await?;
        is_refused(&world.server, &alive, "signed_out").await?;
        sign_in(world, &browser, PASSWORD).await
    });
}
