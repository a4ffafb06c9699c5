//! A store that waits to be let through.

use std::sync::{Arc, Mutex, PoisonError};

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, Feed, InsertRequest, Inserted, ListPage, ListQuery, Lookup,
    Observer, Parts, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Store, StoreFuture, SweepRequest,
    Swept, Touch, TouchReport, Verb,
};
use tokio::sync::Semaphore;

use super::intercept;

/// A store in which a test can stop a call, do something else, and let it go on: for races that have to happen.
///
/// ```
/// # use std::sync::Arc;
/// # use cloakroom_conformance::{GatedStore, Moment};
/// # use cloakroom_store::{Store, Verb};
/// # async fn example(inner: Arc<dyn Store>) {
/// let store = Arc::new(GatedStore::new(inner));
/// let gate = store.hold(Verb::Replace, Moment::Before);
/// // … spawn what will call replace …
/// gate.reached().await;
/// // … the session can be ended here, while that replace is on its way …
/// gate.release();
/// # }
/// ```
#[derive(Debug)]
pub struct GatedStore {
    inner: Arc<dyn Store>,
    gates: Arc<Gates>,
}

/// The calls that are to be held.
#[derive(Debug, Default)]
struct Gates(Mutex<Vec<Hold>>);

/// Where a call is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Before the store sees it: a request on a slow line.
    Before,
    /// After the store has answered, before the caller hears: an answer on a slow line.
    After,
}

impl GatedStore {
    /// Lets every call of `inner` through until [`hold`](Self::hold).
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, gates: Arc::default() }
    }

    /// Holds the next call of `verb` that no earlier gate holds. A proof of a feed is a call of [`Verb::Watch`].
    #[must_use = "dropping the gate lets the call through"]
    pub fn hold(&self, verb: Verb, moment: Moment) -> Gate {
        let latch = Arc::new(Latch { arrived: Semaphore::new(0), released: Semaphore::new(0) });
        let hold = Hold { verb, moment, latch: Arc::clone(&latch) };
        self.gates.0.lock().unwrap_or_else(PoisonError::into_inner).push(hold);
        Gate { latch }
    }

    fn claims(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn is_in_parts(&self) -> bool {
        self.inner.has_parts()
    }

    fn around<'a, T: Send + Unpin + 'a>(
        &'a self,
        verb: Verb,
        call: impl Fn() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        self.gates.around(verb, call)
    }

    fn around_get<'a>(
        &'a self,
        _: TokenDigest,
        call: impl Fn() -> StoreFuture<'a, Lookup> + Send + 'a,
    ) -> StoreFuture<'a, Lookup> {
        self.around(Verb::Get, call)
    }

    fn around_watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        let watch = self.around(Verb::Watch, move || self.inner.watch(Arc::clone(&observer)));
        StoreFuture::waiting(async move {
            let feed: Box<dyn Feed> =
                Box::new(GatedFeed { inner: watch.await?, gates: Arc::clone(&self.gates) });
            Ok(feed)
        })
    }
}

intercept!(GatedStore);

impl Gates {
    fn around<'a, T: Send + Unpin + 'a>(
        &self,
        verb: Verb,
        call: impl Fn() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        let hold = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            gates.iter().position(|hold| hold.verb == verb).map(|position| gates.remove(position))
        };
        let Some(Hold { moment, latch, .. }) = hold else { return call() };
        StoreFuture::waiting(async move {
            if moment == Moment::Before {
                latch.pass().await;
                return call().await;
            }
            let answer = call().await;
            latch.pass().await;
            answer
        })
    }
}

#[derive(Debug)]
struct GatedFeed {
    inner: Box<dyn Feed>,
    gates: Arc<Gates>,
}

impl Feed for GatedFeed {
    fn prove(&self) -> StoreFuture<'_, Parts> {
        self.gates.around(Verb::Watch, || self.inner.prove())
    }
}

/// One held call. Dropping it lets the call through.
#[derive(Debug)]
pub struct Gate {
    latch: Arc<Latch>,
}

impl Gate {
    /// Waits until a call is held here.
    pub async fn reached(&self) {
        let arrival = self.latch.arrived.acquire().await.expect("a latch is never closed");
        arrival.forget();
        self.latch.arrived.add_permits(1);
    }

    /// Lets the call go on.
    pub fn release(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.latch.released.add_permits(1);
    }
}

#[derive(Debug)]
struct Hold {
    verb: Verb,
    moment: Moment,
    latch: Arc<Latch>,
}

#[derive(Debug)]
struct Latch {
    arrived: Semaphore,
    released: Semaphore,
}

impl Latch {
    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.released.acquire().await.expect("a latch is never closed").forget();
    }
}
