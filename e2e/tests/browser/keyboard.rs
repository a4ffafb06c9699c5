//! Without a mouse.

use e2e::{Browser, Failure, Outcome, eventually, run};
use thirtyfour::Key;

use crate::PATIENCE;
use crate::people::{NAME, PASSWORD, cookie_of, set_up, sign_out};

#[test]
fn signing_in_and_out_needs_no_mouse_and_the_focus_is_always_to_be_seen() {
    run("keyboard", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        sign_out(&browser).await?;

        world.visit(&browser, "/sign-in").await?;
        gets_focus(&browser, "username").await?;
        browser.keys(NAME).await?;
        tab_to(&browser, "password").await?;
        browser.keys(PASSWORD).await?;
        tab_to(&browser, "remember").await?;
        browser.keys(" ").await?;
        assert_eq!(browser.script("return document.activeElement.checked").await?, true);
        tab_to(&browser, "sign-in").await?;
        browser.keys(Key::Enter.value().to_string()).await?;
        browser.arrives_at("/account").await?;
        assert!(cookie_of(world, &browser).await?.expires.is_some());

        assert_eq!(browser.tab().await?, "skip", "the first stop leads past the navigation");
        tab_to(&browser, "sign-out").await?;
        browser.keys(Key::Enter.value().to_string()).await?;
        browser.find("[data-notice='signed_out']").await?;
        Ok(())
    });
}

/// Moves on until `stop` has the focus; at every stop it has to be visible where one is.
pub(crate) async fn tab_to(browser: &Browser, stop: &str) -> Outcome {
    let mut seen = Vec::new();
    for _ in 0..STOPS {
        let here = browser.tab().await?;
        if !is_focus_visible(browser).await? {
            return Err(Failure::new(format!("one cannot see that `{here}` has the focus")));
        }
        if here == stop {
            return Ok(());
        }
        seen.push(here);
    }
    Err(Failure::new(format!("the tab key does not lead to `{stop}`, only to {seen:?}")))
}

/// Waits until the field called `name` has the focus, untouched: typing can begin at once. A page gives it when it is
/// first drawn, which may be after it is complete (HTML, "flush autofocus candidates").
async fn gets_focus(browser: &Browser, name: &str) -> Outcome {
    eventually(&format!("the focus on `{name}`"), PATIENCE, async || {
        let focus = browser.script("return document.activeElement.name || ''").await?;
        Ok((focus == name).then_some(()))
    })
    .await
}

async fn is_focus_visible(browser: &Browser) -> Outcome<bool> {
    let script = "
        const style = getComputedStyle(document.activeElement);
        const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
        return outlined || style.boxShadow !== 'none';";
    Ok(browser.script(script).await? == true)
}

/// More than any page has.
const STOPS: usize = 40;
