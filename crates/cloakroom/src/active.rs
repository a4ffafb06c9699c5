//! A session that was found alive.

use std::sync::Arc;

use cloakroom_core::{
    Attribute, AttributeError, Attributes, Authentication, Device, FreshnessDemand, Persistence, Principal,
    SessionId, SessionRecord, SessionToken, Timestamp, TokenDigest, idle_expires_at,
};
use cloakroom_store::{Live, Version};
use serde::de::DeserializeOwned;

use crate::sealed::Seal;

/// A session that was alive when it was looked up, as it was then.
///
/// A snapshot: it does not change. [`Sessions`](crate::Sessions) takes it to change the session and gives a newer one
/// back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActiveSession {
    digest: TokenDigest,
    live: Live,
    /// Where no store keeps it.
    seal: Option<Arc<Seal>>,
}

impl ActiveSession {
    #[inline]
    pub(crate) fn new(digest: TokenDigest, live: Live) -> Self {
        Self { digest, live, seal: None }
    }

    /// A session that travels in its token. Inside the server it goes by the digest of what stands for the token's core.
    pub(crate) fn sealed(live: Live, seal: Seal) -> Self {
        Self { digest: seal.binding.digest(), live, seal: Some(Arc::new(seal)) }
    }

    /// The public name of this session.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.live.record.id
    }

    /// Whom it speaks for; `None` while anonymous.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.live.record.principal.as_deref()
    }

    /// How its principal proved who they are; `None` while anonymous.
    #[must_use]
    pub fn authentication(&self) -> Option<&Authentication> {
        self.live.record.authentication.as_deref()
    }

    /// Whether its principal proved identity as `demand` asks, as of `now` (ASVS 7.5.1). Never for an anonymous one.
    #[must_use]
    pub fn meets(&self, demand: &FreshnessDemand, now: Timestamp) -> bool {
        self.authentication().is_some_and(|authentication| authentication.meets(demand, now))
    }

    /// The application's data.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.live.record.attributes
    }

    /// The value of `attribute`, or `None` where there is none.
    ///
    /// # Errors
    /// [`AttributeError::Decode`] where the stored value is no `T`.
    pub fn get<T: DeserializeOwned>(&self, attribute: &Attribute<T>) -> Result<Option<T>, AttributeError> {
        self.attributes().get(attribute)
    }

    /// What it was issued to, or identity was last proved with.
    #[must_use]
    pub fn device(&self) -> Option<&Device> {
        self.live.record.device.as_deref()
    }

    /// When it was issued.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.live.record.created_at
    }

    /// Its last activity, this look-up included where it counts as activity.
    #[must_use]
    pub fn last_seen_at(&self) -> Timestamp {
        self.live.last_seen_at
    }

    /// When it ends if nothing more is heard of it.
    #[must_use]
    pub fn idle_expires_at(&self) -> Timestamp {
        idle_expires_at(&self.live.record, self.live.last_seen_at)
    }

    /// When it ends whatever happens.
    #[must_use]
    pub fn absolute_expires_at(&self) -> Timestamp {
        self.live.record.lifetime.absolute_expires_at
    }

    /// Whether its cookie outlives the browser.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        self.live.record.lifetime.persistence
    }

    /// Its record.
    #[must_use]
    pub fn record(&self) -> &Arc<SessionRecord> {
        &self.live.record
    }

    /// The version of its record.
    #[must_use]
    pub fn version(&self) -> Version {
        self.live.version
    }

    /// The digest it was found under. Of a sealed session, that of its [`binding`](Self::binding).
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        self.digest
    }

    /// What stands for a sealed session's token inside the server: the same for as long as the token is not exchanged,
    /// though its text changes with each sealing. `None` where a store keeps the session, whose token does not change.
    ///
    /// # Security
    /// For what is bound to a token, such as CSRF tokens. It opens nothing and is never handed out.
    #[must_use]
    pub fn binding(&self) -> Option<&SessionToken> {
        self.seal.as_ref().map(|seal| &seal.binding)
    }

    /// What the client of a sealed session has to carry from now on to have it as it is here: after activity that was due,
    /// after a change, after keys were exchanged. `None` where it carries that already, and where a store keeps the session.
    ///
    /// Whoever answers the client hands it out, in the manner in which the token came, and only in an answer that succeeds in
    /// what it says. Where it never arrives, the client has the session as it was before.
    #[must_use]
    pub fn replacement(&self) -> Option<&SessionToken> {
        self.seal.as_ref()?.replacement.as_ref()
    }

    #[inline]
    pub(crate) fn seal(&self) -> Option<&Seal> {
        self.seal.as_deref()
    }

    #[inline]
    pub(crate) fn seen_at(mut self, at: Timestamp) -> Self {
        self.live.last_seen_at = self.live.last_seen_at.max(at);
        self
    }
}
