//! One look at the store, for one session.

use cloakroom_core::{EndReason, SessionId, Timestamp, Tombstone, Verdict, idle_expires_at, judge};
use cloakroom_store::{ErrorKind, ListItem, Live, Lookup, StoreError, Verb};
use tokio::time::timeout_at;

use super::StreamEnd;
use super::duty::{Errand, Finding};
use super::entry::Facts;
use crate::Sessions;
use crate::sealed::{Covered, Seals};
use crate::system::timer_now;

impl Sessions {
    /// Looks a session up, by its token and, where that was exchanged, by its id; the store itself is asked.
    pub(super) async fn look(&self, errand: &Errand) -> Finding {
        if let Some(seals) = self.seals() {
            return self.look_sealed(seals, errand.session).await;
        }
        let look = async {
            let by_token = match errand.token {
                Some(_) => self.look_by_token(errand).await?,
                None => None,
            };
            match by_token {
                Some(finding) => Ok(finding),
                None => self.look_by_id(errand).await,
            }
        };
        match timeout_at(timer_now() + DEADLINE, look).await {
            Ok(Ok(finding)) => finding,
            // The failure was counted and logged where the store was asked. A record that nobody can read lets nobody in.
            Ok(Err(error)) if error.kind() == ErrorKind::Corrupt => Finding::Over(StreamEnd::Unknown),
            Ok(Err(_)) | Err(_) => Finding::Failed,
        }
    }

    /// Holds what was last seen here of a sealed session against time and the list.
    async fn look_sealed(&self, seals: &Seals, session: SessionId) -> Finding {
        let Some(known) = self.streams().last_seen(session) else { return Finding::Over(StreamEnd::Unknown) };
        if self.stands(seals, &known).await.is_err() {
            return Finding::Failed;
        }
        // A request may have brought a newer state while the list was read.
        let known = self.streams().last_seen(session).unwrap_or(known);
        match self.standing(seals, &known) {
            None => Finding::Lives(Facts::of(&known)),
            Some(Covered::Ended(tombstone)) => Finding::Over(StreamEnd::Ended(tombstone)),
            Some(Covered::Retired(_)) => Finding::LivesElsewhere(Facts::of(&known)),
        }
    }

    async fn look_by_token(&self, errand: &Errand) -> Result<Option<Finding>, StoreError> {
        let Some(digest) = errand.token else { return Ok(None) };
        let now = self.now();
        let asked = match self.near() {
            Some(near) => near.ask(digest, now),
            None => self.store().get(digest, now),
        };
        Ok(match self.ask(Verb::Get, asked).await? {
            Lookup::Live(live) => Some(judged(&live, now, Finding::Lives)),
            Lookup::Ended(tombstone) => Some(Finding::Over(StreamEnd::Ended(tombstone))),
            Lookup::Retired(_) => None,
            Lookup::Unknown => Some(Finding::Over(StreamEnd::Unknown)),
        })
    }

    async fn look_by_id(&self, errand: &Errand) -> Result<Finding, StoreError> {
        // A store that does not know what it has: only the new token leads to the session, and it is not known here.
        if !self.store().capabilities().listing {
            return Ok(Finding::Over(StreamEnd::Unproven));
        }
        let now = self.now();
        Ok(match self.find(errand.session).await? {
            Some(ListItem::Live(live)) => judged(&live, now, Finding::LivesElsewhere),
            Some(ListItem::Ended { tombstone, .. }) => Finding::Over(StreamEnd::Ended(tombstone)),
            None => Finding::Over(StreamEnd::Unknown),
        })
    }
}

/// What a live record means now. The store judged by the same instant; one that got it wrong keeps nobody in.
fn judged(live: &Live, now: Timestamp, lives: fn(Facts) -> Finding) -> Finding {
    match judge(&live.record, live.last_seen_at, now) {
        Verdict::Active => lives(Facts {
            version: live.version,
            last_seen_at: live.last_seen_at,
            idle_at: idle_expires_at(&live.record, live.last_seen_at),
            absolute_at: live.record.lifetime.absolute_expires_at,
        }),
        Verdict::Expired { reason, at } => Finding::Over(StreamEnd::Ended(expired(live, reason, at))),
    }
}

fn expired(live: &Live, reason: EndReason, at: Timestamp) -> Tombstone {
    let principal = live.record.principal.as_ref().map(|principal| principal.id().clone());
    Tombstone { session: live.record.id, principal, ended_at: at, reason }
}

/// Longest wait for one look-up. A store that hangs takes no more than so many of them with it.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(8);
