//! Sealed token and instant in, session out.

use std::sync::Arc;

use cloakroom_core::{
    PrincipalId, SessionRecord, SessionToken, Timestamp, Tombstone, Verdict, judge, touch_due,
};
use cloakroom_store::{ErrorKind, Live, OpenedSeal, SealRefusal, SealedContents, StoreError, Verb};
use tracing::Span;

use super::entries::{CLOCKS_APART_MAX, core_name};
use super::issue::INSTANT;
use super::judgement::{Facts, Judgement, Says, Time};
use super::mirror::{Covered, How, Sight};
use super::seal::{Claim, Seal};
use super::{Mirror, SealedStore, Seals};
use crate::revoke::Known;
use crate::validate::Answer;
use crate::{
    ActiveSession, Activity, Event, EventKind, Presenter, Refused, RetiredToken, SessionError, Sessions,
    Validation,
};

/// What is believed of the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    /// This node's copy, while it may be.
    Memory,
    /// The list itself.
    List,
}

/// Who asks, when, and whether that is activity.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) activity: Activity,
    pub(crate) now: Timestamp,
    pub(crate) presenter: Option<&'a dyn Presenter>,
}

impl Question<'_> {
    #[cold]
    fn event(&self, kind: EventKind) -> Event {
        Event::new(kind, self.now).from_device(self.presenter.map(Presenter::device))
    }
}

/// A token that was opened, and what was asked of it.
struct Opened<'a> {
    seals: &'a Seals,
    question: Question<'a>,
    contents: SealedContents,
    seal: Seal,
    is_stale: bool,
}

impl Sessions {
    /// What a sealed token stands for. An answer that is there at once goes no further; where the list has to be read, one is
    /// waited for in a box.
    pub(crate) fn open_sealed<'a>(
        &'a self,
        seals: &'a Seals,
        span: &Span,
        token: &SessionToken,
        question: Question<'a>,
        by: By,
    ) -> Answer<'a> {
        let _entered = span.enter();
        let begun = self.metrics().begin_look(&**self.clock());
        let opened = match seals.sealing.open(token, question.now) {
            Ok(opened) => seals.bounded(opened),
            Err(refusal) => {
                seals.metrics.refused(refusal);
                if refusal == SealRefusal::Undecided {
                    return Answer::There(Err(SessionError::Store(undecided())));
                }
                self.report(&question.event(EventKind::UnknownToken));
                return Answer::There(Ok(Validation::Unknown));
            }
        };
        let OpenedSeal { contents, is_stale } = opened;
        let seal = Seal::of(&contents, None);
        let opened = Opened { seals, question, contents, seal, is_stale };
        let Some(mirror) = seals.mirror() else {
            return Answer::There(match opened.seals.time_of(&opened.contents, question.now) {
                Time::Ahead => Err(SessionError::Store(seals.ahead())),
                Time::Within | Time::Over => Ok(self.judged(opened, None)),
            });
        };
        let sight = mirror.look(&opened.claim(), question.now);
        let at_once = opened.facts(&sight, by).at_once();
        seals.metrics.validated.took(&**self.clock(), begun);
        match at_once {
            Ok(judgement) => Answer::There(self.tell(opened, mirror, sight, judgement)),
            Err(need) => Answer::Coming(Box::pin(async move {
                let read = mirror.refresh(need).await;
                let sight = mirror.look(&opened.claim(), question.now);
                match opened.facts(&sight, by).after(read) {
                    Ok(judgement) => self.tell(opened, mirror, sight, judgement),
                    Err(error) => {
                        opened.seals.metrics.validated.failed.increment(1);
                        Err(SessionError::Store(error))
                    }
                }
            })),
        }
    }

    fn tell(
        &self,
        opened: Opened<'_>,
        mirror: &Mirror,
        sight: Sight,
        judgement: Judgement,
    ) -> Result<Validation, SessionError> {
        match judgement {
            Judgement::Over => Ok(self.judged(opened, sight.cover.map(|cover| cover.covered))),
            Judgement::Stands => Ok(self.judged(opened, None)),
            Judgement::StandsUnproven => {
                mirror.metrics().unproven.increment(1);
                Ok(self.judged(opened, None))
            }
            Judgement::Ahead => Err(SessionError::Store(opened.seals.ahead())),
        }
    }

    /// What a token means of which the list says this.
    fn judged(&self, opened: Opened<'_>, covered: Option<Covered>) -> Validation {
        let counters = &opened.seals.metrics.validated;
        let (question, record) = (opened.question, &opened.contents.record);
        let expired = opened.expired();
        // Whichever end came first is the one; a token that was exchanged says nothing of its session.
        let ended = match (covered, expired) {
            (Some(Covered::Ended(one)), Some(other)) => {
                Some(if other.ended_at < one.ended_at { other } else { one })
            }
            (Some(Covered::Ended(tombstone)), None) | (None, Some(tombstone)) => Some(tombstone),
            (Some(Covered::Retired(retired)), _) => {
                counters.retired.increment(1);
                let is_exchanged =
                    opened.seals.mirror().is_none_or(|mirror| mirror.was_exchanged(&opened.claim()));
                let known = Some(Box::new(Known::of_record(record, opened.contents.last_seen_at)));
                let retired = RetiredToken { known, ..retired.into() };
                self.report_retired(&question, &retired, is_exchanged);
                return Validation::Retired(retired);
            }
            (None, None) => None,
        };
        if let Some(tombstone) = ended {
            if question.now.since(tombstone.ended_at) >= record.lifetime.tombstone_retention {
                counters.unknown.increment(1);
                self.report(&question.event(EventKind::UnknownToken));
                return Validation::Unknown;
            }
            counters.ended.increment(1);
            let event = question.event(EventKind::UsedAfterEnd(tombstone.reason)).since(tombstone.ended_at);
            self.report(&event.about(tombstone.session, tombstone.principal.clone()));
            return Validation::Ended(tombstone);
        }
        counters.active.increment(1);
        let session = self.alive_sealed(opened);
        self.streams().seen(&session);
        Validation::Active(session)
    }

    /// The session, with what its client has to carry from now on where activity is due or its key is not in use any more.
    fn alive_sealed(&self, opened: Opened<'_>) -> ActiveSession {
        let Opened { seals, question, mut contents, mut seal, is_stale } = opened;
        let now = question.now;
        let due = question.activity == Activity::Counts
            && touch_due(contents.last_seen_at, now, self.policy().touch_interval());
        if due || is_stale {
            let before = contents.last_seen_at;
            if due {
                contents.last_seen_at = now;
            }
            match seals.seal(&contents, now) {
                Ok(token) => {
                    seal.replacement = Some(token);
                    if due {
                        self.metrics().touches_written.increment(1);
                    }
                }
                // The client's token is as good as before; the next request tries again.
                Err(error) => {
                    contents.last_seen_at = before;
                    self.metrics().touches_failed.increment(1);
                    tracing::debug!(%error, "a session could not be sealed anew");
                }
            }
        }
        let SealedContents { record, version, last_seen_at, .. } = contents;
        ActiveSession::sealed(Live { record, version, last_seen_at }, seal)
    }

    #[cold]
    fn report_retired(&self, question: &Question<'_>, retired: &RetiredToken, is_exchanged: bool) {
        // Whoever presents an old state has lost an answer, or was on the way: that says nothing of a thief.
        let kind = if is_exchanged { EventKind::RetiredTokenUsed } else { EventKind::OldStateUsed };
        let mut event = question.event(kind).since(retired.rotated_at);
        // Unlike a store, the token itself says whose it was.
        event.known.clone_from(&retired.known);
        let principal = retired.known.as_ref().and_then(|known| known.principal.clone());
        self.report(&event.about(retired.session, principal));
    }
}

impl Opened<'_> {
    fn claim(&self) -> Claim<'_> {
        Claim { contents: &self.contents, core: core_name(&self.seal.binding) }
    }

    fn facts(&self, sight: &Sight, by: By) -> Facts {
        self.seals.facts(&self.contents, sight, by, self.question.now)
    }

    /// What is left of the session where time has ended it.
    fn expired(&self) -> Option<Tombstone> {
        expired(&self.contents.record, self.contents.last_seen_at, self.question.now)
    }
}

/// What is left of a session where time has ended it.
pub(super) fn expired(record: &SessionRecord, last_seen_at: Timestamp, now: Timestamp) -> Option<Tombstone> {
    let Verdict::Expired { reason, at } = judge(record, last_seen_at, now) else { return None };
    Some(Tombstone { session: record.id, principal: principal_of(record), ended_at: at, reason })
}

fn principal_of(record: &SessionRecord) -> Option<PrincipalId> {
    record.principal.as_ref().map(|principal| principal.id().clone())
}

/// The keys could not be read in time: its client keeps the token.
#[cold]
fn undecided() -> StoreError {
    let error = StoreError::new(ErrorKind::Unavailable, SealedStore::NAME, Verb::Get);
    error.caused_by(Refused::unsealed(SOON))
}

impl Seals {
    /// No token lives longer than ends are remembered, whatever policy it was sealed under.
    fn bounded(&self, mut opened: OpenedSeal) -> OpenedSeal {
        let record = &mut opened.contents.record;
        let latest = record.created_at.plus(self.longest_life);
        if record.lifetime.absolute_expires_at > latest {
            Arc::make_mut(record).lifetime.absolute_expires_at = latest;
        }
        opened
    }

    /// What is known at `now` of a token that holds these contents.
    pub(super) fn facts(&self, contents: &SealedContents, sight: &Sight, by: By, now: Timestamp) -> Facts {
        let says = match &sight.cover {
            Some(cover) if cover.how == How::Surely => Says::Over,
            Some(_) => Says::OverUnlessLater,
            None if sight.is_clear => Says::Clear,
            None => Says::Unproven,
        };
        let (time, unreachable) = (self.time_of(contents, now), self.policy.when_unreachable());
        Facts { says, knows_more: sight.knows_more, time, by, unreachable }
    }

    /// What this node's memory says of a token, where that holds however old it is.
    pub(super) fn known_over(&self, claim: &Claim<'_>, now: Timestamp) -> Option<Covered> {
        let sight = self.mirror()?.look(claim, now);
        let is_over = self.facts(claim.contents, &sight, By::Memory, now).is_over();
        sight.cover.filter(|_| is_over).map(|cover| cover.covered)
    }

    fn time_of(&self, contents: &SealedContents, now: Timestamp) -> Time {
        if self.is_of_the_future(contents, now) {
            Time::Ahead
        } else if expired(&contents.record, contents.last_seen_at, now).is_some() {
            Time::Over
        } else {
            Time::Within
        }
    }

    /// Whether it was issued or used later than any clock could say, and than anything that it had to come after.
    fn is_of_the_future(&self, contents: &SealedContents, now: Timestamp) -> bool {
        let latest = now.plus(CLOCKS_APART_MAX);
        let record = &contents.record;
        if contents.last_seen_at <= latest && record.created_at <= latest {
            return false;
        }
        let principal = record.principal.as_ref().map(|principal| principal.id());
        let after = self.mirror().and_then(|mirror| mirror.after(principal).instant);
        contents.last_seen_at > latest || after.is_none_or(|after| record.created_at > after.plus(INSTANT))
    }

    /// Nobody can say whether it was ended: neither is it let in, nor is its client told to forget it.
    #[cold]
    pub(super) fn ahead(&self) -> StoreError {
        self.metrics.ahead();
        let error = StoreError::new(ErrorKind::Unavailable, SealedStore::NAME, Verb::Get);
        error.caused_by(Refused::ahead(RETRY_AFTER))
    }
}

impl Sessions {
    /// Whether this node knows that a session is over, or its token or state counts for nothing any more: by what is in memory
    /// now, however old that is. Never of a session that a store keeps.
    ///
    /// For whoever is about to hand out a [replacement](ActiveSession::replacement): what was decided meanwhile must not be
    /// undone in the client by an answer that took its time.
    ///
    /// # Cost
    /// Memory only.
    #[must_use]
    pub fn is_over(&self, session: &ActiveSession) -> bool {
        let Some((contents, binding)) = session.contents().zip(session.binding()) else { return false };
        let Some(seals) = self.seals() else { return false };
        seals.known_over(&Claim { contents: &contents, core: core_name(binding) }, self.now()).is_some()
    }
}

/// What clients are told to wait where the keys could not be read.
const SOON: std::time::Duration = std::time::Duration::from_secs(1);
/// What clients of a token that is ahead are told to wait: clocks are set, and lists read, by people.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(30);
