//! insert, replace, rekey, touch.

use std::collections::BTreeSet;

use cloakroom_core::{EndReason, OnLimit, SessionId, SessionLimit, Timestamp};
use cloakroom_store::{
    Ended, InsertRequest, Inserted, Lookup, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Retired, Touch,
    TouchReport, Version,
};

use super::Defect;
use super::feed::Cause;
use super::shelf::{Entry, Filed, Found, Shelf};

/// Which sessions have to go for a new one.
pub(crate) enum Room {
    Taken,
    Reached,
    After(Vec<(SessionId, EndReason)>),
}

impl Shelf {
    /// Whether, and after whose end, `request` can be filed.
    pub(crate) fn room(&self, request: &InsertRequest<'_>) -> Room {
        if self.is_taken(request) {
            return Room::Taken;
        }
        let mut go: Vec<(SessionId, EndReason)> =
            request.replaces.iter().map(|id| (*id, EndReason::Replaced)).collect();
        if self.has(Defect::ReplacedSessionsLiveOn) {
            go.clear();
        }
        let (Some(limit), Some(_)) = (request.limit, &request.record.principal) else {
            return Room::After(go);
        };
        let mut alive = self.alive_beside(request);
        let allowed = usize::try_from(limit.max.get()).unwrap() - 1;
        if alive.len() <= allowed {
            return Room::After(go);
        }
        if limit.on_limit == OnLimit::Refuse {
            return Room::Reached;
        }
        alive.sort_by_key(|entry| self.rank(entry, limit));
        let too_many = match self.has(Defect::LimitEndsOneAtMost) {
            true => 1,
            false => alive.len() - allowed,
        };
        go.extend(alive[..too_many].iter().map(|entry| (entry.record.id, EndReason::SessionLimit)));
        Room::After(go)
    }

    fn rank(&self, entry: &Entry, limit: SessionLimit) -> (Timestamp, SessionId) {
        let oldest = (limit.on_limit == OnLimit::EndOldest) != self.has(Defect::LimitEndsTheWrongOne);
        (if oldest { entry.record.created_at } else { entry.last_seen_at }, entry.record.id)
    }

    fn alive_beside(&self, request: &InsertRequest<'_>) -> Vec<&Entry> {
        let owner = request.record.principal.as_ref().map(|principal| principal.id().clone());
        let counts = |entry: &&Entry| {
            let replaced =
                Some(entry.record.id) == request.replaces && !self.has(Defect::LimitCountsTheReplaced);
            let lives = match self.has(Defect::LimitCountsTheExpired) {
                true => entry.tombstone.is_none(),
                false => self.fate(entry, request.now).is_none(),
            };
            entry.principal() == owner && lives && !replaced
        };
        self.entries.values().filter(counts).collect()
    }

    fn is_taken(&self, request: &InsertRequest<'_>) -> bool {
        let digest = match self.digests.get(&request.digest) {
            None => false,
            Some(Filed::Retired { .. }) => !self.has(Defect::InsertOverwritesRetiredTokens),
            Some(Filed::Session(_)) => !self.has(Defect::InsertOverwritesDigests),
        };
        let id = self.entries.get(&request.record.id).is_some_and(|entry| {
            let forgotten = entry.tombstone.is_some() && self.has(Defect::InsertOverwritesTombstones);
            !forgotten && !self.has(Defect::InsertOverwritesIds)
        });
        let forgotten = self.has(Defect::InsertOverwritesTombstones)
            && matches!(self.find(request.digest, request.now), Found::Other(Lookup::Ended(_)));
        (digest && !forgotten) || id
    }

    /// Files `request` after the end of those who have to go.
    pub(crate) fn insert(&mut self, request: &InsertRequest<'_>, room: Room) -> Inserted {
        let go = match room {
            Room::Taken => return Inserted::AlreadyExists,
            Room::Reached => {
                if self.has(Defect::RefusedSignInsReplaceAllTheSame) {
                    request.replaces.and_then(|id| self.bury(id, request.now, EndReason::Replaced));
                }
                return Inserted::LimitReached;
            }
            Room::After(go) => go,
        };
        let mut newcomer_goes = false;
        if self.has(Defect::LimitPutsOutTheNewcomer) {
            let younger = |id: &SessionId| self.entries[id].record.created_at > request.record.created_at;
            newcomer_goes = go.iter().any(|(id, why)| *why == EndReason::SessionLimit && younger(id));
        }
        let ended: Vec<Ended> =
            go.into_iter().filter_map(|(id, why)| self.bury(id, request.now, why)).collect();
        self.inserted += 1;
        let entry = Entry {
            record: request.record.clone(),
            digest: request.digest,
            version: Version::FIRST,
            last_seen_at: request.record.created_at,
            number: self.inserted,
            tombstone: None,
            damaged: false,
            came: false,
        };
        self.digests.insert(request.digest, Filed::Session(request.record.id));
        self.entries.insert(request.record.id, entry);
        self.note_arrival(request.record.id);
        if newcomer_goes {
            self.bury(request.record.id, request.now, EndReason::SessionLimit);
        }
        Inserted::Done { ended: if self.has(Defect::PutOutUnreported) { Vec::new() } else { ended } }
    }

    /// The session that `request` may change, or why it may not.
    pub(crate) fn replaceable(&self, request: &ReplaceRequest<'_>) -> Result<SessionId, Option<Replaced>> {
        match self.find(request.digest, request.now) {
            Found::Damaged => Err(None),
            Found::Live(id, live) if live.version == request.version => Ok(id),
            Found::Live(id, _) if self.has(Defect::ReplaceIgnoresTheVersion) => Ok(id),
            Found::Live(_, live) => Err(Some(Replaced::Conflict(live))),
            Found::Other(Lookup::Ended(tombstone)) => {
                let by_epoch =
                    self.entries[&tombstone.session].tombstone.is_none() && !tombstone.reason.is_expiry();
                let ignored = (self.has(Defect::ReplaceForgetsEndsOfAll) && by_epoch)
                    || (self.has(Defect::ReplaceIgnoresExpiry) && tombstone.reason.is_expiry())
                    || self.has(Defect::ReplaceRevives);
                if ignored { Ok(tombstone.session) } else { Err(Some(Replaced::Ended(tombstone))) }
            }
            Found::Other(Lookup::Retired(retired)) => {
                let through = self.has(Defect::RetiredTokensStillWrite);
                if through { Ok(retired.session) } else { Err(Some(Replaced::Retired(retired))) }
            }
            Found::Other(_) => Err(Some(Replaced::Unknown)),
        }
    }

    pub(crate) fn replace(&mut self, id: SessionId, request: &ReplaceRequest<'_>) -> Replaced {
        let (keeps, moves) = (self.has(Defect::ReplaceKeepsTheVersion), self.has(Defect::ReplaceIsActivity));
        let revives = self.has(Defect::ReplaceRevives);
        let Some(entry) = self.entries.get_mut(&id) else { return Replaced::Unknown };
        entry.record = request.record.clone();
        entry.version = if keeps { entry.version } else { entry.version.next() };
        if moves {
            entry.last_seen_at = entry.last_seen_at.max(request.now);
        }
        if revives {
            entry.tombstone = None;
        }
        let version = entry.version;
        self.note(Cause::Replace, id, request.digest);
        Replaced::Done(version)
    }

    /// The session whose token `request` may exchange, or why it may not.
    pub(crate) fn rekeyable(&self, request: &RekeyRequest<'_>) -> Result<SessionId, Option<Rekeyed>> {
        match self.find(request.old, request.now) {
            Found::Damaged => Err(None),
            Found::Live(_, live)
                if live.version != request.version && !self.has(Defect::RekeyIgnoresTheVersion) =>
            {
                Err(Some(Rekeyed::Conflict(live)))
            }
            Found::Live(id, _) => {
                let taken = self.digests.contains_key(&request.new) && !self.has(Defect::RekeyOverwrites);
                if taken { Err(Some(Rekeyed::AlreadyExists)) } else { Ok(id) }
            }
            Found::Other(Lookup::Ended(tombstone)) => match self.has(Defect::RekeyRevives) {
                true => Ok(tombstone.session),
                false => Err(Some(Rekeyed::Ended(tombstone))),
            },
            Found::Other(Lookup::Retired(retired)) => match self.has(Defect::RetiredTokensStillExchange) {
                true => Ok(retired.session),
                false => Err(Some(Rekeyed::Retired(retired))),
            },
            Found::Other(_) => Err(Some(Rekeyed::Unknown)),
        }
    }

    pub(crate) fn retire(&mut self, request: &RekeyRequest<'_>) {
        let id = request.record.id;
        if self.has(Defect::RekeyLeavesTheOldToken) {
            return;
        }
        let gone_at = request.now.plus(request.record.lifetime.tombstone_retention);
        let retired = Retired { session: id, rotated_at: request.now };
        self.digests.insert(request.old, Filed::Retired { retired, gone_at });
        if self.has(Defect::RekeyForgetsTheOldToken) {
            self.digests.remove(&request.old);
        }
    }

    pub(crate) fn rekey(&mut self, id: SessionId, request: &RekeyRequest<'_>) -> Rekeyed {
        let (still, revives) = (self.has(Defect::RekeyIsNoActivity), self.has(Defect::RekeyRevives));
        let Some(entry) = self.entries.get_mut(&id) else { return Rekeyed::Unknown };
        entry.record = request.record.clone();
        entry.digest = request.new;
        entry.version = entry.version.next();
        if !still {
            entry.last_seen_at = entry.last_seen_at.max(request.now);
        }
        if revives {
            entry.tombstone = None;
        }
        let version = entry.version;
        self.digests.insert(request.new, Filed::Session(id));
        let told = if self.has(Defect::WatchTellsTheNextToken) { request.new } else { request.old };
        self.note(Cause::Rekey, id, told);
        Rekeyed::Done(version)
    }

    /// The sessions that `touches` move, each with the instant it moves to.
    pub(crate) fn touchable(&self, touches: &[Touch], now: Timestamp) -> Vec<(SessionId, Timestamp)> {
        touches.iter().filter_map(|touch| self.touched(touch, now)).collect()
    }

    fn touched(&self, touch: &Touch, now: Timestamp) -> Option<(SessionId, Timestamp)> {
        let now = if self.has(Defect::TouchIsJudgedByWhenItWasSeen) { touch.seen_at } else { now };
        let id = match self.find(touch.digest, now) {
            Found::Live(id, _) => id,
            Found::Other(Lookup::Ended(tombstone)) if self.has(Defect::TouchRevives) => tombstone.session,
            Found::Other(Lookup::Ended(over))
                if self.has(Defect::TouchRevivesTheExpired) && over.reason.is_expiry() =>
            {
                over.session
            }
            Found::Other(Lookup::Retired(retired)) if self.has(Defect::RetiredTokensStillTouch) => {
                retired.session
            }
            _ => return None,
        };
        let entry = &self.entries[&id];
        let absolute = entry.record.lifetime.absolute_expires_at;
        let back = touch.seen_at <= entry.last_seen_at && !self.has(Defect::TouchGoesBack);
        let beyond = touch.seen_at >= absolute && !self.has(Defect::TouchPassesTheAbsoluteInstant);
        (!back && !beyond).then_some((id, touch.seen_at))
    }

    pub(crate) fn touch(&mut self, asked: usize, moves: &[(SessionId, Timestamp)]) -> TouchReport {
        let (revives, back) = (self.has(Defect::TouchRevives), self.has(Defect::TouchGoesBack));
        let raises = self.has(Defect::TouchRaisesTheVersion);
        let mut moved = BTreeSet::new();
        for (id, seen_at) in moves {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            entry.last_seen_at = if back { *seen_at } else { entry.last_seen_at.max(*seen_at) };
            entry.version = if raises { entry.version.next() } else { entry.version };
            if revives {
                entry.tombstone = None;
            }
            moved.insert(*id);
            let digest = entry.digest;
            self.note(Cause::Activity, *id, digest);
        }
        TouchReport { touched: moved.len(), ignored: asked - moved.len() }
    }
}
