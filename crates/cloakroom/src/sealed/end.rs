//! Ending sealed sessions: an entry in the list.

use cloakroom_core::{EndReason, SessionId, Timestamp};
use cloakroom_store::{Ended, Ending, Selector, StoreError, Verb};

use super::Seals;
use super::store::unsupported;
use crate::revoke::Known;
use crate::{Event, EventKind, Revocation, Revoked, Sessions};

impl Seals {
    /// Ends what `selector` names. Named in the answer is the session that is known to be among it.
    ///
    /// # Errors
    /// [`StoreError`]; without a list always, as [`Unsupported`](cloakroom_store::ErrorKind::Unsupported).
    pub(crate) async fn end(
        &self,
        selector: &Selector,
        known: Option<&Known>,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Ending, StoreError> {
        self.end_for(selector, known, None, (reason, now)).await
    }

    /// The same, for a session that is begun in its place.
    pub(super) async fn end_for(
        &self,
        selector: &Selector,
        known: Option<&Known>,
        newcomer: Option<SessionId>,
        ending: (EndReason, Timestamp),
    ) -> Result<Ending, StoreError> {
        let (reason, now) = ending;
        let mirror = self.mirror().ok_or_else(|| unsupported(Verb::End))?;
        if let Selector::One(session) = selector
            && mirror.knows_end_of(*session)
        {
            return Ok(Ending::default());
        }
        let Some(entry) = self.entry_of_end(mirror, selector, known, newcomer, ending)? else {
            return Ok(Ending::default());
        };
        mirror.write(&[entry]).await?;
        let ended = |known: &Known| Ended {
            session: known.session,
            principal: known.principal.clone(),
            at: now,
            reason,
        };
        let known = known.filter(|known| is_among(known, selector)).map(ended);
        let named = match selector {
            Selector::One(session) => {
                Some(known.unwrap_or(Ended { session: *session, principal: None, at: now, reason }))
            }
            _ => known,
        };
        Ok(Ending { ended: named.into_iter().collect(), swept_later: 0 })
    }

    /// Forgets what no token can meet any more as of `now`.
    pub(super) async fn forget_over(&self, now: Timestamp) {
        self.tally.forget_over(now);
        if let Some(mirror) = self.mirror() {
            mirror.forget_over(now).await;
        }
    }
}

impl Sessions {
    /// Ends sealed sessions, and tells of it: of each that is known by name, and else once of the decision.
    pub(crate) async fn end_sealed(
        &self,
        seals: &Seals,
        selector: &Selector,
        revocation: Revocation,
        now: Timestamp,
    ) -> Result<Revoked, StoreError> {
        let Revocation { reason, actor, known } = revocation;
        let ending = self.ask(Verb::End, seals.end(selector, known.as_ref(), reason, now)).await?;
        for ended in &ending.ended {
            self.report_end(ended, &actor);
        }
        if matches!(selector, Selector::One(_)) {
            return Ok(Revoked::counted(ending.ended, 0));
        }
        let mut event = Event::new(EventKind::Ended(reason), now).by(actor);
        if let Selector::Principal { principal, .. } = selector {
            event.principal = Some(principal.clone());
        }
        self.report(&event);
        Ok(Revoked::uncounted(ending.ended))
    }
}

/// Whether a session is among those that `selector` names, as far as that can be told.
fn is_among(known: &Known, selector: &Selector) -> bool {
    match selector {
        Selector::One(session) => known.session == *session,
        Selector::Principal { principal, except } => {
            known.principal.as_ref() == Some(principal) && *except != Some(known.session)
        }
        Selector::All => true,
        _ => false,
    }
}
