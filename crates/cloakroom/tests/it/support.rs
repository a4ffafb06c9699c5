//! An engine with a clock that stands still, and ears.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{
    ActiveSession, Activity, AuthLevel, Authentication, Clock as _, EndReason, Event, EventKind, EventSink,
    Issue, Issued, ManualClock, Method, Policy, Principal, PrincipalId, SessionToken, Sessions, Timeouts,
    Tombstone, Validation,
};
use cloakroom_memory::MemoryStore;
use cloakroom_store::Store;
use parking_lot::Mutex;

pub(crate) const IDLE: Duration = Duration::from_secs(600);
pub(crate) const ABSOLUTE: Duration = Duration::from_secs(3_600);
pub(crate) const TOUCH: Duration = Duration::from_secs(30);
pub(crate) const RETENTION: Duration = Duration::from_secs(7_200);
pub(crate) const MILLI: Duration = Duration::from_millis(1);

/// Ten minutes idle, an hour at most, touched every thirty seconds.
pub(crate) fn policy() -> Policy {
    Policy::default()
        .with_timeouts(Timeouts { idle: IDLE, absolute: ABSOLUTE })
        .with_touch_interval(TOUCH)
        .with_tombstone_retention(RETENTION)
}

/// Remembers every event.
#[derive(Debug, Default)]
pub(crate) struct Ears(Mutex<Vec<Event>>);

impl EventSink for Ears {
    fn record(&self, event: &Event) {
        self.0.lock().push(event.clone());
    }
}

impl Ears {
    /// The kinds heard since the last call.
    pub(crate) fn kinds(&self) -> Vec<EventKind> {
        self.events().into_iter().map(|event| event.kind).collect()
    }

    /// The events heard since the last call.
    pub(crate) fn events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock())
    }
}

pub(crate) struct World {
    pub(crate) sessions: Sessions,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ears: Arc<Ears>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::under(policy())
    }

    pub(crate) fn under(policy: Policy) -> Self {
        Self::over(Arc::new(MemoryStore::default()), policy)
    }

    pub(crate) fn over(store: Arc<dyn Store>, policy: Policy) -> Self {
        let clock = Arc::new(ManualClock::default());
        Self::at(store, policy, clock)
    }

    pub(crate) fn at(store: Arc<dyn Store>, policy: Policy, clock: Arc<ManualClock>) -> Self {
        let ears = Arc::new(Ears::default());
        let sessions = Sessions::builder_shared(store)
            .policy(policy)
            .clock(Arc::clone(&clock))
            .events(Arc::clone(&ears))
            .build()
            .unwrap();
        Self { sessions, clock, ears }
    }

    /// Another node on the same store and the same clock.
    pub(crate) fn other_node(&self) -> Self {
        Self::at(Arc::clone(self.sessions.store()), self.sessions.policy().clone(), Arc::clone(&self.clock))
    }

    pub(crate) async fn visitor(&self) -> Issued {
        self.sessions.issue(Issue::anonymous()).await.unwrap().expect_issued()
    }

    pub(crate) async fn sign_in(&self, name: &str) -> Issued {
        self.sessions.issue(self.wish(name)).await.unwrap().expect_issued()
    }

    /// What is asked for when `name` signs in by password now.
    pub(crate) fn wish(&self, name: &str) -> Issue {
        let proof = Authentication::new(AuthLevel::One, Method::password(), self.clock.now());
        Issue::signed_in(Principal::new(principal(name)), proof)
    }

    pub(crate) async fn validate(&self, token: &SessionToken) -> Validation {
        self.sessions.validate(token, Activity::Counts).await.unwrap()
    }

    pub(crate) async fn look(&self, token: &SessionToken) -> Validation {
        self.sessions.validate(token, Activity::Ignored).await.unwrap()
    }

    pub(crate) async fn active(&self, token: &SessionToken) -> ActiveSession {
        match self.look(token).await {
            Validation::Active(session) => session,
            other => panic!("expected an active session, found {other:?}"),
        }
    }

    pub(crate) async fn ended(&self, token: &SessionToken) -> Tombstone {
        match self.look(token).await {
            Validation::Ended(tombstone) => tombstone,
            other => panic!("expected an ended session, found {other:?}"),
        }
    }

    pub(crate) async fn is_active(&self, token: &SessionToken) -> bool {
        matches!(self.look(token).await, Validation::Active(_))
    }

    pub(crate) async fn end_reason(&self, token: &SessionToken) -> EndReason {
        self.ended(token).await.reason
    }
}

pub(crate) fn principal(name: &str) -> PrincipalId {
    PrincipalId::new(name).unwrap()
}
