//! What the task that serves the registry does with it, step by step, each short enough to do under its lock.

use std::ops::Bound;
use std::time::Duration;

use cloakroom_core::{SessionId, Timestamp, TokenDigest, touch_due};
use cloakroom_store::Touch;
use tokio::time::Instant;

use super::StreamEnd;
use super::coverage::Settling;
use super::effects::Closing;
use super::entry::{Check, Facts, Key, Trouble, Watched, part_of};
use super::registry::Registry;

/// A session to be looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand {
    pub(super) session: SessionId,
    /// The token to look it up by; by its id where none is known.
    pub(super) token: Option<TokenDigest>,
    serial: u64,
    news: u32,
    sent: Instant,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Finding {
    /// It lives, and was found under its token.
    Lives(Facts),
    /// It lives, under a token that is not known here.
    LivesElsewhere(Facts),
    /// It is over, or nothing can ever be known of it here.
    Over(StreamEnd),
    /// Nothing was found out.
    Failed,
}

impl Registry {
    /// Whether there is nobody left to serve; whoever comes next starts another task.
    pub(super) fn rest_where_quiet(&mut self) -> bool {
        let quiet = self.sessions.is_empty() && self.touches.is_empty();
        self.driven = !quiet;
        quiet
    }

    /// Makes some more sessions of unsettled parts suspect. Whether there are more.
    pub(super) fn settle_parts(&mut self) -> bool {
        let parts = match self.coverage.settling() {
            Settling::Done => return false,
            Settling::Begins(parts) => {
                self.settled_until = None;
                parts
            }
            Settling::GoesOn(parts) => parts,
        };
        let from = self.settled_until.map_or(Bound::Unbounded, Bound::Excluded);
        let some = self.sessions.range((from, Bound::Unbounded)).take(AT_A_TIME).map(|(id, _)| *id);
        let some: Vec<SessionId> = some.collect();
        for id in some.iter().copied().filter(|id| parts.contains(part_of(*id))) {
            if let Some(watched) = self.sessions.get_mut(&id) {
                watched.exchanges.iter_mut().for_each(|exchange| exchange.clean = false);
            }
            self.suspect(id);
        }
        self.settled_until = some.last().copied();
        if some.len() < AT_A_TIME {
            self.coverage.settled();
        }
        true
    }

    /// Ends sessions whose absolute instant has come, and makes those suspect that may be idle. Whether there are more.
    pub(super) fn keep_time(&mut self, now: Timestamp) -> bool {
        for _ in 0..AT_A_TIME {
            let Some((_, id)) = self.dues.first().copied().filter(|(due, _)| *due <= now) else {
                return false;
            };
            let Some(absolute_at) = self.sessions.get(&id).map(|watched| watched.facts.absolute_at) else {
                self.dues.pop_first();
                continue;
            };
            if now >= absolute_at {
                self.end_at_absolute_instant(id);
            } else {
                // It may have been active elsewhere: the store is asked before anybody is told that it is idle.
                self.set_due_at(id, Some(absolute_at));
                self.suspect(id);
            }
        }
        true
    }

    /// Lets parts whose look-ups failed be asked again once they have rested: by one session each.
    pub(super) fn end_rests(&mut self, now: Instant) {
        let rested =
            self.troubles.iter().filter(|(_, trouble)| trouble.probe.is_none() && trouble.until <= now);
        let rested: Vec<u8> = rested.map(|(part, _)| *part).collect();
        for part in rested {
            let probe = self.parked_in(part).next();
            match (probe, self.troubles.get_mut(&part)) {
                (Some(probe), Some(trouble)) => {
                    trouble.probe = Some(probe);
                    self.enqueue(probe);
                }
                // Nobody waits for it: whoever comes next finds out.
                _ => {
                    self.troubles.remove(&part);
                }
            }
        }
    }

    /// Takes the next session that is to be looked up.
    pub(super) fn next_errand(&mut self, now: Instant) -> Option<Errand> {
        loop {
            let (_, id) = self.ready.pop_first()?;
            let Some(watched) = self.sessions.get_mut(&id) else { continue };
            if self.troubles.get(&part_of(id)).is_some_and(|trouble| trouble.probe != Some(id)) {
                watched.check = Check::Parked;
                continue;
            }
            watched.check = Check::Running;
            watched.checked_at = now;
            let (token, serial, news) = (watched.token, watched.serial, watched.news);
            return Some(Errand { session: id, token, serial, news, sent: now });
        }
    }

    /// Takes in what came of a look-up.
    pub(super) fn settle(&mut self, errand: &Errand, finding: Finding, now: Instant) {
        let id = errand.session;
        if !matches!(finding, Finding::Failed) {
            self.end_trouble(id);
        }
        let Some(watched) = self.sessions.get_mut(&id) else { return };
        if watched.serial != errand.serial || watched.over.is_some() {
            return;
        }
        watched.check = Check::Idle;
        let same_token = watched.token == errand.token;
        let nothing_new = watched.news == errand.news && same_token;
        match finding {
            Finding::Failed => return self.look_up_failed(id, now),
            Finding::Over(end @ StreamEnd::Ended(_)) => return self.over(id, end),
            // A token that was exchanged meanwhile says nothing more of the session.
            _ if !same_token => {}
            Finding::Over(end) => return self.over(id, end),
            Finding::Lives(facts) => self.lives(id, facts, errand.sent, nothing_new),
            Finding::LivesElsewhere(facts) => {
                self.set_token(id, None);
                self.lives(id, facts, errand.sent, nothing_new);
            }
        }
        let again = |watched: &&Watched| watched.suspect && watched.check == Check::Idle;
        if self.sessions.get(&id).filter(again).is_some() {
            self.enqueue(id);
        }
    }

    fn lives(&mut self, id: SessionId, facts: Facts, sent: Instant, nothing_new: bool) {
        if let Some(watched) = self.sessions.get_mut(&id) {
            watched.facts = facts;
            watched.proven_at = watched.proven_at.max(sent);
        }
        self.set_due(id);
        if nothing_new {
            self.clear(id, sent);
        }
    }

    fn look_up_failed(&mut self, id: SessionId, now: Instant) {
        let longest = LONGEST_REST.min(self.policy.recheck_interval());
        let trouble = self.troubles.entry(part_of(id)).or_insert(Trouble {
            rest: Duration::ZERO,
            until: now,
            probe: Some(id),
        });
        if trouble.probe == Some(id) {
            trouble.rest = (trouble.rest * 2).clamp(SHORTEST_REST, longest.max(SHORTEST_REST));
            trouble.until = now + trouble.rest;
            trouble.probe = None;
        }
        if let Some(watched) = self.sessions.get_mut(&id).filter(|watched| watched.suspect) {
            watched.check = Check::Parked;
        }
    }

    /// The store answers for the part of this session.
    fn end_trouble(&mut self, id: SessionId) {
        if self.troubles.remove(&part_of(id)).is_some() {
            let parked: Vec<SessionId> = self.parked_in(part_of(id)).collect();
            for id in parked {
                self.enqueue(id);
            }
        }
    }

    fn parked_in(&self, part: u8) -> impl Iterator<Item = SessionId> {
        let mut first = [0; SessionId::LENGTH];
        let mut last = [u8::MAX; SessionId::LENGTH];
        for bytes in [&mut first, &mut last] {
            if let Some(byte) = bytes.first_mut() {
                *byte = part;
            }
        }
        let ids = self.sessions.range(SessionId::from_bytes(first)..=SessionId::from_bytes(last));
        ids.filter(|(_, watched)| watched.check == Check::Parked).map(|(id, _)| *id)
    }

    /// Looks after some sessions that no feed covers, beginning after `after`: those whose turn it is are queued, and
    /// streams whose patience is over are ended. Where it stopped, if there are more.
    pub(super) fn sweep(
        &mut self,
        after: Option<SessionId>,
        now: Instant,
        start: Instant,
    ) -> Option<SessionId> {
        let interval = self.policy.recheck_interval();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut last, mut seen, mut turns) = (None, 0, Vec::new());
        for (id, watched) in self.sessions.range_mut((from, Bound::Unbounded)).take(AT_A_TIME) {
            (last, seen) = (Some(*id), seen + 1);
            if watched.over.is_some() {
                continue;
            }
            let part = part_of(*id);
            let covered = self.coverage.proven_at(part);
            let fresh = covered.is_some_and(|at| now.saturating_duration_since(at) < interval);
            if !fresh && !watched.suspect && is_turn(*id, watched.checked_at, now, start, interval) {
                turns.push(*id);
            }
            let unproven = now.saturating_duration_since(watched.proven(covered));
            let streams = watched.give_up(&mut self.effects.wakers, |slot| slot.patience <= unproven);
            if streams > 0 {
                let principal = watched.principal.clone();
                let end = StreamEnd::Unproven;
                self.effects.closings.push(Closing { session: *id, principal, end, streams });
            }
        }
        for id in turns {
            self.suspect(id);
        }
        last.filter(|_| seen == AT_A_TIME)
    }

    /// Since when some session could be without proof: `None` while all are proven by the feed.
    pub(super) fn stale_at(&self, now: Instant) -> Option<Instant> {
        let interval = self.policy.recheck_interval();
        if self.suspects > 0 {
            return Some(now);
        }
        let numbered = (0..=u8::MAX).zip(self.in_part.iter()).filter(|(_, count)| **count > 0);
        numbered.map(|(part, _)| self.coverage.proven_at(part).map_or(now, |at| at + interval)).min()
    }

    /// The client did something. What is to be written down of it, and how long the session has until it is idle.
    pub(super) fn note_activity(
        &mut self,
        key: Key,
        now: Timestamp,
        touch_interval: Duration,
    ) -> Option<(Touch, Duration)> {
        let watched = self.sessions.get_mut(&key.session).filter(|watched| watched.over.is_none())?;
        let digest = watched.token?;
        if !touch_due(watched.facts.last_seen_at.max(watched.noted_at), now, touch_interval) {
            return None;
        }
        watched.noted_at = now;
        Some((Touch { digest, seen_at: now }, watched.facts.idle_at.since(now)))
    }

    /// Activity that cannot wait for the next batch.
    pub(super) fn touch_at_once(&mut self, touch: Touch) {
        self.touches.insert(touch.digest, touch.seen_at);
        self.effects.work = true;
    }

    /// The activity to be written at once, as much as one call takes.
    pub(super) fn take_touches(&mut self, most: usize) -> Vec<Touch> {
        let mut taken = Vec::new();
        while let (true, Some((digest, seen_at))) = (taken.len() < most, self.touches.pop_first()) {
            taken.push(Touch { digest, seen_at });
        }
        taken
    }
}

/// Whether it is a session's turn to be looked up. Each has its own moment in the interval, so that they spread over it.
fn is_turn(id: SessionId, checked_at: Instant, now: Instant, start: Instant, interval: Duration) -> bool {
    let [.., high, low] = *id.as_bytes();
    let moment = interval.mul_f64(f64::from(u16::from_be_bytes([high, low])) / 65_536.0);
    // How many of its moments have passed since `start`, the first of them before `start`.
    let passed = |at: Instant| {
        let since = at.saturating_duration_since(start) + interval - moment;
        since.as_micros() / interval.as_micros().max(1)
    };
    passed(now) > passed(checked_at)
}

/// Sessions gone through under one lock: some tens of microseconds.
const AT_A_TIME: usize = 256;
/// First rest of a part whose look-up failed; the next ones are twice as long each.
const SHORTEST_REST: Duration = Duration::from_millis(100);
/// Longest rest, if the recheck interval is not shorter: news that the store is back take no longer.
const LONGEST_REST: Duration = Duration::from_secs(5);
