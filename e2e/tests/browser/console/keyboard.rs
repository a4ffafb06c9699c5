//! The console without a mouse.

use e2e::run;
use thirtyfour::Key;

use super::{is_over, notice, stranger};
use crate::keyboard::tab_to;
use crate::people::{PASSWORD, set_up};

#[test]
fn a_session_is_found_chosen_and_ended_with_the_keyboard_alone() {
    run("console_keyboard", &[], async |world| {
        let admin = world.browser().await?;
        set_up(world, &admin).await?;
        world.server.add_account("ada", PASSWORD)?;
        let one = stranger(world, "ada", "curl/8").await?;
        let enter = Key::Enter.value().to_string();

        world.visit(&admin, "/admin").await?;
        assert_eq!(admin.tab().await?, "skip", "the first stop leads past the navigation");
        tab_to(&admin, "nav-sessions").await?;
        admin.keys(&enter).await?;
        admin.arrives_at("/admin/sessions").await?;
        tab_to(&admin, "search").await?;
        admin.keys("ada").await?;
        super::shows(&admin, &[&one.id]).await?;
        let focus = "return document.activeElement.name";
        assert_eq!(admin.script(focus).await?, "q", "results do not take the focus");
        tab_to(&admin, "pick").await?;
        admin.keys(" ").await?;
        assert_eq!(admin.text("[data-test='picked']").await?, "1 of 1 chosen");
        tab_to(&admin, "end-picked").await?;
        admin.keys(&enter).await?;
        admin.arrives_at("/admin/sessions/end").await?;
        tab_to(&admin, "reason").await?;
        admin.keys(Key::Down.value().to_string()).await?;
        tab_to(&admin, "note").await?;
        admin.keys("no hands").await?;
        tab_to(&admin, "confirm-end").await?;
        admin.keys(&enter).await?;
        notice(&admin, "ended").await?;
        is_over(world, &one, "compromised").await
    });
}
