//! The store: its shards, and the verbs.

use std::sync::Arc;

use std::fmt;

use cloakroom_core::{Route, SessionId, SessionRecord, Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ended, Ending, ErrorKind, ExportPage, ExportQuery, Feed, Filed,
    Imported, InsertRequest, Inserted, ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed,
    ReplaceRequest, Replaced, Selector, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch,
    TouchReport, Verb, Version,
};
use foldhash::quality::RandomState;
use parking_lot::Mutex;

use crate::cell::{self, Cell, Ledger};
use crate::feed::{Feeds, Watched};
use crate::finish::Decision;
use crate::packed::Packed;
use crate::reports::Reports;
use crate::shard::Shard;
use crate::slot::{BYTES, Slot};
use crate::{MemoryOptions, NAME};

/// Sessions in this process, bounded in bytes. See the [crate documentation](crate).
pub struct MemoryStore {
    pub(crate) cells: Box<[Cell]>,
    pub(crate) ledger: Ledger,
    /// Without the share of unpacked records.
    pub(crate) max_bytes: usize,
    pub(crate) reports: Reports,
    feeds: Arc<Feeds>,
    /// The shard in which the round before stopped. One round at a time.
    sweeping: Mutex<usize>,
}

impl MemoryStore {
    /// An empty store.
    ///
    /// # Cost
    /// Some 230 KiB, before any session is in it.
    #[must_use]
    pub fn new(options: MemoryOptions) -> Self {
        let warm_max_bytes = options.max_bytes / WARM_SHARE;
        let hasher = RandomState::default();
        let feeds = Arc::new(Feeds::default());
        let cell = |_| Cell::new(Shard::new(hasher.clone(), warm_max_bytes / SHARDS), Arc::clone(&feeds));
        Self {
            cells: (0..SHARDS).map(cell).collect(),
            ledger: Ledger::default(),
            max_bytes: options.max_bytes - warm_max_bytes,
            reports: Reports::default(),
            feeds,
            sweeping: Mutex::default(),
        }
    }

    /// The bytes it takes now, by its own account: see the [crate documentation](crate#memory).
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ledger.all() + self.cells.iter().map(|cell| cell.lock().warm.bytes()).sum::<usize>()
    }

    fn insert_now(&self, request: &InsertRequest<'_>) -> Result<Inserted, StoreError> {
        let record = request.record;
        let fails = |kind| StoreError::new(kind, NAME, Verb::Insert);
        let expected =
            record.principal.as_ref().map_or(record.id.route(), |one| Route::of_principal(one.id()));
        if request.digest.route() != expected || record.id.route() != expected {
            return Err(
                fails(ErrorKind::Internal).caused_by("digest, id and principal have different routes")
            );
        }
        let slot = Slot::live(record, &request.digest);
        if slot.bytes() > self.max_bytes {
            return Err(fails(ErrorKind::Full));
        }
        let (inserted, over) = self.with(expected, |shard, over| shard.insert(slot, request, over));
        self.reports.add(&self.ledger, over);
        let mut inserted = inserted.ok_or_else(|| fails(ErrorKind::Full))?;
        if let Inserted::Done { ended } = &mut inserted
            && self.is_over_full()
        {
            ended.append(&mut self.reports.take(&self.ledger, usize::MAX));
            self.make_room(Some(record.id), request.now, |one| ended.push(one));
        }
        Ok(inserted)
    }

    fn replace_now(&self, request: &ReplaceRequest<'_>) -> Result<Replaced, StoreError> {
        let packed = self.packed(request.record, request.version.next(), Verb::Replace)?;
        let route = request.digest.route();
        let (replaced, over) = self.with(route, |shard, over| shard.replace(packed, request, over));
        self.keep_bound(over, Some(request.record.id), request.now);
        replaced
    }

    fn rekey_now(&self, request: &RekeyRequest<'_>) -> Result<Rekeyed, StoreError> {
        if request.old.route() != request.new.route() {
            let error = StoreError::new(ErrorKind::Internal, NAME, Verb::Rekey);
            return Err(error.caused_by("old and new digest have different routes"));
        }
        let packed = self.packed(request.record, request.version.next(), Verb::Rekey)?;
        let (rekeyed, over) =
            self.with(request.old.route(), |shard, over| shard.rekey(packed, request, over));
        self.keep_bound(over, Some(request.record.id), request.now);
        rekeyed
    }

    fn touch_now(&self, touches: &[Touch], now: Timestamp) -> TouchReport {
        let mut report = TouchReport::default();
        for touch in touches {
            let (moved, over) = self.with(touch.digest.route(), |shard, over| shard.touch(touch, now, over));
            self.keep_bound(over, None, now);
            match moved {
                true => report.touched += 1,
                false => report.ignored += 1,
            }
        }
        report
    }

    fn end_now(&self, request: &EndRequest<'_>) -> Ending {
        let decision = Decision { reason: request.reason, now: request.now };
        match request.selector {
            Selector::One(id) => {
                let (ended, over) = self.with(id.route(), |shard, over| shard.end_one(*id, decision, over));
                self.keep_bound(over, None, request.now);
                Ending { ended, swept_later: 0 }
            }
            Selector::Principal { principal, except } => {
                let (ended, over) = self.with(Route::of_principal(principal), |shard, over| {
                    shard.end_principal(principal.as_str(), *except, decision, over)
                });
                self.keep_bound(over, None, request.now);
                Ending { ended, swept_later: 0 }
            }
            Selector::IssuedBefore(instant) => {
                let end = |cell: &Cell| {
                    cell.with(&self.ledger, |shard| shard.end_issued_before(*instant, decision))
                };
                let swept_later = self.cells.iter().map(end).sum();
                if self.feeds.anything() == Watched::Yes {
                    self.feeds.tell();
                }
                Ending { ended: Vec::new(), swept_later }
            }
            _ => {
                let swept_later = cell::with_all(&self.cells, &self.feeds, |shard| shard.end_all(decision));
                Ending { ended: Vec::new(), swept_later }
            }
        }
    }

    fn sweep_now(&self, request: &SweepRequest) -> Swept {
        // The lease keeps other nodes away, and there are none.
        let SweepRequest { now, limit, .. } = *request;
        let mut watched = Watched::No;
        let mut start = self.sweeping.lock();
        let mut swept = Swept { ended: self.reports.take(&self.ledger, limit), ..Swept::default() };
        let mut budget = limit - swept.ended.len();
        let (later, first) = self.cells.split_at_checked(*start).unwrap_or((&self.cells, &[]));
        for cell in first.iter().chain(later) {
            let clear_up = |shard: &mut Shard| shard.clear_up(now, &mut budget, &mut swept);
            let ((), untold) = cell.with_untold(&self.ledger, clear_up);
            watched = if untold == Watched::Yes { untold } else { watched };
            if budget == 0 {
                break;
            }
            *start = (*start + 1) % SHARDS;
        }
        drop(start);
        if watched == Watched::Yes {
            self.feeds.tell();
        }
        swept.more = !self.reports.is_empty() || self.cells.iter().any(|cell| cell.is_due(now));
        swept
    }

    fn count_now(&self) -> Counts {
        self.cells.iter().map(|cell| cell.lock().counts).fold(Counts::default(), |sum, counts| Counts {
            anonymous: sum.anonymous + counts.anonymous,
            signed_in: sum.signed_in + counts.signed_in,
            tombstones: sum.tombstones + counts.tombstones,
        })
    }

    /// Runs `work` on the shard of `route`; also what it found to be over, which is to be told.
    pub(crate) fn with<T>(
        &self,
        route: Route,
        work: impl FnOnce(&mut Shard, &mut Vec<Ended>) -> T,
    ) -> (T, Vec<Ended>) {
        let mut over = Vec::new();
        let result = self.cell_of(route).with(&self.ledger, |shard| work(shard, &mut over));
        (result, over)
    }

    /// Leaves it to the next sweep to tell of `over`, and of those who end because that, or a record that grew, takes
    /// more room than there is.
    pub(crate) fn keep_bound(&self, over: Vec<Ended>, spared: Option<SessionId>, now: Timestamp) {
        self.reports.add(&self.ledger, over);
        if self.is_over_full() {
            self.make_room(spared, now, |ended| self.reports.add(&self.ledger, vec![ended]));
        }
    }

    /// The record as it is kept, unless it does not fit even alone.
    fn packed(&self, record: &SessionRecord, version: Version, verb: Verb) -> Result<Packed, StoreError> {
        let packed = Packed::new(record, version);
        if BYTES + packed.bytes() > self.max_bytes {
            return Err(StoreError::new(ErrorKind::Full, NAME, verb));
        }
        Ok(packed)
    }

    pub(crate) fn cell_of(&self, route: Route) -> &Cell {
        self.cells.get(usize::from(route.as_u16()) % SHARDS).expect("shards are counted from 0")
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MemoryOptions::default())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL.in_process()
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        StoreFuture::ready(self.insert_now(&request))
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        // Most of what is asked for lives, and then nothing changes that anybody has to be told.
        let live = self.cell_of(digest.route()).lock().look_up_live(&digest, now);
        if let Some(live) = live {
            return StoreFuture::ready(Ok(Lookup::Live(live)));
        }
        let (lookup, over) = self.with(digest.route(), |shard, over| shard.look_up(&digest, now, over));
        self.keep_bound(over, None, now);
        StoreFuture::ready(Ok(lookup))
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        StoreFuture::ready(self.replace_now(&request))
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        StoreFuture::ready(self.rekey_now(&request))
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        StoreFuture::ready(Ok(self.touch_now(touches, now)))
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        StoreFuture::ready(Ok(self.end_now(&request)))
    }

    fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage> {
        StoreFuture::ready(Ok(self.list_now(query, now)))
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        StoreFuture::ready(Ok(self.sweep_now(&request)))
    }

    fn count(&self, _now: Timestamp) -> StoreFuture<'_, Counts> {
        StoreFuture::ready(Ok(self.count_now()))
    }

    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage> {
        StoreFuture::ready(self.export_now(query, now))
    }

    fn import<'a>(&'a self, filed: &'a Filed, now: Timestamp) -> StoreFuture<'a, Imported> {
        StoreFuture::ready(self.import_now(filed, now))
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        let feed = self.feeds.watch(observer);
        // Whoever held one of these locks before has changed what they changed before now.
        self.cells.iter().for_each(|cell| cell.lock().watch());
        StoreFuture::ready(Ok(Box::new(feed)))
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::ready(Ok(None))
    }
}

/// A power of two, and few enough for a set of them to be one word. At a million sessions a shard has 16,000, and
/// doubling a table of that size takes about a millisecond.
const SHARDS: usize = 64;
/// One part in so many of the bytes is for unpacked records.
const WARM_SHARE: usize = 8;
