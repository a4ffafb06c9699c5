//! The process is killed while sessions come and go.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::EndReason::SignedOut;
use cloakroom_sqlite::SqliteStore;
use cloakroom_store::{EndRequest, InsertRequest, Lookup, Selector, Store};

use crate::{Test, block_on, patient, tests};

pub(crate) const TESTS: &[Test] = tests!("kill";
    what_was_acknowledged_survives_kill_9_under_load,
    a_process_killed_beside_another_harms_only_itself,
);

/// The word that makes this binary the process to be killed.
pub(crate) const CHILD: &str = "file-and-end-sessions-until-killed";

/// Files and ends sessions, and says so after each acknowledgement, until it is killed.
pub(crate) fn child(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let path = PathBuf::from(words.next().expect("the file is named"));
    let first: u64 =
        words.next().and_then(|word| word.to_str()?.parse().ok()).expect("the first number is named");
    let store = Arc::new(SqliteStore::open(patient(path)).expect("the directory is there"));
    block_on(async {
        let tasks = (0..TASKS).map(|task| tokio::spawn(file_and_end(Arc::clone(&store), first + task)));
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("nothing fails before the end");
        }
    });
    ExitCode::FAILURE
}

async fn file_and_end(store: Arc<SqliteStore>, first: u64) {
    for number in (first..).step_by(usize::try_from(TASKS).expect("few")) {
        insert(&store, &filing(number)).await;
        say(&format!("filed {number}"));
        if number % 2 == 0 {
            let selector = Selector::One(filing(number).id());
            say(&format!("ending {number}"));
            store
                .end(EndRequest { selector: &selector, reason: SignedOut, now: at(1) })
                .await
                .expect("the end is kept");
            say(&format!("ended {number}"));
        }
    }
}

fn what_was_acknowledged_survives_kill_9_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.db");
    let mut said = Vec::new();
    for round in 0..ROUNDS {
        let mut child = start(&path, round * APART);
        // Another moment in each round, somewhere in a transaction.
        said.extend(kill_after(&mut child, 300 + 37 * usize::try_from(round).unwrap()));
        check(&path, &said);
    }
}

fn a_process_killed_beside_another_harms_only_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.db");
    let store = SqliteStore::open(patient(&path)).unwrap();
    let mut said = Vec::new();
    for round in 0..2 {
        let mut child = start(&path, round * APART);
        said.extend(kill_after(&mut child, 200));
        let own = filing(u64::MAX - round);
        block_on(insert(&store, &own));
        assert_eq!(block_on(store.get(own.digest, T0)).unwrap(), Lookup::Live(own.live()));
    }
    drop(store);
    check(&path, &said);
}

pub(crate) fn start(path: &Path, first: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(CHILD).arg(path).arg(first.to_string()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Kills the process after it has said something for the nth time; all that it said.
fn kill_after(child: &mut Child, lines: usize) -> Vec<String> {
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said: Vec<String> = output.by_ref().take(lines).map(Result::unwrap).collect();
    assert_eq!(said.len(), lines, "the process was at work");
    child.kill().unwrap();
    child.wait().unwrap();
    said.extend(output.map_while(Result::ok));
    said
}

/// Every acknowledgement holds.
fn check(path: &Path, said: &[String]) {
    let store = SqliteStore::open(patient(path)).unwrap();
    let numbers = |what: &str| -> Vec<u64> {
        said.iter().filter_map(|line| line.strip_prefix(what)?.strip_prefix(' ')?.parse().ok()).collect()
    };
    let (filed, ending, ended) = (numbers("filed"), numbers("ending"), numbers("ended"));
    assert!(!ended.is_empty(), "some ends were acknowledged");
    block_on(async {
        for number in filed.into_iter().filter(|number| !ending.contains(number)) {
            let found = store.get(filing(number).digest, at(1)).await.unwrap();
            assert_eq!(found, Lookup::Live(filing(number).live()), "session {number} is there");
        }
        for number in ended {
            let found = store.get(filing(number).digest, at(1)).await.unwrap();
            assert_eq!(
                found,
                Lookup::Ended(filing(number).tombstone(SignedOut, at(1))),
                "session {number} has ended"
            );
        }
    });
}

async fn insert(store: &SqliteStore, filing: &Filing) {
    let Filing { record, digest } = filing;
    let request = InsertRequest { record, digest: *digest, limit: None, replaces: None, now: T0 };
    store.insert(request).await.expect("the session is filed");
}

pub(crate) fn filing(number: u64) -> Filing {
    Fixtures::new(number).signed_in(&format!("user {}", number % 10))
}

/// A line by itself, whole or not at all: what is said after an acknowledgement is read by whoever kills.
fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).expect("somebody listens");
}

const TASKS: u64 = 16;
const ROUNDS: u64 = 6;
/// Between the first numbers of two rounds: more than one round files.
const APART: u64 = 1_000_000;
