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
        let (in_new, in_old) = tokio::join!(new.get(mark_digest(), now), old.get(mark_digest(), now));
        let begun = [in_new, in_old].iter().any(is_mark);
        if begun {
            self.begun.store(true, Ordering::Release);
            tracing::info!(event = "session_store_moving", "sessions are being moved to the new store");
        }
        begun
    }

    /// Leaves the mark in both stores: either is enough, and one of them may forget.
    pub(super) async fn begin(
        &self,
        old: &dyn Store,
        new: &dyn Store,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let filed = mark(now);
        new.import(&filed, now).await?;
        old.import(&filed, now).await?;
        self.begun.store(true, Ordering::Release);
        Ok(())
    }
}

/// Whether this entry is the mark.
pub(super) fn is_mark_digest(digest: TokenDigest) -> bool {
    digest == mark_digest()
}

fn is_mark(answer: &Result<Lookup, StoreError>) -> bool {
    matches!(answer, Ok(Lookup::Ended(tombstone)) if tombstone.session == mark_id())
}

/// The mark: the tombstone of a session that never was. It grants nothing, counts as nothing, and needs nothing of a
/// store that it has not.
fn mark(now: Timestamp) -> Filed {
    let tombstone =
        Tombstone { session: mark_id(), principal: None, ended_at: now, reason: EndReason::Replaced };
    let entry = Entry::Ended { tombstone, created_at: now, kept_until: now.plus(MARK_KEPT) };
    Filed { digest: mark_digest(), entry }
}

/// No token has this digest: finding one would be a pre-image.
fn mark_digest() -> TokenDigest {
    TokenDigest::from_bytes(&[0x4d; TokenDigest::LENGTH]).expect("it has the length of a digest")
}

fn mark_id() -> SessionId {
    SessionId::from_bytes([0x4d; SessionId::LENGTH])
}

/// How soon a node notices that moving has begun.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// Longer than any move takes, and any node that takes part in it runs.
const MARK_KEPT: Duration = Duration::from_secs(366 * 24 * 3600);
