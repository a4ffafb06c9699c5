//! What people do, in the words of the tests.

use e2e::{Browser, Cookie, Failure, Outcome, Server, World};
use reqwest::Method;
use serde_json::Value;

/// The first administrator.
pub(crate) const NAME: &str = "margaret";
/// A password that is accepted.
pub(crate) const PASSWORD: &str = "seven umbrellas on hook nine";
/// Another one.
pub(crate) const NEW_PASSWORD: &str = "the tall hat waits upstairs";
/// A password of nobody.
pub(crate) const WRONG_PASSWORD: &str = "eleven gloves, all of them left";

/// Creates the first administrator through the one-time link, which also signs in.
pub(crate) async fn set_up(world: &mut World, browser: &Browser) -> Outcome {
    let link = world.server.setup_link().await?;
    browser.goto(&link).await?;
    complete_set_up(world, browser, PASSWORD).await?;
    browser.arrives_at("/account").await
}

/// Fills in the form behind the one-time link.
pub(crate) async fn complete_set_up(world: &World, browser: &Browser, password: &str) -> Outcome {
    world.output.note_secret(password)?;
    browser.fill("username", NAME).await?;
    browser.fill("password", password).await?;
    browser.press("setup").await
}

/// Fills in the form of the sign-in page and sends it.
pub(crate) async fn try_sign_in(world: &World, browser: &Browser, password: &str) -> Outcome {
    try_sign_in_as(world, browser, NAME, password).await
}

pub(crate) async fn try_sign_in_as(world: &World, browser: &Browser, name: &str, password: &str) -> Outcome {
    world.output.note_secret(password)?;
    browser.fill("username", name).await?;
    browser.fill("password", password).await?;
    browser.press("sign-in").await
}

/// Signs in, for as long as the browser is open.
pub(crate) async fn sign_in(world: &World, browser: &Browser, password: &str) -> Outcome {
    world.visit(browser, "/sign-in").await?;
    try_sign_in(world, browser, password).await?;
    browser.arrives_at("/account").await
}

/// Signs in, to be remembered.
pub(crate) async fn sign_in_to_stay(world: &World, browser: &Browser, name: &str) -> Outcome {
    world.visit(browser, "/sign-in").await?;
    browser.click("input[name='remember']").await?;
    try_sign_in_as(world, browser, name, PASSWORD).await?;
    browser.arrives_at("/account").await
}

/// Signs out by the button that every page has.
pub(crate) async fn sign_out(browser: &Browser) -> Outcome {
    browser.press("sign-out").await?;
    browser.find("[data-notice='signed_out']").await?;
    browser.arrives_at("/sign-in").await
}

/// The session cookie, which has to be there.
pub(crate) async fn cookie_of(world: &World, browser: &Browser) -> Outcome<Cookie> {
    world.session_cookie(browser).await?.ok_or_else(|| Failure::new("the browser keeps no session cookie"))
}

/// How many sessions the account page shows.
pub(crate) async fn sessions_shown(browser: &Browser) -> Outcome<usize> {
    browser.find("[data-session][data-current='true']").await?;
    browser.count("[data-session]").await
}

/// What the server says of a token, presented outside of any browser.
pub(crate) async fn look(server: &Server, token: &str) -> Outcome<(u16, Value)> {
    let cookie = format!("__Host-cloakroom={token}");
    let reply = server.ask(Method::GET, "/v1/session?touch=false", &[("cookie", &cookie)]).await?;
    Ok((reply.status, serde_json::from_str(&reply.body)?))
}

/// Checks that a token is refused outside of any browser, because of `reason`.
pub(crate) async fn is_refused(server: &Server, token: &str, reason: &str) -> Outcome {
    let (status, body) = look(server, token).await?;
    let told = body.get("end_reason").and_then(Value::as_str).unwrap_or_default();
    if status == 401 && told == reason {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the token was answered with {status} and {told:?} instead of 401 and {reason:?}"
    )))
}

/// Checks that a token still stands for its principal.
pub(crate) async fn is_alive(server: &Server, token: &str) -> Outcome {
    let (status, body) = look(server, token).await?;
    let principal = body.pointer("/session/principal/id").and_then(Value::as_str);
    if status == 200 && principal == Some(NAME) {
        return Ok(());
    }
    Err(Failure::new(format!("the token was answered with {status} and speaks for {principal:?}")))
}
