//! The suite that every list of ends passes.

mod cases;
mod ends;
mod harness;
mod subject;
mod suite;
mod traffic;

pub use ends::{Ends, past};
pub use harness::ListHarness;
pub use suite::{ListSuite, run_list_suites, run_lists};
pub use traffic::ListTraffic;

type Case = crate::case::Case<subject::List>;
type Context = crate::case::Context<subject::List>;
