//! What it costs that changes are told, and how soon they are: printed, for the book.
//!
//! `cargo run -p cloakroom-postgres --example cost_of_news`
//!
//! Three ways of telling on one server, in turns: not at all (triggers disabled), as shipped, and by `NOTIFY` in the writing
//! transaction, which is what one would write first.

#![expect(clippy::print_stdout, reason = "it is there to print")]

use std::error::Error;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::{EndReason, TokenDigest};
use cloakroom_postgres::{PostgresOptions, PostgresStore};
use cloakroom_servers::Postgres;
use cloakroom_store::{EndRequest, InsertRequest, News, Observer, ReplaceRequest, Selector, Store, Version};
use tokio::sync::Notify;
use tokio::task::JoinSet;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let server = Postgres::start_with(&["-c", "shared_buffers=256MB"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let options = PostgresOptions::from_url(&server.url())?;
        let store =
            PostgresStore::connect(options.with_writers(MOST_WRITERS).with_deadline(PATIENCE)).await?;
        let store = Arc::new(store);
        server.sql("cloakroom", NOTIFYING)?;
        let mut table =
            String::from("writers | verb    | not told | as shipped | NOTIFY   (calls a second)\n");
        for writers in [1, 16, 64] {
            for verb in [Timed::Replace, Timed::End] {
                let mut row = format!("{writers:7} | {verb:7?}");
                // The median of three rounds, in turns.
                let mut rounds = [[0; 3]; 3];
                for round in 0..3 {
                    for (way, sql) in WAYS.into_iter().enumerate() {
                        server.sql("cloakroom", sql)?;
                        let calls = throughput(&store, writers, verb).await?;
                        *rounds.get_mut(way).and_then(|way| way.get_mut(round)).ok_or("a round")? = calls;
                    }
                }
                for mut way in rounds {
                    way.sort_unstable();
                    write!(row, " | {:8}", way.get(1).ok_or("a round")?)?;
                }
                table.push_str(&row);
                table.push('\n');
            }
        }
        println!("{table}");
        server.sql("cloakroom", WAYS[1])?;
        lag(&server, &store).await
    })
}

#[derive(Clone, Copy, Debug)]
enum Timed {
    Replace,
    End,
}

/// Acknowledged calls a second.
async fn throughput(store: &Arc<PostgresStore>, writers: u64, verb: Timed) -> Outcome<u64> {
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let store = Arc::clone(store);
        tasks.spawn(async move { write(&store, verb).await });
    }
    let (mut calls, mut spent) = (0, Duration::ZERO);
    while let Some(done) = tasks.join_next().await {
        let (number, time) = done??;
        calls += number;
        spent += time;
    }
    // What was spent on the calls themselves, not on what prepared them, by all of them at once.
    let spent = spent.as_micros() / u128::from(writers);
    Ok((u128::from(calls) * 1_000_000 / spent.max(1)).try_into()?)
}

async fn write(store: &PostgresStore, verb: Timed) -> Outcome<(u64, Duration)> {
    let (mut calls, mut spent) = (0, Duration::ZERO);
    while spent < ROUND {
        let filing = filed(store).await?;
        let began = now();
        match verb {
            Timed::End => {
                end(store, &filing).await?;
                calls += 1;
            }
            Timed::Replace => {
                for version in 1..=20 {
                    let Filing { record, digest } = &filing;
                    let version = Version::from_u64(version);
                    store.replace(ReplaceRequest { digest: *digest, version, record, now: T0 }).await?;
                    calls += 1;
                }
            }
        }
        spent += now().duration_since(began);
    }
    Ok((calls, spent))
}

async fn filed(store: &PostgresStore) -> Outcome<Filing> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let filing = Fixtures::new(number).signed_in(&format!("principal {}", number % 5_000));
    let Filing { record, digest } = &filing;
    store.insert(InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 }).await?;
    Ok(filing)
}

async fn end(store: &PostgresStore, filing: &Filing) -> Outcome {
    let selector = &Selector::One(filing.id());
    store.end(EndRequest { selector, reason: EndReason::SignedOut, now: at(1) }).await?;
    Ok(())
}

/// From the acknowledgement of an end on one node until another one was told; and how long a proof takes.
async fn lag(server: &Postgres, store: &PostgresStore) -> Outcome {
    let other = PostgresStore::connect(PostgresOptions::from_url(&server.url())?).await?;
    let ear = Arc::new(Ear::default());
    let feed = other.watch(ear.clone()).await?;
    for (name, hints) in [("with hints", true), ("polled alone", false)] {
        let quiet = Arc::new(Ear::default());
        let own = if hints { Some(store.watch(quiet).await?) } else { None };
        let (mut lags, mut proofs) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            let filing = filed(store).await?;
            end(store, &filing).await?;
            let began = now();
            ear.hears(filing.digest).await;
            lags.push(now().duration_since(began));
            let began = now();
            feed.prove().await?;
            proofs.push(now().duration_since(began));
        }
        println!("lag {name}: {}; a proof: {}", spread(&mut lags), spread(&mut proofs));
        drop(own);
    }
    Ok(())
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    format!("p50 {:?}, p99 {:?}", at(50), at(99))
}

#[derive(Debug, Default)]
struct Ear {
    heard: Mutex<Vec<TokenDigest>>,
    more: Notify,
}

impl Ear {
    async fn hears(&self, digest: TokenDigest) {
        loop {
            let more = self.more.notified();
            if self.heard.lock().is_ok_and(|heard| heard.contains(&digest)) {
                return;
            }
            more.await;
        }
    }
}

impl Observer for Ear {
    fn told(&self, news: News<'_>) {
        if let (News::Changed(digests), Ok(mut heard)) = (news, self.heard.lock()) {
            heard.extend(digests);
        }
        self.more.notify_one();
    }
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch; nothing of the product runs by it")]
fn now() -> Instant {
    Instant::now()
}

const MOST_WRITERS: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");
const PATIENCE: Duration = Duration::from_secs(30);
const ROUND: Duration = Duration::from_secs(2);
const NOTIFYING: &str = "
    CREATE FUNCTION cloakroom.notify() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_notify('news', encode(OLD.digest, 'hex')); RETURN NULL; END $$;
    CREATE TRIGGER notifying AFTER UPDATE OF digest, version, ended_at, body ON cloakroom.session
    FOR EACH ROW EXECUTE FUNCTION cloakroom.notify();";
const WAYS: [&str; 3] = [
    "ALTER TABLE cloakroom.session DISABLE TRIGGER notifying; ALTER TABLE cloakroom.session DISABLE TRIGGER told_of_change;",
    "ALTER TABLE cloakroom.session DISABLE TRIGGER notifying;
     ALTER TABLE cloakroom.session ENABLE ALWAYS TRIGGER told_of_change;",
    "ALTER TABLE cloakroom.session ENABLE TRIGGER notifying; ALTER TABLE cloakroom.session DISABLE TRIGGER told_of_change;",
];
