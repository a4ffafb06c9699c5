//! export, import.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{EndReason, Lifetime, Principal, SessionRecord, Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{
    Entry as Told, ExportCursor, ExportPage, ExportQuery, Filed as Moved, Imported, MalformedCursor, Version,
};

use super::Defect;
use super::shelf::{Entry, Filed, Shelf};

impl Shelf {
    pub(crate) fn export(&self, query: &ExportQuery, now: Timestamp) -> Result<ExportPage, MalformedCursor> {
        let after = match &query.after {
            None => 0,
            Some(_) if self.has(Defect::ExportTakesAnyCursor) => 0,
            Some(cursor) => cursor.as_str().parse().map_err(|_| MalformedCursor)?,
        };
        let limit = usize::from(query.limit.get());
        let mut page = ExportPage::default();
        let mut last = after;
        let filed = self.numbered().into_iter().filter(|(number, _)| *number > after);
        let mut filed = filed.peekable();
        for (number, digest) in filed.by_ref().take(limit) {
            last = number;
            match self.told(digest, now) {
                Some(told) => page.items.extend(told.map(|entry| Moved { digest, entry })),
                None if self.has(Defect::ExportStopsAtDamage) => return Ok(page),
                None => page.damaged += 1,
            }
        }
        let more = filed.peek().is_some() && !(self.has(Defect::ExportStopsEarly) && limit > 2);
        page.next = more.then(|| ExportCursor::new(last.to_string()).unwrap());
        Ok(page)
    }

    /// Every digest under a number from 1 that stays the same, in the order of the numbers.
    fn numbered(&self) -> Vec<(u64, TokenDigest)> {
        if self.has(Defect::ExportCountsPages) {
            return (1..).zip(self.digests.keys().copied()).collect();
        }
        let number = |digest: &TokenDigest| {
            let hash = digest.hash();
            u64::from_be_bytes(hash[..8].try_into().unwrap()).max(1)
        };
        let mut numbered: Vec<_> = self.digests.keys().map(|digest| (number(digest), *digest)).collect();
        numbered.sort_unstable();
        numbered
    }

    /// What is told of a digest, if anything; `None` where that cannot be decoded.
    fn told(&self, digest: TokenDigest, now: Timestamp) -> Option<Option<Told>> {
        let id = match self.digests[&digest] {
            Filed::Retired { .. } if self.has(Defect::ExportLeavesRetiredTokensOut) => return Some(None),
            Filed::Retired { retired, gone_at } => {
                return Some(Some(Told::Retired { retired, kept_until: gone_at }));
            }
            Filed::Session(id) => id,
        };
        let Some(entry) = self.entries.get(&id) else { return Some(None) };
        if entry.damaged && entry.tombstone.is_none() {
            return None;
        }
        let over = self.fate(entry, now).filter(|tombstone| {
            let expired = tombstone.reason.is_expiry() && self.has(Defect::ExportTellsTheExpiredAsLive);
            let with_all = !tombstone.reason.is_expiry() && self.has(Defect::ExportForgetsEndsOfAll);
            entry.tombstone.is_some() || !(expired || with_all)
        });
        let mut live = entry.live();
        if self.has(Defect::ExportTellsTheFirstVersion) {
            live.version = Version::FIRST;
        }
        Some(Some(match over {
            None => Told::Live(live),
            Some(tombstone) => {
                let kept_until = tombstone.ended_at.plus(entry.record.lifetime.tombstone_retention);
                Told::Ended { tombstone, created_at: entry.record.created_at, kept_until }
            }
        }))
    }

    pub(crate) fn is_taken_by(&self, moved: &Moved) -> bool {
        let id = match &moved.entry {
            Told::Live(live) => Some(live.record.id),
            Told::Ended { tombstone, .. } => Some(tombstone.session),
            Told::Retired { .. } => None,
        };
        let there = id.and_then(|id| self.entries.get(&id));
        let taken = self.digests.contains_key(&moved.digest) || there.is_some();
        let ended = there.is_some_and(|entry| entry.tombstone.is_some());
        let ignored = self.has(Defect::ImportOverwrites) || (self.has(Defect::ImportRevives) && ended);
        taken && !ignored
    }

    pub(crate) fn import(&mut self, moved: &Moved, now: Timestamp) -> Imported {
        let (record, version, last_seen_at, tombstone) = match &moved.entry {
            Told::Retired { .. } if self.has(Defect::ImportLeavesRetiredTokensOut) => return Imported::Done,
            Told::Retired { retired, kept_until } => {
                let filed = Filed::Retired { retired: *retired, gone_at: *kept_until };
                self.digests.insert(moved.digest, filed);
                return Imported::Done;
            }
            Told::Live(live) => ((*live.record).clone(), live.version, live.last_seen_at, None),
            Told::Ended { tombstone, created_at, kept_until } => {
                let record = outline(tombstone, *created_at, *kept_until);
                (record, Version::FIRST, tombstone.ended_at, Some(tombstone.clone()))
            }
        };
        self.inserted += 1;
        let entry = Entry {
            record,
            digest: moved.digest,
            version,
            last_seen_at,
            number: self.inserted,
            tombstone,
            damaged: false,
            came: true,
        };
        let entry = self.spoiled(entry, now);
        self.digests.insert(moved.digest, Filed::Session(entry.record.id));
        let principal = entry.principal().filter(|_| self.has(Defect::ImportKeepsALimit));
        let id = entry.record.id;
        self.entries.insert(id, entry);
        self.note_arrival(id);
        if let Some(principal) = principal {
            let own =
                |entry: &&Entry| entry.tombstone.is_none() && entry.principal().as_ref() == Some(&principal);
            let own: Vec<_> = self.entries.values().filter(own).map(|entry| entry.record.id).collect();
            if own.len() > 5 {
                self.bury(own[0], now, EndReason::SessionLimit);
            }
        }
        Imported::Done
    }

    /// The entry as a defect leaves it.
    fn spoiled(&self, mut entry: Entry, now: Timestamp) -> Entry {
        match self.defect {
            Some(Defect::ImportStartsAtTheFirstVersion) => entry.version = Version::FIRST,
            Some(Defect::ImportIsActivity) => entry.last_seen_at = entry.last_seen_at.max(now),
            Some(Defect::ImportRenewsTheTimeout) => {
                let idle_at = entry.last_seen_at.plus(entry.record.lifetime.idle_timeout);
                if idle_at <= now && entry.tombstone.is_none() {
                    entry.last_seen_at = now;
                }
            }
            Some(Defect::ImportIsReportedLater) if entry.tombstone.is_some() => {
                entry.tombstone = None;
                entry.record.lifetime.absolute_expires_at = entry.last_seen_at;
            }
            Some(Defect::ImportKeepsTombstonesNoLonger) if entry.tombstone.is_some() => {
                entry.record.lifetime.tombstone_retention = Duration::ZERO;
            }
            Some(Defect::ImportIsNobodys) => entry.record.principal = None,
            _ => {}
        }
        entry
    }
}

/// As much of a record as is left of it.
fn outline(tombstone: &Tombstone, created_at: Timestamp, kept_until: Timestamp) -> SessionRecord {
    let retention = kept_until.since(tombstone.ended_at);
    let lifetime = Lifetime::new(Duration::ZERO, tombstone.ended_at, retention);
    let mut record = SessionRecord::new(tombstone.session, created_at, lifetime);
    record.principal = tombstone.principal.clone().map(|id| Arc::new(Principal::new(id)));
    record
}
