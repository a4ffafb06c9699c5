//! The one suite that every store passes.
//!
//! A store's `tests/conformance.rs` (a test target with `harness = false`) is this and no more:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use cloakroom_conformance::Harness;
//! use cloakroom_store::Store;
//! # struct MemoryStore;
//! # impl MemoryStore { fn open() -> Arc<dyn Store> { unreachable!() } }
//!
//! struct Memory;
//!
//! impl Harness for Memory {
//!     type Place = ();
//!     fn place(&self) {}
//!     async fn open(&self, (): &()) -> Arc<dyn Store> {
//!         MemoryStore::open()
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     cloakroom_conformance::run("memory", Memory)
//! }
//! ```
//!
//! Nobody chooses which cases run. What a store claims ([`Capabilities`](cloakroom_store::Capabilities)) is tested;
//! for what it does not claim, the case that checks it says so takes the place.
//!
//! The lists of ends have a suite of their own: a `tests/lists.rs` with a [`ListHarness`] and [`run_lists`].
//!
//! Here are also the stores that tests of the engine wrap around a good one: one that fails by plan or by seed
//! ([`FaultyStore`]), one that waits to be let through ([`GatedStore`]), one that counts ([`CountingStore`]), one whose news are held and lost
//! ([`SwitchedStore`]), one that cannot list ([`UnlistedStore`]); sessions in every state, which an upgrade must leave as they
//! were ([`Residents`]); and what a test program with a `main` of its own needs to say where a test panicked
//! ([`caught`](fn@caught)).

mod case;
mod cases;
mod caught;
mod fixtures;
mod golden;
mod harness;
mod lists;
mod model;
mod records;
mod residents;
mod subject;
mod suite;
mod surroundings;
mod wrappers;

pub use caught::caught;
pub use fixtures::{Filing, Fixtures, IDLE, LIFE, RETENTION, Seeded, T0, at, principal_id};
pub use golden::{Golden, golden_records};
pub use harness::{Corruption, Effort, Harness};
pub use lists::{Ends, ListHarness, ListSuite, ListTraffic, past, run_list_suites, run_lists};
pub use records::{instants, records};
pub use residents::Residents;
pub use suite::{Failure, Suite, SuiteOf, run, run_suites};
pub use surroundings::{Fullness, ServerClock, ServerDisk, check_clock, check_full_disk};
pub use wrappers::{
    CountingStore, Fault, FaultyStore, Gate, GatedStore, Moment, SwitchedStore, UnlistedStore,
};
