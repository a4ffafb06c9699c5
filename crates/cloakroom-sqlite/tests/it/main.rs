//! What the conformance suite cannot ask of every store: power cuts, killed processes, failing disks, files that come
//! and go.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "every function here is part of a test, which the lints cannot see without #[test]"
)]

mod disk;
mod fault;
mod feed;
mod file;
mod kill;
mod lists;
mod power;
mod upgrade;
mod vfs;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cloakroom_conformance::caught;
use cloakroom_sqlite::SqliteOptions;
use libtest_mimic::{Arguments, Trial};

#[expect(clippy::disallowed_methods, reason = "a process started to be killed is told so by its arguments")]
fn main() -> ExitCode {
    // Tests that kill a process start this binary again, to be that process.
    let mut words = std::env::args_os().skip(1);
    match words.next() {
        Some(word) if word == kill::CHILD => return kill::child(words),
        Some(word) if word == lists::CHILD => return lists::child(words),
        _ => {}
    }
    vfs::install();
    let trials =
        [power::TESTS, fault::TESTS, kill::TESTS, file::TESTS, feed::TESTS, lists::TESTS, upgrade::TESTS]
            .concat();
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().map(trial).collect()).exit_code()
}

/// A test by its name.
type Test = (&'static str, fn());

fn trial((name, test): Test) -> Trial {
    Trial::test(name, move || Ok(caught(test)?))
}

/// `tests!("group"; function, …)`: the functions as tests `group::function`.
macro_rules! tests {
    ($group:literal; $($test:ident),+ $(,)?) => {
        &[$((concat!($group, "::", stringify!($test)), $test)),+]
    };
}
pub(crate) use tests;

/// Options for what is not about waiting: the disk may be busy with everything else.
pub(crate) fn patient(path: impl AsRef<Path>) -> SqliteOptions {
    let options = SqliteOptions::new(path.as_ref());
    options.with_answer_timeout(Duration::from_secs(60)).with_busy_timeout(Duration::from_secs(30))
}

/// Runs a test that awaits.
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.expect("a process that runs tests can start a few threads").block_on(test)
}
