//! Ending sessions by decision.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use cloakroom_core::{EndReason, Lifetime, PrincipalId, SessionId, SessionRecord, Timestamp};
use cloakroom_store::{EndRequest, Ended, News, Parts, Selector, StoreError, Verb};

use crate::{ActiveSession, Actor, Event, RetiredToken, Sessions};

/// Why sessions are ended, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    pub(crate) reason: EndReason,
    pub(crate) actor: Actor,
    pub(crate) known: Option<Known>,
    pub(crate) is_again: bool,
}

/// What is known of a session that is to be ended, or in whose name others are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    pub(crate) session: SessionId,
    pub(crate) principal: Option<PrincipalId>,
    /// No later token of the session lives longer: a renewal only ever shortens.
    pub(crate) lifetime: Lifetime,
    pub(crate) last_seen_at: Timestamp,
}

impl Known {
    pub(crate) fn of(session: &ActiveSession) -> Self {
        Self::of_record(session.record(), session.last_seen_at())
    }

    pub(crate) fn of_record(record: &SessionRecord, last_seen_at: Timestamp) -> Self {
        let principal = record.principal.as_ref().map(|principal| principal.id().clone());
        Self { session: record.id, principal, lifetime: record.lifetime, last_seen_at }
    }
}

impl Revocation {
    /// For this reason, by `actor`.
    #[must_use]
    pub fn new(reason: EndReason, actor: Actor) -> Self {
        Self { reason, actor, known: None, is_again: false }
    }

    /// The same, once more: for whatever began since a decision that has been told already.
    ///
    /// Sessions that end by it are told one by one, as ever. Where nobody knows which those are, as of
    /// [sealed](Sessions::sealed) ones, nothing is told a second time.
    #[must_use]
    pub fn again(self) -> Self {
        Self { is_again: true, ..self }
    }

    /// For this reason, by nobody in particular.
    #[must_use]
    pub fn by_system(reason: EndReason) -> Self {
        Self::new(reason, Actor::System)
    }

    /// The same, by way of `session`: the one that signs out, or in which somebody ends others.
    ///
    /// No store needs that. Of a [sealed](Sessions::sealed) session nothing is known but what is at hand: its end is remembered
    /// only for as long as it could have lived, and is told with its principal's name.
    #[must_use]
    pub fn of(self, session: &ActiveSession) -> Self {
        Self { known: Some(Known::of(session)), ..self }
    }

    /// The same, by way of a token that was exchanged: as [`of`](Self::of) a session, as far as the token said what that was.
    #[must_use]
    pub fn of_retired(self, retired: &RetiredToken) -> Self {
        Self { known: retired.known.as_deref().cloned(), ..self }
    }

    /// The same, because of `event`, and for the session that it is about: as [`of`](Self::of) that, as far as the event knows.
    #[must_use]
    pub fn about(self, event: &Event) -> Self {
        Self { known: event.known.as_deref().cloned(), ..self }
    }
}

/// What was ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revoked {
    /// Sessions that ended by this call.
    pub ended: Vec<Ended>,
    /// How many more are refused from now on, without being named here: everything was ended at once.
    pub swept_later: u64,
    is_counted: bool,
}

impl Revoked {
    pub(crate) fn counted(ended: Vec<Ended>, swept_later: u64) -> Self {
        Self { ended, swept_later, is_counted: true }
    }

    /// `ended`, and nobody knows how many more.
    pub(crate) fn uncounted(ended: Vec<Ended>) -> Self {
        Self { ended, swept_later: 0, is_counted: false }
    }

    /// Whether [`count`](Self::count) is how many sessions ended. Not where they travel in their tokens and more than one was
    /// meant: nobody knows how many there are.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// How many sessions that is, as far as it is [known](Self::is_counted).
    #[must_use]
    pub fn count(&self) -> u64 {
        self.swept_later.saturating_add(u64::try_from(self.ended.len()).unwrap_or(u64::MAX))
    }
}

/// A revocation on its way: await it, or its [settling](Self::settled).
#[must_use = "nothing is revoked until it is awaited"]
pub struct Revoking<'a> {
    sessions: &'a Sessions,
    selector: &'a Selector,
    revocation: Revocation,
}

impl<'a> Revoking<'a> {
    /// Ends the sessions, and returns once every node is known to refuse them: when a lease has passed since the store
    /// acknowledged the end.
    ///
    /// At once for a store that belongs to this process alone.
    ///
    /// # Errors
    /// As [`Sessions::revoke`]. The waiting itself cannot fail; where it is abandoned, the sessions have ended all the same.
    ///
    /// # Security
    /// Holds where every node of the store has the same lease, or a shorter one than this. A node refuses by then because
    /// it has heard of the end, or because it has heard nothing and asks the store: whatever state it is in, and however
    /// its links fare.
    pub async fn settled(self) -> Result<Revoked, StoreError> {
        let sessions = self.sessions;
        let revoked = self.await?;
        sessions.settle().await;
        Ok(revoked)
    }
}

impl<'a> IntoFuture for Revoking<'a> {
    type Output = Result<Revoked, StoreError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.sessions.end(self.selector, self.revocation))
    }
}

impl fmt::Debug for Revoking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions: _, selector, revocation } = self;
        f.debug_struct("Revoking")
            .field("selector", selector)
            .field("revocation", revocation)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Ends the sessions that `selector` names. Idempotent: what has ended before is not counted again and keeps its
    /// reason.
    ///
    /// `IssuedBefore` an instant in the future means before now: it does not end sessions that do not exist yet.
    ///
    /// Await what this returns; or await its [`settled`](Revoking::settled) where it has to be true everywhere:
    ///
    /// ```
    /// # async fn example(sessions: &cloakroom::Sessions, alice: cloakroom::PrincipalId) -> Result<(), cloakroom::StoreError> {
    /// use cloakroom::{EndReason, Revocation, Selector};
    ///
    /// let everywhere = Selector::Principal { principal: alice, except: None };
    /// let because = Revocation::by_system(EndReason::Compromised);
    /// let revoked = sessions.revoke(&everywhere, because).settled().await?;
    /// // No node accepts any of them any more.
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError`]; the sessions live on, or do not, as the error says.
    ///
    /// # Security
    /// When this returns, the store refuses every one of them, and this node does; every other node does within its lease,
    /// and normally within milliseconds (G5). Nothing brings them back (G4).
    ///
    /// # Cost
    /// One round trip, whatever the number of sessions.
    pub fn revoke<'a>(&'a self, selector: &'a Selector, revocation: Revocation) -> Revoking<'a> {
        Revoking { sessions: self, selector, revocation }
    }

    #[tracing::instrument(name = "engine.revoke", level = "debug", skip_all)]
    async fn end(&self, selector: &Selector, revocation: Revocation) -> Result<Revoked, StoreError> {
        let now = self.now();
        let clamped = match selector {
            // An instant in the future would end sessions that do not exist yet: every sign-in until then.
            Selector::IssuedBefore(instant) if *instant > now => Some(Selector::IssuedBefore(now)),
            _ => None,
        };
        if let Some(seals) = self.seals() {
            return self.end_sealed(seals, clamped.as_ref().unwrap_or(selector), revocation, now).await;
        }
        let Revocation { reason, actor, .. } = revocation;
        let request = EndRequest { selector: clamped.as_ref().unwrap_or(selector), reason, now };
        let ending = self.ask(Verb::End, self.asked().end(request)).await?;
        for ended in &ending.ended {
            self.report_end(ended, &actor);
        }
        if let Selector::All | Selector::IssuedBefore(_) = selector {
            // Not named one by one: every open stream here has its session looked up, on stores without a feed too.
            self.streams().told(News::Anything(Parts::ALL));
        }
        // Who had run out of time by then is buried on this occasion, by some stores: told of, and not counted as put out.
        let ended = ending.ended.into_iter().filter(|ended| ended.reason == reason).collect();
        Ok(Revoked::counted(ended, ending.swept_later))
    }

    /// Returns once every node is known to refuse whatever had ended before this was called: for ends that came about
    /// otherwise than by one [`revoke`](Self::revoke), for whose [`settled`](Revoking::settled) this is the second half.
    pub async fn settle(&self) {
        let time = self.settling_time();
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    /// How long after an acknowledged end another node may still accept the session. A store that others share may be in
    /// use by nodes that keep copies of it, whether or not this one does.
    fn settling_time(&self) -> Duration {
        let shared = match self.seals() {
            Some(seals) => seals.mirror().is_some_and(|mirror| mirror.list().standing().shared),
            None => self.store().capabilities().shared,
        };
        if shared { self.near_cache_policy().lease() } else { Duration::ZERO }
    }
}
