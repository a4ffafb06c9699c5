//! One of several servers away, behind a server that goes on: whose sessions are elsewhere notices nothing.

use std::io::Write as _;
use std::time::Duration;

use cloakroom_servers::{Memcached, RedisCluster, Role};
use e2e::{Failure, Outcome, Server, World, eventually, run};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

#[test]
fn a_memcached_that_is_killed_or_hangs_takes_no_other_ones_sessions_along() {
    let servers = [(); 3].map(|()| Memcached::start().unwrap());
    let addresses: Vec<String> = servers.iter().map(Memcached::address).collect();
    let url = format!("memcached://{}", addresses.join(","));
    let config = config();
    run("parts_memcached", &["--config", &path(&config), "--store", &url], async |world| {
        let [hanging, killed, _] = &servers;
        let people = all_signed_in(world).await?;
        hanging.pause();
        others_are_served(&world.server, &people).await.map_err(|f| f.while_doing("one hangs"))?;
        // Whose home is away signs in at the next server.
        for person in &people {
            sign_in(world, &person.name).await?;
        }
        hanging.resume();
        eventually("all servers to be used again", RECOVERY, async || {
            let answers = join_all(people.iter().map(|person| look(&world.server, person))).await;
            let all: Outcome<Vec<u16>> = answers.into_iter().collect();
            Ok(all?.iter().all(|status| *status == 200).then_some(()))
        })
        .await?;
        killed.kill();
        others_are_served(&world.server, &people).await.map_err(|f| f.while_doing("one is killed"))?;
        never_opened(&world.server).await?;
        // All of them are the store.
        servers.iter().for_each(Memcached::kill);
        eventually("the store to be left alone", RECOVERY, async || {
            for person in &people {
                let status = look(&world.server, person).await?;
                if status != 503 {
                    return Err(Failure::new(format!("{} is answered {status}", person.name)));
                }
            }
            Ok((opened(&world.server).await? == "1").then_some(()))
        })
        .await
    });
}

#[test]
fn a_part_of_a_redis_cluster_that_is_killed_or_hangs_takes_no_other_ones_sessions_along() {
    let cluster = RedisCluster::start_with(&["--cluster-require-full-coverage", "no"]).unwrap();
    let config = config();
    run("parts_cluster", &["--config", &path(&config), "--store", &cluster.url()], async |world| {
        let people = all_signed_in(world).await?;
        let nodes = failed(cluster.nodes())?;
        let primary =
            nodes.iter().find(|node| node.role == Role::Primary).ok_or_else(|| Failure::new("no primary"))?;
        let primary = failed(cluster.server(primary.port))?;
        // Nobody can take its place.
        for node in nodes.iter().filter(|node| node.role != Role::Primary) {
            failed(cluster.server(node.port))?.kill();
        }
        primary.pause();
        others_are_served(&world.server, &people).await.map_err(|f| f.while_doing("one hangs"))?;
        primary.kill();
        others_are_served(&world.server, &people).await.map_err(|f| f.while_doing("one is killed"))?;
        never_opened(&world.server).await
    });
}

/// Activity is worth writing down again after a second.
fn config() -> NamedTempFile {
    let mut config = NamedTempFile::new().expect("a temporary file can be made");
    config.write_all(b"[session]\ntouch_interval = \"1s\"\n").expect("a temporary file can be written");
    config
}

fn path(config: &NamedTempFile) -> String {
    config.path().to_str().expect("temporary files have plain names").to_owned()
}

fn failed<T>(outcome: cloakroom_servers::Outcome<T>) -> Outcome<T> {
    outcome.map_err(|failure| Failure::new(failure.to_string()))
}

struct Person {
    name: String,
    token: String,
}

async fn all_signed_in(world: &World) -> Outcome<Vec<Person>> {
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let name = format!("person-{number}");
        world.server.add_account(&name, PASSWORD)?;
        let token = sign_in(world, &name).await?;
        people.push(Person { name, token });
    }
    Ok(people)
}

/// Once it is known who is away, everybody else is answered each time, however often the others ask, too; their activity is
/// written down, and a balancer that asks is told that there is a store.
async fn others_are_served(server: &Server, people: &[Person]) -> Outcome {
    let (well, away) = eventually("it to be known who is away", RECOVERY, async || {
        let (mut well, mut away) = (Vec::new(), Vec::new());
        for person in people {
            match look(server, person).await? {
                200 => well.push(person),
                503 => away.push(person),
                status => return Err(Failure::new(format!("{} is answered {status}", person.name))),
            }
        }
        Ok((!away.is_empty()).then_some((well, away)))
    })
    .await?;
    if well.is_empty() {
        return Err(Failure::new("nobody is well"));
    }
    for round in 0..ROUNDS {
        let others = join_all(away.iter().cycle().take(CROWD).map(|person| look(server, person)));
        let (others, served) = tokio::join!(others, join_all(well.iter().map(|person| look(server, person))));
        let served: Outcome<Vec<u16>> = served.into_iter().collect();
        let served = served?;
        if served.iter().any(|status| *status != 200) {
            return Err(Failure::new(format!("round {round}: who is well was answered {served:?}")));
        }
        let others: Outcome<Vec<u16>> = others.into_iter().collect();
        let others = others?;
        if others.iter().any(|status| *status != 503) {
            return Err(Failure::new(format!("round {round}: who is away was answered {others:?}")));
        }
    }
    let before = written(server).await?;
    eventually("everybody's activity to be written down twice", RECOVERY, async || {
        for person in &well {
            let status = look(server, person).await?;
            if status != 200 {
                return Err(Failure::new(format!("{} is answered {status}", person.name)));
            }
        }
        let status = server.ask(Method::GET, "/readyz", &[]).await?.status;
        if status != 200 {
            return Err(Failure::new(format!("whether it is ready is answered {status}")));
        }
        Ok((written(server).await? >= before + 2 * well.len()).then_some(()))
    })
    .await
}

/// How often activity was written down.
async fn written(server: &Server) -> Outcome<usize> {
    let metrics = server.ask(Method::GET, "/metrics", &[]).await?.body;
    let line = metrics.lines().find(|line| line.starts_with("cloakroom_touches_total{result=\"written\"}"));
    let count = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    count.ok_or_else(|| Failure::new("nobody counts activity"))
}

async fn never_opened(server: &Server) -> Outcome {
    match opened(server).await?.as_str() {
        "0" => Ok(()),
        times => {
            Err(Failure::new(format!("the store as a whole was never away, and left alone {times} times")))
        }
    }
}

/// How often the store as a whole was left alone.
async fn opened(server: &Server) -> Outcome<String> {
    let metrics = server.ask(Method::GET, "/metrics", &[]).await?.body;
    let line = metrics.lines().find(|line| line.starts_with("cloakroom_store_breaker_opened_total"));
    let count = line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned);
    count.ok_or_else(|| Failure::new("nobody counts outages"))
}

async fn sign_in(world: &World, name: &str) -> Outcome<String> {
    let body = json!({"username": name, "password": PASSWORD, "mode": "bearer"});
    let reply = world.server.send_json(Method::POST, "/v1/sign-in", &[], &body).await?;
    let answer: Value = serde_json::from_str(&reply.body)?;
    let Some(token) = answer["token"].as_str() else {
        return Err(Failure::new(format!("signing {name} in: {reply:?}")));
    };
    world.output.note_secret(token)?;
    Ok(token.to_owned())
}

async fn look(server: &Server, person: &Person) -> Outcome<u16> {
    let bearer = format!("Bearer {}", person.token);
    Ok(server.ask(Method::GET, "/v1/session", &[("authorization", &bearer)]).await?.status)
}

/// So many that every server keeps somebody's session.
const PEOPLE: usize = 16;
/// Requests of a round for sessions that are away, and rounds: more than a breaker stands, were they counted.
const CROWD: usize = 24;
const ROUNDS: usize = 20;
const PASSWORD: &str = "a quiet umbrella stand";
/// Longest wait for a server to find its store again, on a machine that is busy with everything else.
const RECOVERY: Duration = Duration::from_secs(60);
