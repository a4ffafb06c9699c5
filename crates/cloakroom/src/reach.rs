//! How far, and how fast, the end of a session reaches.

use std::time::Duration;

use cloakroom_store::Parts;

use crate::Sessions;

/// How an engine stands to what happens in its store elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reach {
    /// Every validation asks the store: what was ended is refused at once.
    EveryReadAsks {
        /// Why.
        because: Because,
    },
    /// Validations are answered from memory while it may be believed.
    NearCache(NearCacheState),
}

/// Why every validation asks the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Because {
    /// The policy says so.
    SwitchedOff,
    /// The store cannot tell of changes.
    Untold,
    /// The store is in this process: no memory of it is nearer.
    InProcess,
}

/// How a near cache stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NearCacheState {
    /// A session is refused by every node with this lease once so much time has passed since its end was acknowledged.
    pub lease: Duration,
    /// How many of the 256 parts of all sessions memory may be believed for; the others are asked of the store.
    pub trusted: usize,
    /// How long ago the newest probe was sent that was answered for everything; `None` where there was none since
    /// something was lost.
    pub proven_ago: Option<Duration>,
    /// Tokens whose sessions are in memory.
    pub entries: usize,
    /// Bytes that they take, at most.
    pub bytes: u64,
    /// Bytes that they may take.
    pub max_bytes: u64,
}

impl NearCacheState {
    /// Whether memory may be believed for all sessions.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.trusted == Parts::COUNT
    }
}

impl Sessions {
    /// How this engine stands to what happens in its store elsewhere.
    ///
    /// # Cost
    /// No round trip.
    #[must_use]
    pub fn reach(&self) -> Reach {
        let policy = self.near_cache_policy();
        let capabilities = self.store().capabilities();
        let Some(near) = self.near() else {
            let because = if !capabilities.shared {
                Because::InProcess
            } else if !capabilities.watch {
                Because::Untold
            } else {
                Because::SwitchedOff
            };
            return Reach::EveryReadAsks { because };
        };
        let now = self.clock().monotonic();
        Reach::NearCache(NearCacheState {
            lease: policy.lease(),
            trusted: near.trusted(),
            proven_ago: near.proven_at().map(|at| now.saturating_sub(at)),
            entries: near.entries(),
            bytes: near.bytes(),
            max_bytes: policy.max_bytes(),
        })
    }
}
