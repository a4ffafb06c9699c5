//! The engine.

use std::num::NonZeroU16;
use std::sync::Arc;

use cloakroom_core::{Policy, Route, SessionId, SessionToken, Timestamp};
use cloakroom_store::{
    Counts, Ended, ListFilter, ListItem, ListPage, ListQuery, Sealing, StateFilter, Store, StoreError, Verb,
};
use tracing::Instrument as _;
use zeroize::Zeroize as _;

use crate::hub::Hub;
use crate::near::{Harm, NearCachePolicy, NearStore};
use crate::observe::{Metrics, store_span, told};
use crate::sealed::{Bounds, Mirror, SealedParts, SealedStore, Seals};
use crate::streams::{StreamPolicy, Streams};
use crate::touch::TouchQueue;
use crate::{Actor, Clock, Event, EventSink, Random, RandomError, SessionError, SessionsBuilder};

/// The engine: issues, validates, changes, lists and ends sessions that a [`Store`] keeps.
///
/// Cheap to clone; clones are the same engine. It holds no session itself, so any number of engines, in any number of
/// processes, may share a store that can be shared.
///
/// Run [`upkeep`](Self::upkeep) beside it: it writes activity down in batches and clears up.
#[derive(Clone, Debug)]
pub struct Sessions {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) keeping: Keeping,
    pub(crate) policy: Policy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) events: Vec<Arc<dyn EventSink>>,
    pub(crate) near_cache: NearCachePolicy,
    pub(crate) streams: StreamPolicy,
    pub(crate) harm: Harm,
}

/// Where sessions are.
#[derive(Debug)]
pub(crate) enum Keeping {
    /// In a store.
    Store(Arc<dyn Store>),
    /// In their tokens.
    Sealed(SealedParts),
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    store: Arc<dyn Store>,
    seals: Option<Arc<Seals>>,
    metrics: Metrics,
    touches: TouchQueue,
    hub: Arc<Hub>,
    streams: Arc<Streams>,
}

impl Sessions {
    /// Begins an engine that keeps its sessions in `store`.
    pub fn builder(store: impl Store) -> SessionsBuilder {
        SessionsBuilder::new(Arc::new(store))
    }

    /// Begins an engine that keeps its sessions in a store chosen at run time.
    pub fn builder_shared(store: Arc<dyn Store>) -> SessionsBuilder {
        SessionsBuilder::new(store)
    }

    /// Begins an engine whose sessions travel in their tokens, sealed by `sealing`: no store keeps them.
    ///
    /// Add a list of [revocations](SessionsBuilder::revocations), so that sessions can be ended: without one they end by time alone,
    /// and [`revoke`](Self::revoke) is unsupported.
    pub fn sealed(sealing: impl Sealing) -> SessionsBuilder {
        SessionsBuilder::sealed(Arc::new(sealing))
    }

    /// As [`sealed`](Self::sealed), by what was chosen at run time.
    pub fn sealed_shared(sealing: Arc<dyn Sealing>) -> SessionsBuilder {
        SessionsBuilder::sealed(sealing)
    }

    pub(crate) fn new(parts: Parts) -> Self {
        let streams = Streams::new(parts.streams);
        let (store, seals) = match &parts.keeping {
            Keeping::Store(store) => (Arc::clone(store), None),
            Keeping::Sealed(sealed) => {
                let seals = Arc::new(seals_of(&parts, sealed, &streams));
                let store: Arc<dyn Store> = Arc::new(SealedStore::new(Arc::clone(&seals)));
                (store, Some(seals))
            }
        };
        let metrics = Metrics::new(store.name());
        let hub = Arc::new(Hub::new(near_of(&parts, &store), Arc::clone(&streams)));
        let inner = Inner { parts, store, seals, metrics, touches: TouchQueue::default(), hub, streams };
        Self { inner: Arc::new(inner) }
    }

    /// Whether sessions travel in their tokens, and no store keeps them.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.inner.seals.is_some()
    }

    /// The instant by the engine's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.parts.clock.now()
    }

    /// The rules sessions are issued under.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.inner.parts.policy
    }

    /// Where sessions are kept. Of [sealed](Self::sealed) ones a store of the name `sealed`, which can end them, if there is a
    /// list of ends, and nothing else.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The engine's clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.parts.clock
    }

    /// A page of sessions.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot answer.
    ///
    /// # Cost
    /// One round trip.
    pub async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.ask(Verb::List, self.asked().list(query, self.now())).await
    }

    /// The session of this id, alive or ended, while the store knows it.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot answer.
    ///
    /// # Cost
    /// One round trip.
    pub async fn find(&self, id: SessionId) -> Result<Option<ListItem>, StoreError> {
        let mut filter = ListFilter::default();
        filter.session = Some(id);
        filter.state = StateFilter::Any;
        let query = ListQuery::new(filter).with_limit(NonZeroU16::MIN);
        Ok(self.list(&query).await?.items.pop())
    }

    /// How many sessions there are. May count sessions that expired since the last sweep.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot answer.
    ///
    /// # Cost
    /// One round trip.
    pub async fn count(&self) -> Result<Counts, StoreError> {
        let counts = self.ask(Verb::Count, self.asked().count(self.now())).await?;
        self.metrics().active_is(counts.anonymous.saturating_add(counts.signed_in));
        Ok(counts)
    }

    /// Whether the store can be written to; its own clock's reading, where it has one. How far that differs from this
    /// node's is shown as a metric.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot.
    ///
    /// # Cost
    /// One round trip.
    pub async fn ping(&self) -> Result<Option<Timestamp>, StoreError> {
        let asked = self.now();
        let theirs = self.ask(Verb::Ping, self.asked().ping()).await?;
        if let Some(theirs) = theirs {
            self.metrics().clocks_differ(theirs, asked, self.now());
        }
        Ok(theirs)
    }

    /// Reports an event that happened around the engine: to every sink, as one metric and one log line.
    pub fn report(&self, event: &Event) {
        self.metrics().note(event);
        for sink in &self.inner.parts.events {
            sink.record(event);
        }
    }

    /// Reports an end that the store has acknowledged to this engine, and ends the session's streams here.
    pub(crate) fn report_end(&self, ended: &Ended, actor: &Actor) {
        self.streams().over(ended);
        self.report(&Event::ended(ended, actor));
    }

    /// The store to ask: the near cache before it, where there is one.
    pub(crate) fn asked(&self) -> &dyn Store {
        match self.near() {
            Some(near) => near,
            None => &*self.inner.store,
        }
    }

    /// What this engine has instead of records, where its sessions are sealed.
    #[inline]
    pub(crate) fn seals(&self) -> Option<&Seals> {
        self.inner.seals.as_deref()
    }

    pub(crate) fn near(&self) -> Option<&NearStore> {
        self.inner.hub.near()
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.inner.hub
    }

    pub(crate) fn streams(&self) -> &Arc<Streams> {
        &self.inner.streams
    }

    pub(crate) fn near_cache_policy(&self) -> NearCachePolicy {
        self.inner.parts.near_cache
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(crate) fn touches(&self) -> &TouchQueue {
        &self.inner.touches
    }

    /// Awaits a verb of the store, measured and counted.
    pub(crate) async fn ask<T>(
        &self,
        verb: Verb,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let span = store_span(verb, self.metrics().store());
        let answer = self.metrics().timed(&*self.inner.parts.clock, verb, answer);
        if span.is_disabled() {
            return answer.await;
        }
        let answer = answer.instrument(span.clone()).await;
        told(&span, &answer);
        answer
    }

    pub(crate) fn new_token(&self, route: Route) -> Result<SessionToken, RandomError> {
        let mut bytes = [0; SessionToken::RANDOM_BYTES];
        self.inner.parts.random.fill(&mut bytes)?;
        let token = SessionToken::from_random(route, bytes);
        bytes.zeroize();
        Ok(token)
    }

    pub(crate) fn new_id(&self, route: Route) -> Result<SessionId, RandomError> {
        let mut bytes = [0; SessionId::RANDOM_BYTES];
        self.inner.parts.random.fill(&mut bytes)?;
        Ok(SessionId::from_random(route, bytes))
    }

    pub(crate) fn random_route(&self) -> Result<Route, RandomError> {
        let mut bytes = [0; Route::LENGTH];
        self.inner.parts.random.fill(&mut bytes)?;
        Ok(Route::from_bytes(bytes))
    }

    pub(crate) fn check_size(&self, size: usize) -> Result<(), SessionError> {
        let limit = self.policy().attributes_max_bytes();
        if size > limit { Err(SessionError::AttributesTooLarge { size, limit }) } else { Ok(()) }
    }
}

/// The near cache, where the policy wants one and the store is one that others change, and that tells of it.
fn near_of(parts: &Parts, store: &Arc<dyn Store>) -> Option<NearStore> {
    let capabilities = store.capabilities();
    if !(parts.near_cache.is_on() && capabilities.watch && capabilities.shared) {
        return None;
    }
    let (store, clock) = (Arc::clone(store), Arc::clone(&parts.clock));
    Some(NearStore::new(store, parts.near_cache, clock, parts.harm))
}

fn seals_of(parts: &Parts, sealed: &SealedParts, streams: &Arc<Streams>) -> Seals {
    let (clock, random) = (&parts.clock, &parts.random);
    let mirror = sealed.list.as_ref().map(|list| {
        let (lease, longest_life) = (parts.near_cache.lease(), sealed.policy.longest_life(&parts.policy));
        let (list, streams, bounds) = (Arc::clone(list), Arc::clone(streams), Bounds { lease, longest_life });
        Arc::new(Mirror::new(list, Arc::clone(clock), Arc::clone(random), streams, bounds))
    });
    Seals::new(sealed, &parts.policy, Arc::clone(random), mirror)
}
