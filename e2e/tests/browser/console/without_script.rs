//! The console where scripts are switched off.

use e2e::{Profile, Scripts, run};

use super::{confirm, is_over, lives, notice, shows, stranger};
use crate::people::{PASSWORD, complete_set_up, cookie_of, sign_in};

#[test]
fn everything_in_the_console_works_without_script() {
    run("console_without_script", &[], async |world| {
        let admin = world.browser_with(Profile::fresh()?, Scripts::Blocked).await?;
        let link = world.server.setup_link().await?;
        admin.goto(&link).await?;
        complete_set_up(world, &admin, PASSWORD).await?;
        admin.arrives_at("/account").await?;
        cookie_of(world, &admin).await?;
        for name in ["ada", "alan"] {
            world.server.add_account(name, PASSWORD)?;
        }
        let ada = [
            stranger(world, "ada", "curl/8").await?,
            stranger(world, "ada", "curl/8").await?,
            stranger(world, "ada", "curl/8").await?,
            stranger(world, "ada", "curl/8").await?,
        ];
        let alan = stranger(world, "alan", "curl/8").await?;

        world.visit(&admin, "/admin/sessions").await?;
        admin.fill("q", "ada").await?;
        admin.press("search-go").await?;
        shows(&admin, &[&ada[0].id, &ada[1].id, &ada[2].id, &ada[3].id]).await?;
        world.photograph(&admin, "console-sessions-without-script").await?;

        admin.click(&format!("tr[data-session='{}'] [data-test='end-one']", ada[0].id)).await?;
        confirm(&admin, "one").await?;
        notice(&admin, "ended").await?;
        is_over(world, &ada[0], "revoked_by_admin").await?;

        for one in ada.iter().take(3).skip(1) {
            admin.click(&format!("tr[data-session='{}'] [data-test='pick']", one.id)).await?;
        }
        admin.press("end-picked").await?;
        admin.arrives_at("/admin/sessions/end").await?;
        assert_eq!(admin.count("[data-test='to-end'] li").await?, 2);
        confirm(&admin, "two").await?;
        notice(&admin, "ended").await?;
        is_over(world, &ada[1], "revoked_by_admin").await?;
        is_over(world, &ada[2], "revoked_by_admin").await?;

        world.visit(&admin, "/admin/people?id=ada").await?;
        admin.press("end-person").await?;
        confirm(&admin, "the rest").await?;
        notice(&admin, "ended").await?;
        is_over(world, &ada[3], "revoked_by_admin").await?;
        lives(world, &alan).await?;

        admin.press("disable").await?;
        admin.press("confirm-change").await?;
        notice(&admin, "disabled").await?;
        admin.press("enable").await?;
        admin.press("confirm-change").await?;
        notice(&admin, "enabled").await?;

        world.visit(&admin, "/admin/sessions/end?all=true").await?;
        confirm(&admin, "everybody").await?;
        admin.arrives_at("/sign-in").await?;
        is_over(world, &alan, "revoked_by_admin").await?;
        sign_in(world, &admin, PASSWORD).await
    });
}
