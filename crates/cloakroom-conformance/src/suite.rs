//! Running the cases.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use cloakroom_store::Capabilities;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::case::{Case, Context};
use crate::harness::{AnyHarness, Harness};

/// The `main` of a store's `tests/conformance.rs`: runs every case as a test of its own, with the command line of
/// `cargo test`.
///
/// # Panics
/// Where no store can be opened, or the threads to run cases on cannot be started.
pub fn run(name: &'static str, harness: impl Harness) -> ExitCode {
    let suite = Arc::new(Suite::new(name, harness));
    let trials = trials(&suite, |case| case.name.to_owned()).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The same for several kinds of place where one store can live: a server alone, a cluster of them. The name of each
/// case begins with that of its suite, as in `redis-cluster::get::a_digest_never_filed_is_unknown`.
///
/// Servers that a harness needs are started before the suites are made, and stopped by dropping them afterwards:
///
/// ```no_run
/// # use std::process::ExitCode;
/// # use cloakroom_conformance::{Suite, run_suites};
/// # fn suites() -> (u8, Vec<Suite>) { unreachable!() }
/// fn main() -> ExitCode {
///     let (servers, suites) = suites();
///     let code = run_suites(suites);
///     drop(servers);
///     code
/// }
/// ```
#[must_use]
pub fn run_suites(suites: Vec<Suite>) -> ExitCode {
    let suites: Vec<Arc<Suite>> = suites.into_iter().map(Arc::new).collect();
    let trials = suites
        .iter()
        .flat_map(|suite| trials(suite, |case| format!("{}::{}", suite.name, case.name)))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trials(suite: &Arc<Suite>, name: impl Fn(&Case) -> String) -> impl Iterator<Item = Trial> {
    suite.selected().map(move |case| {
        let (name, suite) = (name(&case), Arc::clone(suite));
        let kind = suite.name;
        let check = move || suite.run_case(case).map_err(|failure| Failed::from(failure.to_string()));
        Trial::test(name, check).with_kind(kind)
    })
}

/// The cases that hold for one kind of store, to be run one by one. [`run`] is the ordinary way.
pub struct Suite {
    name: &'static str,
    runtime: Runtime,
    harness: Arc<dyn AnyHarness>,
    capabilities: Capabilities,
}

impl Suite {
    /// The suite for the stores of `harness`, which are called `name`.
    ///
    /// # Panics
    /// Where no store can be opened, or the threads to run cases on cannot be started.
    pub fn new(name: &'static str, harness: impl Harness) -> Self {
        let runtime = runtime();
        let harness: Arc<dyn AnyHarness> = Arc::new(harness);
        let capabilities = {
            let context = Context::new(Arc::clone(&harness), runtime.handle().clone());
            context.block_on(context.open()).capabilities()
        };
        Self { name, runtime, harness, capabilities }
    }

    /// The names of the cases that hold for this kind of store.
    pub fn cases(&self) -> impl Iterator<Item = &'static str> {
        self.selected().map(|case| case.name)
    }

    /// Runs the case of this name.
    ///
    /// # Errors
    /// [`Failure`] where the store breaks the rule, or where no such case holds for it.
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
        let capabilities = self.capabilities;
        crate::cases::all().filter(move |case| case.applies.to(capabilities))
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs a case. One that panicked leaves nothing behind that another one would see: its store and its place are its own.
pub(crate) fn caught(case: impl FnOnce()) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(case)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Failure::new(text.unwrap_or("the case panicked").to_owned())
    })
}

/// Threads to run cases on.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a process that runs tests can start a few threads")
}

/// A store broke a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    message: String,
}

impl Failure {
    pub(crate) fn new(message: String) -> Self {
        Self { message }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Threads that cases run on: enough for calls to meet inside a store, whatever machine this is.
const WORKERS: usize = 4;
