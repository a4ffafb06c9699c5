//! Running the cases.

use std::process::ExitCode;
use std::sync::Arc;

use cloakroom_store::RevocationList;

use super::harness::ListHarness;
use super::subject::List;
use crate::suite::{SuiteOf, run_all};

/// The `main` of a list's `tests/lists.rs` (a test target with `harness = false`): runs every case as a test of its own,
/// with the command line of `cargo test`.
///
/// # Panics
/// Where no list can be opened, or the threads to run cases on cannot be started.
pub fn run_lists(name: &'static str, harness: impl ListHarness) -> ExitCode {
    run_list_suites(vec![ListSuite::new(name, harness)])
}

/// The same for several kinds of place where one list can live. The name of each case begins with that of its suite, as in
/// `redis-cluster::read::the_same_place_gives_the_same_entries`.
#[must_use]
pub fn run_list_suites(suites: Vec<ListSuite>) -> ExitCode {
    run_all(suites, |suite, case| format!("{suite}::{case}"))
}

/// The cases that hold for one kind of list, to be run one by one. [`run_lists`] is the ordinary way.
pub type ListSuite = SuiteOf<dyn RevocationList>;

impl ListSuite {
    /// The suite for the lists of `harness`, which are called `name`.
    ///
    /// # Panics
    /// Where no list can be opened, or the threads to run cases on cannot be started.
    pub fn new(name: &'static str, harness: impl ListHarness) -> Self {
        Self::on::<List>(name, Arc::new(harness))
    }
}
