//! Sessions moved from one store to another as the book tells it, beside two servers and people who go on.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cloakroom::{
    AuthLevel, Authentication, EndReason, Issue, Issued, Method as Proof, Principal, PrincipalId, Renewal,
    Renewed, Revocation, Selector, Sessions,
};
use cloakroom_postgres::{PostgresOptions, PostgresStore};
use cloakroom_servers::{Look, Postgres, Redis, RedisCluster, until};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use e2e::{Failure, Outcome, Server, World, eventually, run};
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;

use crate::guest::{Acknowledged, Answer, Guest, LOOK};
use crate::kills::PASSWORD;

#[test]
fn while_sessions_move_from_sqlite_to_redis_everybody_stays_who_they_are() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("old.db");
    let redis = Redis::start().unwrap();
    follow_the_book("moving_sqlite_redis", &format!("sqlite:{}", file.display()), &redis.url(), async || {
        Ok(Sessions::builder(SqliteStore::open(SqliteOptions::new(&file))?).build()?)
    });
}

#[test]
fn while_sessions_move_from_postgres_to_a_redis_cluster_everybody_stays_who_they_are() {
    let (postgres, cluster) = (Postgres::start().unwrap(), RedisCluster::start().unwrap());
    let from = postgres.url();
    follow_the_book("moving_postgres_cluster", &from, &cluster.url(), async || {
        Ok(Sessions::builder(PostgresStore::connect(PostgresOptions::from_url(&from)?).await?).build()?)
    });
}

/// Takes the four steps of `docs/book/moving.md`. People are at work all the while; they expect every answer to be the right
/// one, and take neither "unknown" nor "unavailable" for it.
fn follow_the_book(test: &'static str, from: &str, to: &str, old: impl AsyncFnOnce() -> Outcome<Sessions>) {
    let config = NamedTempFile::new().expect("a temporary file can be made");
    configure(&config, &format!("store = \"{from}\"\n")).expect("a temporary file can be written");
    let path = config.path().to_str().expect("temporary files have plain names").to_owned();
    run(test, &["--config", &path], async |world| {
        world.server.add_account("alice", PASSWORD)?;
        let mut second = world.node("second", &["--config", &path], &[]).await?;
        let crowd = Arc::new(Crowd::arrive(&old().await?).await?);
        let mut people = People::at_work(&[&world.server, &second], &crowd)?;
        people.go_on("before the move").await?;

        configure(&config, &format!("store = \"{to}\"\nstore_moving_from = \"{from}\"\n"))?;
        restart_one_after_the_other(world, &mut second, &mut people, "step 1").await?;
        let check = &["store", "check", "--config", &path];
        world.server.begin("check", check)?.done(PATIENCE).await?;
        let report = migrate(world, &path, &mut people).await.map_err(|f| f.while_doing("step 3"))?;
        configure(&config, &format!("store = \"{to}\"\n"))?;
        restart_one_after_the_other(world, &mut second, &mut people, "step 4").await?;

        let book = people.leave().await?;
        let (ended, alive): (Vec<_>, Vec<_>) = book.iter().partition(|session| session.ended);
        let exchanged: usize = book.iter().map(|session| session.exchanged.len()).sum();
        let told = format!(
            "{} sessions alive, {} ended, {exchanged} tokens exchanged meanwhile; {report}",
            alive.len(),
            ended.len()
        );
        let guest = Guest::of(vec![world.server.url(""), second.url("")], PASSWORD)?;
        for session in &book {
            guest.check(session).await?;
        }
        crowd.check(&guest).await?;
        second.stop().await?;
        world.output.keep("happened.txt", &told)?;
        if alive.len() < VISITORS || ended.len() < VISITORS || exchanged < VISITORS {
            return Err(Failure::new(format!("too little happened to prove anything: {told}")));
        }
        Ok(())
    });
}

/// Step 3: begun, killed in the middle, and begun again after a while.
async fn migrate(world: &World, config: &str, people: &mut People) -> Outcome<Value> {
    let call = &["store", "migrate", "--json", "--config", config];
    let mut killed = world.server.begin("migrate-1", call)?;
    let bookmark = world.server.data().join("store-migration.json");
    // By a thread of its own: on this one are those who are at work, and a page has moved before it is this one's turn.
    let killing = tokio::task::spawn_blocking(move || {
        let seen = until("a page to have moved", PATIENCE, || match killed.has_ended() {
            Ok(false) if is_in_its_first_pass(&bookmark) => Look::Done(Ok(())),
            Ok(false) => Look::NotYet("no bookmark in the first pass".to_owned()),
            Ok(true) => Look::Done(Err(Failure::new("it was through before it was killed"))),
            Err(failure) => Look::Done(Err(failure)),
        });
        killed.kill();
        let is_in_the_middle = is_in_its_first_pass(&bookmark);
        (seen, is_in_the_middle, killed)
    });
    let (seen, is_in_the_middle, mut killed) = killing.await?;
    if let Err(failure) = seen? {
        return killed.done(PATIENCE).await.and(Err(failure));
    }
    if !is_in_the_middle {
        return Err(Failure::new("it was through its first pass before it was killed"));
    }
    people.go_on("between two runs").await?;
    let mut second = world.server.begin("migrate-2", call)?;
    let report: Value = serde_json::from_str(&second.done(PATIENCE).await?)?;
    let is_done = report["verified"] == true && report["resumed"] == true && report["old"]["signed_in"] == 0;
    people.go_on("after the second run").await?;
    if is_done { Ok(report) } else { Err(Failure::new(format!("not proved, or begun anew: {report}"))) }
}

fn is_in_its_first_pass(bookmark: &Path) -> bool {
    let text = std::fs::read(bookmark).unwrap_or_default();
    serde_json::from_slice::<Value>(&text).is_ok_and(|bookmark| bookmark["cursor"].is_string())
}

async fn restart_one_after_the_other(
    world: &mut World,
    second: &mut Server,
    people: &mut People,
    step: &str,
) -> Outcome {
    for server in [&mut world.server, second] {
        server.restart().await.map_err(|failure| failure.while_doing(step))?;
        people.go_on(step).await?;
    }
    Ok(())
}

/// Writes the configuration of both servers. People try tokens that were exchanged, which would end their sessions by default.
fn configure(file: &NamedTempFile, stores: &str) -> Outcome {
    let text = format!("{stores}[detection.token_replayed]\ngrade = \"log\"\n");
    let mut opened = std::fs::File::create(file.path())?;
    Ok(opened.write_all(text.as_bytes())?)
}

/// Many who signed in long before, and of whom nothing is heard but that they look.
struct Crowd {
    alive: Vec<String>,
    ended: Vec<String>,
    exchanged: Vec<String>,
}

impl Crowd {
    async fn arrive(sessions: &Sessions) -> Outcome<Self> {
        let mut crowd = Self { alive: Vec::new(), ended: Vec::new(), exchanged: Vec::new() };
        for batch in 0..CROWD / BATCH {
            let arriving = (0..BATCH).map(async |number| {
                let proof = Authentication::new(AuthLevel::One, Proof::password(), sessions.now());
                let name = PrincipalId::new(format!("guest-{batch}-{number}"))?;
                let issue = Issue::signed_in(Principal::new(name), proof);
                Ok::<_, Failure>(sessions.issue(issue).await?.expect_issued())
            });
            for (number, issued) in try_join_all(arriving).await?.into_iter().enumerate() {
                crowd.welcome(sessions, number, issued).await?;
            }
        }
        Ok(crowd)
    }

    async fn welcome(&mut self, sessions: &Sessions, number: usize, issued: Issued) -> Outcome {
        let Issued { token, session, .. } = issued;
        let token = token.expose().as_str().to_owned();
        match number % 10 {
            0 => {
                let revocation = Revocation::by_system(EndReason::Compromised);
                sessions.revoke(&Selector::One(session.id()), revocation).await?;
                self.ended.push(token);
            }
            1 => match sessions.rotate(&session, Renewal::new()).await? {
                Renewed::Done { token: new, .. } => {
                    self.exchanged.push(token);
                    self.alive.push(new.expose().as_str().to_owned());
                }
                other => return Err(Failure::new(format!("a token was not exchanged: {other:?}"))),
            },
            _ => self.alive.push(token),
        }
        Ok(())
    }

    /// Whether one who is alive, one who is not, and a token that was exchanged are what they were.
    async fn look_at(&self, number: usize, guest: &Guest) -> Outcome {
        alive(guest, nth(&self.alive, number)).await?;
        ended(guest, nth(&self.ended, number)).await?;
        exchanged(guest, nth(&self.exchanged, number)).await
    }

    /// Whether all of them are what they were.
    async fn check(&self, guest: &Guest) -> Outcome {
        for token in &self.alive {
            alive(guest, token).await?;
        }
        for token in &self.ended {
            ended(guest, token).await?;
        }
        for token in &self.exchanged {
            exchanged(guest, token).await?;
        }
        Ok(())
    }
}

fn nth(tokens: &[String], number: usize) -> &str {
    &tokens[number % tokens.len()]
}

async fn alive(guest: &Guest, token: &str) -> Outcome {
    guest.ask(Method::GET, LOOK, Some(token), None, StatusCode::OK).await.map(drop)
}

async fn ended(guest: &Guest, token: &str) -> Outcome {
    match guest.ask(Method::GET, LOOK, Some(token), None, StatusCode::UNAUTHORIZED).await? {
        Answer::Acknowledged(body) if body["end_reason"] != "compromised" => {
            Err(Failure::new(format!("ended for another reason: {body}")))
        }
        _ => Ok(()),
    }
}

async fn exchanged(guest: &Guest, token: &str) -> Outcome {
    guest.ask(Method::GET, LOOK, Some(token), None, StatusCode::UNAUTHORIZED).await.map(drop)
}

/// Those who are at work on both servers.
struct People {
    tasks: Vec<JoinHandle<Outcome<Vec<Acknowledged>>>>,
    changes: Arc<AtomicUsize>,
    looks: Arc<AtomicUsize>,
    leave: Arc<AtomicBool>,
}

impl People {
    fn at_work(servers: &[&Server], crowd: &Arc<Crowd>) -> Outcome<Self> {
        let bases: Vec<String> = servers.iter().map(|server| server.url("")).collect();
        let (changes, looks, leave) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let mut tasks = Vec::new();
        for number in 0..VISITORS {
            let guest = Guest::of(bases.clone(), PASSWORD)?;
            // Every second one signs in once, and is the same to the end.
            let guest = if number % 2 == 0 { guest } else { guest.who_stays() };
            let (changes, leave) = (Arc::clone(&changes), Arc::clone(&leave));
            tasks.push(tokio::spawn(async move {
                let mut book = Vec::new();
                while !leave.load(Ordering::Relaxed) {
                    let go_on = || {
                        changes.fetch_add(1, Ordering::Relaxed);
                        !leave.load(Ordering::Relaxed)
                    };
                    book.extend(guest.live(go_on).await?);
                }
                Ok(book)
            }));
        }
        for number in 0..WATCHERS {
            let guest = Guest::of(bases.clone(), PASSWORD)?;
            let (crowd, looks, leave) = (Arc::clone(crowd), Arc::clone(&looks), Arc::clone(&leave));
            tasks.push(tokio::spawn(async move {
                // Each from another place of the crowd.
                for number in number * crowd.alive.len() / WATCHERS.. {
                    if leave.load(Ordering::Relaxed) {
                        break;
                    }
                    crowd.look_at(number, &guest).await?;
                    looks.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Vec::new())
            }));
        }
        Ok(Self { tasks, changes, looks, leave })
    }

    /// Lets them work for a while, and hears whether all was well until now.
    async fn go_on(&mut self, phase: &str) -> Outcome {
        let done = || (self.changes.load(Ordering::Relaxed), self.looks.load(Ordering::Relaxed));
        let (changes, looks) = done();
        let worked = eventually("people to have worked a while", PATIENCE, async || {
            let (now_changes, now_looks) = done();
            let enough = now_changes >= changes + CHANGES && now_looks >= looks + LOOKS;
            // Nobody leaves by themselves, unless something is wrong.
            Ok((enough || self.tasks.iter().any(JoinHandle::is_finished)).then_some(()))
        });
        let worked = worked.await;
        while let Some(finished) = self.tasks.iter().position(JoinHandle::is_finished) {
            self.tasks.swap_remove(finished).await?.map_err(|failure| failure.while_doing(phase))?;
        }
        worked.map_err(|failure| failure.while_doing(phase))
    }

    async fn leave(self) -> Outcome<Vec<Acknowledged>> {
        self.leave.store(true, Ordering::Relaxed);
        let mut book = Vec::new();
        for task in self.tasks {
            book.extend(task.await??);
        }
        Ok(book)
    }
}

/// Sessions that are there before: four pages of them, so that a move has a middle.
const CROWD: usize = 2_000;
const BATCH: usize = 50;
/// Clients that change something with each request.
const VISITORS: usize = 4;
/// Clients that look at the crowd.
const WATCHERS: usize = 2;
/// Changes and looks that are acknowledged in each phase of the story.
const CHANGES: usize = 30;
const LOOKS: usize = 40;
const PATIENCE: Duration = Duration::from_secs(120);
