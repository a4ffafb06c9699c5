//! The primary of a replicated Redis killed under a server whose guests go on: they wait for its successor, and that is all.

use std::cell::Cell;
use std::time::Duration;

use cloakroom_servers::{RedisCluster, RedisSentinel, Role};
use e2e::{Failure, Outcome, Server, World, eventually, run};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::guest::token_in;
use crate::stores::{PASSWORD, RECOVERY, alive, ask, look, refused, sign_in, sign_out, unavailable};

#[test]
fn a_fail_over_by_sentinel_is_waited_for_by_guests_at_work_and_loses_nothing() {
    let servers = RedisSentinel::start().unwrap();
    let url = format!("{}?wait_replicas=2&wait_timeout=1500ms", servers.url());
    check(
        "failover_sentinel",
        &url,
        || servers.kill_primary(),
        |old| (servers.primary_port().ok() != Some(old)).then_some(()),
        || servers.heal(),
    );
}

#[test]
fn a_fail_over_in_a_cluster_is_waited_for_by_guests_at_work_and_loses_nothing() {
    let cluster = RedisCluster::start().unwrap();
    let url = format!("{}?wait_replicas=1&wait_timeout=1500ms", cluster.url());
    let alices = Cell::new(None);
    check(
        "failover_cluster",
        &url,
        || {
            let slot = slot_of_records(&cluster)?;
            alices.set(Some(slot));
            cluster.kill_primary_of(slot)
        },
        |old| {
            let port = cluster.primary_of(alices.get()?).ok()?.port();
            (port != old).then_some(())
        },
        || cluster.heal(),
    );
}

/// The slot of everything that one person has: whoever serves it has records, and nobody else.
fn slot_of_records(cluster: &RedisCluster) -> cloakroom_servers::Outcome<u16> {
    for node in cluster.nodes()?.iter().filter(|node| node.role == Role::Primary) {
        let keys = cluster.server(node.port)?.command(&["KEYS", "cloakroom:record:*"])?;
        if let Some(key) = keys.lines().find(|key| !key.is_empty()) {
            return cluster.slot_of(key);
        }
    }
    Err(cloakroom_servers::Failure::new("looking for records", "no primary has any"))
}

/// Guests work; `kill` kills the primary; they are told to come again until `is_replaced`, and go on. `heal` brings the old one
/// back.
fn check(
    test: &'static str,
    url: &str,
    kill: impl Fn() -> cloakroom_servers::Outcome<u16>,
    is_replaced: impl Fn(u16) -> Option<()>,
    heal: impl Fn() -> cloakroom_servers::Outcome,
) {
    run(test, &["--store", url], async |world| {
        world.server.add_account("alice", PASSWORD)?;
        let mut guests = Vec::new();
        for _ in 0..GUESTS {
            guests.push(Guest::arrive(world).await?);
        }
        let (server, leaver) = (&world.server, sign_in(world).await?);
        sign_out(server, &leaver).await?;

        let stage = Cell::new(Stage::Before);
        let story = async {
            eventually("the guests to be at work", RECOVERY, async || {
                Ok(guests.iter().all(|guest| guest.since.get() >= ENOUGH).then_some(()))
            })
            .await?;
            let old = kill().map_err(from_servers)?;
            stage.set(Stage::Without);
            eventually("the guests to be told to come again", RECOVERY, async || {
                Ok(guests.iter().all(|guest| guest.turned_away.get() > 0).then_some(()))
            })
            .await?;
            eventually("another primary", RECOVERY, async || Ok(is_replaced(old))).await?;
            stage.set(Stage::After);
            guests.iter().for_each(|guest| guest.since.set(0));
            eventually("the guests to be at work again", RECOVERY, async || {
                Ok(guests.iter().all(|guest| guest.since.get() >= ENOUGH).then_some(()))
            })
            .await?;
            stage.set(Stage::Enough);
            Ok::<(), Failure>(())
        };
        let working = try_join_all(guests.iter().map(|guest| guest.work(server, &stage)));
        let played = async { tokio::try_join!(story, working) };
        tokio::time::timeout(6 * RECOVERY, played).await??;

        for guest in &guests {
            guest.check(server).await?;
        }
        refused(&look(server, &leaver).await?)?;
        heal().map_err(from_servers)?;
        // With all replicas back, an end is acknowledged again; and whoever comes is let in.
        let leaver = &guests.first().ok_or_else(|| Failure::new("there are guests"))?.token;
        eventually("signing out", RECOVERY, async || {
            let reply = ask(server, Method::DELETE, "/v1/session", leaver).await?;
            // One that was in doubt has happened.
            if matches!(reply.status, 204 | 401) {
                return Ok(Some(()));
            }
            unavailable(&reply).map(|()| None)
        })
        .await?;
        refused(&look(server, leaver).await?)?;
        let again = sign_in(world).await?;
        alive(&world.server, &again).await
    });
}

/// How far the story is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    Without,
    After,
    Enough,
}

/// Somebody who changes their session again and again.
struct Guest {
    token: String,
    exchanged: String,
    /// What was acknowledged last.
    count: Cell<u64>,
    /// Changes acknowledged in this stage.
    since: Cell<usize>,
    /// Answers that said to come again.
    turned_away: Cell<usize>,
}

impl Guest {
    /// Signs in, writes something down and exchanges the token, which every replica acknowledges, and with it all before.
    async fn arrive(world: &World) -> Outcome<Self> {
        let (server, exchanged) = (&world.server, sign_in(world).await?);
        let reply = patch(server, &exchanged, &json!({ "coat": COAT })).await?;
        let exchange = ask(server, Method::POST, "/v1/session/rotate", &exchanged).await?;
        if (reply.status, exchange.status) != (200, 200) {
            return Err(Failure::new(format!("arriving: {reply:?}, {exchange:?}")));
        }
        let token = token_in(&serde_json::from_str(&exchange.body)?)?;
        world.output.note_secret(&token)?;
        let (count, since, turned_away) = (Cell::new(0), Cell::new(0), Cell::new(0));
        Ok(Self { token, exchanged, count, since, turned_away })
    }

    /// Counts up in the session until it is enough. Whoever is told to come again does, with the same count; so none is in
    /// doubt at the end.
    async fn work(&self, server: &Server, stage: &Cell<Stage>) -> Outcome {
        loop {
            let count = self.count.get() + 1;
            let reply = patch(server, &self.token, &json!({ "count": count })).await?;
            if reply.status == 200 {
                self.count.set(count);
                self.since.set(self.since.get() + 1);
                if stage.get() == Stage::Enough {
                    return Ok(());
                }
                continue;
            }
            unavailable(&reply).map_err(|failure| failure.while_doing("working"))?;
            if stage.get() == Stage::Before {
                return Err(Failure::new("turned away while all was well"));
            }
            self.turned_away.set(self.turned_away.get() + 1);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The session has what was written down before, and the last count; the token that was exchanged is none.
    async fn check(&self, server: &Server) -> Outcome {
        let reply = look(server, &self.token).await?;
        let body: Value = serde_json::from_str(&reply.body)?;
        let found = &body["session"]["attributes"];
        if reply.status != 200 || *found != json!({ "coat": COAT, "count": self.count.get() }) {
            return Err(Failure::new(format!("{} were acknowledged: {reply:?}", self.count.get())));
        }
        match look(server, &self.exchanged).await?.status {
            401 => Ok(()),
            status => Err(Failure::new(format!("an exchanged token is answered {status}"))),
        }
    }
}

async fn patch(server: &Server, token: &str, attributes: &Value) -> Outcome<e2e::Reply> {
    let bearer = format!("Bearer {token}");
    server.send_json(Method::PATCH, "/v1/session/attributes", &[("authorization", &bearer)], attributes).await
}

fn from_servers(failure: cloakroom_servers::Failure) -> Failure {
    Failure::new(failure.to_string())
}

const COAT: &str = "green, number 7";
const GUESTS: usize = 4;
/// Changes that show that somebody is at work.
const ENOUGH: usize = 10;
/// Less than `Retry-After` says, so that the test does not take longer than the election.
const PAUSE: Duration = Duration::from_millis(50);
