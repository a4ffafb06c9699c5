//! Running the cases.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use cloakroom_store::ListStanding;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use super::case::{Case, Context};
use super::harness::{AnyHarness, ListHarness};
use crate::suite::{Failure, caught, runtime};

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
    let suites: Vec<Arc<ListSuite>> = suites.into_iter().map(Arc::new).collect();
    let trials = suites.iter().flat_map(|suite| {
        suite.selected().map(|case| {
            let (name, suite) = (format!("{}::{}", suite.name, case.name), Arc::clone(suite));
            let kind = suite.name;
            let check = move || suite.run_case(case).map_err(|failure| Failed::from(failure.to_string()));
            Trial::test(name, check).with_kind(kind)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// The cases that hold for one kind of list, to be run one by one. [`run_lists`] is the ordinary way.
pub struct ListSuite {
    name: &'static str,
    runtime: Runtime,
    harness: Arc<dyn AnyHarness>,
    standing: ListStanding,
}

impl ListSuite {
    /// The suite for the lists of `harness`, which are called `name`.
    ///
    /// # Panics
    /// Where no list can be opened, or the threads to run cases on cannot be started.
    pub fn new(name: &'static str, harness: impl ListHarness) -> Self {
        let runtime = runtime();
        let harness: Arc<dyn AnyHarness> = Arc::new(harness);
        let standing = {
            let context = Context::new(Arc::clone(&harness), runtime.handle().clone());
            context.block_on(context.open()).standing()
        };
        Self { name, runtime, harness, standing }
    }

    /// The names of the cases that hold for this kind of list.
    pub fn cases(&self) -> impl Iterator<Item = &'static str> {
        self.selected().map(|case| case.name)
    }

    /// Runs the case of this name.
    ///
    /// # Errors
    /// [`Failure`] where the list breaks the rule, or where no such case holds for it.
    pub fn check(&self, name: &str) -> Result<(), Failure> {
        match self.selected().find(|case| case.name == name) {
            Some(case) => self.run_case(case),
            None => Err(Failure::new(format!("no case {name} holds for {}", self.name))),
        }
    }

    fn run_case(&self, case: Case) -> Result<(), Failure> {
        caught(|| (case.check)(&Context::new(Arc::clone(&self.harness), self.runtime.handle().clone())))
    }

    fn selected(&self) -> impl Iterator<Item = Case> {
        let standing = self.standing;
        super::cases::all().filter(move |case| (case.applies)(standing))
    }
}

impl fmt::Debug for ListSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListSuite").field("name", &self.name).finish_non_exhaustive()
    }
}
