//! The cache among threads whose every step a scheduler chooses: what it is built from is replaced, its code is not.
//!
//! `shuttle` interleaves threads at each access to a shared word, lock or map. It knows no weaker memory order than the
//! sequential one; that readers see what a publisher had done before is a matter of `Acquire` and `Release` in
//! [`cells`](super::super::cells).

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_core::{
    EndReason, Lifetime, Route, SessionId, SessionRecord, SessionToken, Timestamp, TokenDigest, Tombstone,
};
use cloakroom_store::{Live, Lookup, News, Parts, Version};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread;

use super::super::cache::Cache;
use super::super::cells::{Cells, Lock, Map, Word};
use super::super::entry::{Entry, Kept};
use super::super::{Harm, Sabotage};

#[derive(Debug)]
struct Scheduled;

impl Cells for Scheduled {
    const COUNTERS: usize = 2;
    const PARTS: usize = 1;

    type Word = shuttle::sync::atomic::AtomicU64;
    type Lock<T: Debug + Send + 'static> = shuttle::sync::Mutex<T>;
    type Map = Table;
}

impl Word for shuttle::sync::atomic::AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    fn load(&self) -> u64 {
        self.load(Ordering::SeqCst)
    }

    fn store(&self, value: u64) {
        self.store(value, Ordering::SeqCst);
    }
}

impl<T: Debug + Send> Lock<T> for shuttle::sync::Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.lock().expect("nobody panics while holding it"))
    }
}

/// A map whose every access is one step.
#[derive(Debug)]
struct Table(shuttle::sync::Mutex<HashMap<TokenDigest, Entry>>);

impl Map for Table {
    fn new(_: u64) -> Self {
        Self(shuttle::sync::Mutex::new(HashMap::new()))
    }

    fn get(&self, digest: &TokenDigest) -> Option<Entry> {
        self.0.with(|map| map.get(digest).cloned())
    }

    fn insert(&self, digest: TokenDigest, entry: Entry) {
        self.0.with(|map| map.insert(digest, entry));
    }

    fn remove(&self, digest: &TokenDigest) {
        self.0.with(|map| map.remove(digest));
    }

    fn with(&self, digest: &TokenDigest, look: impl FnOnce(&Entry)) {
        self.0.with(|map| map.get(digest).map(look));
    }

    fn len(&self) -> usize {
        self.0.with(|map| map.len())
    }

    fn bytes(&self) -> u64 {
        0
    }
}

/// What must never happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Breach {
    /// Memory was used a lease after an end was acknowledged.
    Late,
    /// Memory did not show what had ended before a proof that was answered before it was looked at.
    Proven,
    /// Memory did not show what this node itself had been told is done.
    OwnWrite,
    /// A node that had said "ended" said "alive".
    Revived,
}

/// What one thread does.
type Act = Box<dyn FnOnce(&World) + Send>;

/// What happens besides reading, proving and the passing of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Happening {
    /// The session ends, through another node.
    EndElsewhere,
    /// Somebody deletes the session behind the store's back: the store knows nothing of it any more.
    Deleted,
    /// The session ends, through this node.
    EndHere,
    /// The record is changed, through this node.
    ChangeHere,
    /// The feed is lost, says so, and is there again; the session ends through another node at any time.
    Gap,
    /// The same, but the session ends after the feed has said so, and before it is there again.
    EndInGap,
    /// This node's watch is dropped and begun anew; the session ends in between.
    EndUnwatched,
}

/// A store with one session, its feed, and a node with a near cache.
struct World {
    cache: Cache<Scheduled>,
    store: shuttle::sync::Mutex<StoreState>,
    /// A step for the scheduler wherever a clock is read.
    step: shuttle::sync::atomic::AtomicU64,
    now: AtomicU64,
    /// When the end was acknowledged, plus one; zero before.
    ended_at: AtomicU64,
    proven: AtomicBool,
    done_here: AtomicBool,
    said_ended: AtomicBool,
    digest: TokenDigest,
    record: Arc<SessionRecord>,
    breach: Arc<std::sync::Mutex<Option<Breach>>>,
}

/// What was so before memory was looked at.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
struct Before {
    proven: bool,
    done_here: bool,
    said_ended: bool,
}

#[derive(Debug)]
struct StoreState {
    version: u64,
    ended: bool,
    watched: bool,
    news: Vec<TokenDigest>,
}

impl World {
    fn new(harm: Harm, breach: Arc<std::sync::Mutex<Option<Breach>>>) -> Self {
        let route = Route::from_bytes([0, 0]);
        let lifetime =
            Lifetime::new(Duration::from_secs(60), Timestamp::from_millis(i64::MAX), Duration::ZERO);
        let id = SessionId::from_random(route, [0; 14]);
        Self {
            cache: Cache::new(0, LEASE, harm),
            store: Lock::new(StoreState { version: 1, ended: false, watched: true, news: Vec::new() }),
            step: Word::new(0),
            now: AtomicU64::new(1),
            ended_at: AtomicU64::new(0),
            proven: AtomicBool::new(false),
            done_here: AtomicBool::new(false),
            said_ended: AtomicBool::new(false),
            digest: SessionToken::from_random(route, [0; 32]).digest(),
            record: Arc::new(SessionRecord::new(id, Timestamp::EPOCH, lifetime)),
            breach,
        }
    }

    fn clock(&self) -> u64 {
        self.step.load(Ordering::SeqCst);
        self.now.load(Ordering::SeqCst)
    }

    fn reads(&self, happening: Happening) {
        for _ in 0..READS {
            self.step.load(Ordering::SeqCst);
            let before = Before {
                proven: self.proven.load(Ordering::SeqCst),
                done_here: self.done_here.load(Ordering::SeqCst),
                said_ended: self.said_ended.load(Ordering::SeqCst),
            };
            if let Some(entry) = self.cache.look(&self.digest, || self.clock()) {
                // No other thread has had a turn since the last step of looking.
                self.judge(&entry, happening, before);
                continue;
            }
            let asked = self.cache.mark(&self.digest, || self.clock());
            let answer = self.store.with(|store| self.answer(store, happening));
            self.cache.learn(self.digest, asked, &answer);
            if !matches!(answer, Lookup::Live(_)) {
                self.said_ended.store(true, Ordering::SeqCst);
            }
        }
    }

    fn judge(&self, entry: &Entry, happening: Happening, before: Before) {
        let Kept::Live(live) = &entry.kept else { return };
        let ended_at = self.ended_at.load(Ordering::SeqCst);
        let breach = if ended_at > 0 && self.now.load(Ordering::SeqCst) >= ended_at - 1 + LEASE {
            Breach::Late
        } else if before.proven {
            Breach::Proven
        } else if before.said_ended {
            Breach::Revived
        } else if before.done_here && (happening == Happening::EndHere || live.version == Version::FIRST) {
            Breach::OwnWrite
        } else {
            return;
        };
        *self.breach.lock().unwrap() = Some(breach);
    }

    fn answer(&self, store: &StoreState, happening: Happening) -> Lookup {
        if store.ended && happening == Happening::Deleted {
            return Lookup::Unknown;
        }
        if store.ended {
            let reason = EndReason::Compromised;
            let ended_at = Timestamp::EPOCH;
            return Lookup::Ended(Tombstone { session: self.record.id, principal: None, ended_at, reason });
        }
        let (record, version) = (Arc::clone(&self.record), Version::from_u64(store.version));
        Lookup::Live(Live { record, version, last_seen_at: Timestamp::EPOCH })
    }

    /// A change of the store, which tells its feed before it acknowledges.
    fn change(&self, change: impl FnOnce(&mut StoreState)) {
        self.store.with(|store| {
            change(store);
            if store.watched {
                store.news.push(self.digest);
            }
        });
    }

    fn happens(&self, happening: Happening) {
        match happening {
            Happening::EndElsewhere | Happening::Deleted => self.ends_elsewhere(),
            Happening::EndHere => {
                self.change(|store| store.ended = true);
                self.cache.ended(Parts::one(0), self.clock());
                self.done_here.store(true, Ordering::SeqCst);
            }
            Happening::ChangeHere => {
                self.change(|store| store.version = 2);
                self.cache.changed(&self.digest);
                self.done_here.store(true, Ordering::SeqCst);
            }
            Happening::Gap => {
                self.loses_the_feed();
                self.cache.told(News::Anything(Parts::ALL));
                self.store.with(|store| store.watched = true);
            }
            Happening::EndInGap => {
                self.loses_the_feed();
                self.cache.told(News::Anything(Parts::ALL));
                self.ends_elsewhere();
                self.store.with(|store| store.watched = true);
            }
            Happening::EndUnwatched => {
                self.loses_the_feed();
                self.ends_elsewhere();
                self.cache.unwatched();
                self.store.with(|store| store.watched = true);
            }
        }
    }

    fn ends_elsewhere(&self) {
        self.change(|store| store.ended = true);
        self.ended_at.store(self.clock() + 1, Ordering::SeqCst);
    }

    fn loses_the_feed(&self) {
        self.store.with(|store| {
            store.watched = false;
            store.news.clear();
        });
    }

    /// Proofs, one after the other: what was told before the probe comes before its answer.
    fn proves(&self) {
        for _ in 0..PROOFS {
            let after_the_end = self.ended_at.load(Ordering::SeqCst) > 0;
            let proof = self.cache.begin_proof(self.clock());
            let news = self.store.with(|store| store.watched.then(|| std::mem::take(&mut store.news)));
            let Some(news) = news else { continue };
            self.cache.told(News::Changed(&news));
            self.cache.proven(proof, Parts::ALL, self.clock());
            self.proven.fetch_or(after_the_end, Ordering::SeqCst);
        }
    }

    fn passes_time(&self) {
        for _ in 0..TICKS {
            self.step.load(Ordering::SeqCst);
            self.now.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn play(happening: Happening, harm: Harm, breach: Arc<std::sync::Mutex<Option<Breach>>>) {
    let world = Arc::new(World::new(harm, breach));
    let mut acts: Vec<Act> = vec![
        Box::new(move |world| world.reads(happening)),
        Box::new(World::proves),
        Box::new(move |world| world.happens(happening)),
    ];
    // Fewer threads have fewer orders: each happening has only those that matter to it.
    match happening {
        Happening::EndElsewhere => {
            acts.push(Box::new(World::passes_time));
            acts.push(Box::new(move |world| world.reads(happening)));
        }
        Happening::Deleted => acts.push(Box::new(move |world| world.reads(happening))),
        Happening::Gap => {
            acts.push(Box::new(World::passes_time));
            acts.push(Box::new(World::ends_elsewhere));
        }
        _ => {}
    }
    let threads = acts.into_iter().map(|act| {
        let world = Arc::clone(&world);
        thread::spawn(move || act(&world))
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("nobody panics");
    }
}

/// The first breach among `rounds` of schedules, by chance alone and by few forced changes of turn.
fn search(happening: Happening, harm: Harm, rounds: u64) -> Option<Breach> {
    let breach = Arc::new(std::sync::Mutex::new(None));
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = shuttle::Config::new();
        config.failure_persistence = shuttle::FailurePersistence::None;
        config.silence_warnings = true;
        let breach = Arc::clone(&breach);
        shuttle::Runner::new(scheduler, config).run(move || play(happening, harm, Arc::clone(&breach)));
    };
    for seed in 0..rounds {
        run(Box::new(RandomScheduler::new_from_seed(seed, SCHEDULES)));
        run(Box::new(PctScheduler::new_from_seed(seed, DEPTH, SCHEDULES)));
        if let Some(found) = *breach.lock().unwrap() {
            return Some(found);
        }
    }
    None
}

#[test]
fn no_schedule_breaks_the_promise() {
    for happening in [
        Happening::EndElsewhere,
        Happening::Deleted,
        Happening::EndHere,
        Happening::ChangeHere,
        Happening::Gap,
        Happening::EndInGap,
        Happening::EndUnwatched,
    ] {
        assert_eq!(search(happening, Harm::default(), 3), None, "{happening:?}");
    }
}

#[test]
fn every_step_left_out_breaks_it_under_some_schedule() {
    let table = [
        (Sabotage::SkipMark, Happening::EndElsewhere),
        (Sabotage::MarkTrustFirst, Happening::EndInGap),
        (Sabotage::FillWhileUntrusted, Happening::EndInGap),
        (Sabotage::FillAcrossGap, Happening::EndInGap),
        (Sabotage::TrustAfterGap, Happening::EndInGap),
        (Sabotage::KeepEntriesAfterGap, Happening::EndInGap),
        (Sabotage::LateProofCounts, Happening::EndHere),
        (Sabotage::LeaseFromReply, Happening::EndElsewhere),
        (Sabotage::ForgetNews, Happening::EndElsewhere),
        (Sabotage::ForgetOwnChanges, Happening::ChangeHere),
        (Sabotage::KeepTrustAfterOwnEnd, Happening::EndHere),
        (Sabotage::EntryBeforeTrust, Happening::EndElsewhere),
        (Sabotage::ClockBeforeEntry, Happening::EndElsewhere),
        (Sabotage::ReopenKeepsEntries, Happening::EndUnwatched),
        (Sabotage::EndedAnswerIsNoNews, Happening::Deleted),
    ];
    assert_eq!(table.map(|(sabotage, _)| sabotage), Sabotage::ALL);
    let unnoticed =
        table.iter().filter(|(sabotage, happening)| search(*happening, Harm::by(*sabotage), 60).is_none());
    assert_eq!(unnoticed.collect::<Vec<_>>(), Vec::<&(Sabotage, Happening)>::new());
}

const LEASE: u64 = 2;
const READS: usize = 3;
const PROOFS: usize = 3;
const TICKS: usize = 5;
/// Schedules in one round, of either kind.
const SCHEDULES: usize = 250;
/// Changes of turn that a schedule forces.
const DEPTH: usize = 5;
