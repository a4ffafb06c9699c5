//! Near caches over a store in memory, proven as often as can be.

use std::fmt;
use std::sync::Arc;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ExportPage, ExportQuery, Feed, Filed, Imported, InsertRequest,
    Inserted, ListPage, ListQuery, Lookup, News, Observer, RekeyRequest, Rekeyed, ReplaceRequest, Replaced,
    Store, StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport,
};

use crate::near::{Harm, NearCachePolicy, NearStore};
use crate::{Clock, ManualClock};

/// A near cache that is proven before every look: whatever it remembers is believed whenever it may be.
pub(super) struct Eager {
    near: Arc<NearStore>,
    feed: Box<dyn Feed>,
}

/// An observer that does not keep its near cache, and the store behind that, alive.
#[derive(Debug)]
struct Ear(std::sync::Weak<NearStore>);

impl Observer for Ear {
    fn told(&self, news: News<'_>) {
        if let Some(near) = self.0.upgrade() {
            near.told(news);
        }
    }
}

impl Eager {
    pub(super) async fn open(store: Arc<dyn Store>, harm: Harm) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let near = Arc::new(NearStore::new(Arc::clone(&store), NearCachePolicy::default(), clock, harm));
        near.unwatched();
        let feed =
            store.watch(Arc::new(Ear(Arc::downgrade(&near)))).await.expect("this store can be watched");
        Self { near, feed }
    }

    async fn prove(&self) -> Result<(), StoreError> {
        let proof = self.near.begin_proof();
        let parts = self.feed.prove().await?;
        self.near.proven(proof, parts);
        Ok(())
    }
}

impl fmt::Debug for Eager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Eager").field(&self.near).finish()
    }
}

impl Store for Eager {
    fn name(&self) -> &'static str {
        self.near.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.near.capabilities()
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        self.near.insert(request)
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        StoreFuture::waiting(async move {
            self.prove().await?;
            self.near.get(digest, now).await
        })
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        self.near.replace(request)
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        self.near.rekey(request)
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        self.near.touch(touches, now)
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        self.near.end(request)
    }

    fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage> {
        self.near.list(query, now)
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        self.near.sweep(request)
    }

    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
        self.near.count(now)
    }

    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage> {
        self.near.export(query, now)
    }

    fn import<'a>(&'a self, filed: &'a Filed, now: Timestamp) -> StoreFuture<'a, Imported> {
        self.near.import(filed, now)
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        self.near.watch(observer)
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.near.ping()
    }
}
