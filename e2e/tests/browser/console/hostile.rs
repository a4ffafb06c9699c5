//! What strangers write is text wherever it is shown.

use e2e::{Browser, Outcome, run};
use serde_json::json;

use super::{confirm, notice, stranger};
use crate::people::{PASSWORD, set_up};

/// A name that would run a script, leave a quoted place, or close an element, if anything took it for markup.
const NAME: &str =
    "<img src=x onerror=\"window.smuggled='name'\">'\"</title><script>window.smuggled=1</script>/..?&#";
const AGENT: &str =
    "Mozilla/5.0 (X11) \"'><svg onload=window.smuggled='agent'><script>window.smuggled=2</script>";
const NOTE: &str = "</q><script>window.smuggled='note'</script><b>{{ 7 * 7 }}</b> javascript:alert(1)";

#[test]
fn hostile_names_devices_and_notes_are_text_on_every_page_that_shows_them() {
    run("console_hostile", &[], async |world| {
        let admin = world.browser().await?;
        set_up(world, &admin).await?;
        world.server.add_account(NAME, PASSWORD)?;
        let (one, other) = (stranger(world, NAME, AGENT).await?, stranger(world, NAME, AGENT).await?);

        world.visit(&admin, "/admin/sessions").await?;
        is_text(&admin, "list", &[NAME]).await?;
        admin.fill("q", NAME).await?;
        super::shows(&admin, &[&one.id, &other.id]).await?;
        is_text(&admin, "search", &[NAME]).await?;
        world.examine(&admin, "console-hostile-list").await?;

        world.visit(&admin, &format!("/admin/sessions/{}", one.id)).await?;
        is_text(&admin, "session", &[NAME, AGENT]).await?;
        world.examine(&admin, "console-hostile-session").await?;
        admin.press("end-session").await?;
        is_text(&admin, "end", &[NAME]).await?;
        confirm(&admin, NOTE).await?;
        notice(&admin, "ended").await?;
        is_text(&admin, "session, ended", &[NAME, NOTE]).await?;

        admin.click(".who-link").await?;
        admin.find("#person").await?;
        is_text(&admin, "person", &[NAME, NOTE]).await?;
        world.examine(&admin, "console-hostile-person").await?;
        admin.press("end-person").await?;
        is_text(&admin, "end of person", &[NAME]).await?;
        confirm(&admin, NOTE).await?;
        notice(&admin, "ended").await?;
        admin.press("disable").await?;
        is_text(&admin, "disable", &[NAME]).await?;
        admin.press("confirm-change").await?;
        notice(&admin, "disabled").await?;
        is_text(&admin, "person, disabled", &[NAME, NOTE]).await?;

        world.visit(&admin, "/admin/accounts").await?;
        is_text(&admin, "accounts", &[NAME]).await?;
        world.visit(&admin, "/admin/audit").await?;
        is_text(&admin, "audit", &[NAME]).await?;
        world.visit(&admin, "/admin").await?;
        is_text(&admin, "overview", &[]).await?;
        // What an address says is no word of ours either.
        world
            .visit(&admin, "/admin/sessions?notice=%3Cscript%3E&ip=%3Csvg%20onload%3Dx%3E&sort=%22%3E")
            .await?;
        is_text(&admin, "address", &["<svg onload=x>"]).await
    });
}

/// Each text is on the page as it was written, and nothing of it has become part of the page.
async fn is_text(browser: &Browser, page: &str, texts: &[&str]) -> Outcome {
    let script = "
        return {
            smuggled: window.smuggled === undefined ? 'nothing' : window.smuggled,
            elements: document.querySelectorAll('img[src=x], svg[onload], main script, q b, [onerror], [onload]').length,
            text: document.body.textContent + [...document.querySelectorAll('input')].map(it => it.value).join(),
        };";
    let seen = browser.script(script).await?;
    assert_eq!(seen.get("smuggled"), Some(&json!("nothing")), "{page}");
    assert_eq!(seen.get("elements"), Some(&json!(0)), "{page}");
    let text = seen.get("text").and_then(serde_json::Value::as_str).unwrap_or_default();
    for expected in texts {
        assert!(text.contains(expected), "{page} shows {expected} as it is: {text}");
    }
    Ok(())
}
