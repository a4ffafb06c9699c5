//! `cargo xtask servers`, as somebody types it: what is started runs and is where it is said to be, and what is stopped leaves
//! nothing behind.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]
#![expect(clippy::indexing_slicing, reason = "JSON that lacks a member has null there")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use cloakroom_servers::{Look, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A place where servers are started, stopped with all that run there when it goes.
struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(desk.directory.path().join("temporary")).unwrap();
        desk
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("servers").args(arguments);
        command.env("CARGO_TARGET_DIR", self.directory.path().join("target"));
        command.env("TMPDIR", self.directory.path().join("temporary"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {stdout}{stderr}");
        stdout.into_owned()
    }

    /// What `status` says of a server.
    fn status(&self, name: &str) -> Value {
        let rows: Value = serde_json::from_str(&self.succeeds(&["status", name, "--json"])).unwrap();
        assert_eq!(rows[0]["name"], name);
        rows[0].clone()
    }

    /// Every file there is below, and every directory of a server.
    fn left_behind(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        // Cargo, which is asked where things belong, leaves a note of its own beside these.
        for place in ["target/servers", "temporary"] {
            collect(&self.directory.path().join(place), &mut found);
        }
        found
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.run(&["stop"]);
    }
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_directory || entry.file_name().to_string_lossy().starts_with("cloakroom-") {
            found.push(entry.path());
        } else {
            collect(&entry.path(), found);
        }
    }
}

/// What a server at `address` answers to `request`, as far as it comes at once.
fn answer(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 64];
    let length = connection.read(&mut answer).unwrap();
    String::from_utf8_lossy(answer.get(..length).unwrap()).into_owned()
}

fn pids(row: &Value) -> Vec<i32> {
    let pids = row["pids"].as_array().unwrap().iter();
    pids.map(|pid| i32::try_from(pid.as_i64().unwrap()).unwrap()).collect()
}

fn runs(pid: i32) -> bool {
    // One that has ended and was not yet waited for is a zombie.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[test]
fn what_is_started_is_where_it_is_said_to_be_and_what_is_stopped_leaves_nothing() {
    let desk = Desk::new();
    let started = desk.succeeds(&["start", "redis", "memcached"]);
    let (redis, memcached) = (desk.status("redis"), desk.status("memcached"));
    for row in [&redis, &memcached] {
        assert_eq!(row["state"], "running", "{row}");
        assert!(started.contains(row["url"].as_str().unwrap()), "{row} is not in {started}");
    }
    let url = redis["url"].as_str().unwrap();
    assert_eq!(answer(url.strip_prefix("redis://").unwrap(), "PING\r\n"), "+PONG\r\n");
    let addresses: Vec<&str> =
        memcached["url"].as_str().unwrap().strip_prefix("memcached://").unwrap().split(',').collect();
    assert_eq!(addresses.len(), 3);
    for address in addresses {
        assert!(answer(address, "version\r\n").starts_with("VERSION "));
    }
    assert_eq!(desk.status("postgres")["state"], "stopped");

    // What runs already stays as it is.
    desk.succeeds(&["start", "redis"]);
    assert_eq!(desk.status("redis"), redis);

    let stopped = desk.succeeds(&["stop", "redis"]);
    assert_eq!(stopped, "redis is stopped\n");
    assert!(!pids(&redis).into_iter().any(runs));
    assert_eq!(desk.status("redis")["state"], "stopped");
    assert_eq!(desk.status("memcached"), memcached, "the others were not meant");
    desk.succeeds(&["stop", "memcached"]);
    assert!(!pids(&memcached).into_iter().any(runs));
    assert_eq!(desk.left_behind(), <[PathBuf; 0]>::default());
    assert_eq!(desk.succeeds(&["stop", "redis"]), "redis does not run\n");
}

#[test]
fn a_server_that_lost_a_process_is_said_to_be_harmed_and_is_stopped_whole() {
    let desk = Desk::new();
    desk.succeeds(&["start", "memcached"]);
    let row = desk.status("memcached");
    let [first, ..] = pids(&row)[..] else { panic!("{row}") };
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    until("the loss to be seen", PATIENCE, || {
        let state = desk.status("memcached")["state"].clone();
        if state == "1 lost" { Look::Done(()) } else { Look::NotYet(state.to_string()) }
    })
    .unwrap();
    let again = desk.run(&["start", "memcached"]);
    assert!(!again.status.success(), "it is neither well nor gone");
    assert!(String::from_utf8_lossy(&again.stderr).contains("stop it first"), "{again:?}");
    desk.succeeds(&["stop", "memcached"]);
    assert!(!pids(&row).into_iter().any(runs));
    assert_eq!(desk.left_behind(), <[PathBuf; 0]>::default());
}

/// On a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
