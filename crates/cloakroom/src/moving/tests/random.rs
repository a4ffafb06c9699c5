//! Servers that know one store or both, restarting one after the other, in thousands of random orders.

use std::collections::BTreeSet;
use std::sync::Arc;

use cloakroom_conformance::{Fault, FaultyStore, Filing, Fixtures, Seeded, at};
use cloakroom_core::{AttributeKey, EndReason, SessionRecord, TokenDigest};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{Live, Lookup, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Store, StoreError};
use parking_lot::Mutex;

use super::super::{Beginning, MovingStore};
use super::{end, file, pass};

/// What people know of a session: what they were told, and what they were told may have happened.
#[derive(Default)]
struct Story {
    token: Option<TokenDigest>,
    /// Tokens that were exchanged for another, or may have been.
    dead_tokens: Vec<TokenDigest>,
    /// Exchanged tokens of which the answer was lost: either is alive.
    maybe_tokens: Vec<TokenDigest>,
    counted: u64,
    maybe_counted: u64,
    ended: bool,
    maybe_ended: bool,
}

struct Person {
    filing: Filing,
    story: Mutex<Story>,
}

/// Everybody's servers, by what they know.
struct World {
    old: Arc<FaultyStore>,
    new: Arc<FaultyStore>,
    people: Vec<Arc<Person>>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut fixtures = Fixtures::new(seed);
        let old: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let mut people = Vec::new();
        for index in 0..PEOPLE {
            let filing = fixtures.signed_in(if index % 2 == 0 { "alice" } else { "bob" });
            file(&*old, &filing).await;
            let story = Story { token: Some(filing.digest), ..Story::default() };
            people.push(Arc::new(Person { filing, story: Mutex::new(story) }));
        }
        let faults = [Fault::Delay, Fault::Delay, Fault::Delay, Fault::FailBefore, Fault::FailAfterApply];
        let faulty = |inner, seed| Arc::new(FaultyStore::seeded(inner, seed, &faults, 350));
        let new: Arc<dyn Store> = Arc::new(MemoryStore::default());
        Self { old: faulty(old, seed), new: faulty(new, seed + 1), people }
    }

    fn node(&self) -> Arc<dyn Store> {
        Arc::new(MovingStore::new(self.old.clone(), self.new.clone()))
    }

    /// Requests of random people to one server; each person's requests come one after the other, as in a browser that
    /// waits, so that what they were told has an order.
    async fn serve(&self, store: Arc<dyn Store>, seed: u64, requests: usize) {
        let mut random = Seeded::new(seed);
        let mut fixtures = Fixtures::new(seed + 1_000_000);
        for _ in 0..requests {
            let index = usize::try_from(random.below(PEOPLE)).unwrap();
            let person = &self.people[index];
            let token = person.story.lock().token;
            match (random.below(20), token) {
                (0, _) => sign_out(&*store, person).await,
                (1 | 2, Some(token)) => {
                    rotate(&*store, person, token, fixtures.next_digest(&person.filing)).await;
                }
                (_, Some(token)) => count(&*store, person, token).await,
                (_, None) => {}
            }
        }
    }
}

async fn look(store: &dyn Store, digest: TokenDigest) -> Option<Live> {
    match store.get(digest, at(20)).await {
        Ok(Lookup::Live(live)) => Some(live),
        Ok(_) | Err(_) => None,
    }
}

fn counter(record: &SessionRecord) -> u64 {
    record.attributes.bytes("n").map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

/// Adds one, as the engine does: read, change, compare and swap, again where somebody was faster.
async fn count(store: &dyn Store, person: &Person, token: TokenDigest) {
    let Some(mut current) = look(store, token).await else { return };
    loop {
        let mut record = SessionRecord::clone(&current.record);
        let next = counter(&record) + 1;
        record.attributes.insert_bytes(AttributeKey::new("n").unwrap(), next.to_le_bytes().into());
        let request =
            ReplaceRequest { digest: token, version: current.version, record: &record, now: at(20) };
        match store.replace(request).await {
            Ok(Replaced::Done(_)) => person.story.lock().counted += 1,
            Ok(Replaced::Conflict(theirs)) => {
                current = theirs;
                continue;
            }
            Ok(_) => {}
            Err(_) => person.story.lock().maybe_counted += 1,
        }
        return;
    }
}

async fn rotate(store: &dyn Store, person: &Person, token: TokenDigest, next: TokenDigest) {
    let Some(mut current) = look(store, token).await else { return };
    loop {
        let record = SessionRecord::clone(&current.record);
        let request =
            RekeyRequest { old: token, new: next, version: current.version, record: &record, now: at(20) };
        let answer = store.rekey(request).await;
        let mut story = person.story.lock();
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

async fn sign_out(store: &dyn Store, person: &Person) {
    let ended: Result<_, StoreError> = end(store, &person.filing, EndReason::SignedOut).await;
    let mut story = person.story.lock();
    match ended {
        Ok(_) => story.ended = true,
        Err(_) => story.maybe_ended = true,
    }
}

/// Every person against what the store says of them.
async fn check(store: &dyn Store, people: &[Arc<Person>], seed: u64) {
    for person in people {
        let story = std::mem::take(&mut *person.story.lock());
        let all: BTreeSet<TokenDigest> = story.token.iter().chain(&story.maybe_tokens).copied().collect();
        let mut alive = Vec::new();
        for digest in all {
            if let Lookup::Live(live) = store.get(digest, at(30)).await.unwrap() {
                alive.push(live);
            }
        }
        for digest in &story.dead_tokens {
            let answer = store.get(*digest, at(30)).await.unwrap();
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
        *person.story.lock() = story;
    }
}

/// Asks until it works: whoever moves sessions tries again.
async fn carried(node: &MovingStore) {
    loop {
        if let Ok(done) = pass(node).await
            && done.is_settled()
        {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn rolling_restart(seed: u64) {
    let world = World::new(seed).await;
    // First some servers know the old store alone, others both; nothing has begun.
    let (both, more, still) = (world.node(), world.node(), world.node());
    tokio::join!(
        world.serve(world.old.clone(), seed ^ 1, 15),
        world.serve(both.clone(), seed ^ 2, 15),
        world.serve(more.clone(), seed ^ 3, 15),
    );
    // Then all know both, and sessions move while people go on.
    let mover = MovingStore::new(world.old.clone(), world.new.clone());
    while !matches!(mover.begin(at(20)).await, Ok(Beginning::Begun { .. })) {}
    tokio::join!(
        carried(&mover),
        world.serve(both.clone(), seed ^ 4, 25),
        world.serve(more.clone(), seed ^ 5, 25),
        world.serve(still.clone(), seed ^ 6, 25),
    );
    carried(&mover).await;
    // At last some know the new store alone.
    tokio::join!(
        world.serve(more.clone(), seed ^ 7, 15),
        world.serve(world.new.clone(), seed ^ 8, 15),
        world.serve(still, seed ^ 9, 15),
    );
    world.old.heal();
    world.new.heal();
    check(&*world.node(), &world.people, seed).await;
    check(&*world.new, &world.people, seed).await;
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
/// Enough to find each defect that was planted while this was written, in seconds.
const SEEDS: u64 = 200;
