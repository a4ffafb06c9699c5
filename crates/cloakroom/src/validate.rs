//! Token and instant in, session out.

use cloakroom_core::{SessionToken, Timestamp, TokenDigest, Tombstone, Verdict, judge, touch_due};
use cloakroom_store::{ErrorKind, Live, Lookup, Retired, Touch, Verb};

use crate::observe::Validated;
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
    /// With a near cache the answer may come from this node's memory: a session that was ended on another node is refused
    /// here within a lease, and normally within milliseconds (G5). [`validate_authoritative`](Self::validate_authoritative)
    /// asks the store.
    ///
    /// # Cost
    /// One round trip; none where the session is in the near cache, or the store in memory.
    #[tracing::instrument(name = "engine.validate", level = "debug", skip_all)]
    pub async fn validate(
        &self,
        token: &SessionToken,
        activity: Activity,
    ) -> Result<Validation, SessionError> {
        let (digest, now) = (token.digest(), self.now());
        let near = self
            .near()
            .and_then(|near| self.metrics().timed_in_cache(&**self.clock(), || near.look(&digest, now)));
        match near {
            Some(near) => {
                let validation = self.judged(digest, near.lookup, near.noted_at, activity, now).await;
                Self::tally(&self.metrics().from_cache, &validation);
                Ok(validation)
            }
            None => self.validate_in_store(digest, activity, now).await,
        }
    }

    /// What the store itself says that `token` stands for, now, whatever is in this node's memory: for what must not be
    /// done under a session that ended a moment ago elsewhere.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    ///
    /// # Security
    /// A session whose end was acknowledged before this was called, on whichever node, is not answered as active.
    ///
    /// # Cost
    /// One round trip; none for a store in memory.
    #[tracing::instrument(name = "engine.validate", level = "debug", skip_all)]
    pub async fn validate_authoritative(
        &self,
        token: &SessionToken,
        activity: Activity,
    ) -> Result<Validation, SessionError> {
        self.validate_in_store(token.digest(), activity, self.now()).await
    }

    async fn validate_in_store(
        &self,
        digest: TokenDigest,
        activity: Activity,
        now: Timestamp,
    ) -> Result<Validation, SessionError> {
        let asked = match self.near() {
            Some(near) => near.ask(digest, now),
            None => self.store().get(digest, now),
        };
        let counters = &self.metrics().from_store;
        match self.ask(Verb::Get, asked).await {
            Ok(lookup) => {
                let noted_at = match &lookup {
                    Lookup::Live(live) => live.last_seen_at,
                    _ => now,
                };
                let validation = self.judged(digest, lookup, noted_at, activity, now).await;
                Self::tally(counters, &validation);
                Ok(validation)
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                counters.unreadable.increment(1);
                counters.unknown.increment(1);
                self.report(&Event::new(EventKind::UnreadableRecord, now));
                Ok(Validation::Unknown)
            }
            Err(error) => {
                counters.failed.increment(1);
                Err(SessionError::Store(error))
            }
        }
    }

    fn tally(counters: &Validated, validation: &Validation) {
        match validation {
            Validation::Active(_) => counters.active.increment(1),
            Validation::Ended(_) => counters.ended.increment(1),
            Validation::Retired(_) => counters.retired.increment(1),
            Validation::Unknown => counters.unknown.increment(1),
        }
    }

    /// What an answer means. `noted_at` is the last activity that is written down, or waits to be.
    async fn judged(
        &self,
        digest: TokenDigest,
        lookup: Lookup,
        noted_at: Timestamp,
        activity: Activity,
        now: Timestamp,
    ) -> Validation {
        match lookup {
            Lookup::Live(live) => self.found(digest, live, noted_at, activity, now).await,
            Lookup::Ended(tombstone) => {
                let event = Event::new(EventKind::UsedAfterEnd(tombstone.reason), now);
                self.report(&event.about(tombstone.session, tombstone.principal.clone()));
                Validation::Ended(tombstone)
            }
            Lookup::Retired(retired) => {
                self.report(&Event::new(EventKind::RetiredTokenUsed, now).about(retired.session, None));
                Validation::Retired(retired)
            }
            Lookup::Unknown => {
                self.report(&Event::new(EventKind::UnknownToken, now));
                Validation::Unknown
            }
        }
    }

    async fn found(
        &self,
        digest: TokenDigest,
        live: Live,
        noted_at: Timestamp,
        activity: Activity,
        now: Timestamp,
    ) -> Validation {
        // The store judged by the same instant; a store that got it wrong lets nobody in.
        if let Verdict::Expired { reason, at } = judge(&live.record, live.last_seen_at, now) {
            let principal = live.record.principal.as_ref().map(|principal| principal.id().clone());
            return Validation::Ended(Tombstone { session: live.record.id, principal, ended_at: at, reason });
        }
        let due = activity == Activity::Counts && touch_due(noted_at, now, self.policy().touch_interval());
        let session = ActiveSession::new(digest, live);
        if !due {
            return Validation::Active(session.seen_at(noted_at));
        }
        let touch = Touch { digest, seen_at: now };
        if self.touches().defer(touch, session.idle_expires_at().since(now)) {
            if let Some(near) = self.near() {
                near.noted(&digest, now);
            }
        } else {
            self.touch_now(&[touch]).await;
        }
        Validation::Active(session.seen_at(now))
    }
}
