//! What is kept of a session with open streams.

use std::task::Waker;
use std::time::Duration;

use cloakroom_core::{PrincipalId, SessionId, Timestamp, TokenDigest};
use cloakroom_store::{Parts, Version};
use tokio::time::Instant;

use super::StreamEnd;
use crate::ActiveSession;

/// A session that somebody waits for the end of.
#[derive(Debug)]
pub(super) struct Watched {
    /// Tells this entry from an earlier one of the same session.
    pub(super) serial: u64,
    /// The token's digest; `None` while the session is known by its id alone.
    pub(super) token: Option<TokenDigest>,
    /// Exchanges of the token that are under way on this engine.
    pub(super) exchanges: Vec<Exchanging>,
    pub(super) principal: Option<PrincipalId>,
    pub(super) facts: Facts,
    /// What was last seen here of a sealed session, which nobody else can be asked for.
    pub(super) sealed: Option<ActiveSession>,
    pub(super) due: Option<Timestamp>,
    /// Activity that was noted here last.
    pub(super) noted_at: Timestamp,
    /// Whether it has to be looked up: something may have happened to it.
    pub(super) suspect: bool,
    /// Counts what made it suspect, so that a look-up that began before is not taken for an answer to it.
    pub(super) news: u32,
    pub(super) check: Check,
    /// When it was last looked up.
    pub(super) checked_at: Instant,
    /// Until when it is known to have lived, apart from what the coverage of its part says.
    pub(super) proven_at: Instant,
    pub(super) over: Option<StreamEnd>,
    pub(super) slots: Vec<Option<Slot>>,
    /// Places in `slots` that are free again.
    vacant: Vec<usize>,
}

/// What a look-up told of a live session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) version: Version,
    pub(super) last_seen_at: Timestamp,
    /// When it is over unless it was active elsewhere.
    pub(super) idle_at: Timestamp,
    pub(super) absolute_at: Timestamp,
}

/// A token about to be exchanged for another.
#[derive(Debug)]
pub(super) struct Exchanging {
    pub(super) new: TokenDigest,
    pub(super) began: Instant,
    /// Whether nothing but the exchange itself was told of the session since then.
    pub(super) clean: bool,
}

/// Where the look-up of a session stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Check {
    Idle,
    /// Waiting for its turn, which has this number.
    Queued(u64),
    Running,
    /// Waiting until its part can be asked again.
    Parked,
}

/// Look-ups of a part fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub(super) rest: Duration,
    pub(super) until: Instant,
    /// The one session that is looked up to see whether it is over.
    pub(super) probe: Option<SessionId>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) waker: Option<Waker>,
    pub(super) patience: Duration,
    /// Whether its patience has ended.
    pub(super) gave_up: bool,
}

/// Which stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    pub(super) session: SessionId,
    pub(super) slot: usize,
}

impl Facts {
    pub(super) fn of(session: &ActiveSession) -> Self {
        Self {
            version: session.version(),
            last_seen_at: session.last_seen_at(),
            idle_at: session.idle_expires_at(),
            absolute_at: session.absolute_expires_at(),
        }
    }

    /// When it is to be looked at again.
    pub(super) fn due(&self) -> Timestamp {
        self.idle_at.min(self.absolute_at)
    }
}

impl Watched {
    pub(super) fn new(serial: u64, session: &ActiveSession, now: Instant) -> Self {
        Self {
            serial,
            token: Some(session.digest()),
            exchanges: Vec::new(),
            principal: session.principal().map(|principal| principal.id().clone()),
            facts: Facts::of(session),
            sealed: session.binding().map(|_| session.clone()),
            due: None,
            noted_at: session.last_seen_at(),
            suspect: false,
            news: 0,
            check: Check::Idle,
            checked_at: now,
            proven_at: now,
            over: None,
            slots: Vec::new(),
            vacant: Vec::new(),
        }
    }

    /// How many streams it has.
    pub(super) fn streams(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// Ends the streams that wait: how many, and whom to wake.
    pub(super) fn give_up(&mut self, wakers: &mut Vec<Waker>, is_over: impl Fn(&Slot) -> bool) -> usize {
        let mut streams = 0;
        for slot in self.slots.iter_mut().flatten().filter(|slot| !slot.gave_up && is_over(slot)) {
            (slot.gave_up, streams) = (true, streams + 1);
            wakers.extend(slot.waker.take());
        }
        streams
    }

    /// Until when it is known to have lived.
    pub(super) fn proven(&self, covered: Option<Instant>) -> Instant {
        covered.filter(|_| !self.suspect).map_or(self.proven_at, |covered| covered.max(self.proven_at))
    }

    /// Removes the stream at this place.
    pub(super) fn take(&mut self, place: usize) -> Option<Slot> {
        let slot = self.slots.get_mut(place).and_then(Option::take)?;
        self.vacant.push(place);
        Some(slot)
    }

    /// Adds a stream, and answers its place.
    pub(super) fn put(&mut self, slot: Slot) -> usize {
        let number = self.vacant.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(number) {
            Some(place) => *place = Some(slot),
            None => self.slots.push(Some(slot)),
        }
        number
    }
}

/// The number of the part that a session is in.
pub(super) fn part_of(id: SessionId) -> u8 {
    Parts::number_of(id.route())
}
