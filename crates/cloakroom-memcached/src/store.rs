//! The trait: each verb, bounded by the deadline.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Applied, Capabilities, Counts, EndRequest, Ending, ErrorKind, ExportPage, ExportQuery, Feed, Filed,
    Imported, InsertRequest, Inserted, ListPage, ListQuery, Lookup, Observer, PartlyNoted, RekeyRequest,
    Rekeyed, ReplaceRequest, Replaced, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch,
    TouchReport, Verb,
};

use crate::NAME;
use crate::error::Problem;
use crate::options::MemcachedOptions;
use crate::servers::{Call, Servers};
use crate::stake::Stake;
use crate::verb::{self, Noted};

/// Sessions on memcached servers.
///
/// Share it behind an [`Arc`]; several of them, in this process or in others, that are given the same servers and prefix
/// see the same sessions. Dropping it closes its connections.
#[derive(Debug)]
pub struct MemcachedStore {
    servers: Arc<Servers>,
    deadline: Duration,
}

impl MemcachedStore {
    /// Connects to the servers. Those that are away are tried again in the background, for as long as the store lives.
    ///
    /// # Errors
    /// [`Unavailable`](cloakroom_store::ErrorKind::Unavailable) or [`Timeout`](cloakroom_store::ErrorKind::Timeout)
    /// where none of them answers: the source says why, and what to do.
    /// [`Internal`](cloakroom_store::ErrorKind::Internal) where the options make no sense.
    ///
    /// # Panics
    /// Outside of a Tokio runtime with time and I/O; the store lives on the runtime that it was made on.
    ///
    /// # Security
    /// What is sent is neither encrypted nor authenticated: see [`MemcachedOptions`].
    pub async fn connect(options: MemcachedOptions) -> Result<Self, StoreError> {
        if let Some(fault) = options.fault() {
            return Err(Problem::Misuse(fault).into_error(Verb::Open));
        }
        let handle = RandomState::new().hash_one(&options.prefix);
        let deadline = options.deadline;
        let servers = Arc::new(Servers::start(&options, handle));
        let waiting = tokio::time::timeout(deadline, servers.wait_for_any()).await;
        waiting
            .unwrap_or(Err(Problem::Overdue(deadline)))
            .map_err(|problem| problem.into_error(Verb::Open))?;
        Ok(Self { servers, deadline })
    }

    /// Does a verb, within the deadline. An error says whether anything that counts may have changed.
    async fn within<T>(
        &self,
        verb: Verb,
        now: Timestamp,
        work: impl AsyncFnOnce(Call<'_>) -> Result<T, Problem>,
    ) -> Result<T, StoreError> {
        let stake = Stake::default();
        let call = Call { servers: &self.servers, stake: &stake, now };
        let done = tokio::time::timeout(self.deadline, work(call)).await;
        done.unwrap_or(Err(Problem::Overdue(self.deadline))).map_err(|problem| {
            let error = self.error(problem, verb);
            if stake.applied() == Applied::No { error } else { error.maybe_applied() }
        })
    }

    fn error(&self, problem: Problem, verb: Verb) -> StoreError {
        // Lanes that know their server away answer at once: nobody waits for it twice. Where all are away, the store is.
        let is_of_a_part = self.has_parts() && problem.is_of_one_server() && self.servers.is_any_up();
        problem.into_error(verb).of_a_part(is_of_a_part)
    }

    async fn touch_those_there(&self, touches: &[Touch], now: Timestamp) -> Result<TouchReport, StoreError> {
        let noting = self.within(Verb::Touch, now, async move |call| Ok(verb::touch(call, touches).await));
        let Noted { report, failure } = noting.await?;
        let Some((problem, missed)) = failure else { return Ok(report) };
        let error = self.error(problem, Verb::Touch);
        if report.touched == 0 && !error.is_of_a_part() {
            return Err(error);
        }
        Err(error.maybe_applied().partly_noted(PartlyNoted { report, missed }))
    }
}

impl Store for MemcachedStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let mut claims = Capabilities::ALL.unwatched();
        claims.durable = false;
        claims.listing = false;
        claims
    }

    fn has_parts(&self) -> bool {
        self.servers.count() > 1
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        StoreFuture::waiting(
            self.within(Verb::Insert, request.now, async move |call| verb::insert(call, request).await),
        )
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        StoreFuture::waiting(self.within(Verb::Get, now, async move |call| verb::get(call, digest).await))
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        StoreFuture::waiting(
            self.within(Verb::Replace, request.now, async move |call| verb::replace(call, request).await),
        )
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        StoreFuture::waiting(
            self.within(Verb::Rekey, request.now, async move |call| verb::rekey(call, request).await),
        )
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        if touches.is_empty() {
            return StoreFuture::ready(Ok(TouchReport::default()));
        }
        StoreFuture::waiting(self.touch_those_there(touches, now))
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        StoreFuture::waiting(
            self.within(Verb::End, request.now, async move |call| verb::end(call, request).await),
        )
    }

    fn list<'a>(&'a self, _query: &'a ListQuery, _now: Timestamp) -> StoreFuture<'a, ListPage> {
        StoreFuture::ready(Err(Problem::Unsupported("listing").into_error(Verb::List)))
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        StoreFuture::waiting(
            self.within(Verb::Sweep, request.now, async move |call| verb::sweep(call, request).await),
        )
    }

    fn count(&self, _now: Timestamp) -> StoreFuture<'_, Counts> {
        StoreFuture::ready(Err(Problem::Unsupported("counting").into_error(Verb::Count)))
    }

    fn export<'a>(&'a self, _query: &'a ExportQuery, _now: Timestamp) -> StoreFuture<'a, ExportPage> {
        StoreFuture::ready(Err(Problem::Unsupported("an export").into_error(Verb::Export)))
    }

    fn import<'a>(&'a self, filed: &'a Filed, now: Timestamp) -> StoreFuture<'a, Imported> {
        StoreFuture::waiting(
            self.within(Verb::Import, now, async move |call| verb::import(call, filed).await),
        )
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        let _ = observer;
        StoreFuture::ready(Err(StoreError::new(ErrorKind::Unsupported, NAME, Verb::Watch)))
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        let now = Timestamp::from_millis(0);
        StoreFuture::waiting(async move {
            self.within(Verb::Ping, now, async move |call| verb::ping(call).await).await?;
            // A server counts seconds since it started: nothing to compare.
            Ok(None)
        })
    }
}
