//! The list of ends: killed processes, failing disks, files that come and go.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_conformance::{Ends, T0, at, principal_id};
use cloakroom_sqlite::{SqliteOptions, SqliteRevocations};
use cloakroom_store::{Applied, ErrorKind, Place, Reading, RevocationEntry, RevocationList, Scope};
use rusqlite::Connection;

use crate::disk::{Disk, Mood};
use crate::{Test, block_on, patient, tests};

pub(crate) const TESTS: &[Test] = tests!("lists";
    what_was_acknowledged_survives_kill_9_and_whoever_followed_from_another_process_follows_on,
    a_full_disk_refuses_an_end_without_a_trace_and_takes_it_once_there_is_room,
    a_failed_sync_leaves_an_end_in_doubt_and_the_list_goes_on,
    a_hanging_disk_keeps_nobody_waiting_for_ever_and_reads_go_on,
    a_backup_that_is_restored_under_a_running_list_loses_the_places_after_it,
    an_operator_reads_what_was_ended,
    whoever_waits_is_told_when_the_list_is_closed,
);

/// The word that makes this binary the process to be killed.
pub(crate) const CHILD: &str = "add-to-the-list-until-killed";

/// Adds entries, and says so after each acknowledgement, until it is killed.
pub(crate) fn child(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let path = PathBuf::from(words.next().expect("the file is named"));
    let seed: u64 =
        words.next().and_then(|word| word.to_str()?.parse().ok()).expect("the first seed is named");
    let list = Arc::new(open(&path));
    block_on(async {
        let tasks = (0..TASKS).map(|task| {
            let list = Arc::clone(&list);
            tokio::spawn(async move {
                for seed in (seed + task..).step_by(usize::try_from(TASKS).expect("few")) {
                    list.add(&batch(seed)).await.expect("the ends are kept");
                    let mut output = std::io::stdout().lock();
                    writeln!(output, "{seed}").and_then(|()| output.flush()).expect("somebody listens");
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("nothing fails before the end");
        }
    });
    ExitCode::FAILURE
}

fn batch(seed: u64) -> Vec<RevocationEntry> {
    Ends::new(seed).some(3)
}

fn open(path: &Path) -> SqliteRevocations {
    SqliteRevocations::open(patient(path)).unwrap()
}

fn what_was_acknowledged_survives_kill_9_and_whoever_followed_from_another_process_follows_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list.db");
    let list = open(&path);
    let (mut history, mut said) = (Vec::new(), Vec::new());
    for round in 0..4 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(CHILD).arg(&path).arg((round * APART).to_string()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        for _ in 0..60 + 7 * round {
            said.push(output.next().unwrap().parse::<u64>().unwrap());
            follow(&list, &mut history);
        }
        // Another moment in each round, somewhere in a transaction.
        child.kill().unwrap();
        child.wait().unwrap();
        said.extend(output.map(|line| line.parse::<u64>().unwrap()));
        follow(&list, &mut history);
        for seed in &said {
            let batch = batch(*seed);
            let found = history.iter().position(|(_, entry)| *entry == batch[0]);
            let found = found.expect("what was acknowledged is there");
            let together = history[found..found + 3].iter().map(|(_, entry)| entry);
            assert!(together.eq(&batch), "whole, and in its order");
        }
        let before = history.len();
        block_on(list.add(&batch(u64::MAX - round))).unwrap();
        follow(&list, &mut history);
        assert_eq!(history.len(), before + 3, "a process that was killed keeps nobody from adding");
    }
    drop(list);
    let mut again = Vec::new();
    follow(&open(&path), &mut again);
    assert!(again == history, "the same to whoever comes later");
}

/// Reads on to the end. Numbers rise, and the place is never lost.
fn follow(list: &SqliteRevocations, history: &mut Vec<(u64, RevocationEntry)>) {
    loop {
        match block_on(list.read(place(history), 50)).unwrap() {
            Reading::Entries { entries, more } => {
                history.extend(entries);
                assert!(history.is_sorted_by(|(one, _), (next, _)| one < next));
                if !more {
                    return;
                }
            }
            Reading::Lost => panic!("the place is that of an entry that was committed"),
        }
    }
}

fn place(history: &[(u64, RevocationEntry)]) -> Place {
    history.last().map_or(Place::START, |(number, entry)| Place { number: *number, nonce: entry.nonce })
}

fn everything(list: &SqliteRevocations) -> Vec<RevocationEntry> {
    let mut history = Vec::new();
    follow(list, &mut history);
    history.into_iter().map(|(_, entry)| entry).collect()
}

fn a_full_disk_refuses_an_end_without_a_trace_and_takes_it_once_there_is_room() {
    let disk = Disk::new();
    let list = open(&disk.database());
    let [first, second] = [batch(1), batch(2)];
    block_on(list.add(&first)).unwrap();
    disk.set_mood(Mood::Full);
    let error = block_on(list.add(&second)).unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, Applied::No));
    assert_eq!(block_on(list.ping()).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(everything(&list), first, "reads go on");
    disk.set_mood(Mood::Well);
    block_on(list.add(&second)).unwrap();
    drop(list);
    assert_eq!(everything(&open(&disk.database())), [first, second].concat());
}

fn a_failed_sync_leaves_an_end_in_doubt_and_the_list_goes_on() {
    let disk = Disk::new();
    let list = open(&disk.database());
    let [first, second] = [batch(1), batch(2)];
    disk.set_mood(Mood::Failing);
    let error = block_on(list.add(&first)).unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
    disk.set_mood(Mood::Well);
    block_on(list.add(&second)).unwrap();
    let found = everything(&list);
    assert!(found == second || found == [first, second].concat(), "whole or not at all: {found:?}");
}

fn a_hanging_disk_keeps_nobody_waiting_for_ever_and_reads_go_on() {
    let disk = Disk::new();
    let options = SqliteOptions::new(disk.database()).with_answer_timeout(Duration::from_secs(2));
    let list = SqliteRevocations::open(options).unwrap();
    let [first, second, third] = [batch(1), batch(2), batch(3)];
    block_on(async {
        list.add(&first).await.unwrap();
        let told = list.changed();
        disk.set_mood(Mood::Hanging);
        let (written, queued, pruned) = tokio::join!(list.add(&second), list.add(&third), list.prune(T0, 1));
        for error in [written.unwrap_err(), queued.unwrap_err(), pruned.unwrap_err()] {
            assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
        }
        assert_eq!(tokio::task::block_in_place(|| everything(&list)), first, "reads do not wait for writes");
        // What was asked for meanwhile happens, and whoever waits is told, though nobody waits for the answer.
        disk.set_mood(Mood::Well);
        told.await.unwrap();
    });
    list.close().unwrap();
    assert_eq!(everything(&open(&disk.database())), [first, second, third].concat());
}

fn a_backup_that_is_restored_under_a_running_list_loses_the_places_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list.db");
    let list = open(&path);
    block_on(list.add(&batch(1))).unwrap();
    let mut before = Vec::new();
    follow(&list, &mut before);
    let outside = Connection::open(&path).unwrap();
    let copy = directory.path().join("backup.db");
    outside.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    block_on(list.add(&batch(2))).unwrap();
    let mut after = before.clone();
    follow(&list, &mut after);

    let mut target = Connection::open(&path).unwrap();
    let backup = Connection::open(&copy).unwrap();
    let restoring = rusqlite::backup::Backup::new(&backup, &mut target).unwrap();
    restoring.run_to_completion(1_000, Duration::ZERO, None).unwrap();
    drop(restoring);
    assert_eq!(block_on(list.read(place(&after), 10)).unwrap(), Reading::Lost);
    let Reading::Entries { entries, more: false } = block_on(list.read(place(&before), 10)).unwrap() else {
        panic!("what both histories have is a place in both");
    };
    assert_eq!(entries, []);
    block_on(list.add(&batch(3))).unwrap();
    assert_eq!(block_on(list.read(place(&after), 10)).unwrap(), Reading::Lost, "whatever comes later");
    follow(&list, &mut before);
    let newest = before.last().unwrap().0;
    assert!(newest > after.last().unwrap().0, "numbers go on above those of the history that is gone");
}

fn an_operator_reads_what_was_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list.db");
    let (list, mut ends) = (open(&path), Ends::new(1));
    let principal = Scope::Principal { principal: principal_id("o'brien"), except: None };
    block_on(list.add(&[ends.of(principal, at(1_500))])).unwrap();
    let odd = ends.of_every_kind();
    block_on(list.add(&odd)).unwrap();
    let outside = Connection::open(&path).unwrap();
    let mut select = outside.prepare("SELECT kind, subject, at, until, reason FROM revoked").unwrap();
    let rows = select.query_map([], |row| {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, Option<String>>(4)?])
    });
    let rows: Vec<[Option<String>; 5]> = rows.unwrap().map(Result::unwrap).collect();
    let first =
        ["principal", "o'brien", "2027-01-15T08:00:00.000Z", "2027-01-15T08:00:01.500Z", "revoked_by_admin"];
    assert_eq!(rows[0], first.map(|text| Some(text.to_owned())));
    assert_eq!(rows.len(), odd.len() + 1, "instants that no calendar has are no error");
}

fn whoever_waits_is_told_when_the_list_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let list = open(&directory.path().join("list.db"));
    block_on(async {
        let told = list.changed();
        tokio::task::block_in_place(|| list.close()).unwrap();
        told.await.unwrap();
        assert_eq!(list.changed().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(list.read(Place::START, 1).await.unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

const TASKS: u64 = 8;
/// Between the first seeds of two rounds: more than one round adds.
const APART: u64 = 1_000_000;
