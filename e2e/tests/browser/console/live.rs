//! What one administrator does, another sees; and what ends is closed.

use std::time::Duration;

use e2e::{Failure, Outcome, World, run};
use tokio::time::timeout;

use super::{confirm, is_over, notice, staff, stranger};
use crate::PATIENCE;
use crate::people::{PASSWORD, cookie_of, set_up};

#[test]
fn what_a_second_administrator_ends_is_seen_at_once_in_the_list_and_on_the_sessions_page() {
    run("console_live", &[], async |world| {
        let (margaret, grace) = (world.browser().await?, world.browser().await?);
        set_up(world, &margaret).await?;
        staff(world, &grace, "grace", "admin").await?;
        world.server.add_account("ada", PASSWORD)?;
        let (one, other) = (stranger(world, "ada", "curl/8").await?, stranger(world, "ada", "curl/8").await?);

        world.visit(&margaret, "/admin/sessions?principal=ada").await?;
        let row = format!("tr[data-session='{}']", one.id);
        margaret.find(&format!("{row}[data-alive='true'] [data-test='pick']")).await?;
        // Nothing tells a page that it follows the log but what it is told: the first event says so.
        world.visit(&grace, &format!("/admin/sessions/{}/end", one.id)).await?;
        confirm(&grace, "").await?;
        notice(&grace, "ended").await?;
        margaret.find(&format!("{row}[data-alive='false'].gone")).await?;
        assert_eq!(
            margaret.count(&format!("{row} [data-test='pick']")).await?,
            0,
            "it can be chosen no longer"
        );
        assert_eq!(margaret.text(&format!("{row} .state")).await?, "Ended: revoked by admin");
        is_over(world, &one, "revoked_by_admin").await?;

        world.visit(&margaret, &format!("/admin/sessions/{}", other.id)).await?;
        margaret.find("#session[data-alive='true'] [data-test='end-session']").await?;
        world.visit(&grace, "/admin/people/ada/end").await?;
        confirm(&grace, "seen by two").await?;
        notice(&grace, "ended").await?;
        margaret.find("#session[data-alive='false']").await?;
        assert_eq!(margaret.count("[data-test='end-session']").await?, 0);
        assert!(margaret.text(".history").await?.contains("by administrator grace"));
        world.examine(&margaret, "console-session-ended-meanwhile").await
    });
}

#[test]
fn whoever_is_put_out_in_the_console_is_refused_and_their_open_stream_closes() {
    run("console_stream", &[], async |world| {
        let (margaret, grace) = (world.browser().await?, world.browser().await?);
        set_up(world, &margaret).await?;
        staff(world, &grace, "grace", "admin").await?;
        let theirs = cookie_of(world, &grace).await?;
        let cookie = format!("__Host-cloakroom={}", theirs.value);
        let mut stream = world.server.open_stream("/v1/admin/live", &[("cookie", &cookie)]).await?;
        world.visit(&grace, "/admin/sessions").await?;

        world.visit(&margaret, "/admin/people/grace/end").await?;
        confirm(&margaret, "left the company").await?;
        notice(&margaret, "ended").await?;

        let read = async {
            while stream.chunk().await?.is_some() {}
            Outcome::Ok(())
        };
        timeout(CLOSED_WITHIN, read).await.map_err(|_| Failure::new("the stream stays open"))??;
        crate::people::is_refused(&world.server, &theirs.value, "revoked_by_admin").await?;
        // Their open page notices by itself, and says why.
        grace.expect_refusal("/v1/admin/live");
        grace.expect_refusal("/v1/session");
        grace.arrives_at("/sign-in").await?;
        grace.find("[data-notice='revoked_by_admin']").await?;
        Ok(())
    });
}

#[test]
fn a_page_that_renews_itself_keeps_nobody_signed_in() {
    run("console_idle", &[], async |world| {
        let margaret = world.browser().await?;
        set_up(world, &margaret).await?;
        world.server.add_account("ada", PASSWORD)?;
        let one = stranger(world, "ada", "curl/8").await?;
        let idle_at = idle_at(world, &margaret).await?;
        let cookie = format!("__Host-cloakroom={}", cookie_of(world, &margaret).await?.value);
        let session = format!("/admin/sessions/{}?part=live", one.id);
        for path in ["/admin/sessions?part=live", &session, "/admin/people/ada?part=live"] {
            let reply = world.server.ask(reqwest::Method::GET, path, &[("cookie", &cookie)]).await?;
            assert_eq!(reply.status, 200, "{path}");
        }
        assert_eq!(self::idle_at(world, &margaret).await?, idle_at);
        Ok(())
    });
}

/// When the session of `browser` ends if nothing more is heard, asked without extending it.
async fn idle_at(world: &World, browser: &e2e::Browser) -> Outcome<String> {
    let token = cookie_of(world, browser).await?.value;
    let (_, body) = crate::people::look(&world.server, &token).await?;
    let at = body.pointer("/session/idle_expires_at").and_then(serde_json::Value::as_str);
    at.map(str::to_owned).ok_or_else(|| Failure::new(format!("no end in {body}")))
}

/// Longest wait for a stream that has to close: longer than a lease, and a busy machine.
const CLOSED_WITHIN: Duration = PATIENCE;
