//! The store killed, stopped and started again, behind a server that goes on.
//!
//! While its store cannot answer, the server says "unavailable": it signs nobody out, lets nobody in, and touches no
//! cookie. When the store is back, so is everything, without a restart of the server.

use std::time::Duration;

use cloakroom_servers::{Mariadb, Memcached, Postgres, Redis};
use e2e::{Failure, Outcome, Reply, Server, World, eventually, run};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn redis_out_of_reach_signs_nobody_out() {
    let redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap();
    check("outage_redis", &redis.url(), &[redis], Memory::Keeps);
}

#[test]
fn postgres_out_of_reach_signs_nobody_out() {
    let postgres = Postgres::start().unwrap();
    check("outage_postgres", &postgres.url(), &[postgres], Memory::Keeps);
}

#[test]
fn mariadb_out_of_reach_signs_nobody_out() {
    let mariadb = Mariadb::start().unwrap();
    check("outage_mariadb", &mariadb.url(), &[mariadb], Memory::Keeps);
}

#[test]
fn memcached_out_of_reach_signs_nobody_out_until_it_has_forgotten() {
    // One of several is another matter: see `parts`.
    let memcached = Memcached::start().unwrap();
    check("outage_memcached", &memcached.url(), &[memcached], Memory::Loses);
}

/// What a store does when it is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Keeps,
    Loses,
}

/// A process that a store consists of.
trait Process {
    fn pause(&self);
    fn resume(&self);
    fn kill(&self);
    fn restart(&self) -> cloakroom_servers::Outcome;
}

macro_rules! processes {
    ($($server:ty),+) => {$(
        impl Process for $server {
            fn pause(&self) {
                <$server>::pause(self);
            }
            fn resume(&self) {
                <$server>::resume(self);
            }
            fn kill(&self) {
                <$server>::kill(self);
            }
            fn restart(&self) -> cloakroom_servers::Outcome {
                <$server>::restart(self)
            }
        }
    )+};
}
processes!(Redis, Postgres, Mariadb, Memcached);

fn check(test: &'static str, url: &str, store: &[impl Process], memory: Memory) {
    run(test, &["--store", url], async |world| {
        world.server.add_account("alice", PASSWORD)?;
        let (stays, leaves) = (sign_in(world).await?, sign_in(world).await?);
        alive(&world.server, &stays).await?;

        store.iter().for_each(Process::pause);
        out_of_reach(&world.server, &[&stays, &leaves]).await.map_err(|f| f.while_doing("stopped"))?;
        counted(&world.server, &stays, 1).await.map_err(|f| f.while_doing("stopped"))?;
        store.iter().for_each(Process::resume);
        healed(&world.server, &stays).await?;
        alive(&world.server, &leaves).await?;
        well(&world.server, &stays).await?;

        sign_out(&world.server, &leaves).await?;
        store.iter().for_each(Process::kill);
        out_of_reach(&world.server, &[&stays, &leaves]).await.map_err(|f| f.while_doing("killed"))?;
        counted(&world.server, &stays, 2).await.map_err(|f| f.while_doing("killed"))?;
        for process in store {
            process.restart().map_err(|failure| Failure::new(failure.to_string()))?;
        }
        match memory {
            Memory::Keeps => healed(&world.server, &stays).await?,
            Memory::Loses => forgotten(&world.server, &stays).await?,
        }
        refused(&look(&world.server, &leaves).await?)?;

        // Whatever was forgotten, signing in works again.
        let again = sign_in(world).await?;
        alive(&world.server, &again).await
    });
}

/// Every kind of request is answered with 503, when to come again, and no cookie.
async fn out_of_reach(server: &Server, tokens: &[&str]) -> Outcome {
    for token in tokens {
        noticed(server, token).await?;
        unavailable(&look(server, token).await?)?;
        unavailable(&ask(server, Method::DELETE, "/v1/session", token).await?)?;
        unavailable(&ask(server, Method::POST, "/v1/session/rotate", token).await?)?;
    }
    let body = json!({"username": "alice", "password": PASSWORD, "mode": "cookie"});
    let from_here = [("sec-fetch-site", "same-origin")];
    unavailable(&server.send_json(Method::POST, "/v1/sign-in", &from_here, &body).await?)?;
    // Alive, but not ready: whoever balances load should look elsewhere.
    let (alive, ready) = (server.ask(Method::GET, "/livez", &[]), server.ask(Method::GET, "/readyz", &[]));
    match (alive.await?.status, ready.await?.status) {
        (200, 503) => Ok(()),
        found => Err(Failure::new(format!("/livez and /readyz answered {found:?}"))),
    }
}

/// The server's metrics say what is: the store is left alone, calls are kept from it, and this is so many outages, though it was
/// tried in vain meanwhile.
async fn counted(server: &Server, token: &str, outages: u64) -> Outcome {
    eventually("the store to be left alone", RECOVERY, async || {
        unavailable(&look(server, token).await?)?;
        Ok((metric(server, STATE, "").await? == LEFT_ALONE).then_some(()))
    })
    .await?;
    let kept = async || metric(server, REJECTED, "why=\"resting\"").await;
    // Whoever was not kept from the store tried it. The feed of news has a way of its own.
    let tried = async || {
        let failed = metric(server, ERRORS, "").await? - metric(server, ERRORS, "op=\"watch\"").await?;
        Ok::<u64, Failure>(failed.saturating_sub(metric(server, REJECTED, "").await?))
    };
    let (kept_before, tried_before) = (kept().await?, tried().await?);
    eventually("the store to be tried in vain", RECOVERY, async || {
        unavailable(&look(server, token).await?)?;
        let enough = tried().await? >= tried_before + PROBES && kept().await? > kept_before;
        Ok(enough.then_some(()))
    })
    .await?;
    let found = (metric(server, STATE, "").await?, metric(server, OUTAGES, "").await?);
    if found == (LEFT_ALONE, outages) {
        return Ok(());
    }
    Err(Failure::new(format!("state and outages are {found:?}, in outage {outages}")))
}

/// The server's metrics say that the store is well again, once enough was asked of it.
async fn well(server: &Server, token: &str) -> Outcome {
    eventually("the store to be well", RECOVERY, async || {
        if metric(server, STATE, "").await? == WELL {
            return Ok(Some(()));
        }
        let asks = (0..ASKS).map(|_| ask(server, Method::GET, "/v1/sessions", token));
        let looks = (0..ASKS).map(|_| look(server, token));
        let (lists, looks) = tokio::try_join!(try_join_all(asks), try_join_all(looks))?;
        // Until then a few wait, and nobody is turned away.
        match lists.iter().chain(&looks).find(|reply| !matches!(reply.status, 200 | 501)) {
            None => Ok(None),
            Some(reply) => Err(Failure::new(format!("while the store recovered: {reply:?}"))),
        }
    })
    .await
}

/// What the series of a metric that have this label add up to, now.
async fn metric(server: &Server, name: &str, label: &str) -> Outcome<u64> {
    let page = server.ask(Method::GET, "/metrics", &[]).await?;
    let series = page.body.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let values = series.filter(|rest| rest.contains(label)).filter_map(|rest| rest.rsplit(' ').next());
    values.map(|value| value.parse::<u64>().map_err(|_| Failure::new(format!("{name} is {value:?}")))).sum()
}

/// For a lease the server may still answer from memory: rightly, since nobody can have ended the session meanwhile
/// without its hearing of it. From then on it says that it does not know.
async fn noticed(server: &Server, token: &str) -> Outcome {
    eventually("the server to stop trusting its memory", RECOVERY, async || {
        let reply = look(server, token).await?;
        if reply.status == 200 {
            return Ok(None);
        }
        unavailable(&reply).map(Some)
    })
    .await
}

pub(crate) fn unavailable(reply: &Reply) -> Outcome {
    let seconds = reply.retry_after.as_deref().and_then(|text| text.parse::<u32>().ok());
    if reply.status == 503
        && code(reply) == "store_unavailable"
        && seconds.is_some()
        && reply.cookies.is_empty()
    {
        return Ok(());
    }
    Err(Failure::new(format!("not an honest outage: {reply:?}")))
}

pub(crate) async fn alive(server: &Server, token: &str) -> Outcome {
    let reply = look(server, token).await?;
    if reply.status == 200 { Ok(()) } else { Err(Failure::new(format!("not alive: {reply:?}"))) }
}

/// The session is alive again, and was unavailable until then, never unknown; and the store is asked again: what a server
/// remembers it may tell a little earlier.
async fn healed(server: &Server, token: &str) -> Outcome {
    eventually("the store to be used again", RECOVERY, async || {
        let reply = look(server, token).await?;
        if reply.status == 200 {
            // A list is never told from memory; memcached refuses to make one, and its server remembers nothing.
            let list = ask(server, Method::GET, "/v1/sessions", token).await?;
            return if matches!(list.status, 200 | 501) {
                Ok(Some(()))
            } else {
                unavailable(&list).map(|()| None)
            };
        }
        unavailable(&reply).map(|()| None)
    })
    .await
}

async fn forgotten(server: &Server, token: &str) -> Outcome {
    eventually("the store to be used again", RECOVERY, async || {
        let reply = look(server, token).await?;
        if reply.status == 401 {
            return refused(&reply).map(Some);
        }
        unavailable(&reply).map(|()| None)
    })
    .await
}

pub(crate) fn refused(reply: &Reply) -> Outcome {
    match (reply.status, code(reply).as_str()) {
        (401, "session_ended" | "session_unknown") => Ok(()),
        _ => Err(Failure::new(format!("neither ended nor unknown: {reply:?}"))),
    }
}

pub(crate) async fn sign_out(server: &Server, token: &str) -> Outcome {
    let reply = ask(server, Method::DELETE, "/v1/session", token).await?;
    if reply.status == 204 { Ok(()) } else { Err(Failure::new(format!("signing out: {reply:?}"))) }
}

pub(crate) async fn sign_in(world: &World) -> Outcome<String> {
    let body = json!({"username": "alice", "password": PASSWORD, "mode": "bearer"});
    let reply = world.server.send_json(Method::POST, "/v1/sign-in", &[], &body).await?;
    let answer: Value = serde_json::from_str(&reply.body)?;
    let Some(token) = answer["token"].as_str() else {
        return Err(Failure::new(format!("signing in: {reply:?}")));
    };
    world.output.note_secret(token)?;
    Ok(token.to_owned())
}

pub(crate) async fn look(server: &Server, token: &str) -> Outcome<Reply> {
    ask(server, Method::GET, "/v1/session", token).await
}

pub(crate) async fn ask(server: &Server, method: Method, path: &str, token: &str) -> Outcome<Reply> {
    server.ask(method, path, &[("authorization", &format!("Bearer {token}"))]).await
}

fn code(reply: &Reply) -> String {
    let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    body["code"].as_str().unwrap_or_default().to_owned()
}

pub(crate) const PASSWORD: &str = "a quiet umbrella stand";
const STATE: &str = "cloakroom_store_breaker_state";
const OUTAGES: &str = "cloakroom_store_breaker_opened_total";
const REJECTED: &str = "cloakroom_store_rejected_total";
const ERRORS: &str = "cloakroom_store_errors_total";
/// Values of the gauge.
const WELL: u64 = 0;
const LEFT_ALONE: u64 = 2;
/// Calls that try the store in vain, so that there is something to be counted wrongly.
const PROBES: u64 = 2;
/// Requests at once, fewer than a store that has just come back gets.
const ASKS: usize = 4;
/// Longest wait for a server to find its store again, on a machine that is busy with everything else.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);
