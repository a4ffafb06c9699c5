//! A store around a store: the same answers, most of them from memory.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_core::{Route, Timestamp, TokenDigest, judge};
use cloakroom_store::{
    Applied, Capabilities, Counts, EndRequest, Ended, Ending, ExportPage, ExportQuery, Feed, Filed, Imported,
    InsertRequest, Inserted, ListPage, ListQuery, Live, Lookup, News, Observer, Parts, RekeyRequest, Rekeyed,
    ReplaceRequest, Replaced, Selector, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch,
    TouchReport,
};
use tokio::sync::Notify;

use super::cache::{Cache, Learnt};
use super::cells::Real;
use super::entry::{Kept, Over};
use super::observe::NearMetrics;
use super::protocol::Proof;
use super::{Harm, NearCachePolicy, nanos};
use crate::Clock;

/// A store with a near cache before it.
///
/// It answers as the store does, to this handle exactly: what was written or ended through it is true for the next read
/// through it. What was ended through another handle is refused by this one within a lease.
///
/// News, proofs and gaps come from whoever keeps the watch ([`told`](Observer::told), [`begin_proof`](Self::begin_proof),
/// [`unwatched`](Self::unwatched)); until then everything is asked of the store.
pub(crate) struct NearStore {
    inner: Arc<dyn Store>,
    cache: Cache<Real>,
    clock: Arc<dyn Clock>,
    metrics: NearMetrics,
    proof_wanted: Notify,
    /// How often anything may have changed.
    gaps: AtomicU64,
}

/// An answer from memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Near {
    pub(crate) lookup: Lookup,
    /// The last activity that is written down, or waits to be.
    pub(crate) noted_at: Timestamp,
}

impl NearStore {
    pub(crate) fn new(
        inner: Arc<dyn Store>,
        policy: NearCachePolicy,
        clock: Arc<dyn Clock>,
        harm: Harm,
    ) -> Self {
        let cache = Cache::new(policy.max_bytes(), nanos(policy.lease()), harm);
        Self {
            inner,
            cache,
            clock,
            metrics: NearMetrics::new(),
            proof_wanted: Notify::new(),
            gaps: AtomicU64::new(0),
        }
    }

    /// What memory says of `digest` as of `now`, where it may be believed.
    ///
    /// Nobody is refused because of time by memory alone: the session may have been active elsewhere.
    pub(crate) fn look(&self, digest: &TokenDigest, now: Timestamp) -> Option<Near> {
        let entry = self.cache.look(digest, || nanos(self.clock.monotonic()))?;
        match entry.kept {
            Kept::Live(live) => {
                let last_seen_at = live.seen_at();
                if !judge(&live.record, last_seen_at, now).is_active() {
                    return None;
                }
                let noted_at = live.noted_at();
                let live = Live { version: live.version, last_seen_at, record: live.record };
                Some(Near { lookup: Lookup::Live(live), noted_at })
            }
            Kept::Over { what, .. } => {
                let lookup = match &*what {
                    Over::Ended(tombstone) => Lookup::Ended(tombstone.clone()),
                    Over::Retired(retired) => Lookup::Retired(*retired),
                };
                Some(Near { lookup, noted_at: now })
            }
        }
    }

    /// What the store itself says, whatever is remembered; remembered from then on.
    pub(crate) fn ask(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        StoreFuture::waiting(async move {
            let asked = self.cache.mark(&digest, || nanos(self.clock.monotonic()));
            let answer = self.inner.get(digest, now).await?;
            match self.cache.learn(digest, asked, &answer) {
                Learnt::Kept => self.metrics.fills.increment(1),
                Learnt::Refused => self.metrics.refused_fills.increment(1),
                Learnt::Nothing => {}
            }
            Ok(answer)
        })
    }

    /// Activity of `digest` at `at` waits to be written down: it need not be noted again.
    pub(crate) fn noted(&self, digest: &TokenDigest, at: Timestamp) {
        self.cache.noted(digest, at);
    }

    /// A feed is about to be opened, or is gone.
    pub(crate) fn unwatched(&self) {
        self.cache.unwatched();
    }

    /// A proof begins; its probe is to be sent after this.
    pub(crate) fn begin_proof(&self) -> Proof {
        self.cache.begin_proof(nanos(self.clock.monotonic()))
    }

    /// `proof` has been answered for these parts.
    pub(crate) fn proven(&self, proof: Proof, parts: Parts) {
        let lags = self.cache.proven(proof, parts, nanos(self.clock.monotonic()));
        self.metrics.lags(&lags);
    }

    /// Resolves when a proof is wanted before its time: an end waits for its news, or something was lost.
    pub(crate) async fn proof_wanted(&self) {
        self.proof_wanted.notified().await;
    }

    /// How often the store has told that anything may have changed.
    pub(crate) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// How many parts memory may be believed for.
    pub(crate) fn trusted(&self) -> usize {
        self.cache.trusted(nanos(self.clock.monotonic()))
    }

    /// When the newest probe was sent that was answered for everything since anything was lost.
    pub(crate) fn proven_at(&self) -> Option<Duration> {
        self.cache.proven_at().map(Duration::from_nanos)
    }

    pub(crate) fn entries(&self) -> usize {
        self.cache.entries()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.cache.bytes()
    }

    /// Brings the gauges up to date.
    pub(crate) fn measure(&self) {
        self.metrics.stands(self.entries(), self.bytes(), self.trusted());
    }

    /// The store has noted these, but for as many as it has ignored.
    fn was_noted(&self, touches: &[Touch], ignored: usize, now: Timestamp) {
        if ignored == 0 {
            self.cache.touched(touches, now);
        } else if touches.len() <= FEW_TOUCHES {
            touches.iter().for_each(|touch| self.cache.forget(&touch.digest));
        }
    }

    fn writing(&self, digests: [TokenDigest; 2]) -> Writing<'_> {
        Writing { near: self, digests }
    }

    fn ending(&self, parts: Parts, everything: bool) -> EndingHere<'_> {
        EndingHere { near: self, parts, everything }
    }

    async fn insert_and_note(&self, request: InsertRequest<'_>) -> Result<Inserted, StoreError> {
        // Sessions may end for the newcomer: of the same principal, whose sessions all have its route.
        let may_end = request.limit.is_some() || request.replaces.is_some();
        let parts = if may_end { part_of(request.digest.route()) } else { Parts::NONE };
        let mut here = self.ending(parts, false);
        let answer = self.inner.insert(request).await;
        match &answer {
            Ok(Inserted::Done { ended }) => here.parts = parts_of(ended),
            Ok(Inserted::AlreadyExists | Inserted::LimitReached) => here.nothing(),
            Err(error) if error.applied() == Applied::No => here.nothing(),
            Err(_) => {}
        }
        answer
    }

    async fn end_and_note(&self, request: EndRequest<'_>) -> Result<Ending, StoreError> {
        let (parts, everything) = match request.selector {
            Selector::One(session) => (part_of(session.route()), false),
            Selector::Principal { principal, .. } => (part_of(Route::of_principal(principal)), false),
            _ => (Parts::ALL, true),
        };
        let mut here = self.ending(parts, everything);
        let answer = self.inner.end(request).await;
        match &answer {
            Ok(ending) => here.parts = here.parts.union(parts_of(&ending.ended)),
            Err(error) if error.applied() == Applied::No => here.nothing(),
            Err(_) => {}
        }
        answer
    }
}

fn part_of(route: Route) -> Parts {
    Parts::one(Parts::number_of(route))
}

fn parts_of(ended: &[Ended]) -> Parts {
    ended.iter().map(|ended| Parts::number_of(ended.session.route())).collect()
}

/// A record is being changed through this handle. However that ends, also where its caller gives up, what is remembered of it is
/// forgotten then.
struct Writing<'a> {
    near: &'a NearStore,
    digests: [TokenDigest; 2],
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let [one, other] = &self.digests;
        self.near.cache.changed(one);
        if other != one {
            self.near.cache.changed(other);
        }
    }
}

/// Sessions are being ended through this handle. However that ends, nothing in their parts is believed until a proof that begins
/// after it.
struct EndingHere<'a> {
    near: &'a NearStore,
    parts: Parts,
    everything: bool,
}

impl EndingHere<'_> {
    fn nothing(&mut self) {
        (self.parts, self.everything) = (Parts::NONE, false);
    }
}

impl Drop for EndingHere<'_> {
    fn drop(&mut self) {
        if self.parts.is_empty() {
            return;
        }
        if self.everything {
            self.near.cache.lost(Parts::ALL);
        }
        self.near.cache.ended(self.parts, nanos(self.near.clock.monotonic()));
        self.near.proof_wanted.notify_one();
    }
}

impl Observer for NearStore {
    fn told(&self, news: News<'_>) {
        self.cache.told(news);
        match news {
            News::Changed(digests) => self.metrics.changed(digests.len()),
            _ => {
                self.metrics.gaps.increment(1);
                self.gaps.fetch_add(1, Ordering::Relaxed);
                self.proof_wanted.notify_one();
            }
        }
    }
}

impl fmt::Debug for NearStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Store for NearStore {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn has_parts(&self) -> bool {
        self.inner.has_parts()
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        StoreFuture::waiting(self.insert_and_note(request))
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        match self.look(&digest, now) {
            Some(near) => StoreFuture::ready(Ok(near.lookup)),
            None => self.ask(digest, now),
        }
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        StoreFuture::waiting(async move {
            let _writing = self.writing([request.digest; 2]);
            self.inner.replace(request).await
        })
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        StoreFuture::waiting(async move {
            let _writing = self.writing([request.old, request.new]);
            self.inner.rekey(request).await
        })
    }

    /// Activity moves forward in memory once the store has acknowledged that all of it took effect. Where some did not, because
    /// another node's came first or a session is over, nobody says which. A few are forgotten then, and read anew; many stay
    /// behind in memory, and the store is asked before anyone is refused for that.
    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        StoreFuture::waiting(async move {
            let answer = self.inner.touch(touches, now).await;
            match &answer {
                Ok(report) => self.was_noted(touches, report.ignored, now),
                Err(error) => {
                    if let Some(noted) = error.noted() {
                        self.was_noted(&noted.split(touches).0, noted.report.ignored, now);
                    }
                }
            }
            answer
        })
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        StoreFuture::waiting(self.end_and_note(request))
    }

    fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage> {
        self.inner.list(query, now)
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        StoreFuture::waiting(async move {
            let swept = self.inner.sweep(request).await?;
            if swept.removed > 0 {
                self.cache.swept();
            }
            Ok(swept)
        })
    }

    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
        self.inner.count(now)
    }

    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage> {
        self.inner.export(query, now)
    }

    fn import<'a>(&'a self, filed: &'a Filed, now: Timestamp) -> StoreFuture<'a, Imported> {
        self.inner.import(filed, now)
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        self.inner.watch(observer)
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.inner.ping()
    }
}

/// Touches that are read anew where some of them had no effect: more would cost more reads than they are worth, in every
/// batch of a node whose sessions are active on others, too.
const FEW_TOUCHES: usize = 8;
