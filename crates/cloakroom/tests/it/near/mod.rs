//! Sessions in the memory of a node. Two nodes of one store: one with a near cache, whose feed a test holds and cuts; whatever
//! happens elsewhere happens through the other.

mod costs;
mod endings;
mod faults;
mod seen;
mod touches;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{
    ActiveSession, EndReason, ManualClock, NearCachePolicy, NearCacheState, Reach, Revocation, Selector,
    SessionToken, Sessions, Store, Validation,
};
use cloakroom_conformance::{CountingStore, FaultyStore, GatedStore, SwitchedStore};
use cloakroom_memory::MemoryStore;
use cloakroom_store::Capabilities;
use tokio::task::JoinHandle;

use crate::support::{MILLI, World, policy};

pub(super) const LEASE: Duration = Duration::from_secs(1);

pub(super) struct Pair {
    pub(super) here: World,
    pub(super) elsewhere: World,
    pub(super) calls: Arc<CountingStore>,
    pub(super) faults: Arc<FaultyStore>,
    pub(super) gates: Arc<GatedStore>,
    pub(super) feed: Arc<SwitchedStore>,
    pub(super) clock: Arc<ManualClock>,
    upkeep: Option<JoinHandle<()>>,
}

fn shared<S: Store>(store: &Arc<S>) -> Arc<dyn Store> {
    Arc::<S>::clone(store)
}

impl Pair {
    /// Nobody watches yet.
    pub(super) fn unwatched() -> Self {
        let clock = Arc::new(ManualClock::default());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let elsewhere = World::at(Arc::clone(&store), policy(), Arc::clone(&clock));
        let feed = Arc::new(SwitchedStore::new(store).claiming(Capabilities::ALL));
        let gates = Arc::new(GatedStore::new(shared(&feed)));
        let faults = Arc::new(FaultyStore::new(shared(&gates)));
        let calls = Arc::new(CountingStore::new(shared(&faults)));
        let mut here = World::at(shared(&calls), policy(), Arc::clone(&clock));
        here.sessions = Sessions::builder_shared(shared(&calls))
            .policy(policy())
            .clock(Arc::clone(&clock))
            .events(Arc::clone(&here.ears))
            .near_cache(NearCachePolicy::new(1 << 20, LEASE).unwrap())
            .build()
            .unwrap();
        Self { here, elsewhere, calls, faults, gates, feed, clock, upkeep: None }
    }

    /// The node watches, and trusts what it remembers.
    pub(super) async fn trusting() -> Self {
        let mut pair = Self::unwatched();
        pair.watch().await;
        pair
    }

    pub(super) async fn watch(&mut self) {
        let sessions = self.here.sessions.clone();
        self.upkeep = Some(tokio::spawn(async move { sessions.upkeep(std::future::pending()).await }));
        self.until_trusted().await;
    }

    /// Upkeep is gone, and with it the watch.
    pub(super) async fn stop_watching(&mut self) {
        let upkeep = self.upkeep.take().expect("the node watches");
        upkeep.abort();
        assert!(upkeep.await.unwrap_err().is_cancelled());
    }

    /// Waits, in virtual time, until everything is trusted.
    pub(super) async fn until_trusted(&self) {
        for _ in 0..PATIENCE {
            if self.state().is_trusted() {
                self.calls.take();
                return;
            }
            tokio::time::sleep(MILLI).await;
        }
        panic!("trust does not come back: {:?}", self.state());
    }

    /// A moment in which proofs that are wanted are made; no time passes by the node's clock.
    pub(super) async fn rest(&self) {
        tokio::time::sleep(MILLI).await;
    }

    /// Time passes, and proofs are made meanwhile if they are answered.
    pub(super) async fn pass(&self, time: Duration) {
        let step = LEASE / 20;
        let mut left = time;
        while !left.is_zero() {
            let now = left.min(step);
            self.clock.advance(now);
            tokio::time::sleep(now).await;
            left -= now;
        }
    }

    pub(super) fn state(&self) -> NearCacheState {
        match self.here.sessions.reach() {
            Reach::NearCache(state) => state,
            other => panic!("this node has a near cache, not {other:?}"),
        }
    }

    /// A session of `name` that this node remembers.
    pub(super) async fn warm(&self, name: &str) -> (SessionToken, ActiveSession) {
        let issued = self.elsewhere.sign_in(name).await;
        assert!(self.here.is_active(&issued.token).await);
        assert!(self.here.is_active(&issued.token).await);
        self.calls.take();
        (issued.token, issued.session)
    }

    /// What this node says of `token`, and how often it asked the store for that.
    pub(super) async fn look(&self, token: &SessionToken) -> (Validation, usize) {
        self.calls.take();
        let said = self.here.look(token).await;
        (said, self.calls.take().len())
    }

    /// Whether this node says "alive", and how often it asked the store for that.
    pub(super) async fn lives(&self, token: &SessionToken) -> (bool, usize) {
        let (said, calls) = self.look(token).await;
        (matches!(said, Validation::Active(_)), calls)
    }
}

pub(super) async fn end(sessions: &Sessions, session: &ActiveSession) {
    let because = Revocation::by_system(EndReason::Compromised);
    assert_eq!(sessions.revoke(&Selector::One(session.id()), because).await.unwrap().count(), 1);
}

/// Milliseconds of virtual time.
const PATIENCE: usize = 20_000;
