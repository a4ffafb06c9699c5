//! News of what a store in memory does by itself, and observers that do what they must not.

use std::sync::{Arc, OnceLock, Weak};

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::{EndReason, TokenDigest};
use cloakroom_memory::{MemoryOptions, MemoryStore};
use cloakroom_store::{
    EndRequest, InsertRequest, Inserted, News, Observer, Parts, Selector, Store, SweepRequest,
};
use parking_lot::Mutex;

use crate::answer;

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<TokenDigest>>);

impl Observer for Heard {
    fn told(&self, news: News<'_>) {
        match news {
            News::Changed(digests) => self.0.lock().extend(digests),
            other => panic!("{other:?} is more than happened"),
        }
    }
}

fn insert(store: &MemoryStore, filing: &Filing) -> Vec<cloakroom_store::Ended> {
    let Filing { record, digest } = filing;
    let request = InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 };
    match answer(store.insert(request)) {
        Inserted::Done { ended } => ended,
        other => panic!("{other:?}"),
    }
}

fn end(store: &MemoryStore, filing: &Filing) {
    let selector = Selector::One(filing.id());
    let request = EndRequest { selector: &selector, reason: EndReason::SignedOut, now: T0 };
    answer(store.end(request));
}

#[test]
fn whoever_goes_for_want_of_room_is_told_of() {
    let store = MemoryStore::new(MemoryOptions::default().with_max_bytes(1 << 20));
    let heard = Arc::new(Heard::default());
    let feed = answer(store.watch(heard.clone()));
    let mut fixtures = Fixtures::new(1);
    let (mut filed, mut ended) = (Vec::new(), Vec::new());
    while ended.len() < 100 {
        let filing = fixtures.signed_in("alice");
        ended.extend(insert(&store, &filing).into_iter().map(|ended| ended.session));
        filed.push(filing);
    }
    let gone: Vec<_> = filed.iter().filter(|filing| ended.contains(&filing.id())).collect();
    let mut told = heard.0.lock().clone();
    let mut expected: Vec<_> = gone.iter().map(|filing| filing.digest).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    drop(feed);
}

#[test]
fn what_a_sweep_buries_is_told_of_after_it() {
    let (store, heard, filing) = (MemoryStore::default(), Arc::new(Heard::default()), filing());
    insert(&store, &filing);
    let _feed = answer(store.watch(heard.clone()));
    let request = SweepRequest { now: at(1_000_000), limit: 10, lease: std::time::Duration::ZERO };
    assert_eq!(answer(store.sweep(request)).ended.len(), 1);
    assert_eq!(*heard.0.lock(), [filing.digest]);
}

/// Calls the store it observes, and asks its feed for a proof.
#[derive(Debug)]
struct Meddler {
    store: Weak<MemoryStore>,
    feed: OnceLock<Box<dyn cloakroom_store::Feed>>,
    other: Filing,
    proofs: Mutex<Vec<Parts>>,
}

impl Observer for Meddler {
    fn told(&self, news: News<'_>) {
        let store = self.store.upgrade().expect("the store tells");
        if news != News::Changed(&[self.other.digest]) {
            end(&store, &self.other);
            let request = SweepRequest { now: T0, limit: 10, lease: std::time::Duration::ZERO };
            answer(store.sweep(request));
        }
        let proof = answer(self.feed.get().expect("who is told has a feed").prove());
        self.proofs.lock().push(proof);
    }
}

#[test]
fn an_observer_that_calls_the_store_all_the_same_waits_for_nothing_and_is_told_afterwards() {
    let (store, mut fixtures) = (Arc::new(MemoryStore::default()), Fixtures::new(1));
    let [one, other] = [fixtures.signed_in("alice"), fixtures.signed_in("alice")];
    insert(&store, &one);
    insert(&store, &other);
    let meddler = Arc::new(Meddler {
        store: Arc::downgrade(&store),
        feed: OnceLock::new(),
        other,
        proofs: Mutex::default(),
    });
    meddler.feed.set(answer(store.watch(meddler.clone()))).unwrap();
    end(&store, &one);
    let feed = meddler.feed.get().unwrap();
    assert_eq!(answer(feed.prove()), Parts::ALL);
    let proofs = meddler.proofs.lock().clone();
    assert_eq!(proofs, [Parts::NONE; 2], "what is being told was not told yet");
}

/// Fails once.
#[derive(Debug, Default)]
struct Fragile {
    failed: Mutex<bool>,
    told: Mutex<Vec<bool>>,
}

impl Observer for Fragile {
    fn told(&self, news: News<'_>) {
        let failed_before = std::mem::replace(&mut *self.failed.lock(), true);
        assert!(failed_before, "on purpose");
        self.told.lock().push(matches!(news, News::Anything(Parts::ALL)));
    }
}

#[test]
fn an_observer_that_panics_keeps_nobody_waiting_and_everybody_is_told_of_anything() {
    let (store, mut fixtures) = (MemoryStore::default(), Fixtures::new(1));
    let [one, other] = [fixtures.signed_in("alice"), fixtures.signed_in("bob")];
    insert(&store, &one);
    insert(&store, &other);
    let fragile = Arc::new(Fragile::default());
    let feed = answer(store.watch(fragile.clone()));
    let ending = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| end(&store, &one)));
    assert!(ending.is_err());
    end(&store, &other);
    assert_eq!(answer(feed.prove()), Parts::ALL);
    assert_eq!(*fragile.told.lock(), [true, false], "first of what was lost, then of what came");
}

fn filing() -> Filing {
    Fixtures::new(1).signed_in("alice")
}
