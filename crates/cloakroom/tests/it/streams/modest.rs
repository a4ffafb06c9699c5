//! Stores that claim less.

use std::sync::Arc;

use cloakroom::{Renewal, Renewed, Store, StreamEnd, StreamPolicy, Timestamp};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ErrorKind, ExportPage, ExportQuery, Feed, Filed, Imported,
    InsertRequest, Inserted, ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest,
    Replaced, StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};

use super::{House, MINUTE, SECOND, end_within, stays_open};

/// A store that finds sessions by their token only, and tells of nothing.
#[derive(Debug, Default)]
struct ByToken(MemoryStore);

impl Store for ByToken {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        let mut claims = self.0.capabilities().unwatched();
        claims.listing = false;
        claims
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        self.0.insert(request)
    }

    fn get(&self, digest: cloakroom_core::TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        self.0.get(digest, now)
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        self.0.replace(request)
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        self.0.rekey(request)
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        self.0.touch(touches, now)
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        self.0.end(request)
    }

    fn list<'a>(&'a self, _: &'a ListQuery, _: Timestamp) -> StoreFuture<'a, ListPage> {
        StoreFuture::ready(Err(StoreError::new(ErrorKind::Unsupported, self.name(), Verb::List)))
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        self.0.sweep(request)
    }

    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
        self.0.count(now)
    }

    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage> {
        self.0.export(query, now)
    }

    fn import<'a>(&'a self, filed: &'a Filed, now: Timestamp) -> StoreFuture<'a, Imported> {
        self.0.import(filed, now)
    }

    fn watch(&self, _: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        StoreFuture::ready(Err(StoreError::new(ErrorKind::Unsupported, self.name(), Verb::Watch)))
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.0.ping()
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_session_cannot_be_found_by_its_id_its_stream_has_to_come_again_with_the_new_token() {
    let house = House::over(Arc::new(ByToken::default()), StreamPolicy::default());
    let (alice, mut watch) = house.open("alice").await;
    stays_open(MINUTE, &mut watch).await;
    // Exchanged here, it is followed …
    let renewed = house.here.sessions.rotate(&alice.session, Renewal::new()).await.unwrap();
    let Renewed::Done { session, .. } = renewed else { panic!("{renewed:?}") };
    stays_open(MINUTE, &mut watch).await;
    // … exchanged elsewhere, it cannot be.
    house.elsewhere.sessions.rotate(&session, Renewal::new()).await.unwrap();
    let (end, after) = end_within(MINUTE, &mut watch).await;
    assert_eq!(end, StreamEnd::Unproven);
    assert!(after <= 6 * SECOND, "{after:?}");
}
