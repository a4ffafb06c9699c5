//! The system's allocator, counted.

#![expect(unsafe_code, reason = "an allocator is unsafe to write; this one passes everything on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator; each thread counts what it does with it.
pub struct Counting;

/// What a thread has done with the allocator since it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Calls that gave memory.
    pub allocations: u64,
    /// Bytes asked for and not given back. What other threads give back counts there.
    pub bytes: i64,
}

/// The calling thread's counts.
pub fn counted() -> Counted {
    COUNTED.get()
}

thread_local! {
    static COUNTED: Cell<Counted> = const { Cell::new(Counted { allocations: 0, bytes: 0 }) };
}

fn note(allocations: u64, bytes: i64) {
    // A thread that ends still frees; it counts no more.
    let _ = COUNTED.try_with(|counted| {
        let before = counted.get();
        counted.set(Counted {
            allocations: before.allocations.wrapping_add(allocations),
            bytes: before.bytes.wrapping_add(bytes),
        });
    });
}

/// A layout's size never exceeds `isize::MAX`.
fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: every call goes to the system's allocator as it came, and its answer comes back as it is. Counting touches a
// thread-local that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, signed(layout.size()));
        // SAFETY: the caller's promises are those that this call needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, signed(size) - signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
}
