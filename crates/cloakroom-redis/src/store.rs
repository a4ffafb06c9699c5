//! The trait: each verb within its deadline.

use std::sync::Arc;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ExportPage, ExportQuery, Feed, Filed, Imported, InsertRequest,
    Inserted, ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Store,
    StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};

use crate::NAME;
use crate::client::{Client, Progress};
use crate::facts::{Exposure, RedisFacts, facts};
use crate::feed::RedisFeed;
use crate::greeting::greet;
use crate::nonce::Nonces;
use crate::options::RedisOptions;
use crate::verb;

/// Sessions in Redis or Valkey.
///
/// Share it behind an [`Arc`](std::sync::Arc); several of them with the same prefix on the same servers, in whatever processes, see the
/// same sessions.
#[derive(Debug)]
pub struct RedisStore {
    client: Arc<Client>,
    nonces: Nonces,
    /// What this handle calls itself: who holds the sweeping lease.
    holder: [u8; 16],
    exposure: Exposure,
}

impl RedisStore {
    /// Connects, and finds out whether the servers are what the options say: reachable, of version 7.0 or later, standalone
    /// or a Cluster, a primary, and willing to run what this store asks of them.
    ///
    /// What puts sessions at risk in how the servers are set up, [`facts`](Self::facts) tell.
    ///
    /// # Errors
    /// [`Unavailable`](cloakroom_store::ErrorKind::Unavailable) where a server cannot be reached or used, with the cause
    /// and what to do as its source; [`Timeout`](cloakroom_store::ErrorKind::Timeout) where one does not answer.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn connect(options: RedisOptions) -> Result<Self, StoreError> {
        let client = Client::new(&options).map_err(|problem| problem.into_error(Verb::Open))?;
        let progress = Progress::default();
        client.within(Verb::Open, &progress, greet(&client, &progress)).await?;
        let nonces = Nonces::default();
        let mut holder = [0; 16];
        let (first, second) = holder.split_at_mut(8);
        first.copy_from_slice(&nonces.fresh());
        second.copy_from_slice(&nonces.fresh());
        Ok(Self { client: Arc::new(client), nonces, holder, exposure: Exposure::of(&options) })
    }

    /// What the servers say of themselves.
    ///
    /// # Errors
    /// As for a look-up. A user who may not ask for the configuration gets facts without it.
    ///
    /// # Cost
    /// Two commands for each server that keeps sessions, and a connection to find out whether it tells of changes.
    pub async fn facts(&self) -> Result<RedisFacts, StoreError> {
        let progress = Progress::default();
        let buckets = self.client.layout.buckets();
        self.client.within(Verb::Ping, &progress, facts(&self.client, self.exposure, buckets)).await
    }
}

/// A verb within the deadline.
macro_rules! within {
    ($store:expr, $verb:ident, |$client:ident, $progress:ident| $work:expr) => {{
        let $client = &$store.client;
        StoreFuture::waiting(async move {
            let progress = Progress::default();
            let $progress = &progress;
            $client.within(Verb::$verb, $progress, $work).await
        })
    }};
}

impl Store for RedisStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn has_parts(&self) -> bool {
        self.client.topology.has_parts()
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        within!(self, Insert, |client, progress| verb::insert(client, progress, &self.nonces, request))
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        within!(self, Get, |client, progress| verb::get(client, progress, digest, now))
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        within!(self, Replace, |client, progress| verb::replace(client, progress, request))
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        within!(self, Rekey, |client, progress| verb::rekey(client, progress, request))
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        if touches.is_empty() {
            return StoreFuture::ready(Ok(TouchReport::default()));
        }
        StoreFuture::waiting(verb::touch(&self.client, touches, now))
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        within!(self, End, |client, progress| verb::end(client, progress, &self.nonces, request))
    }

    fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage> {
        within!(self, List, |client, progress| verb::list(client, progress, query, now))
    }

    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage> {
        within!(self, Export, |client, progress| verb::export(client, progress, query, now))
    }

    fn import<'a>(&'a self, filed: &'a Filed, now: Timestamp) -> StoreFuture<'a, Imported> {
        within!(self, Import, |client, progress| verb::import(client, progress, &self.nonces, filed, now))
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        within!(self, Sweep, |client, progress| verb::sweep(client, progress, request, self.holder))
    }

    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
        // Whatever time has ended counts until it is swept: what lives is not worth looking at every session for.
        let _ = now;
        within!(self, Count, |client, progress| verb::count(client, progress))
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        let client = Arc::clone(&self.client);
        StoreFuture::waiting(async move {
            let feed: Box<dyn Feed> = Box::new(RedisFeed::start(client, observer).await?);
            Ok(feed)
        })
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        within!(self, Ping, |client, progress| verb::ping(client, progress))
    }
}
