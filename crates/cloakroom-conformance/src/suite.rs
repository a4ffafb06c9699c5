//! Running the cases.

use std::fmt;
use std::marker::PhantomData;
use std::process::ExitCode;
use std::sync::Arc;

use cloakroom_store::Store;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::{Handle, Runtime};

use crate::case::{Context, Tested};
use crate::caught;
use crate::harness::{AnyHarness, Harness};

/// The `main` of a store's `tests/conformance.rs`: runs every case as a test of its own, with the command line of
/// `cargo test`.
///
/// # Panics
/// Where no store can be opened, or the threads to run cases on cannot be started.
pub fn run(name: &'static str, harness: impl Harness) -> ExitCode {
    run_all(vec![Suite::new(name, harness)], |_, case| case.to_owned())
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
    run_all(suites, |suite, case| format!("{suite}::{case}"))
}

/// Runs every case of these suites as a test of its own, `named` by its suite and itself.
pub(crate) fn run_all<T: ?Sized + 'static>(
    suites: Vec<SuiteOf<T>>,
    named: fn(&str, &str) -> String,
) -> ExitCode {
    let suites: Vec<_> = suites.into_iter().map(Arc::new).collect();
    let trials = suites.iter().flat_map(|suite| {
        suite.cases().map(|case| {
            let (name, kind, suite) = (named(suite.name, case), suite.name, Arc::clone(suite));
            Trial::test(name, move || Ok(suite.check(case)?)).with_kind(kind)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// The cases that hold for one kind of store, to be run one by one. [`run`] is the ordinary way.
pub type Suite = SuiteOf<dyn Store>;

/// The cases that hold for one kind of `T`: a [`Suite`] is for stores, a [`ListSuite`](crate::ListSuite) for lists.
pub struct SuiteOf<T: ?Sized> {
    name: &'static str,
    runtime: Runtime,
    checks: Vec<Check>,
    tested: PhantomData<fn(&T)>,
}

/// A case with the harness that it is run on; it wants threads.
struct Check {
    name: &'static str,
    run: Box<dyn Fn(Handle) + Send + Sync>,
}

impl Suite {
    /// The suite for the stores of `harness`, which are called `name`.
    ///
    /// # Panics
    /// Where no store can be opened, or the threads to run cases on cannot be started.
    pub fn new(name: &'static str, harness: impl Harness) -> Self {
        Self::on(name, Arc::new(harness))
    }
}

impl<T: ?Sized> SuiteOf<T> {
    /// The cases for what `harness` opens.
    pub(crate) fn on<S: Tested>(name: &'static str, harness: Arc<dyn AnyHarness<S>>) -> Self {
        let runtime = runtime();
        let context = Context::new(Arc::clone(&harness), runtime.handle().clone());
        let claims = context.block_on(context.open()).claims();
        let applying = S::CASES.iter().copied().flatten().filter(|case| (case.applies)(claims));
        let checks = applying.map(|case| {
            let harness = Arc::clone(&harness);
            let run = move |threads| (case.check)(&Context::new(Arc::clone(&harness), threads));
            Check { name: case.name, run: Box::new(run) }
        });
        let checks = checks.collect();
        Self { name, runtime, checks, tested: PhantomData }
    }

    /// The names of the cases that hold for this kind.
    pub fn cases(&self) -> impl Iterator<Item = &'static str> {
        self.checks.iter().map(|check| check.name)
    }

    /// Runs the case of this name.
    ///
    /// # Errors
    /// [`Failure`] where the rule is broken, or where no such case holds for this kind.
    pub fn check(&self, name: &str) -> Result<(), Failure> {
        match self.checks.iter().find(|check| check.name == name) {
            Some(check) => caught(|| (check.run)(self.runtime.handle().clone())),
            None => Err(Failure::new(format!("no case {name} holds for {}", self.name))),
        }
    }
}

impl<T: ?Sized> fmt::Debug for SuiteOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Threads to run cases on.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a process that runs tests can start a few threads")
}

/// A rule was broken.
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
