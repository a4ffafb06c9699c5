//! News of changes, and proofs that all of them have come, on real servers that are killed, stopped, moved and lied about.

mod order;
mod standalone;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_conformance::Filing;
use cloakroom_core::TokenDigest;
use cloakroom_redis::RedisStore;
use cloakroom_store::{Feed, News, Observer, Parts, Store as _};

use super::open;

/// Writes down what it is told.
#[derive(Debug, Default)]
struct Recorder(Mutex<Told>);

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

    /// The parts in which anything may have happened.
    fn anything(&self) -> Parts {
        self.0.lock().unwrap().anything.keys().copied().collect()
    }
}

/// A store at `url` whose changes are followed.
async fn watched(url: &str) -> (RedisStore, Arc<Recorder>, Box<dyn Feed>) {
    watched_by(open(url).await).await
}

async fn watched_by(store: RedisStore) -> (RedisStore, Arc<Recorder>, Box<dyn Feed>) {
    let recorder = Arc::new(Recorder::default());
    let feed = store.watch(Arc::<Recorder>::clone(&recorder)).await.unwrap();
    (store, recorder, feed)
}

/// Waits until something was told.
async fn eventually_told(what: &str, is_told: impl Fn() -> bool) {
    let told = async {
        while !is_told() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.unwrap_or_else(|_| panic!("{what} is told"));
}

fn part(filing: &Filing) -> u8 {
    Parts::number_of(filing.digest.route())
}
