//! A store on a server of a test's own.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cloakroom_conformance::{Filing, T0};
use cloakroom_core::{EndReason, Timestamp};
use cloakroom_postgres::{PostgresOptions, PostgresStore};
use cloakroom_servers::Postgres;
use cloakroom_store::{
    Applied, EndRequest, Ending, ErrorKind, InsertRequest, Inserted, Lookup, ReplaceRequest, Replaced,
    Selector, Store, StoreError, Version,
};
use tokio::runtime::Runtime;

/// A server for all tests that do not harm it, each in a database of its own. It goes with this process.
pub(crate) fn shared() -> &'static Postgres {
    static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start().unwrap());
    &SERVER
}

/// The URL of a new database on the shared server.
pub(crate) fn database(name: &str) -> String {
    shared().database(name).unwrap()
}

/// Threads for what awaits; servers are harmed beside it.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The options of a URL; where it says nothing of a deadline, one for a machine that is busy with other tests.
pub(crate) fn options(url: &str) -> PostgresOptions {
    let options = PostgresOptions::from_url(url).unwrap();
    if url.contains("deadline=") { options } else { options.with_deadline(Duration::from_secs(20)) }
}

pub(crate) async fn open(url: &str) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::connect(options(url)).await.unwrap())
}

/// The URL with another port, for a relay.
pub(crate) fn through(url: &str, from: u16, to: u16) -> String {
    url.replace(&format!(":{from}/"), &format!(":{to}/"))
}

pub(crate) async fn file(store: &PostgresStore, filing: &Filing) {
    assert_eq!(try_file(store, filing).await.unwrap(), Inserted::Done { ended: Vec::new() });
}

pub(crate) async fn try_file(store: &PostgresStore, filing: &Filing) -> Result<Inserted, StoreError> {
    let Filing { record, digest } = filing;
    store.insert(InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 }).await
}

pub(crate) async fn change(
    store: &PostgresStore,
    filing: &Filing,
    version: Version,
) -> Result<Replaced, StoreError> {
    let Filing { record, digest } = filing;
    store.replace(ReplaceRequest { digest: *digest, version, record, now: T0 }).await
}

pub(crate) async fn end(
    store: &PostgresStore,
    selector: &Selector,
    now: Timestamp,
) -> Result<Ending, StoreError> {
    store.end(EndRequest { selector, reason: EndReason::SignedOut, now }).await
}

pub(crate) async fn is_live(store: &PostgresStore, filing: &Filing) -> bool {
    matches!(store.get(filing.digest, T0).await.unwrap(), Lookup::Live(_))
}

/// Asks until it answers, for half a minute: connections heal by themselves.
pub(crate) async fn healed<T, F>(mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut last = None;
    for _ in 0..600 {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it heals: {last:?}")
}

/// Asks until an answer leaves no doubt: connections that have ended are noticed one by one.
pub(crate) async fn undoubted<T, F>(mut ask: impl FnMut() -> F) -> (ErrorKind, Applied)
where
    T: std::fmt::Debug,
    F: Future<Output = Result<T, StoreError>>,
{
    for _ in 0..100 {
        let found = kind(ask().await);
        if found.1 == Applied::No {
            return found;
        }
    }
    panic!("doubts end with the connections that were open")
}

/// What went wrong.
pub(crate) fn kind<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> (ErrorKind, Applied) {
    let error = answer.expect_err("it cannot be done now");
    (error.kind(), error.applied())
}

/// The error with all its sources, as a log would have it.
pub(crate) fn whole(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
