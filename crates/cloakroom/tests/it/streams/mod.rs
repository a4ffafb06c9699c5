//! Open streams, and the ends of their sessions. Time is virtual: the runtime's timers run as fast as nothing happens.

mod activity;
mod endings;
mod many;
mod modest;
mod outages;
mod races;
mod rotations;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{
    ActiveSession, EndReason, Issued, ManualClock, Revocation, Selector, SessionWatch, Sessions, Store,
    StreamEnd, StreamPolicy,
};
use cloakroom_conformance::{CountingStore, FaultyStore, GatedStore, SwitchedStore};
use cloakroom_memory::MemoryStore;
use cloakroom_store::Verb;
use tokio::time::{Instant, timeout};

use crate::support::{World, policy};

/// Two nodes of one store. The streams are open here; what happens, happens elsewhere.
pub(super) struct House {
    pub(super) here: World,
    pub(super) elsewhere: World,
    pub(super) calls: Arc<CountingStore>,
    pub(super) faults: Arc<FaultyStore>,
    pub(super) gates: Arc<GatedStore>,
    pub(super) feed: Arc<SwitchedStore>,
    pub(super) clock: Arc<ManualClock>,
}

fn shared<S: Store>(store: &Arc<S>) -> Arc<dyn Store> {
    Arc::<S>::clone(store)
}

impl House {
    pub(super) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::default()), StreamPolicy::default())
    }

    pub(super) fn over(store: Arc<dyn Store>, streams: StreamPolicy) -> Self {
        let clock = Arc::new(ManualClock::default());
        let elsewhere = World::at(Arc::clone(&store), policy(), Arc::clone(&clock));
        let feed = Arc::new(SwitchedStore::new(store));
        let gates = Arc::new(GatedStore::new(shared(&feed)));
        let faults = Arc::new(FaultyStore::new(shared(&gates)));
        let calls = Arc::new(CountingStore::new(shared(&faults)));
        let mut here = World::at(shared(&calls), policy(), Arc::clone(&clock));
        here.sessions = Sessions::builder_shared(shared(&calls))
            .policy(policy())
            .clock(Arc::clone(&clock))
            .events(Arc::clone(&here.ears))
            .streams(streams)
            .build()
            .unwrap();
        Self { here, elsewhere, calls, faults, gates, feed, clock }
    }

    /// Begins to listen to the store's news.
    pub(super) async fn with_feed(self) -> Self {
        let sessions = self.here.sessions.clone();
        drop(tokio::spawn(async move { sessions.upkeep(std::future::pending()).await }));
        while self.feed.proofs() < 2 {
            tokio::time::sleep(MILLI).await;
        }
        self.calls.take();
        self
    }

    pub(super) fn watch(&self, session: &ActiveSession) -> SessionWatch {
        self.here.sessions.watch_session(session)
    }

    /// A stream of somebody who has just signed in, after its first look-up.
    pub(super) async fn open(&self, name: &str) -> (Issued, SessionWatch) {
        let issued = self.here.sign_in(name).await;
        let watch = self.watch(&issued.session);
        self.rest().await;
        (issued, watch)
    }

    pub(super) async fn revoke_elsewhere(&self, session: &ActiveSession) {
        revoke(&self.elsewhere.sessions, session).await;
    }

    /// A moment in which everything that can be done at once is done.
    pub(super) async fn rest(&self) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    /// Lets time pass by both clocks, in steps shorter than whatever is to be noticed.
    pub(super) async fn pass(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_millis(100));
            self.clock.advance(step);
            tokio::time::sleep(step).await;
            left -= step;
        }
    }

    /// How often the store was asked for a session since the last time.
    pub(super) fn looks(&self) -> usize {
        self.calls.take().into_iter().filter(|verb| matches!(verb, Verb::Get | Verb::List)).count()
    }
}

pub(super) async fn revoke(sessions: &Sessions, session: &ActiveSession) {
    let revocation = Revocation::by_system(EndReason::RevokedByAdmin);
    sessions.revoke(&Selector::One(session.id()), revocation).await.unwrap();
}

/// How the stream ends, within `limit`, and after which time.
pub(super) async fn end_within(limit: Duration, watch: &mut SessionWatch) -> (StreamEnd, Duration) {
    let began = now();
    let end = timeout(limit, watch.ended()).await.expect("the stream ends");
    (end, now() - began)
}

/// The stream stays open for as long.
pub(super) async fn stays_open(time: Duration, watch: &mut SessionWatch) {
    if let Ok(end) = timeout(time, watch.ended()).await {
        panic!("the stream ended: {end}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the runtime's virtual time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) const MILLI: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
