//! How nodes learn that moving has begun: a mark in the stores themselves.
//!
//! The old store's mark decides: what was done there before it is there for every pass of the mover, which begins after it.
//! Only for an old store that forgets what it is told the new one has a mark too, filed second; only then is it asked. What a
//! new store remembers of another move begins none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom_core::{EndReason, Route, SessionId, SessionToken, Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{Entry, ErrorKind, Filed, Lookup, Store, StoreError, Verb};
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::home::MOVED;
use crate::system::timer_now;
use crate::{OsRandom, Random};

/// Whether moving has begun, as far as this node knows. Once it has, it has for good.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) begun: AtomicBool,
    /// Held by whoever asks the stores. Who must know waits for it and takes the answer along.
    asking: tokio::sync::Mutex<()>,
    heard: Mutex<Heard>,
}

/// The last answer.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// How many questions were answered before: who waited sees by it that one was meanwhile.
    answers: u64,
    last: Option<(Instant, Answer)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Begun,
    NotYet,
    /// A store that could have said "begun" could not be asked.
    Unknown,
}

impl Stage {
    /// Whether moving is known to have begun; asks at most once a second, and waits for nobody else's question. For calls
    /// that find out by themselves: what they look for has left the old store, or has not.
    pub(super) async fn has_begun(&self, old: &dyn Store, new: &dyn Store, now: Timestamp) -> bool {
        if self.begun.load(Ordering::Acquire) {
            return true;
        }
        let Ok(_asking) = self.asking.try_lock() else { return false };
        match self.recent() {
            Some(answer) => answer == Answer::Begun,
            None => self.ask(old, new, now).await == Answer::Begun,
        }
    }

    /// The same for calls that would act in the wrong store: a question that is on its way is waited for, and shared.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be found out: not knowing is no "no".
    pub(super) async fn must_know(
        &self,
        old: &dyn Store,
        new: &dyn Store,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.begun.load(Ordering::Acquire) {
            return Ok(true);
        }
        let known = self.recent().filter(|answer| *answer != Answer::Unknown);
        let answer = match known {
            Some(answer) => answer,
            None => {
                let before = self.heard.lock().answers;
                let _asking = self.asking.lock().await;
                let heard = *self.heard.lock();
                match heard.last {
                    Some((_, answer)) if heard.answers != before => answer,
                    _ => self.ask(old, new, now).await,
                }
            }
        };
        known_or_error(answer, old, Verb::Insert)
    }

    /// Whether the old store is being left, asked now: after a change there, to know on which side of the mark it was.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be found out.
    pub(super) async fn is_leaving(
        &self,
        old: &dyn Store,
        new: &dyn Store,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let leaving = if keeps_what_it_is_told(old) {
            written_at(&old.get(Mark::Leaving.digest(), now).await?, Mark::Leaving).is_some()
        } else {
            known_or_error(read(old, new, now).await, old, Verb::Get)?
        };
        if leaving {
            self.notice();
        }
        Ok(leaving)
    }

    /// What was answered less than a second ago.
    fn recent(&self) -> Option<Answer> {
        let (asked_at, answer) = self.heard.lock().last?;
        (timer_now().saturating_duration_since(asked_at) < ASKED_EVERY).then_some(answer)
    }

    /// Asks both stores; only while `asking` is held.
    async fn ask(&self, old: &dyn Store, new: &dyn Store, now: Timestamp) -> Answer {
        let asked_at = timer_now();
        let answer = read(old, new, now).await;
        if answer == Answer::Begun {
            self.notice();
        }
        let mut heard = self.heard.lock();
        *heard = Heard { answers: heard.answers.wrapping_add(1), last: Some((asked_at, answer)) };
        answer
    }

    fn notice(&self) {
        if !self.begun.swap(true, Ordering::AcqRel) {
            tracing::info!(event = "session_store_moving", "sessions are being moved to the new store");
        }
    }

    /// Leaves a mark in the old store, and then one in the new store where the old one may forget its own.
    pub(super) async fn begin(
        &self,
        old: &dyn Store,
        new: &dyn Store,
        now: Timestamp,
    ) -> Result<Beginning, StoreError> {
        if are_the_same(old, new, now).await? {
            return Ok(Beginning::SameStore);
        }
        if written_at(&new.get(Mark::Leaving.digest(), now).await?, Mark::Leaving).is_some() {
            return Ok(Beginning::TargetWasLeft);
        }
        old.import(&Mark::Leaving.filed(now), now).await?;
        if !keeps_what_it_is_told(old) {
            new.import(&Mark::Arriving.filed(now), now).await?;
        }
        self.begun.store(true, Ordering::Release);
        let since = begun_at(old, new, now).await?.unwrap_or(now);
        Ok(Beginning::Begun { since })
    }

    /// As a node that asked a moment before moving began.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.begun.store(false, Ordering::Release);
        self.heard.lock().last = Some((timer_now(), Answer::NotYet));
    }
}

/// Asks for the marks.
async fn read(old: &dyn Store, new: &dyn Store, now: Timestamp) -> Answer {
    let in_old = old.get(Mark::Leaving.digest(), now);
    if keeps_what_it_is_told(old) {
        return match in_old.await {
            Ok(lookup) if written_at(&lookup, Mark::Leaving).is_some() => Answer::Begun,
            Ok(_) => Answer::NotYet,
            Err(_) => Answer::Unknown,
        };
    }
    // Either is enough, as soon as it is read.
    let in_new = Box::pin(arrived_at(new, now));
    let (in_old, in_new) = match select(in_old, in_new).await {
        Either::Left((in_old, _)) if is_mark(&in_old, Mark::Leaving) => return Answer::Begun,
        Either::Left((in_old, in_new)) => (in_old, in_new.await),
        Either::Right((Ok(Some(_)), _)) => return Answer::Begun,
        Either::Right((in_new, in_old)) => (in_old.await, in_new),
    };
    match (in_old, in_new) {
        (_, Ok(Some(_))) => Answer::Begun,
        (in_old, _) if is_mark(&in_old, Mark::Leaving) => Answer::Begun,
        (Ok(_), Ok(None)) => Answer::NotYet,
        (Ok(_) | Err(_), _) => Answer::Unknown,
    }
}

/// Since when the new store has been the target of a move, which is this one unless it was left later.
async fn arrived_at(new: &dyn Store, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let (arriving, leaving) =
        tokio::join!(new.get(Mark::Arriving.digest(), now), new.get(Mark::Leaving.digest(), now));
    let is_left = written_at(&leaving?, Mark::Leaving).is_some();
    Ok(written_at(&arriving?, Mark::Arriving).filter(|_| !is_left))
}

/// Whether the mark in the old store stays there.
fn keeps_what_it_is_told(old: &dyn Store) -> bool {
    old.capabilities().listing
}

fn known_or_error(answer: Answer, old: &dyn Store, verb: Verb) -> Result<bool, StoreError> {
    match answer {
        Answer::Begun => Ok(true),
        Answer::NotYet => Ok(false),
        Answer::Unknown => {
            let error = StoreError::new(ErrorKind::Unavailable, old.name(), verb);
            Err(error.caused_by("whether moving has begun cannot be found out"))
        }
    }
}

/// Whether both are one store under two addresses: what is filed in one is there in the other.
async fn are_the_same(old: &dyn Store, new: &dyn Store, now: Timestamp) -> Result<bool, StoreError> {
    let failed = |error| StoreError::new(ErrorKind::Internal, old.name(), Verb::Import).caused_by(error);
    let (mut route, mut token, mut id) =
        ([0; Route::LENGTH], [0; SessionToken::RANDOM_BYTES], [0; SessionId::RANDOM_BYTES]);
    for bytes in [&mut route[..], &mut token, &mut id] {
        OsRandom.fill(bytes).map_err(failed)?;
    }
    let route = Route::from_bytes(route);
    let digest = SessionToken::from_random(route, token).digest();
    let session = SessionId::from_random(route, id);
    // With this reason it stays behind when everything else moves.
    let tombstone = Tombstone { session, principal: None, ended_at: now, reason: MOVED };
    let entry = Entry::Ended { tombstone, created_at: now, kept_until: now.plus(PROBE_KEPT) };
    old.import(&Filed { digest, entry }, now).await?;
    let found = new.get(digest, now).await?;
    Ok(matches!(found, Lookup::Ended(tombstone) if tombstone.session == session))
}

/// Since when sessions have been moving. Where the marks of a store that forgets and of the new one differ, one is of another
/// move, or was forgotten and written again: the later one counts, since before it some server may have filed in the old store.
pub(super) async fn begun_at(
    old: &dyn Store,
    new: &dyn Store,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let left = async { Ok(written_at(&old.get(Mark::Leaving.digest(), now).await?, Mark::Leaving)) };
    if keeps_what_it_is_told(old) {
        return left.await;
    }
    let (left, arrived) = tokio::join!(left, arrived_at(new, now));
    Ok(left?.max(arrived?))
}

/// What came of the wish to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "nothing may be moved into a store that was left, or into itself"]
pub enum Beginning {
    /// Every server that knows both stores begins within a second.
    Begun {
        /// When moving began: now, or with an earlier call.
        since: Timestamp,
    },
    /// Sessions were moved away from the target before. It still knows them as gone, so that they could not come back: take
    /// another place, or an empty one. Nothing has begun.
    TargetWasLeft,
    /// Both are one store, under two addresses. Nothing has begun.
    SameStore,
}

/// What a store is to a move. The same store may be left later by another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    Leaving,
    Arriving,
}

impl Mark {
    const ALL: [Self; 2] = [Self::Leaving, Self::Arriving];

    /// The mark: the tombstone of a session that never was. It grants nothing, counts as nothing, and needs nothing of a
    /// store that it has not.
    fn filed(self, now: Timestamp) -> Filed {
        let session = self.session();
        let tombstone = Tombstone { session, principal: None, ended_at: now, reason: EndReason::Replaced };
        let entry = Entry::Ended { tombstone, created_at: now, kept_until: now.plus(MARK_KEPT) };
        Filed { digest: self.digest(), entry }
    }

    /// No token has this digest: finding one would be a pre-image.
    fn digest(self) -> TokenDigest {
        TokenDigest::from_bytes(&[self.byte(); TokenDigest::LENGTH]).expect("it has the length of a digest")
    }

    fn session(self) -> SessionId {
        SessionId::from_bytes([self.byte(); SessionId::LENGTH])
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Leaving => 0x4c,
            Self::Arriving => 0x41,
        }
    }
}

/// Whether this entry is a mark.
pub(super) fn is_mark_digest(digest: TokenDigest) -> bool {
    Mark::ALL.iter().any(|mark| mark.digest() == digest)
}

fn is_mark(answer: &Result<Lookup, StoreError>, mark: Mark) -> bool {
    matches!(answer, Ok(lookup) if written_at(lookup, mark).is_some())
}

fn written_at(lookup: &Lookup, mark: Mark) -> Option<Timestamp> {
    match lookup {
        Lookup::Ended(tombstone) if tombstone.session == mark.session() => Some(tombstone.ended_at),
        _ => None,
    }
}

/// How soon a node notices that moving has begun.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// How long the tombstone of nobody stays by which a store is known again; any sweep removes it then.
const PROBE_KEPT: Duration = Duration::from_secs(600);
/// Longer than any move takes, and any node that takes part in it runs.
const MARK_KEPT: Duration = Duration::from_secs(366 * 24 * 3600);
