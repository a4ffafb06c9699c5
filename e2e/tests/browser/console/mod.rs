//! The console, as those who run the server use it.

mod accounts;
mod duties;
mod hostile;
mod keyboard;
mod live;
mod proof;
mod sessions;
mod watching;
mod without_script;

use e2e::{Browser, Failure, Outcome, World, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::people::{PASSWORD, try_sign_in_as};

/// A session of somebody who uses no browser of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stranger {
    pub(crate) token: String,
    pub(crate) id: String,
}

/// Signs `name` in by the API, with this user agent.
pub(crate) async fn stranger(world: &World, name: &str, agent: &str) -> Outcome<Stranger> {
    let body = json!({ "username": name, "password": PASSWORD, "mode": "bearer" });
    let reply = world.server.send_json(Method::POST, "/v1/sign-in", &[("user-agent", agent)], &body).await?;
    let answer: Value = serde_json::from_str(&reply.body)?;
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let (Some(token), Some(id)) = (text("/token"), text("/session/id")) else {
        return Err(Failure::new(reply.body).while_doing(format!("signing in {name}")));
    };
    world.output.note_secret(&token)?;
    Ok(Stranger { token, id })
}

/// What the server says of a stranger's token: the status, and why the session ended.
pub(crate) async fn fate(world: &World, stranger: &Stranger) -> Outcome<(u16, Option<String>)> {
    let bearer = format!("Bearer {}", stranger.token);
    let reply =
        world.server.ask(Method::GET, "/v1/session?touch=false", &[("authorization", &bearer)]).await?;
    let answer: Value = serde_json::from_str(&reply.body)?;
    let reason = answer.get("end_reason").and_then(Value::as_str).map(str::to_owned);
    Ok((reply.status, reason))
}

/// Checks that a stranger's session lives.
#[track_caller]
pub(crate) fn lives(world: &World, stranger: &Stranger) -> impl Future<Output = Outcome> {
    let at = std::panic::Location::caller();
    async move {
        match fate(world, stranger).await? {
            (200, None) => Ok(()),
            other => Err(Failure::new(format!("{} should live, not {other:?} (asked at {at})", stranger.id))),
        }
    }
}

/// Checks that a stranger's next request is refused because of `reason`.
#[track_caller]
pub(crate) fn is_over(world: &World, stranger: &Stranger, reason: &str) -> impl Future<Output = Outcome> {
    let at = std::panic::Location::caller();
    async move {
        let fate = fate(world, stranger).await?;
        if fate == (401, Some(reason.to_owned())) {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{} should have ended by {reason}, not {fate:?} (asked at {at})",
            stranger.id
        )))
    }
}

/// Somebody of the staff in a browser of their own.
pub(crate) async fn staff(world: &World, browser: &Browser, name: &str, role: &str) -> Outcome {
    world.server.add_account_with_roles(name, PASSWORD, &[role])?;
    world.visit(browser, "/sign-in").await?;
    try_sign_in_as(world, browser, name, PASSWORD).await?;
    browser.find("[data-test='principal']").await?;
    world.session_cookie(browser).await?;
    Ok(())
}

/// Waits until the list shows exactly these sessions, whatever their order.
#[track_caller]
pub(crate) fn shows(browser: &Browser, sessions: &[&str]) -> impl Future<Output = Outcome> {
    let at = std::panic::Location::caller();
    async move {
        let mut expected = sessions.to_vec();
        expected.sort_unstable();
        let what = format!("the list to show {expected:?} (asked at {at})");
        eventually(&what, PATIENCE, async || {
            let mut shown = listed(browser).await?;
            shown.sort_unstable();
            Ok((shown == expected).then_some(()))
        })
        .await
    }
}

/// The sessions of the list, in its order.
pub(crate) async fn listed(browser: &Browser) -> Outcome<Vec<String>> {
    let rows = browser
        .script("return [...document.querySelectorAll('tr[data-session]')].map(it => it.dataset.session)");
    let rows = rows.await?;
    Ok(rows.as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect())
}

/// Confirms an end that a page asks about, with this note.
pub(crate) async fn confirm(browser: &Browser, note: &str) -> Outcome {
    browser.fill("note", note).await?;
    browser.press("confirm-end").await
}

/// The text of the notice called `name`.
pub(crate) async fn notice(browser: &Browser, name: &str) -> Outcome<String> {
    browser.text(&format!("[data-notice='{name}']")).await
}
