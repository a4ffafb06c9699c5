//! A store that does not know what it has.

use std::sync::Arc;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ErrorKind, Feed, InsertRequest, Inserted, ListPage, ListQuery,
    Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Store, StoreError, StoreFuture,
    SweepRequest, Swept, Touch, TouchReport, Verb,
};

use super::intercept;

/// A store that does not know what it has, as memcached: it finds whatever it is asked for, and can neither list, count nor
/// tell another store.
#[derive(Debug)]
pub struct UnlistedStore {
    inner: Arc<dyn Store>,
}

impl UnlistedStore {
    /// Keeps what `inner` has to itself.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner }
    }

    fn claims(&self) -> Capabilities {
        let mut claims = self.inner.capabilities();
        claims.listing = false;
        claims
    }

    fn is_in_parts(&self) -> bool {
        self.inner.has_parts()
    }

    fn around<'a, T: Send + Unpin + 'a>(
        &'a self,
        verb: Verb,
        call: impl Fn() -> StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        match verb {
            Verb::List | Verb::Count | Verb::Export => {
                let error = StoreError::new(ErrorKind::Unsupported, self.inner.name(), verb);
                StoreFuture::ready(Err(error))
            }
            _ => call(),
        }
    }

    fn around_get<'a>(
        &'a self,
        _: TokenDigest,
        call: impl Fn() -> StoreFuture<'a, Lookup>,
    ) -> StoreFuture<'a, Lookup> {
        call()
    }

    fn around_watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        self.inner.watch(observer)
    }
}

intercept!(UnlistedStore);
