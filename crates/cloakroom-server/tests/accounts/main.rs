//! The built-in accounts, and the audit log beside them, in every database they can be in: one suite for each, and what
//! happens when the database does not answer.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "every function here is part of a test, which the lints cannot see without #[test]"
)]

mod audit;
mod cases;
mod faults;
mod places;
mod sabotage;

use std::process::ExitCode;

use cloakroom_audit::suite;
use cloakroom_conformance::caught;
use libtest_mimic::{Arguments, Trial};

use places::{Kind, Place};

#[expect(clippy::disallowed_methods, reason = "a process started to be killed is told so by its arguments")]
fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().is_some_and(|word| word == audit::CHILD) {
        return audit::child(words);
    }
    let mut trials = Vec::new();
    for kind in Kind::ALL {
        for case in cases::ALL {
            let name = format!("{}::{}", kind.name(), case.name);
            trials.push(trial(name, move || runtime().block_on((case.run)(Place::new(kind)))));
        }
    }
    for kind in Kind::ON_SERVERS {
        for (name, test) in faults::ALL {
            trials.push(trial(format!("{}::{name}", kind.name()), move || test(kind)));
        }
        for case in suite::CASES {
            let name = format!("audit in {}::{}", kind.name(), case.name);
            trials.push(trial(name, move || audit::passes(kind, case)));
        }
        for (name, test) in audit::ALL {
            trials.push(trial(format!("audit in {}::{name}", kind.name()), move || test(kind)));
        }
    }
    for (flaw, case) in sabotage::ALL {
        let name = format!("sabotage::{} is noticed by {}", flaw.name(), case);
        trials.push(trial(name, move || sabotage::is_noticed(*flaw, case)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: String, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || Ok(caught(test)?))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
