//! What is kept, and what is true of it at an instant.

use std::collections::BTreeMap;

use cloakroom_core::{
    EndReason, PrincipalId, SessionId, SessionRecord, Timestamp, TokenDigest, Tombstone, Verdict,
    idle_expires_at, judge,
};
use cloakroom_store::{Ended, Live, Lookup, Retired, Selector, Version};

use super::Defect;
use super::feed::{Cause, Watches};

/// Everything a reference store keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) defect: Option<Defect>,
    pub(crate) entries: BTreeMap<SessionId, Entry>,
    pub(crate) digests: BTreeMap<TokenDigest, Filed>,
    pub(crate) epochs: Vec<Epoch>,
    /// How many sessions were ever inserted: their order, whatever any clock says.
    pub(crate) inserted: u64,
    pub(crate) lease: Option<(u64, Timestamp)>,
    pub(crate) watches: Watches,
}

/// A session, alive or dead. One with a tombstone has been reported.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: SessionRecord,
    pub(crate) digest: TokenDigest,
    pub(crate) version: Version,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) number: u64,
    pub(crate) tombstone: Option<Tombstone>,
    pub(crate) damaged: bool,
    /// Whether another store told of it.
    pub(crate) came: bool,
}

/// What a digest leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filed {
    Session(SessionId),
    Retired { retired: Retired, gone_at: Timestamp },
}

/// An end of everything, or of what was issued before an instant.
#[derive(Clone, Debug)]
pub(crate) struct Epoch {
    pub(crate) selector: Selector,
    pub(crate) inserted: u64,
    pub(crate) reason: EndReason,
    pub(crate) now: Timestamp,
}

/// What a digest finds at an instant.
pub(crate) enum Found {
    Live(SessionId, Live),
    Other(Lookup),
    Damaged,
}

impl Entry {
    pub(crate) fn principal(&self) -> Option<PrincipalId> {
        self.record.principal.as_ref().map(|principal| principal.id().clone())
    }

    pub(crate) fn tombstone_for(&self, reason: EndReason, ended_at: Timestamp) -> Tombstone {
        Tombstone { session: self.record.id, principal: self.principal(), ended_at, reason }
    }

    pub(crate) fn live(&self) -> Live {
        Live { record: self.record.clone().into(), version: self.version, last_seen_at: self.last_seen_at }
    }
}

impl Shelf {
    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// What became of `entry` by `now`: `None` while it lives.
    pub(crate) fn fate(&self, entry: &Entry, now: Timestamp) -> Option<Tombstone> {
        if let Some(tombstone) = &entry.tombstone {
            return Some(tombstone.clone());
        }
        let over_at = idle_expires_at(&entry.record, entry.last_seen_at);
        let mut epochs: Vec<&Epoch> = self.epochs.iter().collect();
        if self.has(Defect::LaterEndsOfAllWin) {
            epochs.reverse();
        }
        match epochs.into_iter().find(|epoch| self.ends(epoch, entry)) {
            Some(epoch) if over_at > epoch.now || self.has(Defect::AllRenamesTheExpired) => {
                Some(entry.tombstone_for(epoch.reason, epoch.now))
            }
            Some(_) => self.expiry(entry, over_at),
            None => self.expiry(entry, now),
        }
    }

    fn expiry(&self, entry: &Entry, now: Timestamp) -> Option<Tombstone> {
        let now = match self.has(Defect::ExpiresAfterTheInstant) {
            true => now.minus(std::time::Duration::from_millis(1)),
            false => now,
        };
        match judge(&entry.record, entry.last_seen_at, now) {
            Verdict::Active => None,
            Verdict::Expired { reason, at } => Some(entry.tombstone_for(reason, at)),
        }
    }

    fn ends(&self, epoch: &Epoch, entry: &Entry) -> bool {
        let issued = entry.record.created_at;
        match &epoch.selector {
            Selector::All if self.has(Defect::AllComparesTheInstantOfIssue) => issued < epoch.now,
            Selector::All if self.has(Defect::AllEndsWhatComesInTheSameMillisecond) => issued <= epoch.now,
            Selector::All if entry.came && self.has(Defect::ImportIsEndedForEver) => true,
            Selector::All if entry.came && !self.has(Defect::ImportForgetsEndsOfAll) => {
                issued <= epoch.now || entry.number <= epoch.inserted
            }
            Selector::All => entry.number <= epoch.inserted,
            Selector::IssuedBefore(instant) if self.has(Defect::IssuedBeforeIncludesTheInstant) => {
                issued <= *instant
            }
            Selector::IssuedBefore(instant) if self.has(Defect::IssuedBeforeForgetsLatecomers) => {
                entry.number <= epoch.inserted && issued < *instant
            }
            Selector::IssuedBefore(instant) => issued < *instant,
            _ => false,
        }
    }

    /// What `digest` finds by `now`.
    pub(crate) fn find(&self, digest: TokenDigest, now: Timestamp) -> Found {
        match self.digests.get(&digest) {
            None => Found::Other(Lookup::Unknown),
            Some(Filed::Retired { retired, .. }) => match self.has(Defect::RetiredReadsAsUnknown) {
                true => Found::Other(Lookup::Unknown),
                false => Found::Other(Lookup::Retired(*retired)),
            },
            Some(Filed::Session(id)) => {
                let Some(entry) = self.entries.get(id) else { return Found::Other(Lookup::Unknown) };
                if entry.damaged && entry.tombstone.is_none() {
                    return Found::Damaged;
                }
                match self.fate(entry, now) {
                    None => Found::Live(*id, entry.live()),
                    Some(tombstone) => Found::Other(Lookup::Ended(tombstone)),
                }
            }
        }
    }

    /// Buries a session that lives, or that time or an epoch ended unseen; the report of its end.
    pub(crate) fn bury(&mut self, id: SessionId, now: Timestamp, reason: EndReason) -> Option<Ended> {
        let entry = self.entries.get(&id)?;
        if let Some(tombstone) = &entry.tombstone {
            let (again, renamed) =
                (self.has(Defect::EndReportsAgain), self.has(Defect::EndOverwritesTheReason));
            let report = Ended::from(tombstone.clone());
            if renamed
                && let Some(tombstone) = self.entries.get_mut(&id).and_then(|entry| entry.tombstone.as_mut())
            {
                tombstone.reason = reason;
            }
            return again.then_some(report);
        }
        let tombstone = self.fate(entry, now).unwrap_or_else(|| entry.tombstone_for(reason, now));
        if self.has(Defect::EndSkipsTheExpired) && tombstone.reason.is_expiry() {
            return None;
        }
        if self.has(Defect::EndLeavesNothing) {
            self.digests.retain(|_, filed| !matches!(filed, Filed::Session(session) if *session == id));
            return self.entries.remove(&id).map(|_| tombstone.into());
        }
        if self.has(Defect::RetiredTokensGoWithTheirSession) {
            self.digests
                .retain(|_, filed| !matches!(filed, Filed::Retired { retired, .. } if retired.session == id));
        }
        let entry = self.entries.get_mut(&id)?;
        entry.tombstone = Some(tombstone.clone());
        let digest = entry.digest;
        self.note(Cause::End(tombstone.reason), id, digest);
        Some(tombstone.into())
    }
}
