//! Moving everything, page by page.

use cloakroom_core::{Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{
    EndRequest, Entry, ExportCursor, ExportQuery, Filed, Imported, Live, Lookup, Selector, StoreError,
};
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::home::{Home, MOVED, objects, seal_of, sealed};
use super::mark::is_mark_digest;
use super::{MovingStore, maybe};

/// What was done with what the old store had filed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Carried {
    /// Live sessions that moved now.
    pub sessions: u64,
    /// Tombstones filed now.
    pub tombstones: u64,
    /// Markers of exchanged tokens filed now.
    pub retired: u64,
    /// Sessions that a decision had ended in the old store alone, ended in the new one now.
    pub ended: u64,
    /// Entries that were there already, or over.
    pub settled: u64,
    /// Live sessions that the new store keeps out, since they left it in an earlier move or are still arriving: they stay
    /// where they are.
    pub kept_out: u64,
    /// Entries that cannot be read: their sessions are lost, in either store.
    pub damaged: u64,
}

impl Carried {
    /// Everything looked at.
    #[must_use]
    pub fn seen(&self) -> u64 {
        [self.sessions, self.tombstones, self.retired, self.ended, self.settled, self.kept_out, self.damaged]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Whether there was nothing left to do.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.sessions == 0
            && self.tombstones == 0
            && self.retired == 0
            && self.ended == 0
            && self.kept_out == 0
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            tombstones: self.tombstones.saturating_add(other.tombstones),
            retired: self.retired.saturating_add(other.retired),
            ended: self.ended.saturating_add(other.ended),
            settled: self.settled.saturating_add(other.settled),
            kept_out: self.kept_out.saturating_add(other.kept_out),
            damaged: self.damaged.saturating_add(other.damaged),
        }
    }
}

/// A page of the old store, after it was moved.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CarriedPage {
    /// What was done.
    pub done: Carried,
    /// Where the next page begins; `None` where this was the last.
    pub next: Option<ExportCursor>,
}

enum Step {
    Session,
    Tombstone,
    Retired,
    Ended,
    Settled,
    KeptOut,
}

impl MovingStore {
    /// Moves one page of the old store. Pages may be moved again, from any place, by anybody, also at the same time, while
    /// servers that know both stores go on: each entry moves once.
    ///
    /// A pass from the first page to the last moves everything that was there throughout. What a second pass finds
    /// [settled](Carried::is_settled) is proved to be in the new store.
    ///
    /// # Errors
    /// [`StoreError`]; entries of this page may have been moved. Go on with the same page.
    ///
    /// # Cost
    /// One or two round trips for the page, six for each live session, two for everything else, thirty-two at a time.
    pub async fn carry(&self, query: &ExportQuery, now: Timestamp) -> Result<CarriedPage, StoreError> {
        let page = self.old.export(query, now).await?;
        let mut done = Carried { damaged: count(page.damaged), ..Carried::default() };
        let places = Semaphore::new(AT_ONCE);
        let steps = page.items.iter().map(|filed| async {
            let _place = places.acquire().await;
            self.carry_one(filed, now).await
        });
        for step in join_all(steps).await {
            let counted = match step? {
                Step::Session => &mut done.sessions,
                Step::Tombstone => &mut done.tombstones,
                Step::Retired => &mut done.retired,
                Step::Ended => &mut done.ended,
                Step::Settled => &mut done.settled,
                Step::KeptOut => &mut done.kept_out,
            };
            *counted = counted.saturating_add(1);
        }
        Ok(CarriedPage { done, next: page.next })
    }

    async fn carry_one(&self, filed: &Filed, now: Timestamp) -> Result<Step, StoreError> {
        let digest = filed.digest;
        if is_mark_digest(digest) {
            return Ok(Step::Settled);
        }
        match &filed.entry {
            Entry::Live(live) => self.carry_live(digest, live, now).await,
            Entry::Ended { tombstone, .. } if tombstone.reason == MOVED => Ok(Step::Settled),
            // Nobody would keep it. What it decided holds all the same.
            Entry::Ended { tombstone, kept_until, .. } if *kept_until <= now => {
                self.carry_end(tombstone, now).await
            }
            Entry::Ended { tombstone, .. } => {
                // One that ended while it was on its way is known by the digest that its client has.
                let own = sealed(digest);
                let left = matches!(self.old.get(own, now).await?, Lookup::Retired(retired) if retired.session == tombstone.session);
                let filed = Filed { digest: if left { own } else { digest }, entry: filed.entry.clone() };
                match self.new.import(&filed, now).await? {
                    Imported::Done => Ok(Step::Tombstone),
                    Imported::AlreadyExists => self.carry_end(tombstone, now).await,
                }
            }
            // A session that left under it and has not arrived is filed under its seal.
            Entry::Retired { kept_until, .. } if *kept_until <= now => Ok(Step::Settled),
            Entry::Retired { .. } => self.carry_retired(filed, now).await,
        }
    }

    async fn carry_live(&self, digest: TokenDigest, live: &Live, now: Timestamp) -> Result<Step, StoreError> {
        // What has left and not been seen off: somebody stopped half-way.
        if let Some(own) = seal_of(live, digest) {
            let arrived = self.try_arrive(own, live.clone(), now).await?;
            return Ok(if arrived.is_some() { Step::Session } else { Step::KeptOut });
        }
        match self.look(digest, now).await? {
            Home::Old(live) => match self.bring(digest, live, now).await? {
                Lookup::Live(_) => Ok(Step::Session),
                Lookup::Ended(_) | Lookup::Retired(_) | Lookup::Unknown => Ok(Step::Settled),
            },
            // It may have left since the page was made; one that has not is one that cannot.
            Home::New(_) => match self.old.get(digest, now).await? {
                Lookup::Live(_) => Ok(Step::KeptOut),
                Lookup::Ended(_) | Lookup::Retired(_) | Lookup::Unknown => Ok(Step::Settled),
            },
        }
    }

    /// A tombstone whose session is in the new store: it is over there too, or is now.
    async fn carry_end(&self, tombstone: &Tombstone, now: Timestamp) -> Result<Step, StoreError> {
        if !objects(tombstone) {
            return Ok(Step::Settled);
        }
        let selector = Selector::One(tombstone.session);
        let request = EndRequest { selector: &selector, reason: tombstone.reason, now };
        let ending = self.new.end(request).await.map_err(maybe)?;
        Ok(if ending.ended.is_empty() { Step::Settled } else { Step::Ended })
    }

    /// The marker of an exchanged token. That of a token under which its session moved is none: the token lives on.
    async fn carry_retired(&self, filed: &Filed, now: Timestamp) -> Result<Step, StoreError> {
        match self.old.get(sealed(filed.digest), now).await? {
            Lookup::Live(left) if seal_of(&left, sealed(filed.digest)) == Some(filed.digest) => {
                let arrived = self.try_arrive(filed.digest, left, now).await?;
                Ok(if arrived.is_some() { Step::Session } else { Step::KeptOut })
            }
            Lookup::Ended(_) => Ok(Step::Settled),
            Lookup::Live(_) | Lookup::Retired(_) | Lookup::Unknown => {
                match self.new.import(filed, now).await? {
                    Imported::Done => Ok(Step::Retired),
                    Imported::AlreadyExists => Ok(Step::Settled),
                }
            }
        }
    }
}

fn count(entries: usize) -> u64 {
    u64::try_from(entries).unwrap_or(u64::MAX)
}

/// Entries on their way at once: hides the round trips without crowding out requests.
const AT_ONCE: usize = 32;
