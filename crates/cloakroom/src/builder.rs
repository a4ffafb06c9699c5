//! Putting an engine together.

use std::sync::Arc;

use cloakroom_core::{Policy, PolicyError};
use cloakroom_store::Store;

use crate::sessions::{Parts, Sessions};
use crate::{Clock, EventSink, OsRandom, Random, SystemClock};

/// What an engine is made of. Only the store has to be chosen; everything else has a safe default.
#[derive(Debug)]
#[must_use = "call `build`"]
pub struct SessionsBuilder {
    parts: Parts,
}

impl SessionsBuilder {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            parts: Parts {
                store,
                policy: Policy::default(),
                clock: Arc::new(SystemClock::default()),
                random: Arc::new(OsRandom),
                events: Vec::new(),
            },
        }
    }

    /// Issues sessions under `policy` instead of the default.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.parts.policy = policy;
        self
    }

    /// Tells the time by `clock` instead of [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.parts.clock = Arc::new(clock);
        self
    }

    /// Makes tokens from `random` instead of [`OsRandom`].
    ///
    /// # Security
    /// Whoever can predict these bytes can make tokens. For tests only.
    pub fn random(mut self, random: impl Random) -> Self {
        self.parts.random = Arc::new(random);
        self
    }

    /// Also reports every event to `sink`.
    pub fn events(mut self, sink: impl EventSink) -> Self {
        self.parts.events.push(Arc::new(sink));
        self
    }

    /// The engine. It looks its metrics up now: install the recorder of metrics before.
    ///
    /// # Errors
    /// [`PolicyError`] where the policy's rules cannot be kept together.
    pub fn build(self) -> Result<Sessions, PolicyError> {
        self.parts.policy.check()?;
        Ok(Sessions::new(self.parts))
    }
}
