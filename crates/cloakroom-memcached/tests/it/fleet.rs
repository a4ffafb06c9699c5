//! Servers, ways to them, and a node that uses them.

use std::time::{Duration, Instant};

use cloakroom_conformance::{Filing, Fixtures, principal_id};
use cloakroom_core::{EndReason, SessionLimit, Timestamp, TokenDigest};
use cloakroom_memcached::{MemcachedOptions, MemcachedStore};
use cloakroom_servers::{Look, Memcached, Relay, until};
use cloakroom_store::{
    EndRequest, Ending, InsertRequest, Inserted, Lookup, RekeyRequest, Rekeyed, ReplaceRequest, Replaced,
    Selector, Store as _, StoreError, Touch, TouchReport, Version,
};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// How long a node waits in these tests: whoever is gone says so at once, and whoever is there may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// How long anything may take to be well again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Several servers, each behind a relay.
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Memcached>,
    pub(crate) relays: Vec<Relay>,
}

impl Fleet {
    pub(crate) fn start(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    pub(crate) fn start_with(count: usize, options: &[&str]) -> Self {
        let servers: Vec<Memcached> = (0..count).map(|_| Memcached::start_with(options).unwrap()).collect();
        let relays = servers.iter().map(|server| Relay::to(server.port()).unwrap()).collect();
        Self { servers, relays }
    }

    /// A node that reaches the servers through the relays.
    pub(crate) fn node(&self) -> Node {
        self.node_that_waits(DEADLINE)
    }

    /// The same for so long.
    pub(crate) fn node_that_waits(&self, deadline: Duration) -> Node {
        let addresses = self.relays.iter().map(|relay| format!("127.0.0.1:{}", relay.port()));
        Node::connect_with(MemcachedOptions::new(addresses).with_deadline(deadline)).unwrap()
    }

    /// A node beside the relays: it always reaches its server. Only for one server, since names decide about homes.
    pub(crate) fn node_beside(&self) -> Node {
        assert_eq!(self.servers.len(), 1);
        Node::connect([self.servers[0].address()]).unwrap()
    }

    /// No way to the server at `position` any more.
    pub(crate) fn part(&self, position: usize) {
        self.relays[position].refuse();
        self.relays[position].cut();
    }

    /// There is a way again.
    pub(crate) fn join(&self, position: usize) {
        self.relays[position].accept().unwrap();
    }

    /// The only server that has a record for `digest`.
    pub(crate) fn server_of(&self, digest: TokenDigest) -> usize {
        let key = format!("cloakroom:r{}", hexadecimal(&digest.to_bytes()));
        let has = |server: &Memcached| {
            server.pid().is_some() && server.command(&format!("mg {key}")).unwrap().starts_with("HD")
        };
        let found: Vec<usize> =
            (0..self.servers.len()).filter(|position| has(&self.servers[*position])).collect();
        assert_eq!(found.len(), 1, "a session is on one server: {found:?}");
        found[0]
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A process that uses the store, asked from an ordinary thread.
pub(crate) struct Node {
    runtime: Runtime,
    /// What no call may take longer than.
    bound: Option<Duration>,
    pub(crate) store: Option<MemcachedStore>,
}

impl Node {
    pub(crate) fn connect(addresses: impl IntoIterator<Item = String>) -> Result<Self, StoreError> {
        Self::connect_with(MemcachedOptions::new(addresses).with_deadline(DEADLINE))
    }

    pub(crate) fn connect_with(options: MemcachedOptions) -> Result<Self, StoreError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = runtime.block_on(MemcachedStore::connect(options))?;
        Ok(Self { runtime, bound: None, store: Some(store) })
    }

    /// A node that does nothing in the background between its calls.
    pub(crate) fn connect_alone(options: MemcachedOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = Some(runtime.block_on(MemcachedStore::connect(options)).unwrap());
        Self { runtime, bound: None, store }
    }

    /// From now on, no call may take longer than `bound`. One that was answered in time is, however late that is noticed.
    pub(crate) fn is_bound_to(&mut self, bound: Duration) {
        self.bound = Some(bound);
    }

    pub(crate) fn store(&self) -> &MemcachedStore {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            match self.bound {
                Some(bound) => timeout(bound, work).await.expect("no call takes longer"),
                None => work.await,
            }
        })
    }

    pub(crate) fn get(&self, digest: TokenDigest, now: Timestamp) -> Result<Lookup, StoreError> {
        self.run(self.store().get(digest, now))
    }

    pub(crate) fn file(&self, filing: &Filing) -> Result<Inserted, StoreError> {
        self.file_limited(filing, None)
    }

    pub(crate) fn file_limited(
        &self,
        filing: &Filing,
        limit: Option<SessionLimit>,
    ) -> Result<Inserted, StoreError> {
        let (record, digest, now) = (&filing.record, filing.digest, filing.record.created_at);
        self.run(self.store().insert(InsertRequest { record, digest, limit, replaces: None, now }))
    }

    pub(crate) fn change(
        &self,
        filing: &Filing,
        version: Version,
        now: Timestamp,
    ) -> Result<Replaced, StoreError> {
        let (digest, record) = (filing.digest, &filing.record);
        self.run(self.store().replace(ReplaceRequest { digest, version, record, now }))
    }

    pub(crate) fn exchange(
        &self,
        old: TokenDigest,
        version: Version,
        next: &Filing,
        now: Timestamp,
    ) -> Result<Rekeyed, StoreError> {
        let (new, record) = (next.digest, &next.record);
        self.run(self.store().rekey(RekeyRequest { old, new, version, record, now }))
    }

    pub(crate) fn note(&self, digest: TokenDigest, seen_at: Timestamp) -> Result<TouchReport, StoreError> {
        self.run(self.store().touch(&[Touch { digest, seen_at }], seen_at))
    }

    pub(crate) fn end(&self, selector: &Selector, now: Timestamp) -> Result<Ending, StoreError> {
        self.run(self.store().end(EndRequest { selector, reason: EndReason::RevokedByAdmin, now }))
    }

    pub(crate) fn end_one(&self, filing: &Filing, now: Timestamp) -> Result<Ending, StoreError> {
        self.end(&Selector::One(filing.id()), now)
    }

    /// Waits until the node answers for `digest` again.
    pub(crate) fn answers_for(&self, digest: TokenDigest, now: Timestamp) -> Lookup {
        let look = || match self.get(digest, now) {
            Ok(found) => Look::Done(found),
            Err(error) => Look::NotYet(error.to_string()),
        };
        until("the store to answer again", PATIENCE, look).unwrap()
    }

    /// Waits until the node has found every way to every server again: so many routes that each way is tried.
    pub(crate) fn is_well(&self, fixtures: &mut Fixtures) {
        let look = || {
            let tried: Vec<_> =
                (0..200).map(|_| self.get(fixtures.anonymous().digest, cloakroom_conformance::T0)).collect();
            match tried.into_iter().find_map(Result::err) {
                None => Look::Done(()),
                Some(error) => Look::NotYet(error.to_string()),
            }
        };
        until("every server to be reached again", PATIENCE, look).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Within its runtime, as an application would.
        let _guard = self.runtime.enter();
        drop(self.store.take());
    }
}

/// Now, to say how long something took.
#[expect(clippy::disallowed_methods, reason = "a bound on waiting is about the time that passes")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

pub(crate) fn all_of(name: &str) -> Selector {
    Selector::Principal { principal: principal_id(name), except: None }
}
