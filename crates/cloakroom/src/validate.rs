//! Token and instant in, session out.

use cloakroom_core::{SessionToken, Timestamp, TokenDigest, Tombstone, Verdict, judge, touch_due};
use cloakroom_store::{ErrorKind, Live, Lookup, Retired, Touch, Verb};

use crate::{ActiveSession, Event, EventKind, SessionError, Sessions};

/// What a token stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Validation {
    /// A live session.
    Active(ActiveSession),
    /// A session that has ended. Tell its user why.
    Ended(Tombstone),
    /// A token that was exchanged for another. Its session may live on: refuse the request, but leave the client's
    /// cookie alone, since a sibling request may just have brought the new one.
    Retired(Retired),
    /// Nothing is, or is still, known of it.
    Unknown,
}

/// Whether a request extends the session it presents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Activity {
    /// It does: somebody is there.
    #[default]
    Counts,
    /// It does not: polling, a look at the remaining time.
    Ignored,
}

impl Sessions {
    /// What `token` stands for, now.
    ///
    /// Activity that counts is written down at most once per touch interval, and not here: in batches by
    /// [`upkeep`](Self::upkeep). Only where the session is about to end, or no upkeep runs, is it written at once.
    ///
    /// # Errors
    /// [`SessionError::Store`] where the store cannot answer: the session is then neither alive nor over, and the
    /// client's cookie stays. A record that cannot be decoded is [`Validation::Unknown`] and an event, not an error.
    ///
    /// # Security
    /// Both timeouts are judged here by the engine's clock, whatever the store's own expiry does. The token is
    /// compared by its digest only.
    ///
    /// # Cost
    /// One round trip; none for a store in memory.
    #[tracing::instrument(name = "engine.validate", level = "debug", skip_all)]
    pub async fn validate(
        &self,
        token: &SessionToken,
        activity: Activity,
    ) -> Result<Validation, SessionError> {
        let validation = self.look_up(token.digest(), activity).await;
        let metrics = self.metrics();
        match &validation {
            Ok(Validation::Active(_)) => metrics.validated_active.increment(1),
            Ok(Validation::Ended(_)) => metrics.validated_ended.increment(1),
            Ok(Validation::Retired(_)) => metrics.validated_retired.increment(1),
            Ok(Validation::Unknown) => metrics.validated_unknown.increment(1),
            Err(_) => metrics.validation_failed.increment(1),
        }
        validation
    }

    async fn look_up(&self, digest: TokenDigest, activity: Activity) -> Result<Validation, SessionError> {
        let now = self.now();
        match self.ask(Verb::Get, self.store().get(digest, now)).await {
            Ok(Lookup::Live(live)) => Ok(self.found(digest, live, activity, now).await),
            Ok(Lookup::Ended(tombstone)) => {
                let event = Event::new(EventKind::UsedAfterEnd(tombstone.reason), now);
                self.report(&event.about(tombstone.session, tombstone.principal.clone()));
                Ok(Validation::Ended(tombstone))
            }
            Ok(Lookup::Retired(retired)) => {
                self.report(&Event::new(EventKind::RetiredTokenUsed, now).about(retired.session, None));
                Ok(Validation::Retired(retired))
            }
            Ok(Lookup::Unknown) => {
                self.report(&Event::new(EventKind::UnknownToken, now));
                Ok(Validation::Unknown)
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.metrics().validated_unreadable.increment(1);
                self.report(&Event::new(EventKind::UnreadableRecord, now));
                Ok(Validation::Unknown)
            }
            Err(error) => Err(SessionError::Store(error)),
        }
    }

    async fn found(&self, digest: TokenDigest, live: Live, activity: Activity, now: Timestamp) -> Validation {
        // The store judged by the same instant; a store that got it wrong lets nobody in.
        if let Verdict::Expired { reason, at } = judge(&live.record, live.last_seen_at, now) {
            let principal = live.record.principal.as_ref().map(|principal| principal.id().clone());
            return Validation::Ended(Tombstone { session: live.record.id, principal, ended_at: at, reason });
        }
        let due =
            activity == Activity::Counts && touch_due(live.last_seen_at, now, self.policy().touch_interval());
        let session = ActiveSession::new(digest, live);
        if !due {
            return Validation::Active(session);
        }
        let touch = Touch { digest, seen_at: now };
        if !self.touches().defer(touch, session.idle_expires_at().since(now)) {
            self.touch_now(&[touch]).await;
        }
        Validation::Active(session.seen_at(now))
    }
}
