//! However the process ends that started a server, the server ends with it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{descendants, eventually, is_alive};

struct Parent {
    process: Child,
    server: u32,
    family: Vec<u32>,
    directory: PathBuf,
}

fn parent_of(server: &str) -> Parent {
    // Whoever runs the tests in the background of a shell ignores Ctrl-C, and would hand that down.
    let mut process = Command::new("env")
        .arg("--default-signal=INT")
        .arg(env!("CARGO_BIN_EXE_hold-servers"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(server.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (pid, directory) = line.trim().split_once(' ').unwrap();
    let server = pid.parse().unwrap();
    Parent { process, server, family: descendants(server), directory: directory.into() }
}

fn check(server: &str, signal: Signal) -> PathBuf {
    let mut parent = parent_of(server);
    assert!(is_alive(parent.server) && parent.directory.exists());
    kill_process(Pid::from_raw(parent.process.id().try_into().unwrap()).unwrap(), signal).unwrap();
    parent.process.wait().unwrap();
    eventually("the server's end", || !is_alive(parent.server));
    eventually("its children's end", || !parent.family.iter().any(|pid| is_alive(*pid)));
    eventually("its directory to be removed", || !parent.directory.exists());
    let left = std::path::Path::new("/dev/shm").join(format!("faketime_shm_{}", parent.server));
    assert!(!left.exists(), "{} is left", left.display());
    parent.directory
}

#[test]
fn a_server_dies_when_its_parent_is_killed() {
    check("redis", Signal::KILL);
}

#[test]
fn a_server_dies_when_its_parent_is_interrupted_by_ctrl_c() {
    check("redis", Signal::INT);
}

#[test]
fn a_server_of_many_processes_dies_when_its_parent_is_killed() {
    check("postgres", Signal::KILL);
}

#[test]
fn a_server_that_is_paused_dies_when_its_parent_is_killed() {
    check("paused postgres", Signal::KILL);
}

#[test]
fn a_small_disk_and_a_clock_of_its_own_go_with_a_server_whose_parent_is_killed() {
    let directory = check("redis on a small disk, by its own clock", Signal::KILL);
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(directory.to_str().unwrap()), "{mounts}");
}

#[test]
fn a_server_is_gone_after_a_panic() {
    let mut parent = parent_of("panic");
    assert!(!parent.process.wait().unwrap().success());
    assert!(!is_alive(parent.server) && !parent.directory.exists());
}
