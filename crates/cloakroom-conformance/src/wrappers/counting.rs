//! A store that remembers what it was asked.

use std::sync::{Arc, Mutex, PoisonError};

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, InsertRequest, Inserted, ListPage, ListQuery, Lookup,
    RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Store, StoreFuture, SweepRequest, Swept, Touch,
    TouchReport, Verb,
};

use super::intercept;

/// A store that remembers what it was asked: for tests that promise how many round trips something costs.
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn Store>,
    calls: Mutex<Vec<Verb>>,
}

impl CountingStore {
    /// Counts the calls of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, calls: Mutex::default() }
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
}

intercept!(CountingStore);
