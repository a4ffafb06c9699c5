//! The shelf as a store.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloakroom_conformance::{Corruption, Effort, Harness};
use cloakroom_core::{EndReason, SessionId, Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ErrorKind, ExportPage, ExportQuery, Feed, Imported,
    InsertRequest, Inserted, ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest,
    Replaced, Selector, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};

use super::Defect;
use super::feed::{Afterwards, Cause, ReferenceFeed};
use super::shelf::{Filed, Found, Shelf};

/// Opens reference stores, with a defect or without, that claim this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReferenceHarness {
    pub(crate) defect: Option<Defect>,
    pub(crate) claims: Capabilities,
    pub(crate) clearing: Clearing,
}

/// Who clears up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clearing {
    /// The sweep.
    BySweep,
    /// Nobody: what is left goes some time after its retention, as in a cache.
    ByItself,
}

/// Where a reference store lives.
#[derive(Debug)]
pub(crate) struct Place {
    shelf: Arc<Mutex<Shelf>>,
    opened: AtomicBool,
}

impl Harness for ReferenceHarness {
    type Place = Place;

    fn place(&self) -> Place {
        let shelf = Shelf { defect: self.defect, ..Shelf::default() };
        Place { shelf: Arc::new(Mutex::new(shelf)), opened: AtomicBool::new(false) }
    }

    async fn open(&self, place: &Place) -> Arc<dyn Store> {
        static NODES: AtomicU64 = AtomicU64::new(0);
        let again = place.opened.swap(true, Ordering::SeqCst);
        if again && Arc::strong_count(&place.shelf) == 1 {
            lock(&place.shelf).restart();
        }
        let over_claimed =
            matches!(self.defect, Some(Defect::UnderstatesDurability | Defect::UnderstatesSharing));
        let mut shelf = Arc::clone(&place.shelf);
        if self.defect == Some(Defect::HandlesShareNothing) {
            shelf = Arc::new(Mutex::new(lock(&place.shelf).clone()));
        } else if !self.claims.shared && !over_claimed {
            shelf = Arc::new(Mutex::new(Shelf { defect: self.defect, ..Shelf::default() }));
        }
        let node = NODES.fetch_add(1, Ordering::SeqCst);
        Arc::new(Reference {
            shelf,
            defect: self.defect,
            claims: self.claims,
            clearing: self.clearing,
            node,
            turn: tokio::sync::Mutex::default(),
            own: Mutex::default(),
            later: Mutex::default(),
        })
    }

    async fn corrupt(&self, place: &Place, digest: TokenDigest) -> Corruption {
        if !self.claims.durable || self.defect == Some(Defect::CannotBeDamaged) {
            return Corruption::KeepsNoBytes;
        }
        let shelf = &mut *lock(&place.shelf);
        if let Some(Filed::Session(id)) = shelf.digests.get(&digest) {
            shelf.entries.get_mut(id).unwrap().damaged = true;
        }
        Corruption::Done
    }

    fn removes_by_itself(&self) -> bool {
        self.clearing == Clearing::ByItself
    }

    fn effort(&self) -> Effort {
        Effort { races: 3_000, sequences: 128 }
    }
}

/// A reference store.
#[derive(Debug)]
struct Reference {
    shelf: Arc<Mutex<Shelf>>,
    defect: Option<Defect>,
    claims: Capabilities,
    clearing: Clearing,
    node: u64,
    /// For stores that only keep their own calls apart.
    turn: tokio::sync::Mutex<()>,
    /// What was filed through this handle.
    own: Mutex<BTreeSet<SessionId>>,
    /// Ends that were answered and not carried out.
    later: Mutex<Vec<(Selector, EndReason, Timestamp)>>,
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reference {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        let mut shelf = lock(&self.shelf);
        shelf.watches.actor = self.node;
        shelf
    }

    /// To be held by whoever changes something: tells of it when dropped.
    fn afterwards(&self) -> Afterwards<'_> {
        Afterwards { shelf: &self.shelf }
    }

    /// Tells of what has not happened yet.
    async fn tell_early(&self, cause: Cause, id: SessionId, digest: Option<TokenDigest>) {
        if !self.has(Defect::WatchTellsBeforeItHappens) {
            return;
        }
        let afterwards = self.afterwards();
        {
            let shelf = &mut *self.shelf();
            let digest = digest.or_else(|| shelf.entries.get(&id).map(|entry| entry.digest));
            digest.into_iter().for_each(|digest| shelf.note(cause, id, digest));
        }
        drop(afterwards);
        self.pause_if(Defect::WatchTellsBeforeItHappens).await;
    }

    /// The pause between looking and acting of a store that is not atomic.
    async fn pause_if(&self, defect: Defect) {
        if self.has(defect) {
            // Long enough for another thread to wake up and come in.
            for _ in 0..256 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Keeps the calls of this handle apart, where that is all that is done.
    async fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let alone = self.has(Defect::LimitIsKeptByEachHandle)
            || self.has(Defect::ReplaceIsAtomicForEachHandle)
            || self.has(Defect::TouchIsAtomicForEachHandle)
            || self.has(Defect::RekeyIsAtomicForEachHandle);
        if alone { Some(self.turn.lock().await) } else { None }
    }

    /// What a handle that thinks it is alone ends of those named.
    fn known(&self, named: Vec<SessionId>) -> Vec<SessionId> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let knows = |id: &SessionId| !self.has(Defect::EachHandleKnowsWhomItSignedIn) || own.contains(id);
        named.into_iter().filter(knows).collect()
    }

    /// Carries out what was answered before.
    fn catch_up(&self) {
        let later = std::mem::take(&mut *self.later.lock().unwrap_or_else(PoisonError::into_inner));
        for (selector, reason, now) in later {
            let request = EndRequest { selector: &selector, reason, now };
            let shelf = &mut *self.shelf();
            let named = shelf.named(&request);
            shelf.end(&request, &named);
        }
    }

    fn error(&self, kind: ErrorKind, verb: Verb) -> StoreError {
        StoreError::new(kind, self.name(), verb)
    }

    fn unsupported<T>(&self, verb: Verb) -> StoreFuture<'_, T> {
        StoreFuture::ready(Err(self.error(ErrorKind::Unsupported, verb)))
    }

    fn lists(&self) -> bool {
        self.claims.listing || self.has(Defect::UnderstatesListing)
    }
}

impl Store for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn capabilities(&self) -> Capabilities {
        self.claims
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        let limited = request.limit.is_some() && request.record.principal.is_some();
        if limited && !self.claims.limits && !self.has(Defect::UnderstatesLimits) {
            return self.unsupported(Verb::Insert);
        }
        let _afterwards = self.afterwards();
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(request.record.id);
        if self.has(Defect::LimitIsCheckedFirst) || self.has(Defect::LimitIsKeptByEachHandle) {
            return StoreFuture::waiting(async move {
                let _turn = self.turn().await;
                let room = self.shelf().room(&request);
                self.pause_if(Defect::LimitIsCheckedFirst).await;
                self.pause_if(Defect::LimitIsKeptByEachHandle).await;
                Ok(self.shelf().insert(&request, room))
            });
        }
        if self.has(Defect::InsertStopsHalfWay) {
            return StoreFuture::waiting(async move {
                request.replaces.and_then(|id| self.shelf().bury(id, request.now, EndReason::Replaced));
                self.pause_if(Defect::InsertStopsHalfWay).await;
                let shelf = &mut *self.shelf();
                let room = shelf.room(&request);
                Ok(shelf.insert(&request, room))
            });
        }
        let shelf = &mut *self.shelf();
        let room = shelf.room(&request);
        StoreFuture::ready(Ok(shelf.insert(&request, room)))
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        self.catch_up();
        let _afterwards = self.afterwards();
        if self.clearing == Clearing::ByItself && self.shelf().has_vanished(digest, now) {
            return StoreFuture::ready(Ok(Lookup::Unknown));
        }
        let shelf = &mut *self.shelf();
        StoreFuture::ready(match shelf.find(digest, now) {
            Found::Live(id, live) => {
                shelf.note(Cause::Look, id, digest);
                if self.has(Defect::GetIsActivity) {
                    shelf.entries.get_mut(&id).unwrap().last_seen_at = now;
                }
                Ok(Lookup::Live(live))
            }
            Found::Other(Lookup::Ended(over)) if self.has(Defect::GetReturnsTheExpired) => {
                let entry = &shelf.entries[&over.session];
                Ok(if entry.tombstone.is_some() { Lookup::Ended(over) } else { Lookup::Live(entry.live()) })
            }
            Found::Other(other) => Ok(other),
            Found::Damaged if self.has(Defect::DamageReadsAsUnknown) => Ok(Lookup::Unknown),
            Found::Damaged => Err(self.error(ErrorKind::Corrupt, Verb::Get)),
        })
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        StoreFuture::waiting(async move {
            let _afterwards = self.afterwards();
            let _turn = self.turn().await;
            let mut found = self.shelf().replaceable(&request);
            let slow = [
                Defect::ReplaceReadsThenWrites,
                Defect::ReplaceRevivesWhatEndedMeanwhile,
                Defect::ReplaceIsAtomicForEachHandle,
            ];
            for defect in slow {
                self.pause_if(defect).await;
            }
            let shelf = &mut *self.shelf();
            if !slow.into_iter().any(|defect| self.has(defect)) {
                found = shelf.replaceable(&request);
            }
            match found {
                Ok(id) => {
                    if !self.has(Defect::ReplaceReadsThenWrites) {
                        shelf.entries.get_mut(&id).unwrap().tombstone = None;
                    }
                    Ok(shelf.replace(id, &request))
                }
                Err(Some(Replaced::Unknown)) if self.has(Defect::ReplaceCreates) => {
                    let (record, digest, now) = (request.record, request.digest, request.now);
                    let insert = InsertRequest { record, digest, limit: None, replaces: None, now };
                    let room = shelf.room(&insert);
                    shelf.insert(&insert, room);
                    Ok(Replaced::Unknown)
                }
                Err(Some(answer)) => Ok(answer),
                Err(None) => Err(self.error(ErrorKind::Corrupt, Verb::Replace)),
            }
        })
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        StoreFuture::waiting(async move {
            self.tell_early(Cause::Rekey, request.record.id, Some(request.old)).await;
            let _afterwards = self.afterwards();
            let _turn = self.turn().await;
            if self.has(Defect::RekeyReadsThenWrites) || self.has(Defect::RekeyIsAtomicForEachHandle) {
                let found = self.shelf().rekeyable(&request);
                self.pause_if(Defect::RekeyReadsThenWrites).await;
                self.pause_if(Defect::RekeyIsAtomicForEachHandle).await;
                if let Ok(id) = found {
                    let shelf = &mut *self.shelf();
                    shelf.retire(&request);
                    shelf.entries.get_mut(&id).unwrap().tombstone = None;
                    return Ok(shelf.rekey(id, &request));
                }
            }
            let answer = {
                let shelf = &mut *self.shelf();
                match shelf.rekeyable(&request) {
                    Err(Some(answer)) => return Ok(answer),
                    Err(None) => return Err(self.error(ErrorKind::Corrupt, Verb::Rekey)),
                    Ok(id) if self.has(Defect::RekeyRetiresFirst) || self.has(Defect::RekeyStopsHalfWay) => {
                        shelf.retire(&request);
                        Err(id)
                    }
                    Ok(id) => {
                        let answer = shelf.rekey(id, &request);
                        if !self.has(Defect::RekeyRetiresLater) {
                            shelf.retire(&request);
                        }
                        Ok(answer)
                    }
                }
            };
            self.pause_if(Defect::RekeyRetiresFirst).await;
            self.pause_if(Defect::RekeyStopsHalfWay).await;
            self.pause_if(Defect::RekeyRetiresLater).await;
            let shelf = &mut *self.shelf();
            match answer {
                Err(id) => Ok(shelf.rekey(id, &request)),
                Ok(answer) => {
                    if self.has(Defect::RekeyRetiresLater) {
                        shelf.retire(&request);
                    }
                    Ok(answer)
                }
            }
        })
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        StoreFuture::waiting(async move {
            let _afterwards = self.afterwards();
            let _turn = self.turn().await;
            if !self.has(Defect::TouchReadsThenWrites) && !self.has(Defect::TouchIsAtomicForEachHandle) {
                let shelf = &mut *self.shelf();
                let moves = shelf.touchable(touches, now);
                return Ok(shelf.touch(touches.len(), &moves));
            }
            let moves = self.shelf().touchable(touches, now);
            let read = self.shelf().entries.clone();
            self.pause_if(Defect::TouchReadsThenWrites).await;
            self.pause_if(Defect::TouchIsAtomicForEachHandle).await;
            let shelf = &mut *self.shelf();
            for (id, _) in &moves {
                shelf.entries.insert(*id, read[id].clone());
            }
            Ok(shelf.touch(touches.len(), &moves))
        })
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        StoreFuture::waiting(async move {
            if let Selector::One(id) = request.selector {
                self.tell_early(Cause::End(request.reason), *id, None).await;
            }
            let _afterwards = self.afterwards();
            let _turn = self.turn().await;
            let by_principal = matches!(request.selector, Selector::Principal { .. });
            let everything = matches!(request.selector, Selector::All);
            if (by_principal && self.has(Defect::EndOfAPrincipalComesLater))
                || (everything && self.has(Defect::EndOfAllComesLater))
            {
                let later = (request.selector.clone(), request.reason, request.now);
                self.later.lock().unwrap_or_else(PoisonError::into_inner).push(later);
                return Ok(Ending::default());
            }
            if everything && self.has(Defect::EachHandleEndsWhatItFiled) {
                let own: Vec<SessionId> =
                    self.own.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
                let ended = own.iter().filter_map(|id| self.shelf().bury(*id, request.now, request.reason));
                return Ok(Ending { ended: ended.collect(), swept_later: 0 });
            }
            if self.has(Defect::EndReadsThenWrites) {
                let named = self.shelf().named(&request);
                let read = self.shelf().entries.clone();
                self.pause_if(Defect::EndReadsThenWrites).await;
                let shelf = &mut *self.shelf();
                for id in &named {
                    read.get(id).map(|entry| shelf.entries.insert(*id, entry.clone()));
                }
                return Ok(shelf.end(&request, &named));
            }
            let shelf = &mut *self.shelf();
            let named = self.known(shelf.named(&request));
            let ending = shelf.end(&request, &named);
            let counts = self.clearing == Clearing::BySweep || self.lists();
            Ok(if counts { ending } else { Ending { swept_later: 0, ..ending } })
        })
    }

    fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage> {
        if !self.lists() {
            return self.unsupported(Verb::List);
        }
        StoreFuture::ready(Ok(self.shelf().list(query, now)))
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        let _afterwards = self.afterwards();
        let swept = match (self.clearing, self.lists()) {
            (Clearing::BySweep, _) => self.shelf().sweep(request, self.node),
            (Clearing::ByItself, true) => self.shelf().report(request, self.node),
            (Clearing::ByItself, false) => Swept::default(),
        };
        StoreFuture::ready(Ok(swept))
    }

    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
        if !self.lists() {
            return self.unsupported(Verb::Count);
        }
        StoreFuture::ready(Ok(self.shelf().count(now)))
    }

    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage> {
        if !self.lists() {
            return self.unsupported(Verb::Export);
        }
        let page = self.shelf().export(query, now);
        StoreFuture::ready(page.map_err(|why| self.error(ErrorKind::Internal, Verb::Export).caused_by(why)))
    }

    fn import<'a>(&'a self, filed: &'a cloakroom_store::Filed, now: Timestamp) -> StoreFuture<'a, Imported> {
        StoreFuture::waiting(async move {
            let _afterwards = self.afterwards();
            let taken = self.shelf().is_taken_by(filed);
            self.pause_if(Defect::ImportLooksThenFiles).await;
            let shelf = &mut *self.shelf();
            let taken = if self.has(Defect::ImportLooksThenFiles) { taken } else { shelf.is_taken_by(filed) };
            Ok(if taken { Imported::AlreadyExists } else { shelf.import(filed, now) })
        })
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        if !self.claims.watch && !self.has(Defect::UnderstatesWatch) {
            return self.unsupported(Verb::Watch);
        }
        let watch = self.shelf().watch(observer, self.node);
        let shelf = Arc::downgrade(&self.shelf);
        let feed =
            ReferenceFeed { shelf, watch, proving: AtomicUsize::new(0), broken: AtomicBool::new(false) };
        StoreFuture::ready(Ok(Box::new(feed)))
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::ready(Ok(None))
    }
}
