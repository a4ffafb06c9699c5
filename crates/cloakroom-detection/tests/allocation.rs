//! What looking at ordinary traffic costs in allocations, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use cloakroom_core::{Device, SessionId, Timestamp};
use cloakroom_detection::{Detector, Rules, Sighting};

/// The system's allocator, counting per thread what it is asked for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator as it came.
#[expect(unsafe_code, reason = "a global allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const UPDATED: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";

#[test]
fn a_device_at_home_after_an_update_and_on_the_move_is_looked_at_without_allocating() {
    let detector = Detector::new(Rules::default(), None);
    let proven = Device::new().with_ip("203.0.113.9".parse().unwrap()).with_user_agent(FIREFOX);
    let look = |ip: &str, agent: &str, second: i64| {
        let mut sighting = Sighting::new(SessionId::from_bytes([1; 16]), Timestamp::EPOCH);
        (sighting.proven, sighting.user_agent) = (Some(&proven), Some(agent.as_bytes()));
        sighting.ip = Some(ip.parse().unwrap());
        let before = ALLOCATIONS.with(Cell::get);
        let seen = detector.seen(&sighting, Timestamp::from_millis(second * 1_000));
        let count = ALLOCATIONS.with(Cell::get) - before;
        assert!(seen.findings.is_empty());
        count
    };
    assert_eq!(look("203.0.113.9", FIREFOX, 0), 0, "the very first time");
    // What is met for the first time is compared, and remembered.
    look("203.0.113.9", UPDATED, 1);
    look("198.51.100.7", FIREFOX, 2);
    for second in 3..100 {
        assert_eq!(look("203.0.113.9", FIREFOX, second), 0);
        assert_eq!(look("203.0.113.9", UPDATED, second), 0);
        assert_eq!(look("198.51.100.7", FIREFOX, second + 1_000 * second), 0);
    }
}
