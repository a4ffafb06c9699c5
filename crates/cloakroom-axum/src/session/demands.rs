//! What a route may demand of whoever asks.

use cloakroom::{ActiveSession, FreshnessDemand};

use super::Session;
use crate::Rejection;

impl Session {
    /// The session of somebody who is signed in.
    ///
    /// # Errors
    /// Why there is none: [`Rejection::Missing`], [`Rejection::Unknown`], [`Rejection::Ended`], [`Rejection::Retired`].
    pub async fn require_signed_in(&self) -> Result<ActiveSession, Rejection> {
        let state = self.loaded().await?;
        let session = state.active().ok_or_else(|| state.absence())?;
        if session.principal().is_some() { Ok(session.clone()) } else { Err(Rejection::Missing) }
    }

    /// The session of somebody who is signed in, even where an [`Inspector`](crate::Inspector) demands that identity be
    /// proved again first.
    ///
    /// # Errors
    /// As [`require_signed_in`](Self::require_signed_in).
    ///
    /// # Security
    /// Whoever asks may be a thief. For the route at which identity is proved again, and for signing out: nothing that
    /// belongs to the principal may be shown or done.
    pub async fn require_unproven(&self) -> Result<ActiveSession, Rejection> {
        let state = self.loaded_unproven().await?;
        let session = state.active().ok_or_else(|| state.absence())?;
        if session.principal().is_some() { Ok(session.clone()) } else { Err(Rejection::Missing) }
    }

    /// The session of somebody who has the role of this name.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] where somebody else is signed in, else as
    /// [`require_signed_in`](Self::require_signed_in).
    pub async fn require_role(&self, name: &str) -> Result<ActiveSession, Rejection> {
        let session = self.require_signed_in().await?;
        let has_role = session.principal().is_some_and(|principal| principal.has_role(name));
        if has_role { Ok(session) } else { Err(Rejection::Forbidden) }
    }

    /// The session of somebody who proved identity as `demand` asks (ASVS 7.5.1).
    ///
    /// # Errors
    /// [`Rejection::ReauthenticationRequired`] where the proof is too old or too weak, else as
    /// [`require_signed_in`](Self::require_signed_in).
    ///
    /// # Security
    /// By the store's own word, as [`confirm`](Self::confirm): what demands a fresh proof is not done under a session that
    /// was ended elsewhere a moment ago.
    ///
    /// # Cost
    /// One round trip, also where the session is in this node's memory.
    pub async fn require_fresh(&self, demand: &FreshnessDemand) -> Result<ActiveSession, Rejection> {
        self.confirm().await?;
        let session = self.require_signed_in().await?;
        if session.meets(demand, self.now()) { Ok(session) } else { Err(Rejection::ReauthenticationRequired) }
    }
}
