//! Whether a balancer carries the largest cookie, both ways.

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::routing::get;
use cloakroom_servers::Port;
use reqwest::header;
use tokio::net::TcpListener;

use crate::balancer::Balancer;
use crate::scenario::Balancing;
use crate::{Outcome, Trouble};

/// Sets a cookie whose line has `bytes` bytes, through the balancer, and sends it back beside as many bytes of others'
/// cookies; answers how many bytes of it the node saw.
///
/// A sealed session's cookie may be so large. It is a line of a head in both directions, and balancers bound heads.
///
/// # Errors
/// Where the balancer does not start, or does not carry it.
pub async fn carries_cookie(balancing: Balancing, bytes: usize) -> Outcome<usize> {
    let line = format!("{NAME}={}", "A".repeat(bytes - NAME.len() - 1 - ATTRIBUTES.len()));
    let set = format!("{line}{ATTRIBUTES}");
    let node = Router::new()
        .route("/set", get(move || async move { [(SET_COOKIE, set)] }))
        .route("/seen", get(async |headers: HeaderMap| seen(&headers).to_string()))
        .route("/readyz", get(async || "ready"));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let behind = listener.local_addr()?.port();
    let serving = tokio::spawn(async move { axum::serve(listener, node).await });

    let port = Port::free()?;
    let front = format!("http://127.0.0.1:{}", port.number());
    // It waits until the balancer answers, which asks the node whether it is ready.
    let starting = tokio::task::spawn_blocking(move || Balancer::start(balancing, port, [behind; 3]));
    let _balancer = starting.await.map_err(|panicked| Trouble::new(panicked.to_string()))??;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let set = client.get(format!("{front}/set")).send().await?.error_for_status()?;
    let cookies = set.headers().get_all(header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pair = cookies
        .filter_map(|line| line.split_once(';'))
        .find_map(|(pair, _)| pair.starts_with(NAME).then_some(pair))
        .ok_or_else(|| Trouble::new("the cookie did not arrive"))?;
    let others = format!("theme={}; {pair}", "B".repeat(OTHERS));
    let seen = client.get(format!("{front}/seen")).header(header::COOKIE, others).send().await?;
    let seen = seen.error_for_status()?.text().await?;
    serving.abort();
    seen.parse().map_err(|_| Trouble::new(format!("the node answered {seen:?}")))
}

/// Bytes of the cookie that a request brought.
fn seen(headers: &HeaderMap) -> usize {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split("; "));
    pairs.find(|pair| pair.starts_with(NAME)).map_or(0, str::len)
}

const NAME: &str = "__Host-cloakroom";
const ATTRIBUTES: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";
/// Bytes of other cookies beside it.
const OTHERS: usize = 3_000;
