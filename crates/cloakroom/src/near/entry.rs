//! What is remembered of one digest.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cloakroom_core::{SessionRecord, Timestamp, TokenDigest, Tombstone, judge};
use cloakroom_store::{Live, Lookup, Retired, Version};

/// What the store answered once, and to which generation of its part that belongs.
///
/// A copy is what a reader gets: one more reference to the record, nothing allocated.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) generation: u64,
    pub(crate) kept: Kept,
    bytes: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// It lived.
    Live(KeptLive),
    /// It had ended, by decision, or its token was exchanged: that stays true.
    Over {
        what: Arc<Over>,
        /// After which removal of tombstones by this node the store said so.
        since_sweep: u64,
    },
}

/// A record, and activity that moves beside it.
#[derive(Debug)]
pub(crate) struct KeptLive {
    pub(crate) record: Arc<SessionRecord>,
    pub(crate) version: Version,
    /// The last activity that the store has acknowledged; what the session is judged by.
    seen_at: AtomicI64,
    /// The last activity that waits to be written down; judges nothing.
    noted_at: AtomicI64,
}

impl KeptLive {
    pub(crate) fn seen_at(&self) -> Timestamp {
        Timestamp::from_millis(self.seen_at.load(Ordering::Relaxed))
    }

    pub(crate) fn noted_at(&self) -> Timestamp {
        Timestamp::from_millis(self.noted_at.load(Ordering::Relaxed))
    }

    /// Remembers that activity at `at` waits to be written down.
    pub(crate) fn note(&self, at: Timestamp) {
        self.noted_at.fetch_max(at.as_millis(), Ordering::Relaxed);
    }

    /// The store has acknowledged a touch at `now`, of activity at `seen_at`. It has taken effect if the session lived by
    /// `now`, for what time alone decides: the store knows of no earlier activity than this entry does.
    pub(crate) fn touched(&self, seen_at: Timestamp, now: Timestamp) {
        if judge(&self.record, self.seen_at(), now).is_active() {
            self.seen_at.fetch_max(seen_at.as_millis(), Ordering::Relaxed);
        }
    }
}

impl Clone for KeptLive {
    fn clone(&self) -> Self {
        Self {
            record: Arc::clone(&self.record),
            version: self.version,
            seen_at: AtomicI64::new(self.seen_at.load(Ordering::Relaxed)),
            noted_at: AtomicI64::new(self.noted_at.load(Ordering::Relaxed)),
        }
    }
}

/// What is over for good.
#[derive(Clone, Debug)]
pub(crate) enum Over {
    Ended(Tombstone),
    Retired(Retired),
}

impl Entry {
    /// What of `answer` can be remembered. Not that a session is unknown: whoever makes tokens up would fill the memory. Nor
    /// that time has ended it: another clock may see it alive still, and keep it so.
    pub(crate) fn of(answer: &Lookup, generation: u64, since_sweep: u64) -> Option<Self> {
        let over = |what| Kept::Over { what: Arc::new(what), since_sweep };
        let (kept, content) = match answer {
            Lookup::Live(live) => (Kept::Live(kept_live(live)), live.record.memory_size()),
            Lookup::Ended(tombstone) if tombstone.reason.is_expiry() => return None,
            Lookup::Ended(tombstone) => {
                let name = tombstone.principal.as_ref().map_or(0, |principal| principal.as_str().len());
                (over(Over::Ended(tombstone.clone())), size_of::<Over>() + name)
            }
            Lookup::Retired(retired) => (over(Over::Retired(*retired)), size_of::<Over>()),
            Lookup::Unknown => return None,
        };
        let bytes = u32::try_from(content.saturating_add(OVERHEAD)).unwrap_or(u32::MAX);
        Some(Self { generation, kept, bytes })
    }

    /// What it takes in memory, the table around it included.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.bytes)
    }

    /// Whether this says more than an `answer` that says "alive", if both are of one generation: that the session is over,
    /// or that it has been changed since. Answers may overtake each other; what a node knows does not go back.
    pub(crate) fn outranks(&self, answer: &Live) -> bool {
        match &self.kept {
            Kept::Live(live) => live.version > answer.version,
            Kept::Over { .. } => true,
        }
    }

    /// Whether this says less than an `answer` that says "alive": the record has been changed since.
    pub(crate) fn is_older_than(&self, answer: &Live) -> bool {
        matches!(&self.kept, Kept::Live(live) if live.version < answer.version)
    }
}

fn kept_live(live: &Live) -> KeptLive {
    let seen_at = live.last_seen_at.as_millis();
    KeptLive {
        record: Arc::clone(&live.record),
        version: live.version,
        seen_at: AtomicI64::new(seen_at),
        noted_at: AtomicI64::new(seen_at),
    }
}

/// What an entry takes besides the record: its place in the table, with the room that a table keeps for growing and for
/// remembering what it has evicted.
pub(crate) const OVERHEAD: usize = 2 * (size_of::<TokenDigest>() + size_of::<Entry>() + TABLE);
/// Bytes that the table adds to each key and value.
const TABLE: usize = 21;
