//! What the registry makes of news: from the store's feed, and from this engine's own doing.

use std::ops::RangeInclusive;

use cloakroom_core::{Route, SessionId, TokenDigest};
use cloakroom_store::{Parts, Scope};
use tokio::time::Instant;

use super::StreamEnd;
use super::coverage::Asked;
use super::effects::Closing;
use super::entry::{Check, Exchanging, Facts, Watched, part_of};
use super::registry::Registry;
use crate::ActiveSession;

impl Registry {
    /// What is filed under these digests may have changed.
    pub(super) fn changed(&mut self, digests: &[TokenDigest]) {
        let mut last_route = None;
        for digest in digests {
            if let Some(id) = self.by_digest.get(digest).copied() {
                self.changed_one(id, *digest);
            }
            // A session whose token is unknown here has some digest of its route.
            if last_route != Some(digest.route()) {
                last_route = Some(digest.route());
                self.suspect_roaming(digest.route());
            }
        }
    }

    fn changed_one(&mut self, id: SessionId, digest: TokenDigest) {
        if let Some(watched) = self.sessions.get_mut(&id)
            && watched.token != Some(digest)
        {
            for exchange in &mut watched.exchanges {
                exchange.clean = false;
            }
        }
        self.suspect(id);
    }

    fn suspect_roaming(&mut self, route: Route) {
        if self.roaming.is_empty() {
            return;
        }
        let ids: Vec<SessionId> = self.roaming.range(ids_of(route)).copied().collect();
        for id in ids {
            self.suspect(id);
        }
    }

    /// Anything may have happened in these parts. Their sessions are queued by the task that serves the registry: this
    /// costs the same however many there are.
    pub(super) fn gap(&mut self, parts: Parts) {
        self.coverage.gap(parts);
        self.effects.work |= !self.sessions.is_empty();
    }

    /// These parts were proven. Sessions of those that were not covered before may have changed while nobody told.
    pub(super) fn proven(&mut self, asked: Asked, parts: Parts) {
        let gained = self.coverage.proven(asked, parts);
        self.effects.work |= gained && !self.sessions.is_empty();
    }

    /// A session's token is about to be exchanged here: news of the new one may come before the store's answer.
    pub(super) fn exchanging(&mut self, id: SessionId, old: TokenDigest, new: TokenDigest, now: Instant) {
        let Some(watched) = self.sessions.get_mut(&id) else { return };
        if watched.over.is_none() && watched.token == Some(old) {
            let clean = !watched.suspect && self.coverage.is_settled(part_of(id));
            watched.exchanges.push(Exchanging { new, began: now, clean });
            self.by_digest.insert(new, id);
        }
    }

    /// The store has exchanged it. Where nothing else was told, that proves that the session lives.
    pub(super) fn exchanged(&mut self, session: &ActiveSession) {
        let (id, new) = (session.id(), session.digest());
        let settled = self.coverage.is_settled(part_of(id));
        let Some(watched) = self.sessions.get_mut(&id).filter(|watched| watched.over.is_none()) else {
            return;
        };
        let known = watched.exchanges.iter().position(|exchange| exchange.new == new);
        let known = known.map(|place| watched.exchanges.swap_remove(place));
        if session.version() < watched.facts.version {
            // Exchanged once more meanwhile, elsewhere.
            if watched.token != Some(new) {
                self.by_digest.remove(&new);
            }
            return;
        }
        watched.facts = Facts::of(session);
        watched.sealed = session.binding().map(|_| session.clone());
        self.set_token(id, Some(new));
        self.set_due(id);
        match known.filter(|exchange| exchange.clean && settled) {
            Some(exchange) => self.clear(id, exchange.began),
            None => self.suspect(id),
        }
    }

    /// The list of ends has an entry of this scope.
    pub(super) fn listed(&mut self, scope: &Scope) {
        match scope {
            Scope::Session(session) | Scope::Token { session, .. } | Scope::Floor { session, .. } => {
                self.suspect(*session);
            }
            Scope::Principal { principal, .. } => {
                let route = Route::of_principal(principal);
                let is_theirs = |watched: &Watched| watched.principal.as_ref() == Some(principal);
                let theirs = self.sessions.range(ids_of(route)).filter(|(_, watched)| is_theirs(watched));
                let theirs: Vec<SessionId> = theirs.map(|(id, _)| *id).collect();
                theirs.into_iter().for_each(|id| self.suspect(id));
            }
            _ => self.gap(Parts::ALL),
        }
    }

    /// A request brought this state of a sealed session: later activity, or a change. What was seen before is older.
    pub(super) fn seen(&mut self, session: &ActiveSession) {
        let Some(watched) = self.sessions.get_mut(&session.id()).filter(|watched| watched.over.is_none())
        else {
            return;
        };
        let Some(known) = &watched.sealed else { return };
        let known = (known.version(), known.last_seen_at());
        if session.version() < known.0 || session.last_seen_at() < known.1 {
            return;
        }
        let is_other = watched.token != Some(session.digest());
        (watched.facts, watched.sealed) = (Facts::of(session), Some(session.clone()));
        if is_other {
            self.set_token(session.id(), Some(session.digest()));
        }
        self.set_due(session.id());
    }

    /// Nobody knows whether the store has exchanged it.
    pub(super) fn not_exchanged(&mut self, id: SessionId, new: TokenDigest) {
        let Some(watched) = self.sessions.get_mut(&id) else { return };
        let before = watched.exchanges.len();
        watched.exchanges.retain(|exchange| exchange.new != new);
        if watched.exchanges.len() != before {
            if watched.token != Some(new) {
                self.by_digest.remove(&new);
            }
            self.suspect(id);
        }
    }

    /// What becomes of look-ups that nobody will answer any more.
    pub(super) fn abandon_checks(&mut self) {
        let running = |watched: &Watched| watched.check == Check::Running && watched.over.is_none();
        let ids: Vec<SessionId> =
            self.sessions.iter().filter(|(_, watched)| running(watched)).map(|(id, _)| *id).collect();
        for id in ids {
            self.enqueue(id);
        }
        for trouble in self.troubles.values_mut() {
            trouble.probe = None;
        }
    }

    /// Every stream is ended: whoever served them is in no state to.
    pub(super) fn give_up_all(&mut self) {
        for (id, watched) in self.sessions.iter_mut().filter(|(_, watched)| watched.over.is_none()) {
            let streams = watched.give_up(&mut self.effects.wakers, |_| true);
            let (principal, end) = (watched.principal.clone(), StreamEnd::Unproven);
            self.effects.closings.push(Closing { session: *id, principal, end, streams });
        }
    }

    /// Everybody who waits is woken, ended or not.
    pub(super) fn wake_all(&mut self) {
        let slots = self.sessions.values_mut().flat_map(|watched| watched.slots.iter_mut().flatten());
        self.effects.wakers.extend(slots.filter_map(|slot| slot.waker.take()));
    }
}

/// The ids of all sessions that there could be of a route.
fn ids_of(route: Route) -> RangeInclusive<SessionId> {
    let first = SessionId::from_random(route, [0; SessionId::RANDOM_BYTES]);
    first..=SessionId::from_random(route, [u8::MAX; SessionId::RANDOM_BYTES])
}
