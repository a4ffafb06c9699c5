//! Real servers: what they are asked, what they survive, what their operators may do.

#![expect(
    clippy::unwrap_used,
    reason = "every function here is part of a test, which the lints cannot see without #[test]"
)]

mod access;
mod clock;
mod cost;
mod ends;
mod failover;
mod fault;
mod feed;
mod full;
mod full_disk;
mod keys;
mod lost;
mod migration;
mod overheard;
mod part;
mod rotation;
mod secured;

use std::future::Future;
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, Seeded};
use cloakroom_core::{EndReason, SessionLimit, Timestamp};
use cloakroom_redis::{RedisOptions, RedisStore, RedisWarning};
use cloakroom_store::{
    EndRequest, Ending, InsertRequest, Inserted, Lookup, Selector, Store as _, StoreError, Touch, TouchReport,
};

/// Runs a test that awaits.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(test)
}

/// The store at `url`.
async fn open(url: &str) -> RedisStore {
    RedisStore::connect(RedisOptions::from_url(url).unwrap()).await.unwrap()
}

/// All of these warnings.
fn sentences(warnings: &[RedisWarning]) -> String {
    warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The store at `url`, with a deadline short enough for a test to wait for.
async fn open_hasty(url: &str) -> RedisStore {
    let options = RedisOptions::from_url(url).unwrap().with_deadline(HASTE);
    RedisStore::connect(options).await.unwrap()
}

/// The same for whoever is always answered in the end, however busy the machine and its disk are.
async fn open_patient(url: &str) -> RedisStore {
    let options = RedisOptions::from_url(url).unwrap().with_deadline(PATIENCE);
    RedisStore::connect(options).await.unwrap()
}

const PATIENCE: Duration = Duration::from_secs(20);
const HASTE: Duration = Duration::from_millis(500);

/// Sessions that outlive every test, whatever clock is used.
fn lasting(filing: Filing) -> Filing {
    let end = filing.record.created_at.plus(Duration::from_secs(1_000_000));
    filing.with_idle_timeout(Duration::from_secs(500_000)).with_absolute_at(end)
}

fn alice(fixtures: &mut Fixtures) -> Filing {
    lasting(fixtures.signed_in("alice"))
}

async fn file(
    store: &RedisStore,
    filing: &Filing,
    limit: Option<SessionLimit>,
) -> Result<Inserted, StoreError> {
    let Filing { record, digest } = filing;
    let now = record.created_at;
    store.insert(InsertRequest { record, digest: *digest, limit, replaces: None, now }).await
}

/// Takes any of them.
fn take_any(random: &mut Seeded, from: &mut Vec<Filing>) -> Filing {
    let count = u64::try_from(from.len()).unwrap();
    from.swap_remove(usize::try_from(random.below(count)).unwrap())
}

/// Files sessions, each of which is acknowledged.
async fn file_all(store: &RedisStore, filings: &[Filing]) {
    for filing in filings {
        assert_eq!(file(store, filing, None).await.unwrap(), Inserted::Done { ended: Vec::new() });
    }
}

async fn is_live(store: &RedisStore, filing: &Filing) -> Result<bool, StoreError> {
    let lookup = store.get(filing.digest, filing.record.created_at).await?;
    Ok(matches!(lookup, Lookup::Live(_)))
}

async fn end(store: &RedisStore, selector: Selector, now: Timestamp) -> Result<Ending, StoreError> {
    store.end(EndRequest { selector: &selector, reason: EndReason::RevokedByAdmin, now }).await
}

async fn end_one(store: &RedisStore, filing: &Filing) -> Result<Ending, StoreError> {
    end(store, Selector::One(filing.id()), filing.record.created_at).await
}

async fn touch(store: &RedisStore, filing: &Filing, seen_at: Timestamp) -> Result<TouchReport, StoreError> {
    store.touch(&[Touch { digest: filing.digest, seen_at }], seen_at).await
}

/// Asks until the answer is a good one, for as long as a fail-over may take.
async fn eventually<T, F: Future<Output = Result<T, StoreError>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let patience = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    patience.await.unwrap_or_else(|_| panic!("{what} works again without a restart"))
}
