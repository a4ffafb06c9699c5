//! Who waits for the end of which session: plain data under one lock, without a store, timers or tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::task::Waker;

use cloakroom_core::{EndReason, SessionId, Timestamp, TokenDigest, Tombstone};
use cloakroom_store::Parts;
use tokio::time::Instant;

use super::coverage::Coverage;
use super::effects::{Closing, Effects};
use super::entry::{Check, Facts, Key, Slot, Trouble, Watched, part_of};
use super::{StreamEnd, StreamPolicy};
use crate::ActiveSession;

/// Everything known of open streams and their sessions.
///
/// Ids begin with their route, so a range of them is a part, and all sessions of one principal lie side by side.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) policy: StreamPolicy,
    pub(super) sessions: BTreeMap<SessionId, Watched>,
    pub(super) by_digest: HashMap<TokenDigest, SessionId>,
    /// Sessions whose present token is not known here.
    pub(super) roaming: BTreeSet<SessionId>,
    /// When to look at a session again, by the wall clock.
    pub(super) dues: BTreeSet<(Timestamp, SessionId)>,
    /// Sessions to look up, in the order in which they came.
    pub(super) ready: BTreeSet<(u64, SessionId)>,
    /// Parts whose look-ups fail.
    pub(super) troubles: BTreeMap<u8, Trouble>,
    pub(super) coverage: Coverage,
    /// How far the sessions of unsettled parts were gone through.
    pub(super) settled_until: Option<SessionId>,
    /// How many sessions are in each part.
    pub(super) in_part: Box<[usize]>,
    /// How many sessions are suspect.
    pub(super) suspects: usize,
    /// Activity to be written at once.
    pub(super) touches: BTreeMap<TokenDigest, Timestamp>,
    /// Whether a task serves this registry.
    pub(super) driven: bool,
    pub(super) effects: Effects,
    last_number: u64,
}

impl Registry {
    pub(super) fn new(policy: StreamPolicy) -> Self {
        Self {
            policy,
            sessions: BTreeMap::new(),
            by_digest: HashMap::new(),
            roaming: BTreeSet::new(),
            dues: BTreeSet::new(),
            ready: BTreeSet::new(),
            troubles: BTreeMap::new(),
            coverage: Coverage::new(),
            settled_until: None,
            in_part: vec![0; Parts::COUNT].into(),
            suspects: 0,
            touches: BTreeMap::new(),
            driven: false,
            effects: Effects::default(),
            last_number: 0,
        }
    }

    /// Registers a stream of `session`. Whatever it was found by, it is looked up once more: what happened since it was
    /// found was not told to anybody here.
    pub(super) fn register(&mut self, session: &ActiveSession, now: Instant) -> Key {
        let id = session.id();
        if !self.sessions.contains_key(&id) {
            let serial = self.number();
            self.sessions.insert(id, Watched::new(serial, session, now));
            self.by_digest.insert(session.digest(), id);
            self.count_in_part(id, |count| count.saturating_add(1));
            self.set_due(id);
        } else {
            self.learn_token(session);
            self.seen(session);
        }
        self.suspect(id);
        let patience = self.policy.patience();
        let slot = Slot { waker: None, patience, gave_up: false };
        Key { session: id, slot: self.sessions.get_mut(&id).map_or(0, |watched| watched.put(slot)) }
    }

    /// Another stream beside `key`, of the same session.
    pub(super) fn register_beside(&mut self, key: Key) -> Key {
        let watched = self.sessions.get_mut(&key.session);
        let slot = watched.map_or(0, |watched| {
            let beside = watched.slots.get(key.slot).and_then(Option::as_ref);
            let patience = beside.map_or(self.policy.patience(), |slot| slot.patience);
            let gave_up = beside.is_some_and(|slot| slot.gave_up);
            watched.put(Slot { waker: None, patience, gave_up })
        });
        Key { slot, ..key }
    }

    /// Forgets a stream, and its session where it was the last one.
    pub(super) fn unregister(&mut self, key: Key) {
        let Some(watched) = self.sessions.get_mut(&key.session) else { return };
        self.effects.spent.extend(watched.take(key.slot).and_then(|slot| slot.waker));
        if watched.streams() > 0 {
            return;
        }
        self.retire(key.session);
        self.sessions.remove(&key.session);
        self.count_in_part(key.session, |count| count.saturating_sub(1));
    }

    /// Why a stream ends, where it does; else `waker` is woken when it does.
    pub(super) fn poll(&mut self, key: Key, waker: &Waker) -> Option<StreamEnd> {
        let end = self.end_of(key);
        if let (None, Some(slot)) = (&end, self.slot(key))
            && !slot.waker.as_ref().is_some_and(|known| known.will_wake(waker))
        {
            let spent = slot.waker.replace(waker.clone());
            self.effects.spent.extend(spent);
        }
        end
    }

    /// Why a stream ends, where it does.
    pub(super) fn end_of(&self, key: Key) -> Option<StreamEnd> {
        let watched = self.sessions.get(&key.session)?;
        let slot = watched.slots.get(key.slot)?.as_ref()?;
        watched.over.clone().or_else(|| slot.gave_up.then_some(StreamEnd::Unproven))
    }

    pub(super) fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        self.sessions.get_mut(&key.session)?.slots.get_mut(key.slot)?.as_mut()
    }

    /// Something may have happened to a session: it has to be looked up.
    pub(super) fn suspect(&mut self, id: SessionId) {
        let Some(watched) = self.sessions.get_mut(&id).filter(|watched| watched.over.is_none()) else {
            return;
        };
        watched.news = watched.news.wrapping_add(1);
        if !watched.suspect {
            watched.proven_at = watched.proven(self.coverage.proven_at(part_of(id)));
            watched.suspect = true;
            self.suspects += 1;
        }
        if watched.check == Check::Idle {
            self.enqueue(id);
        }
    }

    /// A session lives, as a look-up that was sent at `sent` has shown, and nothing was told of it since.
    pub(super) fn clear(&mut self, id: SessionId, sent: Instant) {
        let Some(watched) = self.sessions.get_mut(&id) else { return };
        watched.proven_at = watched.proven_at.max(sent);
        if std::mem::take(&mut watched.suspect) {
            self.suspects = self.suspects.saturating_sub(1);
        }
        match watched.check {
            Check::Queued(turn) => {
                self.ready.remove(&(turn, id));
                watched.check = Check::Idle;
            }
            Check::Parked => watched.check = Check::Idle,
            Check::Idle | Check::Running => {}
        }
    }

    pub(super) fn enqueue(&mut self, id: SessionId) {
        let turn = self.number();
        if let Some(watched) = self.sessions.get_mut(&id) {
            watched.check = Check::Queued(turn);
            self.ready.insert((turn, id));
            self.effects.work = true;
        }
    }

    /// A session is over: every stream of it is told.
    pub(super) fn over(&mut self, id: SessionId, end: StreamEnd) {
        let Some(watched) = self.sessions.get_mut(&id).filter(|watched| watched.over.is_none()) else {
            return;
        };
        let streams = watched.give_up(&mut self.effects.wakers, |_| true);
        if streams > 0 {
            let principal = watched.principal.clone();
            self.effects.closings.push(Closing { session: id, principal, end: end.clone(), streams });
        }
        watched.over = Some(end);
        self.retire(id);
    }

    /// The end of a session by its absolute timeout, which needs no asking.
    pub(super) fn end_at_absolute_instant(&mut self, id: SessionId) {
        let Some(watched) = self.sessions.get(&id) else { return };
        let tombstone = Tombstone {
            session: id,
            principal: watched.principal.clone(),
            ended_at: watched.facts.absolute_at,
            reason: EndReason::AbsoluteTimeout,
        };
        self.over(id, StreamEnd::Ended(tombstone));
    }

    /// Looks at a session again when it may be idle, or is at its end.
    pub(super) fn set_due(&mut self, id: SessionId) {
        let due = self.sessions.get(&id).map(|watched| watched.facts.due());
        self.set_due_at(id, due);
    }

    pub(super) fn set_due_at(&mut self, id: SessionId, due: Option<Timestamp>) {
        let Some(watched) = self.sessions.get_mut(&id) else { return };
        if let Some(before) = watched.due.take() {
            self.dues.remove(&(before, id));
        }
        if let Some(due) = due {
            watched.due = Some(due);
            self.dues.insert((due, id));
            self.effects.work = true;
        }
    }

    /// The session is found under this digest from now on.
    pub(super) fn set_token(&mut self, id: SessionId, token: Option<TokenDigest>) {
        let Some(watched) = self.sessions.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut watched.token, token) {
            self.by_digest.remove(&before);
        }
        match token {
            Some(token) => {
                self.by_digest.insert(token, id);
                self.roaming.remove(&id);
            }
            None => {
                self.roaming.insert(id);
            }
        }
    }

    /// A stream that opens later may bring the session's newer token.
    fn learn_token(&mut self, session: &ActiveSession) {
        let Some(watched) = self.sessions.get_mut(&session.id()) else { return };
        let newer = session.version() >= watched.facts.version;
        if watched.over.is_none() && newer && watched.token != Some(session.digest()) {
            watched.facts = Facts::of(session);
            watched.sealed = session.binding().map(|_| session.clone());
            self.set_token(session.id(), Some(session.digest()));
            self.set_due(session.id());
        }
    }

    /// Takes a session out of everything that leads to it.
    fn retire(&mut self, id: SessionId) {
        self.clear_queue(id);
        self.set_due_at(id, None);
        let Some(watched) = self.sessions.get_mut(&id) else { return };
        for digest in
            watched.token.into_iter().chain(watched.exchanges.drain(..).map(|exchange| exchange.new))
        {
            self.by_digest.remove(&digest);
            self.touches.remove(&digest);
        }
        watched.token = None;
        self.roaming.remove(&id);
        if let Some(trouble) = self.troubles.get_mut(&part_of(id))
            && trouble.probe == Some(id)
        {
            trouble.probe = None;
        }
    }

    fn clear_queue(&mut self, id: SessionId) {
        let Some(proven_at) = self.sessions.get(&id).map(|watched| watched.proven_at) else { return };
        self.clear(id, proven_at);
    }

    fn count_in_part(&mut self, id: SessionId, change: impl FnOnce(usize) -> usize) {
        if let Some(count) = self.in_part.get_mut(usize::from(part_of(id))) {
            *count = change(*count);
        }
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
