//! What was ended on one node is refused on the other: within the lease, while the list fails, and after a restart.

use std::time::Duration;

use cloakroom_servers::{Postgres, Redis};
use e2e::{Failure, Outcome, Server, World, eventually, run};
use reqwest::Method;
use serde_json::json;

use super::{Jar, PASSWORD, expect, gist};

#[test]
fn what_is_ended_on_one_node_is_refused_on_the_other_by_a_list_in_sqlite() {
    run("sealed_ends_sqlite", &[], async |world| {
        let file = world.server.data().join("ends.db").display().to_string();
        every_end(&Cluster::of(world, &format!("sqlite:{file}"), Policy::Closed).await?, world).await
    });
}

#[test]
fn a_list_in_redis_that_fails_closes_the_door_and_forgets_nobody() {
    let redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap();
    run("sealed_ends_redis", &[], async |world| {
        let mut cluster = Cluster::of(world, &redis.url(), Policy::Closed).await?;
        every_end(&cluster, world).await?;
        outage(&mut cluster, world, Policy::Closed, || redis.kill(), || Ok(redis.restart()?)).await
    });
}

#[test]
fn a_list_in_postgres_that_fails_closes_the_door_and_forgets_nobody() {
    let postgres = Postgres::start().unwrap();
    run("sealed_ends_postgres", &[], async |world| {
        let mut cluster = Cluster::of(world, &postgres.url(), Policy::Closed).await?;
        every_end(&cluster, world).await?;
        outage(&mut cluster, world, Policy::Closed, || postgres.kill(), || Ok(postgres.restart()?)).await
    });
}

#[test]
fn where_that_is_configured_a_list_that_fails_leaves_the_door_open_to_those_it_knows_nothing_of() {
    let redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap();
    run("sealed_ends_open", &[], async |world| {
        let mut cluster = Cluster::of(world, &redis.url(), Policy::Open).await?;
        outage(&mut cluster, world, Policy::Open, || redis.kill(), || Ok(redis.restart()?)).await
    });
}

/// A Redis without a file, and its memory gone: servers that run know what it forgot, and give it back.
#[test]
fn a_list_that_forgot_everything_gets_it_back_from_the_servers_that_read_it() {
    let redis = Redis::start().unwrap();
    run("sealed_ends_forgotten", &[], async |world| {
        let mut cluster = Cluster::of(world, &redis.url(), Policy::Closed).await?;
        let mut stays = Jar::signed_in(world, &cluster.a, "carol").await?;
        let (mut leaves, mut later) = (
            Jar::signed_in(world, &cluster.b, "carol").await?,
            Jar::signed_in(world, &cluster.b, "carol").await?,
        );
        let ended = leaves.copy();
        expect(&leaves.ask(&cluster.b, Method::DELETE, "/v1/session").await?, &["204 "])?;
        cluster.is_over(&ended, "signing out before the list forgot it").await?;

        redis.kill();
        redis.restart()?;
        cluster.goes_on(&mut stays, &ended).await?;

        // It is written to as before; and who reads it from its beginning, as a server that starts does, finds both.
        let ended_later = later.copy();
        expect(&later.ask(&cluster.a, Method::DELETE, "/v1/session").await?, &["204 "])?;
        cluster.is_over(&ended_later, "signing out after the list forgot everything").await?;
        cluster.b.kill_and_restart().await?;
        for ended in [&ended, &ended_later] {
            expect(&ended.copy().look(&cluster.b).await?, &["401 session_ended"])?;
        }
        stays.alive(&cluster.b).await
    });
}

/// What happens while nobody can say what was ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Closed,
    Open,
}

/// Two servers with one list, and with the accounts of a third that does nothing.
struct Cluster {
    a: Server,
    b: Server,
    store: String,
}

impl Cluster {
    async fn of(world: &World, list: &str, policy: Policy) -> Outcome<Self> {
        for name in ["alice", "bob", "carol"] {
            world.server.add_account(name, PASSWORD)?;
        }
        let store = format!("sealed:?revocations={list}");
        let open =
            ("CLOAKROOM__SEALED__DANGEROUSLY_OPEN_WHEN_UNREACHABLE", (policy == Policy::Open).to_string());
        let a = world.node("a", &["--store", &store], std::slice::from_ref(&open)).await?;
        let b = world.node("b", &["--store", &store], &[open]).await?;
        Ok(Self { a, b, store })
    }

    /// Does something at the command line, beside both.
    fn command(&self, call: &[&str]) -> Outcome {
        self.a.command(&[call, &["--store", &self.store]].concat()).map(drop)
    }

    /// Checks that this session, whose end was acknowledged just now, is refused everywhere once a lease has passed. Until then
    /// either answer is right, and nothing else is.
    async fn is_over(&self, jar: &Jar, why: &str) -> Outcome {
        let doing = |failure: Failure| failure.while_doing(format!("after {why}"));
        for node in [&self.a, &self.b] {
            let early = jar.copy().look(node).await?;
            expect(&early, &["200 ", "401 session_ended"]).map_err(doing)?;
        }
        // The promise itself: a bound in time, which no answer can be asked for instead.
        tokio::time::sleep(LEASE).await;
        for node in [&self.a, &self.b, &self.a, &self.b] {
            expect(&jar.copy().look(node).await?, &["401 session_ended"]).map_err(doing)?;
        }
        Ok(())
    }
}

impl Cluster {
    /// Waits until both servers read the list again: whoever stays was never signed out meanwhile, and what was ended was never let
    /// in.
    async fn goes_on(&self, stays: &mut Jar, ended: &Jar) -> Outcome {
        for node in [&self.a, &self.b] {
            eventually("the list to be read again", RECOVERY, async || {
                expect(&ended.copy().look(node).await?, &["401 session_ended", "503 store_unavailable"])?;
                let reply = stays.look(node).await?;
                expect(&reply, &["200 ", "503 store_unavailable"])?;
                Ok((gist(&reply) == "200 ").then_some(()))
            })
            .await?;
            expect(&ended.copy().look(node).await?, &["401 session_ended"])?;
        }
        Ok(())
    }
}

/// Each way in which sessions are ended, by one node or beside it, and what goes on meanwhile.
async fn every_end(cluster: &Cluster, world: &World) -> Outcome {
    let Cluster { a, b, .. } = cluster;
    let mut others = Jar::signed_in(world, b, "carol").await?;

    let mut one = Jar::signed_in(world, a, "alice").await?;
    let mut two = Jar::signed_in(world, b, "alice").await?;
    one.alive(b).await?;
    let thief = one.copy();
    expect(&one.ask(a, Method::DELETE, "/v1/session").await?, &["204 "])?;
    cluster.is_over(&thief, "signing out").await?;
    two.alive(a).await?;

    cluster.command(&["sessions", "revoke", "--principal", "alice"])?;
    cluster.is_over(&two, "an end of all of one person").await?;

    let elsewhere = Jar::signed_in(world, b, "alice").await?;
    let mut here = Jar::signed_in(world, a, "alice").await?;
    let body = json!({"current": PASSWORD, "new": ANOTHER});
    expect(&here.send(a, "/v1/password", &body).await?, &["204 "])?;
    cluster.is_over(&elsewhere, "a change of the password").await?;
    here.alive(b).await.map_err(|failure| failure.while_doing("whoever changed the password stays"))?;

    let disabled = Jar::signed_in(world, b, "bob").await?;
    cluster.command(&["users", "disable", "bob"])?;
    cluster.is_over(&disabled, "an account was disabled").await?;

    others.alive(a).await.map_err(|failure| failure.while_doing("nobody else was meant"))?;
    cluster.command(&["sessions", "revoke", "--all"])?;
    cluster.is_over(&others, "an end of everything").await?;
    cluster.is_over(&here, "an end of everything").await?;
    Jar::signed_in(world, a, "carol")
        .await?
        .alive(b)
        .await
        .map_err(|failure| failure.while_doing("signing in again"))
}

/// The list is killed, and comes back.
async fn outage(
    cluster: &mut Cluster,
    world: &World,
    policy: Policy,
    kill: impl Fn(),
    restart: impl Fn() -> Outcome,
) -> Outcome {
    let mut stays = Jar::signed_in(world, &cluster.a, "carol").await?;
    let mut leaves = Jar::signed_in(world, &cluster.b, "carol").await?;
    for node in [&cluster.a, &cluster.b] {
        stays.alive(node).await?;
    }
    let ended = leaves.copy();
    expect(&leaves.ask(&cluster.b, Method::DELETE, "/v1/session").await?, &["204 "])?;
    cluster.is_over(&ended, "signing out before the outage").await?;

    kill();
    tokio::time::sleep(LEASE).await;
    for node in [&cluster.a, &cluster.b] {
        let known = ["401 session_ended", "503 store_unavailable"];
        expect(&ended.copy().look(node).await?, &known)?;
        let reply = stays.copy().look(node).await?;
        match policy {
            Policy::Closed if reply.cookies.is_empty() => expect(&reply, &["503 store_unavailable"])?,
            Policy::Open => expect(&reply, &["200 "])?,
            Policy::Closed => return Err(Failure::new(format!("an outage changes no cookie: {reply:?}"))),
        }
        // Nobody is told that a session was ended which others would let in.
        let out = stays.copy().ask(node, Method::DELETE, "/v1/session").await?;
        expect(&out, &["503 store_unavailable"]).map_err(|failure| failure.while_doing("signing out"))?;
    }
    if policy == Policy::Open {
        return restart();
    }
    restart()?;
    cluster.goes_on(&mut stays, &ended).await?;
    // A node that starts knows what was ended before its first answer.
    cluster.b.kill_and_restart().await?;
    expect(&ended.copy().look(&cluster.b).await?, &["401 session_ended"])
        .map_err(|failure| failure.while_doing("the first answer after a restart"))?;
    stays.alive(&cluster.b).await
}

const ANOTHER: &str = "another quiet umbrella";
/// For how long a node may go on after an end was acknowledged: the default of `near_cache.lease`.
const LEASE: Duration = Duration::from_secs(1);
/// Longest wait for a server to find its list again, on a machine that is busy with everything else.
const RECOVERY: Duration = Duration::from_secs(60);
