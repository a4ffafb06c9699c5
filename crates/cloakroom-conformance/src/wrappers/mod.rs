//! Stores around a store, for tests of whatever uses one.

mod counting;
mod faulty;
mod gated;
mod switched;
mod unlisted;

pub use counting::CountingStore;
pub use faulty::{Fault, FaultyStore};
pub use gated::{Gate, GatedStore, Moment};
pub use switched::SwitchedStore;
pub use unlisted::UnlistedStore;

/// Implements `Store` for a type that has `inner` and `around`, which is given each verb and how to ask it of the inner
/// store, as often as it likes. `get` goes through `around_get`, which is also told the digest; `watch` through
/// `around_watch`, which puts something around the feed.
/// What it claims is what its `claims` and `is_in_parts` say. `touch` goes through `around`, or through what is said of it.
macro_rules! intercept {
    ($store:ty) => {
        intercept!($store, |store, touches, now| {
            store.around(Verb::Touch, move || store.inner.touch(touches, now))
        });
    };
    ($store:ty, |$that:ident, $touches:ident, $now:ident| $touch:expr) => {
        impl cloakroom_store::Store for $store {
            fn name(&self) -> &'static str {
                self.inner.name()
            }

            fn capabilities(&self) -> Capabilities {
                self.claims()
            }

            fn has_parts(&self) -> bool {
                self.is_in_parts()
            }

            fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
                self.around(Verb::Insert, move || self.inner.insert(request))
            }

            fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
                self.around_get(digest, move || self.inner.get(digest, now))
            }

            fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
                self.around(Verb::Replace, move || self.inner.replace(request))
            }

            fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
                self.around(Verb::Rekey, move || self.inner.rekey(request))
            }

            fn touch<'a>(&'a self, $touches: &'a [Touch], $now: Timestamp) -> StoreFuture<'a, TouchReport> {
                let $that = self;
                $touch
            }

            fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
                self.around(Verb::End, move || self.inner.end(request))
            }

            fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage> {
                self.around(Verb::List, move || self.inner.list(query, now))
            }

            fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
                self.around(Verb::Sweep, move || self.inner.sweep(request))
            }

            fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
                self.around(Verb::Count, move || self.inner.count(now))
            }

            fn export<'a>(
                &'a self,
                query: &'a cloakroom_store::ExportQuery,
                now: Timestamp,
            ) -> StoreFuture<'a, cloakroom_store::ExportPage> {
                self.around(Verb::Export, move || self.inner.export(query, now))
            }

            fn import<'a>(
                &'a self,
                filed: &'a cloakroom_store::Filed,
                now: Timestamp,
            ) -> StoreFuture<'a, cloakroom_store::Imported> {
                self.around(Verb::Import, move || self.inner.import(filed, now))
            }

            fn watch(
                &self,
                observer: std::sync::Arc<dyn cloakroom_store::Observer>,
            ) -> StoreFuture<'_, Box<dyn cloakroom_store::Feed>> {
                self.around_watch(observer)
            }

            fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
                self.around(Verb::Ping, move || self.inner.ping())
            }
        }
    };
}
use intercept;
