//! What may happen around a store on a server, beside connections that break: its clock is wrong, its disk is full.
//!
//! These are no cases of the suite, since it takes a server that can be set up so. A store's own tests start one and run
//! them; what is owed is the same for every store.

mod clock;
mod disk;

pub use clock::{ServerClock, check_clock};
pub use disk::{Fullness, ServerDisk, check_full_disk};
