//! sweep.

use std::time::Duration;

use cloakroom_core::{SessionId, Timestamp, TokenDigest};
use cloakroom_store::{Ended, SweepRequest, Swept};

use super::Defect;
use super::shelf::{Entry, Epoch, Filed, Shelf};

impl Shelf {
    pub(crate) fn sweep(&mut self, request: SweepRequest, node: u64) -> Swept {
        if !self.takes_lease(request, node) {
            return Swept { elsewhere: true, ..Swept::default() };
        }
        let limit = if self.has(Defect::SweepKnowsNoBounds) { usize::MAX } else { request.limit };
        let (mut ended, mut removed, mut looked_at) = (Vec::new(), 0, 0);
        for id in self.over(request.now) {
            if looked_at == limit {
                break;
            }
            looked_at += 1;
            if self.entries[&id].damaged && self.has(Defect::SweepStopsAtDamage) {
                return Swept { ended, removed, ..Swept::default() };
            }
            ended.extend(self.found_over(id, request.now));
        }
        for id in self.forgotten(request.now) {
            if looked_at == limit {
                break;
            }
            looked_at += 1;
            removed += 1;
            let entry = self.entries.remove(&id).unwrap();
            self.digests.remove(&entry.digest);
            if self.has(Defect::SweepReportsAgainWhatItRemoves) {
                ended.extend(entry.tombstone.map(Ended::from));
            }
        }
        for digest in self.worn_out(request.now) {
            if looked_at == limit {
                break;
            }
            looked_at += 1;
            removed += 1;
            self.digests.remove(&digest);
        }
        let more = looked_at == limit && !self.has(Defect::SweepSaysItIsDone);
        Swept { ended, removed, more, elsewhere: false }
    }

    /// The same, of which nothing is removed.
    pub(crate) fn report(&mut self, request: SweepRequest, node: u64) -> Swept {
        if !self.takes_lease(request, node) {
            return Swept { elsewhere: true, ..Swept::default() };
        }
        let over = self.over(request.now);
        let more = over.len() > request.limit;
        let over = over.into_iter().take(request.limit);
        let ended = over.filter_map(|id| self.found_over(id, request.now)).collect();
        Swept { ended, more, ..Swept::default() }
    }

    fn takes_lease(&mut self, request: SweepRequest, node: u64) -> bool {
        let held = self.lease.filter(|(holder, until)| {
            let other = *holder != node || self.has(Defect::LeaseKeepsItsHolderAway);
            other && request.now < *until
        });
        if held.is_some() && !request.lease.is_zero() && !self.has(Defect::SweepIgnoresTheLease) {
            return false;
        }
        if !request.lease.is_zero() {
            self.lease = Some((node, request.now.plus(request.lease)));
        }
        true
    }

    fn found_over(&mut self, id: SessionId, now: Timestamp) -> Option<Ended> {
        let entry = &self.entries[&id];
        let mut tombstone = self.fate(entry, now).unwrap_or_else(|| {
            let reason = cloakroom_core::EndReason::IdleTimeout;
            entry.tombstone_for(reason, now)
        });
        if self.has(Defect::SweepReportsItsOwnInstant) {
            tombstone.ended_at = now;
        }
        let by_epoch = !tombstone.reason.is_expiry();
        self.entries.get_mut(&id).unwrap().tombstone = Some(tombstone.clone());
        let silent = self.has(Defect::SweepForgetsToReport)
            || (by_epoch && self.has(Defect::SweepForgetsToReportEndsOfAll));
        (!silent).then(|| tombstone.into())
    }

    /// Sessions that are over and have not been reported.
    fn over(&self, now: Timestamp) -> Vec<SessionId> {
        let is_over = |entry: &&Entry| {
            entry.tombstone.is_none()
                && (self.fate(entry, now).is_some() || self.has(Defect::SweepTakesTheLiving))
        };
        self.entries.values().filter(is_over).map(|entry| entry.record.id).collect()
    }

    /// Sessions of which nothing has to be kept any longer.
    fn forgotten(&self, now: Timestamp) -> Vec<SessionId> {
        let now = match self.defect {
            Some(Defect::SweepRemovesEarly) => now.plus(Duration::from_millis(1)),
            Some(Defect::SweepRemovesLate) => now.minus(Duration::from_millis(1)),
            _ => now,
        };
        let is_forgotten = |entry: &&Entry| {
            let retention = entry.record.lifetime.tombstone_retention;
            entry.tombstone.as_ref().is_some_and(|tombstone| tombstone.ended_at.plus(retention) <= now)
        };
        self.entries.values().filter(is_forgotten).map(|entry| entry.record.id).collect()
    }

    /// Retired tokens whose retention has ended, and whose session is gone.
    fn worn_out(&self, now: Timestamp) -> Vec<TokenDigest> {
        let (early, never) =
            (self.has(Defect::RetiredTokensAreSwept), self.has(Defect::RetiredTokensAreKeptForever));
        let is_worn_out = |filed: &Filed| match filed {
            Filed::Session(_) => false,
            Filed::Retired { retired, gone_at } => {
                !never && (early || (*gone_at <= now && !self.entries.contains_key(&retired.session)))
            }
        };
        self.digests.iter().filter(|(_, filed)| is_worn_out(filed)).map(|(digest, _)| *digest).collect()
    }

    /// Whether what was left under `digest` is gone by itself: half of it goes at once.
    pub(crate) fn has_vanished(&self, digest: TokenDigest, now: Timestamp) -> bool {
        let at_once = digest.hash()[0].is_multiple_of(2);
        let kept_until = match self.digests.get(&digest) {
            Some(Filed::Retired { gone_at, .. }) => Some(*gone_at),
            Some(Filed::Session(id)) => {
                self.entries.get(id).filter(|entry| !entry.damaged).and_then(|entry| {
                    let over = self.fate(entry, now)?;
                    Some(over.ended_at.plus(entry.record.lifetime.tombstone_retention))
                })
            }
            None => None,
        };
        at_once && kept_until.is_some_and(|until| until <= now)
    }

    /// Forgets what a restart must not forget.
    pub(crate) fn restart(&mut self) {
        match self.defect {
            Some(Defect::RestartForgetsEverything) => {
                *self = Self { defect: self.defect, ..Self::default() };
            }
            Some(Defect::RestartForgetsEnds) => {
                self.entries.values_mut().for_each(|entry| entry.tombstone = None);
            }
            Some(Defect::ImportForgetsEndsThatWereCarriedOut) => {
                let pending = |epoch: &Epoch, entry: &Entry| {
                    entry.tombstone.is_none() && entry.number <= epoch.inserted
                };
                let entries = &self.entries;
                self.epochs.retain(|epoch| entries.values().any(|entry| pending(epoch, entry)));
            }
            Some(Defect::RestartForgetsImports) => {
                self.entries.retain(|_, entry| !entry.came);
            }
            Some(Defect::RestartForgetsEndsOfAll) => self.epochs.clear(),
            Some(Defect::WatchIsDeafAfterARestart) => self.watches.muted = true,
            Some(Defect::RestartForgetsActivity) => {
                self.entries.values_mut().for_each(|entry| entry.last_seen_at = entry.record.created_at);
            }
            Some(Defect::RestartForgetsRetiredTokens) => {
                self.digests.retain(|_, filed| matches!(filed, Filed::Session(_)));
            }
            _ => {}
        }
    }
}
