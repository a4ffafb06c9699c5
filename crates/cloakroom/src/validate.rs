//! Token and instant in, session out.

use std::pin::Pin;

use cloakroom_core::{
    Device, EndReason, SessionToken, Timestamp, TokenDigest, Tombstone, Verdict, judge, touch_due,
};
use cloakroom_store::{ErrorKind, Live, Lookup, Retired, StoreError, Touch, Verb};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, debug_span};

use crate::observe::{Validated, store_span, told};
use crate::sealed::By;
use crate::{ActiveSession, Event, EventKind, RetiredToken, SessionError, Sessions};

/// What a token stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Validation {
    /// A live session.
    Active(ActiveSession),
    /// A session that has ended. Tell its user why.
    Ended(Tombstone),
    /// A token that was exchanged for another. Its session may live on: refuse the request, but leave the client's
    /// cookie alone, since a sibling request may just have brought the new one.
    Retired(RetiredToken),
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

/// Whoever presents a token. Asked for more only where the token turns out to be worth an event.
pub trait Presenter: Sync {
    /// What is known of the client.
    fn device(&self) -> Device;
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
    /// One round trip; none where the session is in the near cache, or the store in memory. Then there is no allocation
    /// either, and the future does not make its caller wait.
    pub async fn validate(
        &self,
        token: &SessionToken,
        activity: Activity,
    ) -> Result<Validation, SessionError> {
        let span = debug_span!("engine.validate", outcome = Empty);
        let answer = self.in_near_or_store(&span, token, activity, None);
        answer.under(span).await
    }

    /// As [`validate`](Self::validate), with events that say from where the token came: of one that is unknown, was
    /// exchanged, or whose session has ended.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    ///
    /// # Cost
    /// As [`validate`](Self::validate): `presenter` is asked only for such an event.
    pub async fn validate_from(
        &self,
        token: &SessionToken,
        activity: Activity,
        presenter: &dyn Presenter,
    ) -> Result<Validation, SessionError> {
        let span = debug_span!("engine.validate", outcome = Empty);
        let answer = self.in_near_or_store(&span, token, activity, Some(presenter));
        answer.under(span).await
    }

    #[inline]
    fn in_near_or_store<'a>(
        &'a self,
        span: &Span,
        token: &SessionToken,
        activity: Activity,
        presenter: Option<&'a dyn Presenter>,
    ) -> Answer<'a> {
        if let Some(seals) = self.seals() {
            return self.open_sealed(seals, span, token, self.asked_now(activity, presenter), By::Memory);
        }
        let question = self.question(token, activity, presenter);
        let _entered = span.enter();
        self.ask_near(&question).unwrap_or_else(|| self.ask_store(question))
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
    pub async fn validate_authoritative(
        &self,
        token: &SessionToken,
        activity: Activity,
    ) -> Result<Validation, SessionError> {
        let span = debug_span!("engine.validate", outcome = Empty);
        let answer = self.in_store(&span, token, activity, None);
        answer.under(span).await
    }

    /// As [`validate_authoritative`](Self::validate_authoritative), with events that say from where the token came.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    ///
    /// # Cost
    /// As [`validate_authoritative`](Self::validate_authoritative).
    pub async fn validate_authoritative_from(
        &self,
        token: &SessionToken,
        activity: Activity,
        presenter: &dyn Presenter,
    ) -> Result<Validation, SessionError> {
        let span = debug_span!("engine.validate", outcome = Empty);
        let answer = self.in_store(&span, token, activity, Some(presenter));
        answer.under(span).await
    }

    #[inline]
    fn in_store<'a>(
        &'a self,
        span: &Span,
        token: &SessionToken,
        activity: Activity,
        presenter: Option<&'a dyn Presenter>,
    ) -> Answer<'a> {
        if let Some(seals) = self.seals() {
            return self.open_sealed(seals, span, token, self.asked_now(activity, presenter), By::List);
        }
        let question = self.question(token, activity, presenter);
        let _entered = span.enter();
        self.ask_store(question)
    }

    #[cold]
    fn asked_now<'a>(
        &self,
        activity: Activity,
        presenter: Option<&'a dyn Presenter>,
    ) -> crate::sealed::Question<'a> {
        crate::sealed::Question { activity, now: self.now(), presenter }
    }

    #[inline]
    fn question<'a>(
        &self,
        token: &SessionToken,
        activity: Activity,
        presenter: Option<&'a dyn Presenter>,
    ) -> Question<'a> {
        Question { digest: token.digest(), activity, now: self.now(), presenter }
    }

    #[inline]
    fn ask_near(&self, question: &Question<'_>) -> Option<Answer<'_>> {
        let near = self.near()?;
        let look = || near.look(&question.digest, question.now);
        let near = self.metrics().timed_in_cache(&**self.clock(), look)?;
        Some(self.meant(question, near.lookup, near.noted_at, &self.metrics().from_cache))
    }

    /// An answer that is there at once goes no further: nothing is put aside to be taken up again. One that is coming is
    /// waited for in a box, which costs little beside it.
    #[inline]
    fn ask_store<'a>(&'a self, question: Question<'a>) -> Answer<'a> {
        let (clock, metrics, span) =
            (&**self.clock(), self.metrics(), store_span(Verb::Get, self.metrics().store()));
        let begun = metrics.begin(clock, Verb::Get);
        let asked = {
            let _entered = span.enter();
            match self.near() {
                Some(near) => near.ask(question.digest, question.now),
                None => self.store().get(question.digest, question.now),
            }
        };
        match asked.into_ready() {
            Ok(answer) => {
                told(&span, &answer);
                metrics.finish(clock, Verb::Get, begun, &answer);
                self.answered(&question, answer)
            }
            Err(coming) => Answer::Coming(Box::pin(async move {
                let answer = coming.instrument(span.clone()).await;
                told(&span, &answer);
                drop(span);
                metrics.finish(clock, Verb::Get, begun, &answer);
                match self.answered(&question, answer) {
                    Answer::There(answer) => answer,
                    Answer::Coming(answer) => answer.await,
                }
            })),
        }
    }

    #[inline]
    fn answered(&self, question: &Question<'_>, answer: Result<Lookup, StoreError>) -> Answer<'_> {
        match answer {
            Ok(lookup) => {
                let noted_at = match &lookup {
                    Lookup::Live(live) => live.last_seen_at,
                    _ => question.now,
                };
                self.meant(question, lookup, noted_at, &self.metrics().from_store)
            }
            Err(error) => Answer::There(self.not_answered(question, error)),
        }
    }

    /// What an answer means. `noted_at` is the last activity that is written down, or waits to be.
    #[inline]
    fn meant(
        &self,
        question: &Question<'_>,
        lookup: Lookup,
        noted_at: Timestamp,
        counters: &Validated,
    ) -> Answer<'_> {
        match lookup {
            Lookup::Live(live) => self.alive(question, live, noted_at, counters),
            Lookup::Ended(tombstone) => {
                counters.ended.increment(1);
                self.ended(question, tombstone)
            }
            Lookup::Retired(retired) => {
                counters.retired.increment(1);
                self.retired(question, retired)
            }
            Lookup::Unknown => {
                counters.unknown.increment(1);
                self.report(&question.event(EventKind::UnknownToken));
                Answer::There(Ok(Validation::Unknown))
            }
        }
    }

    #[cold]
    fn ended(&self, question: &Question<'_>, tombstone: Tombstone) -> Answer<'_> {
        let event = question.event(EventKind::UsedAfterEnd(tombstone.reason)).since(tombstone.ended_at);
        self.report(&event.about(tombstone.session, tombstone.principal.clone()));
        Answer::There(Ok(Validation::Ended(tombstone)))
    }

    #[cold]
    fn retired(&self, question: &Question<'_>, retired: Retired) -> Answer<'_> {
        let event = question.event(EventKind::RetiredTokenUsed).since(retired.rotated_at);
        self.report(&event.about(retired.session, None));
        Answer::There(Ok(Validation::Retired(retired.into())))
    }

    #[inline]
    fn alive(
        &self,
        question: &Question<'_>,
        live: Live,
        noted_at: Timestamp,
        counters: &Validated,
    ) -> Answer<'_> {
        let Question { digest, activity, now, .. } = *question;
        // The store judged by the same instant; a store that got it wrong lets nobody in.
        if let Verdict::Expired { reason, at } = judge(&live.record, live.last_seen_at, now) {
            return Answer::There(Ok(Validation::Ended(expired(&live, reason, at, counters))));
        }
        counters.active.increment(1);
        let due = activity == Activity::Counts && touch_due(noted_at, now, self.policy().touch_interval());
        let session = ActiveSession::new(digest, live);
        if due {
            return self.touched(session, now);
        }
        Answer::There(Ok(Validation::Active(session.seen_at(noted_at))))
    }

    /// Notes activity that is due. Where it cannot wait, the answer waits for it.
    #[cold]
    fn touched(&self, session: ActiveSession, now: Timestamp) -> Answer<'_> {
        let touch = Touch { digest: session.digest(), seen_at: now };
        let waits = self.touches().defer(touch, session.idle_expires_at().since(now));
        let validation = Validation::Active(session.seen_at(now));
        if waits {
            if let Some(near) = self.near() {
                near.noted(&touch.digest, now);
            }
            return Answer::There(Ok(validation));
        }
        Answer::Coming(Box::pin(async move {
            self.touch_now(&[touch]).await;
            Ok(validation)
        }))
    }

    #[cold]
    fn not_answered(&self, question: &Question<'_>, error: StoreError) -> Result<Validation, SessionError> {
        let counters = &self.metrics().from_store;
        if error.kind() == ErrorKind::Corrupt {
            counters.unreadable.increment(1);
            self.report(&question.event(EventKind::UnreadableRecord));
            return Ok(Validation::Unknown);
        }
        counters.failed.increment(1);
        Err(SessionError::Store(error))
    }
}

/// What is left of a session that its store took for alive.
#[cold]
fn expired(live: &Live, reason: EndReason, ended_at: Timestamp, counters: &Validated) -> Tombstone {
    counters.ended.increment(1);
    let principal = live.record.principal.as_ref().map(|principal| principal.id().clone());
    Tombstone { session: live.record.id, principal, ended_at, reason }
}

/// What is asked of the near cache, or of the store.
#[derive(Clone, Copy)]
struct Question<'a> {
    digest: TokenDigest,
    activity: Activity,
    now: Timestamp,
    presenter: Option<&'a dyn Presenter>,
}

impl Question<'_> {
    #[cold]
    fn event(&self, kind: EventKind) -> Event {
        Event::new(kind, self.now).from_device(self.presenter.map(Presenter::device))
    }
}

/// A validation: there already, or on its way.
pub(crate) enum Answer<'a> {
    There(Result<Validation, SessionError>),
    Coming(Pin<Box<dyn Future<Output = Result<Validation, SessionError>> + Send + 'a>>),
}

impl Answer<'_> {
    /// The validation, under the span that asked for it; and in that span what came of it.
    #[inline]
    async fn under(self, span: Span) -> Result<Validation, SessionError> {
        if span.is_disabled() {
            return match self {
                Answer::There(answer) => answer,
                Answer::Coming(answer) => answer.await,
            };
        }
        let answer = match self {
            Answer::There(answer) => answer,
            Answer::Coming(answer) => answer.instrument(span.clone()).await,
        };
        span.record("outcome", outcome_of(&answer));
        answer
    }
}

fn outcome_of(answer: &Result<Validation, SessionError>) -> &'static str {
    match answer {
        Ok(Validation::Active(_)) => "active",
        Ok(Validation::Ended(_)) => "ended",
        Ok(Validation::Retired(_)) => "retired",
        Ok(Validation::Unknown) => "unknown",
        Err(_) => "error",
    }
}
