//! Keys change under load, and nobody is signed out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom::{Clock as _, OsRandom, Random as _, SystemClock, Timestamp};
use cloakroom_sealed::{KeyFile, KeyId, KeyState, NewKey, Rotation};
use e2e::{Failure, Outcome, Server, World, eventually, run};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Jar, expect};

#[test]
fn keys_that_nodes_share_are_exchanged_under_load_and_nobody_is_signed_out() {
    check("sealed_rotation", Keys::Shared);
}

#[test]
fn a_node_that_gets_the_keys_later_signs_nobody_out() {
    check("sealed_rotation_later", Keys::Copied);
}

/// How the second node gets the keys of the first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Both read one file.
    Shared,
    /// It has a file of its own, into which the first one's is copied after a while.
    Copied,
}

fn check(test: &'static str, keys: Keys) {
    run(test, &[], async |world| {
        let list = format!("sealed:?revocations=sqlite:{}", world.server.data().join("ends.db").display());
        let first_file = world.output.artifacts().join("a.keys");
        let second_file = match keys {
            Keys::Shared => first_file.clone(),
            Keys::Copied => world.output.artifacts().join("b.keys"),
        };
        let arguments = |name: &str, file: &Path| -> Outcome<Vec<String>> {
            let config = world.output.artifacts().join(format!("{name}.toml"));
            std::fs::write(
                &config,
                format!("{POLICY}\n[sealed]\nkeys_file = {:?}\n", file.display().to_string()),
            )?;
            Ok(["--config", &config.display().to_string(), "--store", &list].map(str::to_owned).to_vec())
        };
        let (here, there) = (arguments("a", &first_file)?, arguments("b", &second_file)?);
        let a = node(world, "a", &here).await?;
        if keys == Keys::Copied {
            hand_over(&first_file, &second_file)?;
        }
        let b = node(world, "b", &there).await?;
        let mut nodes = [a, b];
        let (copied_to, spread) = match keys {
            // Less than the five seconds after which a server looks at the file by itself: it has to when it meets the new key.
            Keys::Shared => (None, Duration::from_secs(2)),
            // More than it takes a few people to ask, on a machine that is busy with everything else: then it is copied.
            Keys::Copied => (Some(second_file), Duration::from_secs(15)),
        };
        let rotation = Exchange { file: first_file.clone(), copied_to, spread };
        story(world, &nodes, &rotation).await?;
        // As an operator does it: with the same file, beside the same servers.
        let mut call = vec!["keys", "rotate", "--json"];
        call.extend(here.iter().map(String::as_str));
        let told: Value = serde_json::from_str(&nodes[0].command(&call)?)?;
        if told["keys"].as_array().map_or(0, Vec::len) < 2 {
            return Err(Failure::new(format!("an exchange makes a key more: {told}")));
        }
        for node in &mut nodes {
            node.stop().await?;
        }
        Ok(())
    });
}

async fn story(world: &World, nodes: &[Server; 2], exchange: &Exchange) -> Outcome {
    world.server.add_account("alice", super::PASSWORD)?;
    let first = Jar::signed_in(world, &nodes[0], "alice").await?;
    let mut jars = Vec::new();
    for number in 0..SESSIONS {
        jars.push(Jar::signed_in(world, &nodes[number % 2], "alice").await?);
        // Passwords take their time, and nobody is to be silent for longer than one of them takes.
        for jar in &mut jars {
            jar.alive(&nodes[0]).await?;
        }
    }
    let (oldest, load) = (first, Load::of(jars));
    let traffic = load.run(nodes);
    let operator = async {
        let rotated = exchange_twice(exchange, &load).await;
        load.is_over.store(true, Ordering::Relaxed);
        rotated
    };
    let (carried, rotated) = tokio::join!(traffic, operator);
    carried.and(rotated)?;
    for jar in &load.jars {
        for node in nodes {
            jar.lock().await.alive(node).await.map_err(|failure| failure.while_doing("at the end"))?;
        }
    }
    // The first key is over: it opens nothing. Had it been opened, the answer were that the session was silent for too long.
    for node in nodes {
        expect(&oldest.copy().look(node).await?, &["401 session_unknown"])?;
    }
    Ok(())
}

async fn exchange_twice(exchange: &Exchange, load: &Load) -> Outcome {
    load.goes_on(EVERYBODY).await?;
    let first = exchange.now_sealing()?;
    let mut newest = first;
    for _ in 0..2 {
        let key = exchange.rotate()?;
        if key == newest {
            return Err(Failure::new("an exchange made the key that there was"));
        }
        newest = key;
        // Before the new key seals, every node gets it; meanwhile the old one seals.
        load.goes_on(AT_ONCE).await?;
        exchange.hand_over()?;
        eventually("every cookie to be sealed with the newest key", RESEALED, async || {
            load.check()?;
            let mut sealed = 0;
            for jar in &load.jars {
                sealed += usize::from(key_of(&jar.lock().await.value)? == newest.to_string());
            }
            Ok((sealed == SESSIONS).then_some(()))
        })
        .await?;
    }
    eventually("the first key to be over", RESEALED, async || {
        load.check()?;
        Ok(exchange.is_over(first)?.then_some(()))
    })
    .await?;
    load.goes_on(EVERYBODY).await
}

/// How keys are exchanged: as the command line does it, in the file that servers read, with a shorter time for the news to get
/// around.
struct Exchange {
    file: PathBuf,
    copied_to: Option<PathBuf>,
    /// How long the news of a key may take.
    spread: Duration,
}

impl Exchange {
    fn rotate(&self) -> Outcome<KeyId> {
        let mut random = [0; NewKey::RANDOM_BYTES];
        OsRandom.fill(&mut random)?;
        let rotation = Rotation { now: now(), spread: self.spread, window: IDLE };
        let ring = KeyFile::at(&self.file).rotate(NewKey::from_random(&random), &rotation)?;
        ring.list(now()).first().map(|key| key.id).ok_or_else(|| Failure::new("a ring without keys"))
    }

    fn hand_over(&self) -> Outcome {
        self.copied_to.as_deref().map_or(Ok(()), |to| hand_over(&self.file, to))
    }

    fn now_sealing(&self) -> Outcome<KeyId> {
        let keys = KeyFile::at(&self.file).read()?.list(now());
        let seals = keys.iter().find(|key| matches!(key.state, KeyState::Seals));
        seals.map(|key| key.id).ok_or_else(|| Failure::new("no key seals"))
    }

    fn is_over(&self, id: KeyId) -> Outcome<bool> {
        let keys = KeyFile::at(&self.file).read()?.list(now());
        Ok(keys.iter().all(|key| key.id != id || matches!(key.state, KeyState::Over)))
    }
}

fn now() -> Timestamp {
    SystemClock::default().now()
}

/// Which key sealed a cookie, as the command line names keys.
fn key_of(cookie: &str) -> Outcome<String> {
    let sealed = URL_SAFE_NO_PAD.decode(cookie.trim_start_matches("cs1_"));
    let sealed = sealed.map_err(|error| Failure::new(format!("{cookie}: {error}")))?;
    Ok(sealed.iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}

/// People who are busy at both nodes.
struct Load {
    jars: Vec<Mutex<Jar>>,
    answered: Arc<AtomicU64>,
    is_over: AtomicBool,
}

impl Load {
    fn of(jars: Vec<Jar>) -> Self {
        Self {
            jars: jars.into_iter().map(Mutex::new).collect(),
            answered: Arc::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Each session asks one node and then the other, some of them at once, until it is over. Every answer has to be 200.
    async fn run(&self, nodes: &[Server; 2]) -> Outcome {
        let crowd = (0..AT_ONCE).map(|worker| async move {
            for turn in 0.. {
                for jar in self.jars.iter().skip(worker).step_by(AT_ONCE) {
                    if self.is_over.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    let done = jar.lock().await.alive(&nodes[(worker + turn) % 2]).await;
                    if done.is_err() {
                        self.is_over.store(true, Ordering::Relaxed);
                        return done;
                    }
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        });
        futures_util::future::try_join_all(crowd).await.map(drop)
    }

    fn check(&self) -> Outcome {
        if self.is_over.load(Ordering::Relaxed) {
            Err(Failure::new("somebody was signed out"))
        } else {
            Ok(())
        }
    }

    /// Waits until this many times somebody has been answered again.
    async fn goes_on(&self, answers: usize) -> Outcome {
        self.check()?;
        let enough = self.answered.load(Ordering::Relaxed) + u64::try_from(answers)?;
        eventually("the sessions to go on", RESEALED, async || {
            self.check()?;
            Ok((self.answered.load(Ordering::Relaxed) >= enough).then_some(()))
        })
        .await
    }
}

async fn node(world: &World, name: &'static str, arguments: &[String]) -> Outcome<Server> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    world.node(name, &arguments, &[]).await
}

/// Copies keys as an operator's tools do: whole, or not at all; readable by their user alone.
fn hand_over(from: &Path, to: &Path) -> Outcome {
    let next = to.with_extension("next");
    std::fs::copy(from, &next)?;
    Ok(std::fs::rename(next, to)?)
}

/// Short silences, so that old keys are soon over.
const POLICY: &str = "[session]\nidle_timeout = \"8s\"\nabsolute_timeout = \"1h\"\ntouch_interval = \"1s\"\n\
                      [session.remember_me]\nenabled = false";
const IDLE: Duration = Duration::from_secs(8);
const SESSIONS: usize = 32;
/// Of them, so many ask at the same time.
const AT_ONCE: usize = 8;
/// Answers after which every session has been at both nodes again.
const EVERYBODY: usize = 3 * SESSIONS;
/// Longest wait for all of them to have been at both nodes, on a machine that is busy with everything else.
const RESEALED: Duration = Duration::from_secs(60);
