//! Before a session ends by itself, the page asks whether anybody is there.

use std::io::Write as _;
use std::time::Duration;

use e2e::{Browser, Outcome, World, eventually, run};
use serde_json::Value;

use crate::PATIENCE;
use crate::people::{cookie_of, look, set_up};

#[test]
fn a_page_asks_before_the_idle_end_and_looking_does_not_extend() {
    let mut config = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    // Roles and remembered sessions have their own: only what is set here decides.
    let text = "[session]\nidle_timeout = \"30s\"\ntouch_interval = \"1s\"\n[session.remember_me]\nenabled = false\n\
                [session.roles.admin]\nidle_timeout = \"30s\"\n";
    config.write_all(text.as_bytes()).expect("a temporary file can be written");
    let path = config.path().to_str().expect("temporary files have plain names").to_owned();
    run("still_there", &["--config", &path], async |world| {
        let desk = world.browser().await?;
        set_up(world, &desk).await?;
        whoever_answers_stays(world, &desk).await?;
        whoever_does_not_is_signed_out_and_told_why(world, &desk).await
    });
}

async fn whoever_answers_stays(world: &mut World, desk: &Browser) -> Outcome {
    let token = cookie_of(world, desk).await?.value;
    let first = ends_at(world, &token).await?;
    is_asked(desk).await?;
    let left = desk.text("#still-there-left").await?;
    let seconds = left.strip_prefix("0:").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds <= WARNED_BEFORE), "the time that is left is told: {left}");
    assert_eq!(ends_at(world, &token).await?, first, "asking did not extend the session");
    desk.press("stay").await?;
    eventually("the dialog to close", PATIENCE, async || {
        Ok((desk.count("#still-there[open]").await? == 0).then_some(()))
    })
    .await?;
    assert_ne!(ends_at(world, &token).await?, first, "staying extended it");
    Ok(())
}

async fn whoever_does_not_is_signed_out_and_told_why(world: &mut World, desk: &Browser) -> Outcome {
    desk.expect_refusal("/v1/session");
    is_asked(desk).await?;
    // A picture takes its time, on a busy machine more than is left: the page's clock stands still for as long.
    desk.script("Date.running = Date.now; const now = Date.now(); Date.now = () => now").await?;
    world.photograph(desk, "still-there").await?;
    desk.script("Date.now = Date.running ?? Date.now").await?;
    eventually("the page to tell that the session has ended", LONG, async || {
        Ok((desk.count("[data-notice='idle_timeout']").await? == 1).then_some(()))
    })
    .await?;
    desk.arrives_at("/sign-in").await?;
    let told = desk.text("[data-notice='idle_timeout']").await?;
    assert!(told.contains("nothing happened for less than a minute"), "{told}");
    world.photograph(desk, "signed-out-for-silence").await
}

async fn is_asked(desk: &Browser) -> Outcome {
    eventually("the page to ask", LONG, async || {
        Ok((desk.count("#still-there[open]").await? == 1).then_some(()))
    })
    .await
}

/// When the session ends for silence, asked without extending it.
async fn ends_at(world: &World, token: &str) -> Outcome<Value> {
    let (status, body) = look(&world.server, token).await?;
    assert_eq!(status, 200, "{body}");
    Ok(body.pointer("/session/idle_expires_at").cloned().unwrap_or_default())
}

/// How many seconds before the end the page asks: a third of the time that a session may be idle.
const WARNED_BEFORE: u64 = 10;

/// Longer than a session may be idle, by as much as a busy machine may take.
const LONG: Duration = Duration::from_secs(90);
