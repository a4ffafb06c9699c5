//! The built-in accounts in every database they can be in: one suite, and what happens when the database does not answer.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "every function here is part of a test, which the lints cannot see without #[test]"
)]

mod cases;
mod faults;
mod places;
mod sabotage;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use places::{Kind, Place};

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for kind in Kind::ALL {
        for case in cases::ALL {
            let name = format!("{}::{}", kind.name(), case.name);
            trials.push(trial(name, move || runtime().block_on((case.run)(Place::new(kind)))));
        }
    }
    for (name, test) in faults::ALL {
        for kind in Kind::ON_SERVERS {
            trials.push(trial(format!("{}::{name}", kind.name()), move || test(kind)));
        }
    }
    for (flaw, case) in sabotage::ALL {
        let name = format!("sabotage::{} is noticed by {}", flaw.name(), case);
        trials.push(trial(name, move || sabotage::is_noticed(*flaw, case)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: String, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        catch_unwind(AssertUnwindSafe(test)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Failed::from(text.unwrap_or("the test panicked"))
        })
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
