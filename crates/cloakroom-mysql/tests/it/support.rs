//! Stores on servers of a test's own, and what lies beside them.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cloakroom_conformance::{Filing, T0};
use cloakroom_core::{EndReason, SessionLimit, Timestamp};
use cloakroom_mysql::{MysqlOptions, MysqlStore};
use cloakroom_servers::Mariadb;
use cloakroom_store::{
    Applied, EndRequest, Ending, ErrorKind, InsertRequest, Inserted, Lookup, RekeyRequest, Rekeyed,
    ReplaceRequest, Replaced, Selector, Store, StoreError, Touch, TouchReport, Version,
};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use tokio::runtime::Runtime;

/// One server for the tests that do it no harm, with a database for each. It ends with this process.
pub(crate) fn shared() -> &'static Mariadb {
    static SERVER: LazyLock<Mariadb> = LazyLock::new(|| Mariadb::start().unwrap());
    &SERVER
}

/// Threads for what awaits; servers are harmed beside it.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The options of a URL; where it says nothing of a deadline, one for a machine that is busy with other tests.
pub(crate) fn options(url: &str) -> MysqlOptions {
    let options = MysqlOptions::from_url(url).unwrap();
    if url.contains("deadline=") { options } else { options.with_deadline(Duration::from_secs(20)) }
}

pub(crate) async fn open(url: &str) -> Arc<MysqlStore> {
    Arc::new(MysqlStore::connect(options(url)).await.unwrap())
}

/// The URL with another port, for a relay.
pub(crate) fn through(url: &str, from: u16, to: u16) -> String {
    url.replace(&format!(":{from}/"), &format!(":{to}/"))
}

/// Somebody else with a connection of their own.
pub(crate) struct Outsider(Conn);

impl Outsider {
    pub(crate) async fn connect(url: &str) -> Self {
        let mut conn =
            Conn::new(Opts::from_url(&format!("{url}?prefer_socket=false")).unwrap()).await.unwrap();
        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.unwrap();
        Self(conn)
    }

    pub(crate) async fn says(&mut self, statement: &str) {
        self.0.query_drop(statement).await.unwrap();
    }

    pub(crate) async fn reads(&mut self, statement: &str) -> Vec<String> {
        self.0.query(statement).await.unwrap()
    }

    /// Locks the row of a session.
    pub(crate) async fn locks(&mut self, filing: &Filing) {
        let id = hex(filing.id().as_bytes());
        self.says(&format!("SELECT number FROM session WHERE id = x'{id}' FOR UPDATE")).await;
    }
}

impl Outsider {
    /// Waits until somebody waits for a lock; the number of their connection.
    pub(crate) async fn sees_somebody_wait(&mut self) -> String {
        let sql = "SELECT CAST(trx_mysql_thread_id AS CHAR) FROM information_schema.innodb_trx \
                   WHERE trx_state = 'LOCK WAIT'";
        for _ in 0..100 {
            // InnoDB refreshes that table only when nobody has looked at it for a tenth of a second.
            tokio::time::sleep(Duration::from_millis(120)).await;
            if let Some(connection) = self.reads(sql).await.into_iter().next() {
                return connection;
            }
        }
        panic!("somebody waits for a lock")
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) async fn file(store: &MysqlStore, filing: &Filing) {
    assert_eq!(try_file(store, filing, None).await.unwrap(), Inserted::Done { ended: Vec::new() });
}

pub(crate) async fn try_file(
    store: &MysqlStore,
    filing: &Filing,
    limit: Option<SessionLimit>,
) -> Result<Inserted, StoreError> {
    let Filing { record, digest } = filing;
    store.insert(InsertRequest { record, digest: *digest, limit, replaces: None, now: T0 }).await
}

pub(crate) async fn change(
    store: &MysqlStore,
    filing: &Filing,
    version: Version,
) -> Result<Replaced, StoreError> {
    let Filing { record, digest } = filing;
    store.replace(ReplaceRequest { digest: *digest, version, record, now: T0 }).await
}

pub(crate) async fn exchange(
    store: &MysqlStore,
    old: &Filing,
    next: &Filing,
    version: Version,
) -> Result<Rekeyed, StoreError> {
    let Filing { record, digest } = next;
    store.rekey(RekeyRequest { old: old.digest, new: *digest, version, record, now: T0 }).await
}

pub(crate) async fn note(
    store: &MysqlStore,
    filings: &[Filing],
    seen_at: Timestamp,
) -> Result<TouchReport, StoreError> {
    let touches: Vec<Touch> = filings.iter().map(|filing| Touch { digest: filing.digest, seen_at }).collect();
    store.touch(&touches, seen_at).await
}

pub(crate) async fn end(
    store: &MysqlStore,
    selector: &Selector,
    now: Timestamp,
) -> Result<Ending, StoreError> {
    store.end(EndRequest { selector, reason: EndReason::SignedOut, now }).await
}

pub(crate) async fn is_live(store: &MysqlStore, filing: &Filing) -> bool {
    matches!(store.get(filing.digest, T0).await.unwrap(), Lookup::Live(_))
}

/// Asks until it is so, for half a minute: connections heal by themselves, and orphaned statements end.
pub(crate) async fn eventually<T, E, F>(mut ask: impl FnMut() -> F) -> T
where
    E: std::fmt::Debug,
    F: Future<Output = Result<T, E>>,
{
    let mut last = None;
    for _ in 0..600 {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it comes about: {last:?}")
}

/// What went wrong, within the time that the caller was promised.
pub(crate) async fn failure<T: std::fmt::Debug>(
    answer: impl Future<Output = Result<T, StoreError>>,
) -> (ErrorKind, Applied) {
    let patience = options("mysql://u@127.0.0.1/x").deadline() + Duration::from_secs(2);
    let answer = tokio::time::timeout(patience, answer).await.expect("an answer within the deadline");
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
