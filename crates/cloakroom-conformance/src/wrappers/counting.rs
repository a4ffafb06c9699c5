//! A store that remembers what it was asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, Feed, InsertRequest, Inserted, ListPage, ListQuery, Lookup,
    Observer, Parts, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Store, StoreFuture, SweepRequest,
    Swept, Touch, TouchReport, Verb,
};

use super::intercept;

/// A store that remembers what it was asked: for tests that promise how many round trips something costs.
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn Store>,
    calls: Mutex<Vec<Verb>>,
    proofs: Arc<AtomicUsize>,
}

impl CountingStore {
    /// Counts the calls of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, calls: Mutex::default(), proofs: Arc::default() }
    }

    /// Every call since the last [`take`](Self::take), in the order they came.
    #[must_use]
    pub fn calls(&self) -> Vec<Verb> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often `verb` was called since the last [`take`](Self::take).
    #[must_use]
    pub fn count(&self, verb: Verb) -> usize {
        self.calls().into_iter().filter(|called| *called == verb).count()
    }

    /// Every call since the last time, and forgets them.
    pub fn take(&self) -> Vec<Verb> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many proofs were asked of its feeds so far. They are no calls of the store: nobody waits for them.
    #[must_use]
    pub fn proofs(&self) -> usize {
        self.proofs.load(Ordering::SeqCst)
    }

    fn claims(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn is_in_parts(&self) -> bool {
        self.inner.has_parts()
    }

    fn around<'a, T>(&'a self, verb: Verb, call: impl Fn() -> StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(verb);
        call()
    }

    fn around_get<'a>(
        &'a self,
        _: TokenDigest,
        call: impl Fn() -> StoreFuture<'a, Lookup>,
    ) -> StoreFuture<'a, Lookup> {
        self.around(Verb::Get, call)
    }

    fn around_watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        let watch = self.around(Verb::Watch, || self.inner.watch(Arc::clone(&observer)));
        StoreFuture::waiting(async move {
            let feed: Box<dyn Feed> =
                Box::new(CountingFeed { inner: watch.await?, proofs: Arc::clone(&self.proofs) });
            Ok(feed)
        })
    }
}

intercept!(CountingStore);

#[derive(Debug)]
struct CountingFeed {
    inner: Box<dyn Feed>,
    proofs: Arc<AtomicUsize>,
}

impl Feed for CountingFeed {
    fn prove(&self) -> StoreFuture<'_, Parts> {
        self.proofs.fetch_add(1, Ordering::SeqCst);
        self.inner.prove()
    }
}
