//! Ending sealed sessions: an entry in the list.

use cloakroom_core::{EndReason, PrincipalId, Timestamp};
use cloakroom_store::{Applied, Ended, Ending, Selector, StoreError, Verb};

use super::Seals;
use super::entries::{Asked, Plan};
use super::store::unsupported;
use super::tally::{Cause, Room};
use crate::event::Masked;
use crate::revoke::Known;
use crate::{Event, EventKind, Revocation, Revoked, Sessions};

/// What became of an end.
#[derive(Debug, Default)]
pub(super) struct Entered {
    pub(super) ending: Ending,
    /// Whose sessions all ended for want of room, where one was to.
    pub(super) widened: Option<PrincipalId>,
}

impl Seals {
    /// Ends what is asked for. Named in the answer is the session that is known to be among it.
    ///
    /// # Errors
    /// [`StoreError`]; without a list always, as [`Unsupported`](cloakroom_store::ErrorKind::Unsupported).
    pub(super) async fn end(&self, asked: Asked<'_>) -> Result<Entered, StoreError> {
        let Asked { selector, known, reason, now, .. } = asked;
        let mirror = self.mirror().ok_or_else(|| unsupported(Verb::End))?;
        if let Selector::One(session) = selector
            && mirror.knows_end_of(*session)
        {
            return Ok(Entered::default());
        }
        let Some(Plan { entries, mut room, widened }) = self.plan_of_end(mirror, &asked)? else {
            return Ok(Entered::default());
        };
        room.iter_mut().for_each(Room::keep);
        if let Err(error) = mirror.write(&entries).await {
            if let (Applied::No, Some(room)) = (error.applied(), room) {
                room.give_back();
            }
            return Err(error);
        }
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
        let ending = Ending { ended: named.into_iter().collect(), swept_later: 0 };
        Ok(Entered { ending, widened })
    }

    /// Forgets what no token can meet any more as of `now`.
    pub(super) async fn forget_over(&self, now: Timestamp) {
        self.tally.forget_over(now).await;
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
        let Revocation { reason, actor, known, is_again } = revocation;
        let cause = Cause::of(&actor, reason);
        let asked = Asked { selector, known: known.as_ref(), newcomer: None, cause, is_again, reason, now };
        let Entered { ending, widened } = self.ask(Verb::End, seals.end(asked)).await?;
        for ended in &ending.ended {
            self.report_end(ended, &actor);
        }
        self.report_widened(seals, widened, now);
        if matches!(selector, Selector::One(_)) {
            return Ok(Revoked::counted(ending.ended, 0));
        }
        if is_again {
            return Ok(Revoked::uncounted(ending.ended));
        }
        let mut event = Event::new(EventKind::Ended(reason), now).by(actor);
        if let Selector::Principal { principal, .. } = selector {
            event.principal = Some(principal.clone());
        }
        self.report(&event);
        Ok(Revoked::uncounted(ending.ended))
    }

    /// Tells that all sessions of a principal have ended where one was to: they ended so many that nobody can remember each.
    pub(super) fn report_widened(&self, seals: &Seals, widened: Option<PrincipalId>, now: Timestamp) {
        let Some(principal) = widened else { return };
        seals.metrics.widened.increment(1);
        tracing::warn!(
            event = "session_ends_widened",
            principal = %Masked(Some(&principal)),
            "so many sessions of one principal were ended one by one that this end was one of all of theirs: whatever signs in and \
             out all day should keep its session"
        );
        let mut event = Event::new(EventKind::Ended(EndReason::SessionLimit), now);
        event.principal = Some(principal);
        self.report(&event);
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
