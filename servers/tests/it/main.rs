//! Each kind of server is started, asked, harmed and found gone.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod databases;
mod ends;
mod programs;
mod proxies;
mod redis;
mod relay;
mod surroundings;

use std::{fs, time::Duration};

use cloakroom_servers::{Look, until};

/// Longer than anything here takes, even on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether process `pid` is there and has not ended.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !matches!(rest.split_whitespace().next(), Some("Z" | "X")))
}

/// Every process below `pid`.
fn descendants(pid: u32) -> Vec<u32> {
    let parent_of = |process: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let all: Vec<(u32, Option<u32>)> = all.map(|process| (process, parent_of(process))).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == Some(parent)).map(|(process, _)| *process));
        next += 1;
    }
    found.split_off(1)
}

/// Waits until it is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, PATIENCE, || if is_so() { Look::Done(()) } else { Look::NotYet("it is not".to_owned()) })
        .unwrap();
}
