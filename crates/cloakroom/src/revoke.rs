//! Ending sessions by decision.

use cloakroom_core::EndReason;
use cloakroom_store::{EndRequest, Ended, Selector, StoreError, Verb};

use crate::{Actor, Event, Sessions};

/// Why sessions are ended, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    reason: EndReason,
    actor: Actor,
}

impl Revocation {
    /// For this reason, by `actor`.
    #[must_use]
    pub fn new(reason: EndReason, actor: Actor) -> Self {
        Self { reason, actor }
    }

    /// For this reason, by nobody in particular.
    #[must_use]
    pub fn by_system(reason: EndReason) -> Self {
        Self::new(reason, Actor::System)
    }
}

/// What was ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revoked {
    /// Sessions that ended by this call.
    pub ended: Vec<Ended>,
    /// How many more are refused from now on, without being named here: everything was ended at once.
    pub swept_later: u64,
}

impl Revoked {
    /// How many sessions that is.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.swept_later.saturating_add(u64::try_from(self.ended.len()).unwrap_or(u64::MAX))
    }
}

impl Sessions {
    /// Ends the sessions that `selector` names. Idempotent: what has ended before is not counted again and keeps its
    /// reason.
    ///
    /// `IssuedBefore` an instant in the future means before now: it does not end sessions that do not exist yet.
    ///
    /// # Errors
    /// [`StoreError`]; the sessions live on, or do not, as the error says.
    ///
    /// # Security
    /// When this returns, the store refuses every one of them, and so does every engine that asks it (G5). Nothing
    /// brings them back (G4).
    ///
    /// # Cost
    /// One round trip, whatever the number of sessions.
    #[tracing::instrument(name = "engine.revoke", level = "debug", skip_all)]
    pub async fn revoke(&self, selector: &Selector, revocation: Revocation) -> Result<Revoked, StoreError> {
        let Revocation { reason, actor } = revocation;
        let now = self.now();
        let clamped = match selector {
            // An instant in the future would end sessions that do not exist yet: every sign-in until then.
            Selector::IssuedBefore(instant) if *instant > now => Some(Selector::IssuedBefore(now)),
            _ => None,
        };
        let request = EndRequest { selector: clamped.as_ref().unwrap_or(selector), reason, now };
        let ending = self.ask(Verb::End, self.store().end(request)).await?;
        for ended in &ending.ended {
            self.report(&Event::ended(ended, &actor));
        }
        Ok(Revoked { ended: ending.ended, swept_later: ending.swept_later })
    }
}
