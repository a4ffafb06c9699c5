//! How nodes learn that moving has begun: a mark in the stores themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom_core::{EndReason, SessionId, Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{Entry, Filed, Lookup, Store, StoreError};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::system::timer_now;

/// Whether moving has begun, as far as this node knows. Once it has, it has for good.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) begun: AtomicBool,
    asked_at: Mutex<Option<Instant>>,
}

impl Stage {
    /// Whether moving has begun; asks the stores at most once a second. A store that cannot be asked is no news.
    pub(super) async fn has_begun(&self, old: &dyn Store, new: &dyn Store, now: Timestamp) -> bool {
        if self.begun.load(Ordering::Acquire) {
            return true;
        }
        {
            let mut asked_at = self.asked_at.lock();
            let asked = timer_now();
            if asked_at.is_some_and(|at| asked.saturating_duration_since(at) < ASKED_EVERY) {
                return false;
            }
            *asked_at = Some(asked);
        }
        let (arriving, leaving) = (Mark::Arriving.digest(), Mark::Leaving.digest());
        let (in_new, in_old) = tokio::join!(new.get(arriving, now), old.get(leaving, now));
        let begun = is_mark(&in_new, Mark::Arriving) || is_mark(&in_old, Mark::Leaving);
        if begun {
            self.begun.store(true, Ordering::Release);
            tracing::info!(event = "session_store_moving", "sessions are being moved to the new store");
        }
        begun
    }

    /// Leaves a mark in each store: either is enough, and one of them may forget.
    pub(super) async fn begin(
        &self,
        old: &dyn Store,
        new: &dyn Store,
        now: Timestamp,
    ) -> Result<Beginning, StoreError> {
        if is_mark(&Ok(new.get(Mark::Leaving.digest(), now).await?), Mark::Leaving) {
            return Ok(Beginning::TargetWasLeft);
        }
        new.import(&Mark::Arriving.filed(now), now).await?;
        old.import(&Mark::Leaving.filed(now), now).await?;
        self.begun.store(true, Ordering::Release);
        let since = begun_at(old, new, now).await?.unwrap_or(now);
        Ok(Beginning::Begun { since })
    }
}

/// Since when sessions have been moving. Where the marks differ, one is of another move, or was forgotten and written again: the
/// later one counts, since before it some server may have filed in the old store.
pub(super) async fn begun_at(
    old: &dyn Store,
    new: &dyn Store,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let (arriving, leaving) = (Mark::Arriving.digest(), Mark::Leaving.digest());
    let (in_new, in_old) = tokio::join!(new.get(arriving, now), old.get(leaving, now));
    Ok(written_at(&in_new?, Mark::Arriving).max(written_at(&in_old?, Mark::Leaving)))
}

/// What came of the wish to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "nothing may be moved into a store that was left"]
pub enum Beginning {
    /// Every server that knows both stores begins within a second.
    Begun {
        /// When moving began: now, or with an earlier call.
        since: Timestamp,
    },
    /// Sessions were moved away from the target before. It still knows them as gone, so that they could not come back: take
    /// another place, or an empty one. Nothing has changed.
    TargetWasLeft,
}

/// What a store is to a move. The same store may be left later by another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    Leaving,
    Arriving,
}

impl Mark {
    const ALL: [Self; 2] = [Self::Leaving, Self::Arriving];

    /// The mark: the tombstone of a session that never was. It grants nothing, counts as nothing, and needs nothing of a
    /// store that it has not.
    fn filed(self, now: Timestamp) -> Filed {
        let session = self.session();
        let tombstone = Tombstone { session, principal: None, ended_at: now, reason: EndReason::Replaced };
        let entry = Entry::Ended { tombstone, created_at: now, kept_until: now.plus(MARK_KEPT) };
        Filed { digest: self.digest(), entry }
    }

    /// No token has this digest: finding one would be a pre-image.
    fn digest(self) -> TokenDigest {
        TokenDigest::from_bytes(&[self.byte(); TokenDigest::LENGTH]).expect("it has the length of a digest")
    }

    fn session(self) -> SessionId {
        SessionId::from_bytes([self.byte(); SessionId::LENGTH])
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Leaving => 0x4c,
            Self::Arriving => 0x41,
        }
    }
}

/// Whether this entry is a mark.
pub(super) fn is_mark_digest(digest: TokenDigest) -> bool {
    Mark::ALL.iter().any(|mark| mark.digest() == digest)
}

fn is_mark(answer: &Result<Lookup, StoreError>, mark: Mark) -> bool {
    matches!(answer, Ok(lookup) if written_at(lookup, mark).is_some())
}

fn written_at(lookup: &Lookup, mark: Mark) -> Option<Timestamp> {
    match lookup {
        Lookup::Ended(tombstone) if tombstone.session == mark.session() => Some(tombstone.ended_at),
        _ => None,
    }
}

/// How soon a node notices that moving has begun.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// Longer than any move takes, and any node that takes part in it runs.
const MARK_KEPT: Duration = Duration::from_secs(366 * 24 * 3600);
