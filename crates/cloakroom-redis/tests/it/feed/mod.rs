//! News of changes, and proofs that all of them have come, on real servers that are killed, stopped, moved and lied about.

mod cluster;
mod loss;
mod order;
pub(crate) mod pipe;
mod sentinel;
mod standalone;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures};
use cloakroom_core::TokenDigest;
use cloakroom_redis::RedisStore;
use cloakroom_store::{Feed, News, Observer, Parts, Store as _};

use super::{end_one, file, lasting, open};

/// Writes down what it is told.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    changed: HashMap<TokenDigest, u64>,
    /// How often anything may have happened, by part.
    anything: HashMap<u8, u64>,
    /// How often it was told of something.
    times: u64,
}

impl Observer for Recorder {
    fn told(&self, news: News<'_>) {
        let mut told = self.0.lock().unwrap();
        told.times += 1;
        match news {
            News::Changed(digests) => {
                for digest in digests {
                    *told.changed.entry(*digest).or_default() += 1;
                }
            }
            News::Anything(parts) => {
                for part in parts.numbers() {
                    *told.anything.entry(part).or_default() += 1;
                }
            }
            _ => panic!("news that nobody knows"),
        }
    }
}

impl Recorder {
    /// Forgets everything.
    fn clear(&self) {
        *self.0.lock().unwrap() = Told::default();
    }

    fn times(&self) -> u64 {
        self.0.lock().unwrap().times
    }

    /// How often a copy of what is filed under `digest` was to be thrown away.
    fn count(&self, digest: TokenDigest) -> u64 {
        let told = self.0.lock().unwrap();
        let of = |part: u8| told.anything.get(&part).copied().unwrap_or(0);
        told.changed.get(&digest).copied().unwrap_or(0) + of(Parts::number_of(digest.route()))
    }

    /// How often exactly this one was said to have changed.
    fn changed(&self, digest: TokenDigest) -> u64 {
        self.0.lock().unwrap().changed.get(&digest).copied().unwrap_or(0)
    }

    /// How often everything was to be thrown away.
    fn losses(&self) -> u64 {
        let told = self.0.lock().unwrap();
        (0..=u8::MAX).map(|part| told.anything.get(&part).copied().unwrap_or(0)).min().unwrap_or(0)
    }

    /// The parts in which anything may have happened.
    fn anything(&self) -> Parts {
        self.0.lock().unwrap().anything.keys().copied().collect()
    }
}

/// A store at `url` whose changes are followed.
async fn watched(url: &str) -> (RedisStore, Arc<Recorder>, Box<dyn Feed>) {
    watched_by(open(url).await).await
}

pub(crate) async fn watched_by(store: RedisStore) -> (RedisStore, Arc<Recorder>, Box<dyn Feed>) {
    let recorder = Arc::new(Recorder::default());
    let feed = store.watch(Arc::<Recorder>::clone(&recorder)).await.unwrap();
    (store, recorder, feed)
}

/// Proves until these parts are proven, for as long as a fail-over may take.
pub(crate) async fn eventually_proven(feed: &dyn Feed, parts: Parts) {
    let proven = async {
        loop {
            if let Ok(proven) = feed.prove().await
                && parts.without(proven).is_empty()
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let patience = tokio::time::timeout(Duration::from_secs(60), proven);
    patience.await.unwrap_or_else(|_| panic!("{parts:?} can be proven again without a restart"));
}

/// Sessions that are filed and ended by a handle of its own, for as long as something goes wrong: no proof may come before
/// the news of an end that was acknowledged before it was asked for.
struct Enders {
    tasks: tokio::task::JoinSet<()>,
    done: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Enders {
    async fn start(url: &str, recorder: &Arc<Recorder>, feed: &Arc<dyn Feed>) -> Self {
        let (done, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut tasks = tokio::task::JoinSet::new();
        for seed in 0..4 {
            let store = open(url).await;
            let (recorder, feed) = (Arc::clone(recorder), Arc::clone(feed));
            let (done, is_over) = (Arc::clone(&done), Arc::clone(&is_over));
            tasks.spawn(async move {
                let mut fixtures = Fixtures::new(100 + seed);
                for number in 0.. {
                    if is_over.load(Ordering::Acquire) {
                        return;
                    }
                    let filing = lasting(fixtures.signed_in(&format!("user-{seed}-{number}")));
                    if end_and_prove(&store, &recorder, &*feed, &filing).await {
                        done.fetch_add(1, Ordering::AcqRel);
                    }
                }
            });
        }
        Self { tasks, done, is_over }
    }

    /// Waits until so many more sessions were ended and proven, whatever else goes on.
    async fn go_on(&self, more: u64) {
        let from = self.done.load(Ordering::Acquire);
        eventually_told("an end", || self.done.load(Ordering::Acquire) >= from + more).await;
    }

    async fn finish(mut self) {
        self.is_over.store(true, Ordering::Release);
        while let Some(done) = self.tasks.join_next().await {
            done.unwrap();
        }
    }
}

/// Whether a session could be filed and ended; if so, its end was told before it was proven.
async fn end_and_prove(store: &RedisStore, recorder: &Recorder, feed: &dyn Feed, filing: &Filing) -> bool {
    if file(store, filing, None).await.is_err() {
        return false;
    }
    // From here on, nothing but its end is left to be told of it.
    eventually_proven(feed, Parts::one(part(filing))).await;
    let before = recorder.count(filing.digest);
    if end_one(store, filing).await.is_err() {
        return false;
    }
    eventually_proven(feed, Parts::one(part(filing))).await;
    assert!(recorder.count(filing.digest) > before, "an end is proven to have been told, and was not");
    true
}

/// Waits until something was told.
async fn eventually_told(what: &str, is_told: impl Fn() -> bool) {
    let told = async {
        while !is_told() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.unwrap_or_else(|_| panic!("{what} is told"));
}

fn part(filing: &Filing) -> u8 {
    Parts::number_of(filing.digest.route())
}
