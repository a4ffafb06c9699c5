//! Servers that know one store or both, restarting one after the other, in thousands of random orders; while time goes by,
//! sessions fall silent, what is over is swept, and sometimes to a store that cannot list.

use std::collections::BTreeSet;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cloakroom_conformance::{Fault, FaultyStore, Filing, Fixtures, RETENTION, Seeded, UnlistedStore, at};
use cloakroom_core::{
    AttributeKey, EndReason, OnLimit, SessionId, SessionLimit, SessionRecord, Timestamp, TokenDigest,
};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{
    EndRequest, ExportQuery, InsertRequest, Inserted, Live, Lookup, RekeyRequest, Rekeyed, ReplaceRequest,
    Replaced, Selector, Store, StoreError, SweepRequest, Touch,
};
use parking_lot::Mutex;

use super::super::{Beginning, Carried, MovingStore};
use super::file;

/// Somebody's request: which server it reaches, and when.
#[derive(Clone, Copy)]
struct Visit<'a> {
    store: &'a dyn Store,
    now: Timestamp,
}

impl Visit<'_> {
    async fn end(self, filing: &Filing) -> Result<(), StoreError> {
        let selector = Selector::One(filing.id());
        let request = EndRequest { selector: &selector, reason: EndReason::SignedOut, now: self.now };
        self.store.end(request).await.map(drop)
    }

    async fn insert(
        self,
        filing: &Filing,
        limit: Option<SessionLimit>,
        replaces: Option<SessionId>,
    ) -> Result<Inserted, StoreError> {
        let (record, digest, now) = (&filing.record, filing.digest, self.now);
        self.store.insert(InsertRequest { record, digest, limit, replaces, now }).await
    }
}

/// A session that nothing but a decision ends here.
fn lasting(filing: Filing, now: Timestamp) -> Filing {
    filing.issued_at(now).with_idle_timeout(LONG).with_absolute_at(now.plus(LONG))
}

/// What people know of a session: what they were told, and what they were told may have happened.
#[derive(Clone)]
struct Story {
    filing: Filing,
    token: Option<TokenDigest>,
    /// Tokens that were exchanged for another, or may have been.
    dead_tokens: Vec<TokenDigest>,
    /// Exchanged tokens of which the answer was lost: either is alive.
    maybe_tokens: Vec<TokenDigest>,
    counted: u64,
    maybe_counted: u64,
    ended: bool,
    maybe_ended: bool,
    /// Tokens of sessions that a later one has replaced.
    replaced: Vec<TokenDigest>,
}

impl Story {
    fn new(filing: Filing) -> Self {
        Self {
            token: Some(filing.digest),
            filing,
            dead_tokens: Vec::new(),
            maybe_tokens: Vec::new(),
            counted: 0,
            maybe_counted: 0,
            ended: false,
            maybe_ended: false,
            replaced: Vec::new(),
        }
    }

    /// Every token that this session has, or had.
    fn tokens(&self) -> impl Iterator<Item = TokenDigest> {
        self.token.iter().chain(&self.dead_tokens).chain(&self.maybe_tokens).copied()
    }
}

/// Somebody with a browser, in which one session follows the other.
struct Person {
    story: Mutex<Story>,
}

impl Person {
    /// The story, if it is still that of this session.
    fn of(&self, session: SessionId) -> Option<parking_lot::MappedMutexGuard<'_, Story>> {
        let story = self.story.lock();
        parking_lot::MutexGuard::try_map(story, |story| (story.filing.id() == session).then_some(story)).ok()
    }
}

/// Somebody who may have so many sessions and no more, and signs in all the time.
struct Crowd {
    name: &'static str,
    limit: SessionLimit,
    /// What they were let in with, and did not sign out of.
    signed_in: Mutex<Vec<Filing>>,
    /// Those of which the answer to signing out, or to signing in instead, was lost.
    maybe_out: Mutex<Vec<Filing>>,
    /// Those of which it was not.
    out: Mutex<Vec<Filing>>,
}

impl Crowd {
    fn new(name: &'static str, on_limit: OnLimit) -> Self {
        let limit = SessionLimit { max: NonZeroU32::new(CROWD).unwrap(), on_limit };
        Self { name, limit, signed_in: Mutex::default(), maybe_out: Mutex::default(), out: Mutex::default() }
    }

    /// Signs in, in every third browser instead of a session that is there.
    async fn sign_in(&self, visit: Visit<'_>, filing: Filing, random: &mut Seeded) {
        let before = if random.below(3) == 0 { self.somebody(random) } else { None };
        match visit.insert(&filing, Some(self.limit), before.as_ref().map(Filing::id)).await {
            Ok(Inserted::Done { .. }) => {
                self.signed_in.lock().push(filing);
                self.out.lock().extend(before);
            }
            // Nothing has changed.
            Ok(_) => self.signed_in.lock().extend(before),
            Err(_) => self.maybe_out.lock().extend(before),
        }
    }

    async fn sign_out(&self, visit: Visit<'_>, random: &mut Seeded) {
        let Some(filing) = self.somebody(random) else { return };
        match visit.end(&filing).await {
            Ok(()) => self.out.lock().push(filing),
            Err(_) => self.maybe_out.lock().push(filing),
        }
    }

    fn somebody(&self, random: &mut Seeded) -> Option<Filing> {
        let mut all = self.signed_in.lock();
        let count = u64::try_from(all.len()).ok().filter(|count| *count > 0)?;
        Some(all.swap_remove(usize::try_from(random.below(count)).unwrap()))
    }

    /// Nobody was let in beyond the limit; where it ends nobody, everybody who was let in still is.
    async fn check(&self, visit: Visit<'_>, seed: u64) {
        let out = self.out.lock().clone();
        for filing in out {
            let answer = visit.store.get(filing.digest, visit.now).await.unwrap();
            assert!(!matches!(answer, Lookup::Live(_)), "seed {seed}: {} is not signed out", self.name);
        }
        let (signed_in, maybe_out) = (self.signed_in.lock().clone(), self.maybe_out.lock().clone());
        let mut alive = 0;
        for (filing, may_be_out) in signed_in
            .iter()
            .map(|filing| (filing, false))
            .chain(maybe_out.iter().map(|filing| (filing, true)))
        {
            let answer = visit.store.get(filing.digest, visit.now).await.unwrap();
            let lives = matches!(answer, Lookup::Live(_));
            alive += u32::from(lives);
            if self.limit.on_limit == OnLimit::Refuse {
                assert!(lives || may_be_out, "seed {seed}: {} was signed out", self.name);
            }
        }
        assert!(alive <= CROWD, "seed {seed}: {} has {alive} sessions", self.name);
    }
}

/// What a server knows.
enum Server {
    One(Arc<dyn Store>),
    /// Both stores. It restarts now and then, and may take its time to notice that moving has begun.
    Both(Arc<MovingStore>),
}

impl Server {
    fn store(&self) -> &dyn Store {
        match self {
            Self::One(store) => &**store,
            Self::Both(store) => &**store,
        }
    }
}

/// Everybody's servers, by what they know.
struct World {
    old: Arc<FaultyStore>,
    new: Arc<FaultyStore>,
    people: Vec<Person>,
    crowds: [Crowd; 3],
    /// Who came once and fell silent.
    silent: Mutex<Vec<Filing>>,
    /// Milliseconds since everything began.
    clock: AtomicI64,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut fixtures = Fixtures::new(seed);
        let old: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let mut people = Vec::new();
        for index in 0..PEOPLE {
            let filing = fixtures.signed_in(if index % 2 == 0 { "alice" } else { "bob" });
            let filing = lasting(filing, at(0));
            file(&*old, &filing).await;
            people.push(Person { story: Mutex::new(Story::new(filing)) });
        }
        let faults = [Fault::Delay, Fault::Delay, Fault::Delay, Fault::FailBefore, Fault::FailAfterApply];
        let faulty = |inner, seed| Arc::new(FaultyStore::seeded(inner, seed, &faults, 350));
        let mut new: Arc<dyn Store> = Arc::new(MemoryStore::default());
        if seed.is_multiple_of(3_000) {
            new = Arc::new(UnlistedStore::new(new));
        }
        let crowds = [
            Crowd::new("carol", OnLimit::Refuse),
            Crowd::new("dave", OnLimit::EndOldest),
            Crowd::new("erin", OnLimit::EndIdlest),
        ];
        let (old, new) = (faulty(old, seed), faulty(new, seed + 1));
        Self { old, new, people, crowds, silent: Mutex::default(), clock: AtomicI64::new(20) }
    }

    fn now(&self) -> Timestamp {
        at(self.clock.load(Ordering::Relaxed))
    }

    /// Long enough that what was over by now is kept no longer.
    fn days_go_by(&self) {
        let longer = i64::try_from(RETENTION.as_millis()).unwrap() + 1_000;
        self.clock.fetch_add(longer, Ordering::Relaxed);
    }

    fn node(&self) -> Arc<MovingStore> {
        Arc::new(MovingStore::new(self.old.clone(), self.new.clone()))
    }

    fn both(&self) -> Server {
        Server::Both(self.node())
    }

    /// Requests of random people to one server; each person's requests come one after the other, as in a browser that
    /// waits, so that what they were told has an order.
    async fn serve(&self, server: &mut Server, seed: u64, requests: usize) {
        let mut random = Seeded::new(seed);
        let mut fixtures = Fixtures::new(seed + 1_000_000);
        for _ in 0..requests {
            if let Server::Both(node) = server {
                match random.below(12) {
                    0 => *node = self.node(),
                    1 => node.stage.forget(),
                    _ => {}
                }
            }
            self.clock.fetch_add(i64::try_from(random.below(9)).unwrap(), Ordering::Relaxed);
            let visit = Visit { store: server.store(), now: self.now() };
            let index = usize::try_from(random.below(PEOPLE)).unwrap();
            let crowd = &self.crowds[index % self.crowds.len()];
            let person = &self.people[index];
            let (token, session) = {
                let story = person.story.lock();
                (story.token, story.filing.id())
            };
            match (random.below(28), token) {
                (0, _) => sign_out(visit, person).await,
                (1 | 2, Some(token)) => {
                    let next = fixtures.digest(token.route());
                    rotate(visit, person, session, token, next).await;
                }
                (3, _) => sign_in_again(visit, person, &mut fixtures).await,
                (4..=7, _) => {
                    let filing = lasting(fixtures.signed_in(crowd.name), visit.now);
                    crowd.sign_in(visit, filing, &mut random).await;
                }
                (8, _) => crowd.sign_out(visit, &mut random).await,
                (9, _) => self.come_and_fall_silent(visit, fixtures.signed_in("frank")).await,
                (10, _) => {
                    // As each server does now and then; what it fails to do it does at the next turn.
                    let _ = visit
                        .store
                        .sweep(SweepRequest { now: visit.now, limit: 50, lease: Duration::ZERO })
                        .await;
                }
                (11, Some(token)) => {
                    let touches = [Touch { digest: token, seen_at: visit.now }];
                    let _ = visit.store.touch(&touches, visit.now).await;
                }
                (_, Some(token)) => count(visit, person, session, token).await,
                (_, None) => {}
            }
        }
    }

    async fn come_and_fall_silent(&self, visit: Visit<'_>, filing: Filing) {
        let filing = filing.issued_at(visit.now).with_idle_timeout(SHORT);
        if let Ok(Inserted::Done { .. }) = visit.insert(&filing, None, None).await {
            self.silent.lock().push(filing);
        }
    }

    /// Everybody against what the store says of them.
    async fn check(&self, store: &dyn Store, seed: u64) {
        let visit = Visit { store, now: self.now() };
        check(visit, &self.people, seed).await;
        for crowd in &self.crowds {
            crowd.check(visit, seed).await;
        }
        let silent = self.silent.lock().clone();
        for filing in silent {
            let answer = store.get(filing.digest, visit.now.plus(SHORT)).await.unwrap();
            assert!(!matches!(answer, Lookup::Live(_)), "seed {seed}: silence did not end a session");
        }
    }
}

async fn look(visit: Visit<'_>, digest: TokenDigest) -> Option<Live> {
    match visit.store.get(digest, visit.now).await {
        Ok(Lookup::Live(live)) => Some(live),
        Ok(_) | Err(_) => None,
    }
}

fn counter(record: &SessionRecord) -> u64 {
    record.attributes.bytes("n").map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

/// Adds one, as the engine does: read, change, compare and swap, again where somebody was faster.
async fn count(visit: Visit<'_>, person: &Person, session: SessionId, token: TokenDigest) {
    let Some(mut current) = look(visit, token).await else { return };
    loop {
        let mut record = SessionRecord::clone(&current.record);
        let next = counter(&record) + 1;
        record.attributes.insert_bytes(AttributeKey::new("n").unwrap(), next.to_le_bytes().into());
        let request =
            ReplaceRequest { digest: token, version: current.version, record: &record, now: visit.now };
        match visit.store.replace(request).await {
            Ok(Replaced::Done(_)) => {
                if let Some(mut story) = person.of(session) {
                    story.counted += 1;
                }
            }
            Ok(Replaced::Conflict(theirs)) => {
                current = theirs;
                continue;
            }
            Ok(_) => {}
            Err(_) => {
                if let Some(mut story) = person.of(session) {
                    story.maybe_counted += 1;
                }
            }
        }
        return;
    }
}

async fn rotate(
    visit: Visit<'_>,
    person: &Person,
    session: SessionId,
    token: TokenDigest,
    next: TokenDigest,
) {
    let Some(mut current) = look(visit, token).await else { return };
    loop {
        let record = SessionRecord::clone(&current.record);
        let request =
            RekeyRequest { old: token, new: next, version: current.version, record: &record, now: visit.now };
        let answer = visit.store.rekey(request).await;
        // Another session has taken its place meanwhile: neither token may live then.
        let Some(mut story) = person.of(session) else {
            person.story.lock().replaced.extend([token, next]);
            return;
        };
        match answer {
            Ok(Rekeyed::Done(_)) => {
                story.dead_tokens.push(token);
                story.token = Some(next);
            }
            Ok(Rekeyed::Conflict(theirs)) => {
                current = theirs;
                continue;
            }
            Ok(_) => {}
            // Nobody got the new token; the old one may be dead.
            Err(_) => {
                story.maybe_tokens.extend([token, next]);
                if story.token == Some(token) {
                    story.token = None;
                }
            }
        }
        return;
    }
}

async fn sign_out(visit: Visit<'_>, person: &Person) {
    let filing = person.story.lock().filing.clone();
    let ended: Result<_, StoreError> = visit.end(&filing).await;
    let Some(mut story) = person.of(filing.id()) else { return };
    match ended {
        Ok(_) => story.ended = true,
        Err(_) => story.maybe_ended = true,
    }
}

/// Signs in while still signed in, or again: the session before is replaced.
async fn sign_in_again(visit: Visit<'_>, person: &Person, fixtures: &mut Fixtures) {
    let before = person.story.lock().filing.clone();
    let name = before.principal().unwrap();
    let filing = lasting(fixtures.signed_in(name.as_str()), visit.now);
    let answer = visit.insert(&filing, None, Some(before.id())).await;
    // In two browsers at once: the later one is nobody's.
    let Some(mut story) = person.of(before.id()) else { return };
    match answer {
        Ok(Inserted::Done { .. }) => {
            let mut replaced = std::mem::take(&mut story.replaced);
            replaced.extend(story.tokens());
            *story = Story { replaced, ..Story::new(filing) };
        }
        Ok(_) => {}
        Err(_) => story.maybe_ended = true,
    }
}

/// Every person against what the store says of them.
async fn check(visit: Visit<'_>, people: &[Person], seed: u64) {
    for person in people {
        let story = person.story.lock().clone();
        for digest in &story.replaced {
            let answer = visit.store.get(*digest, visit.now).await.unwrap();
            assert!(!matches!(answer, Lookup::Live(_)), "seed {seed}: a replaced session lives");
        }
        let all: BTreeSet<TokenDigest> = story.token.iter().chain(&story.maybe_tokens).copied().collect();
        let mut alive = Vec::new();
        for digest in all {
            if let Lookup::Live(live) = visit.store.get(digest, visit.now).await.unwrap() {
                alive.push(live);
            }
        }
        for digest in &story.dead_tokens {
            let answer = visit.store.get(*digest, visit.now).await.unwrap();
            assert!(!matches!(answer, Lookup::Live(_)), "seed {seed}: an exchanged token lives");
        }
        assert!(!story.ended || alive.is_empty(), "seed {seed}: an ended session lives");
        if !story.ended && !story.maybe_ended {
            assert_eq!(alive.len(), 1, "seed {seed}: somebody was signed out, or has two tokens");
        }
        for live in alive {
            let counted = counter(&live.record);
            let least = story.counted;
            assert!(
                (least..=least + story.maybe_counted).contains(&counted),
                "seed {seed}: counted {counted} of {least}"
            );
            assert!(live.record.attributes.bytes("cloakroom.sealed").is_none(), "seed {seed}");
        }
    }
}

/// One pass after the other until there is nothing left to do; a page that fails is moved again.
async fn carried(node: &MovingStore, world: &World) {
    let mut query = ExportQuery::new(None, NonZeroU16::new(3).unwrap());
    let mut done = Carried::default();
    loop {
        let Ok(page) = node.carry(&query, world.now()).await else {
            tokio::task::yield_now().await;
            continue;
        };
        done = done.plus(page.done);
        query.after = page.next;
        if query.after.is_none() && std::mem::take(&mut done).is_settled() {
            return;
        }
    }
}

async fn rolling_restart(seed: u64) {
    let world = World::new(seed).await;
    // First some servers know the old store alone, others both; nothing has begun.
    let (mut both, mut more, mut still) = (world.both(), world.both(), world.both());
    let mut only_old = Server::One(world.old.clone());
    tokio::join!(
        world.serve(&mut only_old, seed ^ 1, 15),
        world.serve(&mut both, seed ^ 2, 15),
        world.serve(&mut more, seed ^ 3, 15),
    );
    world.days_go_by();
    // Then all know both, and sessions move while people go on, some on servers that notice late.
    let mover = MovingStore::new(world.old.clone(), world.new.clone());
    tokio::join!(
        async {
            while !matches!(mover.begin(world.now()).await, Ok(Beginning::Begun { .. })) {
                tokio::task::yield_now().await;
            }
            carried(&mover, &world).await;
        },
        world.serve(&mut both, seed ^ 4, 40),
        world.serve(&mut more, seed ^ 5, 40),
        world.serve(&mut still, seed ^ 6, 40),
    );
    world.days_go_by();
    // Proved to have moved: at last some know the new store alone.
    let mut only_new = Server::One(world.new.clone());
    tokio::join!(
        world.serve(&mut more, seed ^ 7, 15),
        world.serve(&mut only_new, seed ^ 8, 15),
        world.serve(&mut still, seed ^ 9, 15),
    );
    world.old.heal();
    world.new.heal();
    world.check(&*world.node(), seed).await;
    world.check(&*world.new, seed).await;
}

#[test]
fn nobody_is_signed_out_nothing_revives_and_no_change_is_lost() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for seed in 0..SEEDS {
        runtime.block_on(rolling_restart(seed * 1_000));
    }
}

const PEOPLE: u64 = 6;
/// Longer than all of it takes.
const LONG: Duration = Duration::from_secs(1_000);
/// Shorter than most of it.
const SHORT: Duration = Duration::from_millis(30);
/// How many sessions those may have who may not have any number.
const CROWD: u32 = 3;
/// Enough to find each defect that was planted while this was written, in seconds.
const SEEDS: u64 = 200;
