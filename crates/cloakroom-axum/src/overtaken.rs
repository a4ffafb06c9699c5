//! Sealed sessions that went on while a sibling request was still being answered.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cloakroom::{ActiveSession, SessionId, Timestamp};

/// What this layer lately did to sealed sessions: which it handed out in a later state, and which it ended.
///
/// A sealed session lives in its client's cookie, and of several answers the one that arrives last stays there. An answer
/// that says nothing but "the client was here" must not undo what a sibling's answer changed meanwhile. So whoever is about
/// to send one looks here first, and leaves it out where the session went on.
///
/// One node knows what it did itself. It forgets: a place is shared by sessions whose ids happen to meet in it, and the
/// later one has it. To forget costs no more than not to have asked.
pub(crate) struct Overtaken {
    places: Mutex<Box<[Option<Later>]>>,
}

#[derive(Clone, Copy)]
struct Later {
    session: SessionId,
    state: State,
    at: Timestamp,
}

#[derive(Clone, Copy)]
enum State {
    /// It goes on with this version.
    Version(u64),
    /// It is over, or another session took its place.
    Over,
}

impl Overtaken {
    pub(crate) fn new() -> Self {
        Self { places: Mutex::new(Box::new([])) }
    }

    /// `session` was changed, or its token exchanged, by a request that is now being answered.
    pub(crate) fn goes_on(&self, session: &ActiveSession, now: Timestamp) {
        self.note(Later {
            session: session.id(),
            state: State::Version(session.version().as_u64()),
            at: now,
        });
    }

    /// `session` was ended, or another took its place.
    pub(crate) fn is_over(&self, session: SessionId, now: Timestamp) {
        self.note(Later { session, state: State::Over, at: now });
    }

    /// Whether `session` went on or ended since it was looked up; or so shortly before that the client may not have had the
    /// answer when it asked.
    pub(crate) fn has(&self, session: &ActiveSession) -> bool {
        self.later(session).is_some_and(|state| match state {
            State::Version(version) => version > session.version().as_u64(),
            State::Over => true,
        })
    }

    /// Whether `session` was ended, or another took its place, since then.
    pub(crate) fn has_ended(&self, session: &ActiveSession) -> bool {
        matches!(self.later(session), Some(State::Over))
    }

    fn later(&self, session: &ActiveSession) -> Option<State> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let later = (*places.get(place_of(session.id()))?)?;
        // A look-up is an activity; one that is none says an earlier instant, and finds more.
        let found_at = session.last_seen_at();
        (later.session == session.id() && later.at.plus(ON_ITS_WAY) >= found_at).then_some(later.state)
    }

    fn note(&self, later: Later) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.is_empty() {
            *places = vec![None; PLACES].into_boxed_slice();
        }
        if let Some(place) = places.get_mut(place_of(later.session)) {
            *place = Some(later);
        }
    }
}

impl fmt::Debug for Overtaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overtaken").finish_non_exhaustive()
    }
}

/// Session ids end with random bytes.
fn place_of(session: SessionId) -> usize {
    let [.., high, low] = *session.as_bytes();
    usize::from(u16::from_be_bytes([high, low])) % PLACES
}

/// Sessions remembered at once: some tens of kilobytes, and a busy node changes fewer within the time that counts.
const PLACES: usize = 1_024;
/// How long an answer may be on its way to a client that asks again meanwhile. A session whose client never got it is not
/// touched for so long.
const ON_ITS_WAY: Duration = Duration::from_secs(10);
