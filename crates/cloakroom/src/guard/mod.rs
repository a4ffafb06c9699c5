//! A store that is asked patiently, but not for ever, and left alone while it fails.

mod breaker;
mod policy;
mod refused;
mod room;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ErrorKind, ExportPage, ExportQuery, Feed, Filed, Imported,
    InsertRequest, Inserted, ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest,
    Replaced, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};
use parking_lot::Mutex;
use tokio::time::timeout_at;

use self::breaker::{Breaker, Change, Sign, Standing, Ticket};
use self::policy::is_browsing;
use self::refused::{Overdue, Why};
use self::room::{Entry, Room, Seat};
use self::watch::Watch;
use crate::system::timer_now;
use crate::{OsRandom, Random};

pub use self::breaker::BreakerState;
pub use self::policy::GuardPolicy;
pub use self::refused::Refused;
pub(crate) use self::watch::describe;

/// A store around a store: keeps an outage of it short, bounded and its own.
///
/// - **Bounded waiting.** No call takes longer than its deadline, whatever state the store is in. A write that was cut off
///   by it may have been applied, and says so.
/// - **Left alone while it fails.** After [`failures`](GuardPolicy::failures) in a row (or every second one of 64) calls are
///   refused at once; one call now and then tries the store, after rests that double and differ from node to node. The
///   first answer ends the outage: nothing has to be restarted. Only
///   [`Unavailable`](ErrorKind::Unavailable) and [`Timeout`](ErrorKind::Timeout) count as failing: a store that says it is
///   full, read-only or has a damaged record is there. Lists, counts and sweeps that take too long count for nothing.
/// - **No herd.** At most [`max_in_flight`](GuardPolicy::max_in_flight) calls are with the store and
///   [`max_waiting`](GuardPolicy::max_waiting) behind them; the rest is refused at once. A store that has just come back
///   gets few at a time, twice as many with each round of answers.
///
/// A refusal is [`Unavailable`](ErrorKind::Unavailable) with nothing changed, and its source a [`Refused`] that says when to
/// try again. While the store is well a guard changes nothing.
///
/// ```
/// use cloakroom::{GuardPolicy, GuardedStore, Sessions};
/// use cloakroom_memory::MemoryStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = GuardedStore::new(MemoryStore::default(), GuardPolicy::default());
/// let sessions = Sessions::builder(store).build()?;
/// # Ok(())
/// # }
/// ```
///
/// # Cost
/// For an answer that is there already: two loads, no allocation. For one that has to be waited for: a box, a timer and two
/// short locks. No round trips of its own: real calls are its probes.
///
/// # Panics
/// Its futures need a tokio runtime with time enabled.
pub struct GuardedStore {
    inner: Arc<dyn Store>,
    policy: GuardPolicy,
    breaker: Breaker,
    room: Arc<Room>,
    adjusting: Mutex<()>,
    watch: Watch,
    random: Box<dyn Random>,
}

impl GuardedStore {
    /// Guards `store`.
    #[must_use]
    pub fn new(store: impl Store, policy: GuardPolicy) -> Self {
        Self::shared(Arc::new(store), policy)
    }

    /// Guards a store chosen at run time. It looks its metrics up now: install the recorder of metrics before.
    #[must_use]
    pub fn shared(store: Arc<dyn Store>, policy: GuardPolicy) -> Self {
        Self {
            breaker: Breaker::new(policy),
            room: Room::new(policy.max_in_flight, policy.max_waiting),
            adjusting: Mutex::new(()),
            watch: Watch::new(store.name()),
            random: Box::new(OsRandom),
            inner: store,
            policy,
        }
    }

    /// The same, with rests that vary by `random`.
    #[must_use]
    pub fn with_random(self, random: impl Random) -> Self {
        Self { random: Box::new(random), ..self }
    }

    /// How the store is seen now.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.breaker.standing().state
    }

    fn around<'a, T: Send + Unpin + 'a>(
        &'a self,
        verb: Verb,
        call: impl FnOnce() -> StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        let ticket = match self.breaker.admit(!is_browsing(verb), timer_now) {
            Ok(ticket) => ticket,
            Err(wait) => return StoreFuture::ready(Err(self.refuse(verb, Why::Resting, wait))),
        };
        match call().into_ready() {
            Ok(answer) => {
                self.settle(ticket, sign_of(verb, &answer));
                StoreFuture::ready(answer)
            }
            Err(waiting) => StoreFuture::waiting(self.bounded(verb, ticket, waiting)),
        }
    }

    async fn bounded<'a, T: Unpin>(
        &'a self,
        verb: Verb,
        ticket: Ticket<'a>,
        call: StoreFuture<'a, T>,
    ) -> Result<T, StoreError> {
        let deadline = self.policy.deadline_of(verb);
        let until = timer_now() + deadline;
        let seat = if ticket.probes() {
            self.room.squeeze_in()
        } else {
            match self.room.enter() {
                Entry::Seated(seat) => seat,
                Entry::Full => return Err(self.refuse(verb, Why::Crowded, self.policy.rest)),
                Entry::Waiting(turn) => match timeout_at(until, turn).await {
                    Ok(Ok(seat)) => seat,
                    Ok(Err(_)) => return Err(self.refuse(verb, Why::Resting, self.policy.rest)),
                    Err(_) => return Err(self.refuse(verb, Why::Waited, self.policy.rest)),
                },
            }
        };
        let flight = Flight { guard: self, verb, ticket: Some(ticket), began: timer_now(), _seat: seat };
        match timeout_at(until, call).await {
            Ok(answer) => {
                flight.land(sign_of(verb, &answer));
                answer
            }
            Err(_) => {
                flight.land((!is_browsing(verb)).then_some(Sign::Failed));
                let error = StoreError::new(ErrorKind::Timeout, self.inner.name(), verb);
                let error = error.caused_by(Overdue(deadline));
                Err(if is_write(verb) { error.maybe_applied() } else { error })
            }
        }
    }

    fn settle(&self, ticket: Ticket<'_>, sign: Option<Sign>) {
        // What says nothing is let go of.
        let Some(sign) = sign else { return };
        let change = ticket.settle(sign, timer_now, || self.jitter());
        if change == Change::None {
            return;
        }
        if let Change::Opened { .. } = change {
            self.room.send_away();
        }
        self.watch.tell(change);
        // Changes that cross are put into effect one after the other, each time as the breaker stands by then: the last
        // one cannot leave behind what an earlier one wanted.
        let _one_at_a_time = self.adjusting.lock();
        let Standing { state, limit } = self.breaker.standing();
        self.room.set_limit(limit);
        self.watch.shows(state);
    }

    fn refuse(&self, verb: Verb, why: Why, wait: Duration) -> StoreError {
        self.watch.rejected(why);
        let error = StoreError::new(ErrorKind::Unavailable, self.inner.name(), verb);
        error.caused_by(Refused::new(why, wait))
    }

    fn jitter(&self) -> u32 {
        let mut bytes = [0; 4];
        // Without randomness rests are a little shorter; that is no reason not to rest.
        let _ = self.random.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// A call that is with the store.
struct Flight<'a> {
    guard: &'a GuardedStore,
    verb: Verb,
    ticket: Option<Ticket<'a>>,
    began: tokio::time::Instant,
    _seat: Seat,
}

impl Flight<'_> {
    fn land(mut self, sign: Option<Sign>) {
        if let Some(ticket) = self.ticket.take() {
            self.guard.settle(ticket, sign);
        }
    }
}

impl Drop for Flight<'_> {
    /// Callers that give up say something, too: otherwise a store that hangs would never be noticed by callers who are
    /// less patient than the guard. A store of several servers notices by itself which one hangs.
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && timer_now().saturating_duration_since(self.began) >= GIVEN_UP_AFTER
            && !self.guard.inner.has_parts()
        {
            self.guard.settle(ticket, (!is_browsing(self.verb)).then_some(Sign::Failed));
        }
    }
}

/// What an answer shows of the store. A list that takes too long shows that it was a long list; a part that is away shows
/// nothing of the others.
fn sign_of<T>(verb: Verb, answer: &Result<T, StoreError>) -> Option<Sign> {
    if answer.as_ref().is_err_and(StoreError::is_of_a_part) {
        return None;
    }
    match answer.as_ref().map_err(StoreError::kind) {
        Err(ErrorKind::Timeout) if is_browsing(verb) => None,
        Err(ErrorKind::Unavailable | ErrorKind::Timeout) => Some(Sign::Failed),
        Ok(_) | Err(_) => Some(Sign::Answered),
    }
}

fn is_write(verb: Verb) -> bool {
    !matches!(verb, Verb::Open | Verb::Get | Verb::List | Verb::Count | Verb::Export | Verb::Ping)
}

/// A caller who waited this long before giving up was let down by the store; one who left earlier had other reasons.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(1);

impl fmt::Debug for GuardedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedStore")
            .field("inner", &self.inner)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Store for GuardedStore {
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
        self.around(Verb::Insert, move || self.inner.insert(request))
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        self.around(Verb::Get, move || self.inner.get(digest, now))
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        self.around(Verb::Replace, move || self.inner.replace(request))
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        self.around(Verb::Rekey, move || self.inner.rekey(request))
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        self.around(Verb::Touch, move || self.inner.touch(touches, now))
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

    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage> {
        self.around(Verb::Export, move || self.inner.export(query, now))
    }

    fn import<'a>(&'a self, filed: &'a Filed, now: Timestamp) -> StoreFuture<'a, Imported> {
        self.around(Verb::Import, move || self.inner.import(filed, now))
    }

    /// The feed has a connection and patience of its own: it is not guarded.
    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        self.inner.watch(observer)
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.around(Verb::Ping, move || self.inner.ping())
    }
}
