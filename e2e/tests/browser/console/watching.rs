//! How things stand, what happens, and what is in force.

use e2e::run;

use super::{confirm, notice, stranger};
use crate::people::{PASSWORD, set_up};

#[test]
fn figures_events_and_settings_are_there_for_everybody_and_events_come_as_they_happen() {
    run("console_watching", &[], async |world| {
        let (admin, other) = (world.browser().await?, world.browser().await?);
        set_up(world, &admin).await?;
        super::staff(world, &other, "grace", "admin").await?;
        world.server.add_account("ada", PASSWORD)?;
        let one = stranger(world, "ada", "curl/8").await?;
        for (path, name) in [
            ("/admin", "console-overview"),
            ("/admin/audit", "console-audit"),
            ("/admin/settings", "console-settings"),
            ("/admin/live", "console-live"),
        ] {
            world.visit(&admin, path).await?;
            assert_eq!(admin.status().await?, 200, "{path}");
            world.examine(&admin, name).await?;
        }
        world.visit(&other, &format!("/admin/sessions/{}/end", one.id)).await?;
        confirm(&other, "seen as it happens").await?;
        notice(&other, "ended").await?;
        admin.find("[data-event='session_revoked']").await?;
        Ok(())
    });
}
