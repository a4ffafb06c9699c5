//! watch.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cloakroom_core::{EndReason, SessionId, TokenDigest};
use cloakroom_store::{ErrorKind, Feed, News, Observer, Parts, StoreError, StoreFuture, Verb};

use super::Defect;
use super::shelf::{Entry, Filed, Shelf};

/// Who watches a shelf.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches {
    list: Vec<Arc<Watch>>,
    /// The handle that is at work.
    pub(crate) actor: u64,
    /// Whether what happens is kept secret.
    pub(crate) muted: bool,
    noted: usize,
}

/// Somebody who watches, and what they have not been told yet.
#[derive(Debug)]
pub(crate) struct Watch {
    defect: Option<Defect>,
    node: u64,
    observer: Arc<dyn Observer>,
    waiting: Mutex<VecDeque<Item>>,
    telling: Mutex<()>,
}

#[derive(Clone, Debug)]
enum Item {
    Changed(TokenDigest),
    Anything(Parts),
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    Replace,
    Rekey,
    End(EndReason),
    Activity,
    Look,
    Arrival,
}

impl Shelf {
    /// What is filed under `digest` changed.
    pub(crate) fn note(&mut self, cause: Cause, id: SessionId, digest: TokenDigest) {
        let is_missed = match cause {
            Cause::Replace => self.has(Defect::WatchMissesChanges),
            Cause::Rekey => self.has(Defect::WatchMissesExchanges),
            Cause::End(EndReason::SessionLimit) => self.has(Defect::WatchMissesTheLimit),
            Cause::End(EndReason::Replaced) => self.has(Defect::WatchMissesTheReplaced),
            Cause::End(reason) if reason.is_expiry() => self.has(Defect::WatchMissesTheExpired),
            Cause::End(_) => {
                self.has(Defect::WatchMissesEnds)
                    || (self.has(Defect::WatchStopsAtDamage) && self.entries.values().any(|one| one.damaged))
            }
            Cause::Activity => !self.has(Defect::WatchTellsOfActivity),
            Cause::Look => !self.has(Defect::WatchTellsOfLooks),
            Cause::Arrival => !self.has(Defect::WatchTellsOfSignIns),
        };
        if is_missed {
            return;
        }
        let ends = matches!(cause, Cause::End(_));
        let part = Parts::number_of(digest.route());
        if ends && self.has(Defect::WatchTellsAnythingOfOneEnd) {
            return self.queue(&Item::Anything(Parts::ALL));
        }
        if ends && self.has(Defect::WatchTellsTheWrongPart) {
            return self.queue(&Item::Anything(Parts::one(part.wrapping_add(1))));
        }
        let mut told = digest;
        if self.has(Defect::WatchTellsTheFirstToken) {
            let first = self
                .digests
                .iter()
                .find(|(_, filed)| matches!(filed, Filed::Retired { retired, .. } if retired.session == id));
            told = first.map_or(digest, |(first, _)| *first);
        }
        self.queue(&Item::Changed(told));
    }

    /// Sessions of the same principal as this one.
    pub(crate) fn note_arrival(&mut self, id: SessionId) {
        let principal = self.entries.get(&id).and_then(Entry::principal);
        let own = self.entries.values().filter(|entry| entry.principal() == principal);
        let own: Vec<_> = own.map(|entry| (entry.record.id, entry.digest)).collect();
        own.into_iter().for_each(|(id, digest)| self.note(Cause::Arrival, id, digest));
    }

    /// Everything in these parts may have changed.
    pub(crate) fn note_anything(&mut self, parts: Parts) {
        self.queue(&Item::Anything(parts));
    }

    fn queue(&mut self, item: &Item) {
        let watches = &mut self.watches;
        watches.noted += 1;
        let lost = self.defect == Some(Defect::WatchLosesSome) && watches.noted.is_multiple_of(37);
        if watches.muted || lost {
            return;
        }
        let last = watches.list.len().saturating_sub(1);
        for (number, watch) in watches.list.iter().enumerate() {
            let deaf = self.defect == Some(Defect::WatchIsDeafToOthers) && watch.node != watches.actor;
            let late = self.defect == Some(Defect::WatchTellsWhoCameLast) && number != last;
            if !deaf && !late {
                watch.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(item.clone());
            }
        }
    }

    pub(crate) fn watch(&mut self, observer: Arc<dyn Observer>, node: u64) -> Arc<Watch> {
        let defect = self.defect;
        let watch =
            Arc::new(Watch { defect, node, observer, waiting: Mutex::default(), telling: Mutex::default() });
        self.watches.list.push(Arc::clone(&watch));
        watch
    }

    /// Those who watch, to be told what waits once the shelf is let go.
    pub(crate) fn watching(&self) -> Vec<Arc<Watch>> {
        self.watches.list.clone()
    }
}

impl Watch {
    /// Tells what waits.
    pub(crate) fn tell(&self) {
        let turn = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.defect == Some(Defect::WatchTellsAtOnce) {
            drop(turn);
            let waiting = std::mem::take(&mut *self.waiting());
            return self.tell_each(waiting);
        }
        if self.defect == Some(Defect::WatchLosesWhatComesMeanwhile) {
            let waiting = self.waiting().clone();
            self.tell_each(waiting);
            return self.waiting().clear();
        }
        let waiting = std::mem::take(&mut *self.waiting());
        self.tell_each(waiting);
    }

    fn tell_each(&self, items: VecDeque<Item>) {
        for item in items {
            match item {
                Item::Changed(digest) => self.observer.told(News::Changed(&[digest])),
                Item::Anything(parts) => self.observer.told(News::Anything(parts)),
            }
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Item>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what a verb changed when the verb is over.
pub(crate) struct Afterwards<'a> {
    pub(crate) shelf: &'a Mutex<Shelf>,
}

impl Drop for Afterwards<'_> {
    fn drop(&mut self) {
        let (watching, defect) = {
            let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
            (shelf.watching(), shelf.defect)
        };
        match defect {
            Some(
                Defect::WatchTellsOnlyWhenAsked
                | Defect::WatchTellsAfterTheProof
                | Defect::WatchJoinsAProofUnderWay,
            ) => {}
            Some(Defect::WatchProvesWithoutAsking) => {
                tokio::spawn(tell_later(watching));
            }
            _ => watching.iter().for_each(|watch| watch.tell()),
        }
    }
}

async fn tell_later(watching: Vec<Arc<Watch>>) {
    for _ in 0..256 {
        tokio::task::yield_now().await;
    }
    watching.iter().for_each(|watch| watch.tell());
}

/// The feed of one who watches.
#[derive(Debug)]
pub(crate) struct ReferenceFeed {
    pub(crate) shelf: Weak<Mutex<Shelf>>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) proving: AtomicUsize,
    pub(crate) broken: AtomicBool,
}

impl ReferenceFeed {
    fn error<T>() -> Result<T, StoreError> {
        Err(StoreError::new(ErrorKind::Unavailable, "reference", Verb::Watch))
    }

    async fn proof(&self) -> Result<Parts, StoreError> {
        match self.watch.defect {
            Some(Defect::WatchProvesWithoutAsking) => return Ok(Parts::ALL),
            Some(Defect::WatchTellsAfterTheProof) => {
                tokio::spawn(tell_later(vec![Arc::clone(&self.watch)]));
                return Ok(Parts::ALL);
            }
            Some(Defect::WatchJoinsAProofUnderWay) => return Ok(self.join().await),
            Some(Defect::WatchNeverProvesAPart) => return Ok(Parts::ALL.without(Parts::one(77))),
            Some(Defect::WatchProvesOneAtATime) if self.proving.fetch_add(1, Ordering::SeqCst) > 0 => {
                return Self::error();
            }
            Some(Defect::WatchBreaksWithItsProof) if self.broken.swap(true, Ordering::SeqCst) => {
                return Self::error();
            }
            _ => {}
        }
        tokio::task::yield_now().await;
        self.proving.store(0, Ordering::SeqCst);
        self.broken.store(false, Ordering::SeqCst);
        self.watch.tell();
        Ok(Parts::ALL)
    }

    /// One proof for all who ask while it is under way, those included who asked after it had looked.
    async fn join(&self) -> Parts {
        if self.proving.fetch_add(1, Ordering::SeqCst) > 0 {
            while self.proving.load(Ordering::SeqCst) > 0 {
                tokio::task::yield_now().await;
            }
            return Parts::ALL;
        }
        let seen = std::mem::take(&mut *self.watch.waiting());
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        self.watch.tell_each(seen);
        self.proving.store(0, Ordering::SeqCst);
        Parts::ALL
    }
}

impl Feed for ReferenceFeed {
    fn prove(&self) -> StoreFuture<'_, Parts> {
        StoreFuture::waiting(self.proof())
    }
}

impl Drop for ReferenceFeed {
    fn drop(&mut self) {
        let Some(shelf) = self.shelf.upgrade() else { return };
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        match self.watch.defect {
            Some(Defect::WatchOutlivesItsFeed) => {}
            Some(Defect::WatchEndsWithAnother) => shelf.watches.list.clear(),
            _ => shelf.watches.list.retain(|watch| !Arc::ptr_eq(watch, &self.watch)),
        }
    }
}
