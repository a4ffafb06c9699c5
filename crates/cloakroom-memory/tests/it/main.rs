//! What a session costs, as an allocator counts it; and what happens when a store is full.

#![expect(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

mod feed;
mod full;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::Device;
use cloakroom_memory::{MemoryOptions, MemoryStore};
use cloakroom_store::{InsertRequest, Inserted, Lookup, Store, StoreFuture, Touch};
use futures_util::FutureExt;

/// The system's allocator, counting what the present thread holds and how often it asked.
struct Counting;

thread_local! {
    static LIVE_BYTES: Cell<usize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LIVE_BYTES.set(LIVE_BYTES.get().wrapping_add(chunk(layout.size())));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.set(LIVE_BYTES.get().wrapping_sub(chunk(layout.size())));
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a request takes of an ordinary allocator (glibc's): eight bytes more, in steps of sixteen, and never less than
/// 32.
fn chunk(size: usize) -> usize {
    (size + 8).next_multiple_of(16).max(32)
}

/// The worst number for the tables, which have just doubled in every shard.
const SESSIONS: usize = 120_000;

/// The bytes of a session, as the allocator counts them and as the store does.
#[derive(Debug)]
struct Cost {
    allocated: usize,
    accounted: usize,
}

fn cost(filing: impl Fn(&mut Fixtures, usize) -> Filing) -> Cost {
    let mut fixtures = Fixtures::new(7);
    let before = LIVE_BYTES.get();
    let store = MemoryStore::new(MemoryOptions::default().with_max_bytes(1 << 30));
    for number in 0..SESSIONS {
        file(&store, &filing(&mut fixtures, number));
    }
    Cost { allocated: LIVE_BYTES.get().wrapping_sub(before) / SESSIONS, accounted: store.bytes() / SESSIONS }
}

fn file(store: &MemoryStore, filing: &Filing) {
    let Filing { record, digest } = filing;
    let request = InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 };
    assert_eq!(answer(store.insert(request)), Inserted::Done { ended: Vec::new() });
}

fn signed_in(fixtures: &mut Fixtures, number: usize) -> Filing {
    lasting(fixtures.signed_in(&format!("user-{:06}", 123_456 + number)))
}

/// The same with the timeouts of the default policy.
fn lasting(mut filing: Filing) -> Filing {
    let hour = Duration::from_secs(3_600);
    filing.record.lifetime.idle_timeout = hour / 2;
    filing.record.lifetime.absolute_expires_at = T0.plus(hour * 12);
    filing.record.lifetime.tombstone_retention = hour * 24;
    filing
}

fn answer<T: Unpin>(future: StoreFuture<'_, T>) -> T {
    future
        .now_or_never()
        .expect("an answer from memory is there at once")
        .expect("memory can always be asked")
}

#[test]
fn a_minimal_signed_in_session_takes_less_than_224_bytes() {
    let cost = cost(signed_in);
    println!("signed in: {cost:?}");
    assert!(cost.allocated < 224, "{cost:?}");
    assert!(cost.allocated <= cost.accounted + 8, "the account errs upwards: {cost:?}");
}

#[test]
fn a_minimal_anonymous_session_takes_less_than_224_bytes() {
    let cost = cost(|fixtures, _| lasting(fixtures.anonymous()));
    println!("anonymous: {cost:?}");
    assert!(cost.allocated < 224, "{cost:?}");
    assert!(cost.allocated <= cost.accounted + 8, "the account errs upwards: {cost:?}");
}

#[test]
fn a_session_with_a_device_and_attributes_adds_little_more_than_their_length() {
    const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let cost = cost(|fixtures, number| {
        let mut filing = signed_in(fixtures, number).with_attribute("cart", vec![7; 100]);
        let device = Device::new().with_ip([203, 0, 113, 9].into()).with_user_agent(USER_AGENT);
        filing.record.device = Some(Box::new(device.with_label("Firefox on Linux")));
        filing
    });
    println!("with device and attribute: {cost:?}");
    let added = USER_AGENT.len() + "Firefox on Linux".len() + "cart".len() + 100;
    assert!(cost.allocated < 224 + added + 16, "{cost:?}");
}

#[test]
fn a_warm_get_and_a_touch_allocate_nothing() {
    let (store, mut fixtures) = (MemoryStore::default(), Fixtures::new(7));
    let filings: Vec<Filing> = (0..100).map(|number| signed_in(&mut fixtures, number)).collect();
    filings.iter().for_each(|filing| file(&store, filing));
    // From the second time on, a session that is asked for is kept ready.
    for filing in filings.iter().chain(&filings) {
        answer(store.get(filing.digest, T0));
    }
    let before = ALLOCATIONS.get();
    for (filing, millis) in filings.iter().zip(1..) {
        let touch = Touch { digest: filing.digest, seen_at: at(millis) };
        assert_eq!(answer(store.touch(&[touch], at(millis))).touched, 1);
        assert!(matches!(answer(store.get(filing.digest, at(millis))), Lookup::Live(_)));
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

#[test]
fn what_a_store_took_is_given_back() {
    let before = LIVE_BYTES.get();
    let mut fixtures = Fixtures::new(7);
    let store = MemoryStore::default();
    for number in 0..1_000 {
        let filing = signed_in(&mut fixtures, number);
        file(&store, &filing);
        answer(store.get(filing.digest, T0));
    }
    drop((store, fixtures));
    assert_eq!(LIVE_BYTES.get(), before);
}
