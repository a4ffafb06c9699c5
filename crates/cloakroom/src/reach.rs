//! How far, and how fast, the end of a session reaches.

use std::time::Duration;

use cloakroom_store::{ListStanding, Parts};

use crate::sealed::{Mirror, Seals};
use crate::{Sessions, WhenUnreachable};

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
    /// Sessions travel in their tokens: what was ended is looked up in this node's copy of the list of ends.
    Sealed(SealedState),
}

/// How sealed sessions stand to what was ended elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SealedState {
    /// How this node's copy of the list stands; `None` where there is no list, so that sessions end by time alone.
    pub list: Option<ListState>,
}

/// How a node's copy of the list of ends stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ListState {
    /// The kind of store it is kept in.
    pub kind: &'static str,
    /// What can be relied on of it.
    pub standing: ListStanding,
    /// A session is refused by every node with this lease once so much time has passed since its end was acknowledged.
    pub lease: Duration,
    /// Whether the copy may be believed now.
    pub trusted: bool,
    /// How long ago the newest complete reading was sent; `None` before the first.
    pub read_ago: Option<Duration>,
    /// Ends that are known here.
    pub entries: usize,
    /// What becomes of requests while the list cannot be read.
    pub when_unreachable: WhenUnreachable,
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
        if let Some(seals) = self.seals() {
            return Reach::Sealed(SealedState {
                list: seals.mirror().map(|mirror| list_state(seals, mirror)),
            });
        }
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

fn list_state(seals: &Seals, mirror: &Mirror) -> ListState {
    ListState {
        kind: mirror.list().name(),
        standing: mirror.list().standing(),
        lease: mirror.lease(),
        trusted: mirror.is_trusted(),
        read_ago: mirror.read_ago(),
        entries: mirror.entries(),
        when_unreachable: seals.policy().when_unreachable(),
    }
}
