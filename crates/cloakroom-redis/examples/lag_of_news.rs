//! How soon changes are told, how long a proof takes, and whether one ever came too early: printed, for the book.
//!
//! `cargo run -p cloakroom-redis --example lag_of_news -- [WRITES]`

#![expect(clippy::print_stdout, reason = "it is there to print")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cloakroom_conformance::{Filing, Fixtures, T0};
use cloakroom_core::{EndReason, TokenDigest};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_servers::{Redis, RedisCluster, RedisSentinel};
use cloakroom_store::{EndRequest, Feed, InsertRequest, News, Observer, Selector, Store as _};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[expect(clippy::disallowed_methods, reason = "a program of its own: it reads its argument")]
fn main() -> Outcome {
    let writes = std::env::args().nth(1).map_or(Ok(2_000), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!(
        "                | an end's lag p50 / p99 / max | a proof p50 / p99 / max | too early, of {writes}"
    );
    let server = Redis::start()?;
    runtime.block_on(measure("one server", &server.url(), writes))?;
    drop(server);
    let servers = RedisSentinel::start()?;
    runtime.block_on(measure("Sentinel", &servers.url(), writes))?;
    drop(servers);
    let cluster = RedisCluster::start()?;
    runtime.block_on(measure("Cluster of 3", &cluster.url(), writes))
}

/// When each digest was last said to have changed.
#[derive(Debug, Default)]
struct Ear(Mutex<HashMap<TokenDigest, Instant>>);

impl Observer for Ear {
    fn told(&self, news: News<'_>) {
        if let News::Changed(digests) = news {
            let at = now();
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            heard.extend(digests.iter().map(|digest| (*digest, at)));
        }
    }
}

impl Ear {
    /// When a digest was told after an instant.
    fn after(&self, digest: TokenDigest, instant: Instant) -> Option<Instant> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&digest).copied().filter(|at| *at > instant)
    }
}

/// Ends sessions on one node; another one proves after each, and should have been told by then.
async fn measure(name: &str, url: &str, writes: u64) -> Outcome {
    let node = async || {
        RedisStore::connect(RedisOptions::from_url(url)?).await.map_err(Box::<dyn Error + Send + Sync>::from)
    };
    let (writer, watcher) = (node().await?, node().await?);
    let ear = Arc::new(Ear::default());
    let feed: Box<dyn Feed> = watcher.watch(Arc::<Ear>::clone(&ear)).await?;
    let (mut lags, mut proofs, mut early) = (Vec::new(), Vec::new(), 0);
    for number in 0..writes {
        let filing = Fixtures::new(number).signed_in(&format!("principal {number}"));
        let Filing { record, digest } = &filing;
        writer
            .insert(InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 })
            .await?;
        feed.prove().await?;
        let selector = &Selector::One(filing.id());
        let asked = now();
        writer.end(EndRequest { selector, reason: EndReason::SignedOut, now: T0 }).await?;
        let acknowledged = now();
        if number % 2 == 0 {
            // Until it is told by itself.
            let told = loop {
                if let Some(told) = ear.after(*digest, asked) {
                    break told;
                }
                tokio::task::yield_now().await;
            };
            lags.push(told.saturating_duration_since(acknowledged));
        } else {
            feed.prove().await?;
            proofs.push(now().duration_since(acknowledged));
            early += u64::from(ear.after(*digest, asked).is_none());
        }
    }
    println!("{name:15} | {:>28} | {:>23} | {early}", summary(lags), summary(proofs));
    Ok(())
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at =
        |share: usize| times.get(times.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    format!("{} / {} / {} µs", at(50).as_micros(), at(99).as_micros(), at(100).as_micros())
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch; nothing of the product runs by it")]
fn now() -> Instant {
    Instant::now()
}
