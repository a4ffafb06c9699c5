//! Putting an engine together.

use std::sync::Arc;

use cloakroom_core::{Policy, PolicyError};
use cloakroom_store::{RevocationList, Sealing, Store};

use crate::near::Harm;
use crate::sealed::{SealedParts, SealedPolicy};
use crate::sessions::{Keeping, Parts, Sessions};
use crate::{Clock, EventSink, NearCachePolicy, OsRandom, Random, StreamPolicy, SystemClock};

/// What an engine is made of. Only the store has to be chosen; everything else has a safe default.
#[derive(Debug)]
#[must_use = "call `build`"]
pub struct SessionsBuilder {
    parts: Parts,
}

impl SessionsBuilder {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self::keeping(Keeping::Store(store))
    }

    pub(crate) fn sealed(sealing: Arc<dyn Sealing>) -> Self {
        let policy = SealedPolicy::default();
        Self::keeping(Keeping::Sealed(SealedParts { sealing, list: None, policy }))
    }

    fn keeping(keeping: Keeping) -> Self {
        Self {
            parts: Parts {
                keeping,
                policy: Policy::default(),
                clock: Arc::new(SystemClock::default()),
                random: Arc::new(OsRandom),
                events: Vec::new(),
                near_cache: NearCachePolicy::default(),
                streams: StreamPolicy::default(),
                harm: Harm::default(),
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

    /// Keeps sessions of a shared store in memory by `policy` instead of the default.
    ///
    /// Without effect where the store belongs to this process alone or cannot tell of changes: [`Sessions::reach`] says
    /// how it stands.
    ///
    /// # Security
    /// The lease bounds how long after its end another node may still accept a session (G5): the same on all nodes of a
    /// store.
    pub fn near_cache(mut self, policy: NearCachePolicy) -> Self {
        self.parts.near_cache = policy;
        self
    }

    /// Writes ends of sealed sessions down in `list`, and reads there what other nodes have ended.
    ///
    /// All nodes that share keys use the same list, with the same [lease](Self::near_cache). Without effect where a store keeps the
    /// sessions: it knows itself what has ended.
    ///
    /// # Security
    /// Without a list a sealed session ends by time alone: signing out removes the cookie from one browser, and whoever has
    /// copied it stays signed in.
    pub fn revocations(mut self, list: Arc<dyn RevocationList>) -> Self {
        if let Keeping::Sealed(parts) = &mut self.parts.keeping {
            parts.list = Some(list);
        }
        self
    }

    /// Keeps sealed sessions by `policy` instead of the default. Without effect where a store keeps the sessions.
    pub fn sealed_policy(mut self, policy: SealedPolicy) -> Self {
        if let Keeping::Sealed(parts) = &mut self.parts.keeping {
            parts.policy = policy;
        }
        self
    }

    /// Follows the sessions of open streams by `policy` instead of the default.
    pub fn streams(mut self, policy: StreamPolicy) -> Self {
        self.parts.streams = policy;
        self
    }

    /// Breaks the near cache's protocol on purpose, to see whether a test notices.
    ///
    /// # Security
    /// Sessions that were ended are accepted then. For tests only.
    #[cfg(any(test, feature = "sabotage"))]
    pub fn dangerously_sabotage_near_cache(mut self, sabotage: crate::Sabotage) -> Self {
        self.parts.harm = Harm::by(sabotage);
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
    /// [`PolicyError`] where the policy's rules cannot be kept together, or not without records.
    pub fn build(self) -> Result<Sessions, PolicyError> {
        self.parts.policy.check()?;
        if matches!(self.parts.keeping, Keeping::Sealed(_)) && self.parts.policy.limit().is_some() {
            return Err(PolicyError::LimitWithoutRecords);
        }
        Ok(Sessions::new(self.parts))
    }
}
