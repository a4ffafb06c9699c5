//! A list that is simple enough to be obviously right, and a switch for each way to be wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloakroom_conformance::{Corruption, ListHarness, T0};
use cloakroom_core::{EndReason, PrincipalId, Timestamp};
use cloakroom_store::{
    ErrorKind, ListStanding, MOST_ENTRIES, Place, Reading, RevocationEntry, RevocationList, Scope,
    StoreError, StoreFuture, Verb, Version,
};
use tokio::sync::{Notify, oneshot};

use super::Defect;

/// Opens reference lists, with a defect or without, that claim this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReferenceLists {
    pub(crate) defect: Option<Defect>,
    pub(crate) claims: ListStanding,
}

/// What is at a place.
#[derive(Clone, Debug)]
struct Log {
    last: u64,
    entries: BTreeMap<u64, RevocationEntry>,
    damaged: BTreeSet<u64>,
}

impl Default for Log {
    fn default() -> Self {
        Self::from(BEGINNING)
    }
}

impl From<u64> for Log {
    fn from(last: u64) -> Self {
        Self { last, entries: BTreeMap::new(), damaged: BTreeSet::new() }
    }
}

/// Whoever waits, where only the first of them is told.
type Waiting = Arc<Mutex<VecDeque<oneshot::Sender<()>>>>;

/// Where a reference list lives.
#[derive(Debug, Default)]
pub(crate) struct Home {
    log: Arc<Mutex<Log>>,
    grown: Arc<Notify>,
    queue: Waiting,
    opened: AtomicBool,
}

impl ListHarness for ReferenceLists {
    type Place = Home;

    fn place(&self) -> Home {
        let home = Home::default();
        match self.defect {
            Some(Defect::NumbersBeginAtOne) => lock(&home.log).last = 0,
            Some(Defect::NumbersHaveNoRoom) => lock(&home.log).last = 1 << 53,
            _ => {}
        }
        home
    }

    async fn open(&self, home: &Home) -> Arc<dyn RevocationList> {
        let again = home.opened.swap(true, Ordering::SeqCst);
        if again && Arc::strong_count(&home.log) == 1 {
            self.restart(&mut lock(&home.log));
        }
        let (mut log, mut grown) = (Arc::clone(&home.log), Arc::clone(&home.grown));
        let is_kept = self.claims.durable
            || self.claims.shared
            || matches!(self.defect, Some(Defect::UnderstatesDurability | Defect::UnderstatesSharing));
        if !is_kept || self.defect == Some(Defect::EachHandleHasItsOwn) {
            (log, grown) = (Arc::default(), Arc::default());
        }
        if self.defect == Some(Defect::HintsAreOfOnesOwn) {
            grown = Arc::default();
        }
        let copy = lock(&log).clone();
        let (Self { defect, claims }, queue) = (*self, Arc::clone(&home.queue));
        let (copy, calls) = (Mutex::new(copy), AtomicUsize::new(0));
        Arc::new(Reference { log, grown, queue, defect, claims, copy, calls })
    }

    async fn corrupt(&self, home: &Home, number: u64) -> Corruption {
        if !self.claims.durable || self.defect == Some(Defect::CannotBeDamaged) {
            return Corruption::KeepsNoBytes;
        }
        lock(&home.log).damaged.insert(number);
        Corruption::Done
    }
}

impl ReferenceLists {
    fn restart(&self, log: &mut Log) {
        match self.defect {
            Some(Defect::RestartForgetsEverything) => *log = Log::default(),
            Some(Defect::RestartForgetsTheLast) => {
                log.entries.pop_last();
            }
            Some(Defect::RestartCountsAnew) => {
                log.entries =
                    (1..).map(|number| BEGINNING + number * 2).zip(log.entries.values().cloned()).collect();
                log.last = log.entries.keys().next_back().copied().unwrap_or(BEGINNING);
            }
            _ => {}
        }
    }
}

/// A reference list.
#[derive(Debug)]
struct Reference {
    log: Arc<Mutex<Log>>,
    grown: Arc<Notify>,
    queue: Waiting,
    defect: Option<Defect>,
    claims: ListStanding,
    /// What this handle read last, for those that read from there.
    copy: Mutex<Log>,
    calls: AtomicUsize,
}

impl Reference {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn tell(&self) {
        if self.has(Defect::HintsAreForOne) {
            // Who has left may be the one.
            let _ = lock(&self.queue).pop_front().map(|first| first.send(()));
        } else if self.claims.tells || self.has(Defect::UnderstatesTelling) {
            self.grown.notify_waiters();
        }
    }

    async fn write(&self, entries: &[RevocationEntry]) -> Result<(), StoreError> {
        let mut entries: Vec<RevocationEntry> = entries.iter().map(|entry| self.worn(entry)).collect();
        if entries.len() > MOST_ENTRIES {
            match self.defect {
                Some(Defect::LargeBatchesAreCut) => entries.truncate(MOST_ENTRIES),
                Some(Defect::LargeBatchesAreTaken) => {}
                _ => return Err(StoreError::new(ErrorKind::Internal, "reference", Verb::End)),
            }
        }
        match self.defect {
            Some(Defect::BatchesAreReversed) => entries.reverse(),
            Some(Defect::NothingIsAnEntry) if entries.is_empty() => entries.push(strange()),
            Some(Defect::TheSameIsAddedOnce) => {
                let log = lock(&self.log);
                entries.retain(|entry| log.entries.values().all(|known| known != entry));
            }
            _ => {}
        }
        self.file(entries).await;
        self.tell();
        Ok(())
    }

    async fn file(&self, entries: Vec<RevocationEntry>) {
        match self.defect {
            Some(Defect::NumbersComeBeforeEntries) => {
                let numbers = {
                    let log = &mut *lock(&self.log);
                    let first = log.last + 1;
                    log.last += u64::try_from(entries.len()).unwrap();
                    first..=log.last
                };
                self.pause().await;
                lock(&self.log).entries.extend(numbers.zip(entries));
            }
            Some(Defect::BatchesAreTorn | Defect::BatchesLieWithinEachOther) => {
                for part in entries.chunks(if self.has(Defect::BatchesAreTorn) { 2 } else { 1 }) {
                    self.append(part);
                    tokio::task::yield_now().await;
                }
            }
            Some(Defect::AcknowledgesWhatComesLater) => {
                let log = Arc::clone(&self.log);
                tokio::spawn(async move {
                    tokio::task::yield_now().await;
                    append(&mut lock(&log), &entries);
                });
            }
            Some(Defect::EachHandleCounts) => {
                let copy = &mut *lock(&self.copy);
                append(copy, &entries);
                lock(&self.log).entries.extend(copy.entries.clone());
            }
            _ => self.append(&entries),
        }
    }

    fn append(&self, entries: &[RevocationEntry]) {
        append(&mut lock(&self.log), entries);
    }

    /// Different each time, so that who came first is not first to be done.
    async fn pause(&self) {
        for _ in 0..self.calls.fetch_add(1, Ordering::SeqCst) % 5 {
            tokio::task::yield_now().await;
        }
    }

    /// What becomes of an entry on its way.
    fn worn(&self, entry: &RevocationEntry) -> RevocationEntry {
        let mut entry = entry.clone();
        match (self.defect, &mut entry.scope) {
            (Some(Defect::PrincipalsAreFolded), Scope::Principal { principal, .. }) => {
                *principal = PrincipalId::new(principal.as_str().to_lowercase()).unwrap();
            }
            (Some(Defect::PrincipalsAreTrimmed), Scope::Principal { principal, .. }) => {
                *principal = PrincipalId::new(principal.as_str().trim()).unwrap();
            }
            (Some(Defect::ExceptionsAreForgotten), Scope::Principal { except, .. }) => *except = None,
            (Some(Defect::VersionsAreSigned), Scope::Floor { version, .. }) => {
                *version = Version::from_u64(version.as_u64() & (u64::MAX >> 1));
            }
            (Some(Defect::CoresAreForgotten), Scope::Token { core, .. }) => *core = [0; 16],
            (Some(Defect::NoncesAreSigned), _) => entry.nonce &= u64::MAX >> 1,
            (Some(Defect::InstantsAreSeconds), _) => {
                entry.at = Timestamp::from_millis(entry.at.as_millis() / 1_000 * 1_000);
            }
            (Some(Defect::ReasonsAreOneReason), _) => entry.reason = EndReason::RevokedByAdmin,
            _ => {}
        }
        entry
    }

    fn look(&self, log: &mut Log, place: Place, limit: usize) -> Result<Reading, StoreError> {
        if self.is_lost(log, place) {
            return Ok(Reading::Lost);
        }
        let limit = match self.defect {
            Some(Defect::LimitIsIgnored) => MOST_ENTRIES,
            Some(Defect::ZeroIsNothing) => limit,
            _ => limit.clamp(1, MOST_ENTRIES),
        };
        let from = match self.defect {
            Some(Defect::ReadRepeatsTheLast) => place.number,
            Some(Defect::ReadSkipsTheNext) => place.number.saturating_add(2),
            _ => place.number.saturating_add(1),
        };
        let mut after = log.entries.range(from..);
        let mut entries: Vec<_> =
            after.by_ref().take(limit).map(|(at, entry)| (*at, entry.clone())).collect();
        let mut more = after.next().is_some();
        match self.defect {
            Some(Defect::FullPagesPromiseMore) => more = entries.len() == limit,
            Some(Defect::MoreIsNeverPromised) => more = false,
            Some(Defect::NewestComesFirst) => entries.reverse(),
            Some(Defect::DamageIsLeftOut) => entries.retain(|(number, _)| !log.damaged.contains(number)),
            Some(Defect::ReadingForgets) => log.entries.retain(|number, _| *number > place.number),
            _ => {}
        }
        if entries.iter().any(|(number, _)| log.damaged.contains(number)) {
            return Err(StoreError::new(ErrorKind::Corrupt, "reference", Verb::List));
        }
        Ok(Reading::Entries { entries, more })
    }

    fn is_lost(&self, log: &Log, place: Place) -> bool {
        if place == Place::START {
            return self.has(Defect::TheBeginningIsLost)
                && log.last > BEGINNING
                && !log.entries.contains_key(&(BEGINNING + 1));
        }
        let found = log.entries.get(&place.number);
        match self.defect {
            Some(Defect::NothingIsLost) => false,
            Some(Defect::NoncesAreNotCompared) => found.is_none(),
            Some(Defect::OnlyWhatIsBeyondIsLost) => {
                place.number > log.last || found.is_some_and(|entry| entry.nonce != place.nonce)
            }
            _ => found.is_none_or(|entry| entry.nonce != place.nonce),
        }
    }

    fn clear(&self, now: Timestamp, limit: usize) -> usize {
        let log = &mut *lock(&self.log);
        let limit = match self.defect {
            Some(Defect::PruneKnowsNoBounds) => usize::MAX,
            Some(Defect::ZeroIsNothing) => limit,
            _ => limit.clamp(1, MOST_ENTRIES),
        };
        let now = if self.has(Defect::PruneTrustsTheCaller) { now } else { now.min(T0) };
        let millis = now.as_millis();
        let is_over = |entry: &RevocationEntry| match self.defect {
            Some(Defect::PruneComesEarly) => entry.until.as_millis() <= millis.saturating_add(1),
            Some(Defect::PruneComesLate) => entry.until < now,
            Some(Defect::PruneTakesTheLiving) => entry.until <= now || entry.nonce.is_multiple_of(2),
            _ => entry.until <= now,
        };
        let newest = log.entries.keys().next_back().copied();
        let takes_newest = self.has(Defect::PruneTakesTheNewest) || self.has(Defect::PruneFreesNumbers);
        let mut over: Vec<(Timestamp, u64)> = Vec::new();
        for (number, entry) in &log.entries {
            let is_kept = self.has(Defect::DamageStays) && log.damaged.contains(number);
            if is_over(entry) && !is_kept && (takes_newest || Some(*number) != newest) {
                over.push((entry.until, *number));
            } else if self.has(Defect::PruneStopsAtTheLiving) {
                break;
            }
        }
        if !self.has(Defect::PruneGoesByNumbers) {
            over.sort_unstable();
        }
        over.truncate(limit);
        for (_, number) in &over {
            log.entries.remove(number);
            log.damaged.remove(number);
        }
        if self.has(Defect::PruneFreesNumbers) {
            log.last = log.entries.keys().next_back().copied().unwrap_or(BEGINNING);
        }
        if self.has(Defect::PruneMiscounts) { over.len().min(limit / 2).max(1) } else { over.len() }
    }
}

impl RevocationList for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn standing(&self) -> ListStanding {
        self.claims
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        StoreFuture::waiting(self.write(entries))
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        if self.has(Defect::ReadsACopyThatLags) {
            let copy = &mut *lock(&self.copy);
            if self.calls.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
                *copy = lock(&self.log).clone();
            }
            return StoreFuture::ready(self.look(copy, place, limit));
        }
        StoreFuture::ready(self.look(&mut lock(&self.log), place, limit))
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        StoreFuture::ready(Ok(self.clear(now, limit)))
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        if self.has(Defect::HintsNeverEnd) {
            return StoreFuture::ready(Ok(()));
        }
        if self.has(Defect::HintsCountFromThePoll) {
            return StoreFuture::waiting(async {
                self.grown.notified().await;
                Ok(())
            });
        }
        if self.has(Defect::HintsAreForOne) {
            let (told, waits) = oneshot::channel();
            lock(&self.queue).push_back(told);
            return StoreFuture::waiting(async {
                let _ = waits.await;
                Ok(())
            });
        }
        let grown = self.grown.notified();
        StoreFuture::waiting(async {
            grown.await;
            Ok(())
        })
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        if self.has(Defect::PingIsAnEntry) {
            self.append(&[strange()]);
        }
        // The clock of its own.
        StoreFuture::ready(Ok(Some(T0)))
    }
}

fn append(log: &mut Log, entries: &[RevocationEntry]) {
    for entry in entries {
        log.last += 1;
        log.entries.insert(log.last, entry.clone());
    }
}

/// An entry that nobody added.
fn strange() -> RevocationEntry {
    let until = Timestamp::from_millis(i64::MAX);
    RevocationEntry { scope: Scope::All, at: until, until, reason: EndReason::SignedOut, nonce: 4 }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where numbers begin: about when [`T0`](cloakroom_conformance::T0) is.
const BEGINNING: u64 = 1_800_000_000_000_000;
