use std::{fs, process::Command, time::Duration};

use cloakroom_servers::{Port, Program, Sighting};

use crate::{PATIENCE, descendants, eventually, is_alive};

fn shell(script: &str) -> (Program, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("GREETING", "hello").current_dir(directory.path());
    (Program::start(&command, &directory.path().join("log")).unwrap(), directory)
}

#[test]
fn a_program_gets_its_arguments_environment_directory_and_log() {
    let (program, directory) = shell("echo $GREETING; pwd -P; cat; echo bad >&2; exit 3");
    eventually("its end", || program.ended().is_some());
    assert_eq!(program.ended().unwrap().code(), Some(3));
    let log = fs::read_to_string(program.log()).unwrap();
    let path = directory.path().canonicalize().unwrap();
    assert_eq!(log, format!("hello\n{}\nbad\n", path.display()));
}

#[test]
fn killing_ends_what_the_program_started_even_what_left_its_group() {
    let (program, directory) = shell("setsid sleep 1000 & sleep 1000 & echo >up; wait");
    eventually("its children", || {
        directory.path().join("up").exists() && descendants(program.pid()).len() == 2
    });
    let family = descendants(program.pid());
    assert!(program.ended().is_none());
    program.kill();
    assert!(!is_alive(program.pid()) && !family.iter().any(|pid| is_alive(*pid)), "{family:?}");
    program.kill();
}

#[test]
fn what_a_program_left_behind_when_it_ended_goes_when_it_is_dropped() {
    let (program, directory) = shell("sleep 1000 & echo $! >child");
    eventually("its end", || program.ended().is_some_and(|status| status.success()));
    let child = fs::read_to_string(directory.path().join("child")).unwrap().trim().parse().unwrap();
    assert!(is_alive(child));
    drop(program);
    eventually("the child's end", || !is_alive(child));
}

#[test]
fn a_program_that_is_asked_to_end_may_do_so_in_its_own_time() {
    let (program, directory) = shell("trap 'exit 5' TERM; echo >up; while :; do sleep 0.01; done");
    eventually("the trap", || directory.path().join("up").exists());
    assert_eq!(program.terminate(PATIENCE).unwrap().code(), Some(5));
    let (deaf, directory) = shell("trap '' TERM; echo >up; while :; do sleep 0.01; done");
    eventually("the trap", || directory.path().join("up").exists());
    assert!(deaf.terminate(Duration::from_millis(50)).is_err());
    assert!(deaf.ended().is_none());
}

#[test]
fn a_program_that_is_not_there_ends_at_once_and_its_log_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(&Command::new("/no/such/program"), &directory.path().join("log")).unwrap();
    eventually("its end", || program.ended().is_some_and(|status| !status.success()));
    assert!(fs::read_to_string(program.log()).unwrap().contains("/no/such/program"));
}

#[test]
fn a_port_is_given_out_once_as_long_as_it_is_held() {
    let ports: Vec<Port> = (0..200).map(|_| Port::free().unwrap()).collect();
    let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), ports.len());
    assert!(ports.iter().all(Port::is_free));
    let lowest = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let lowest: u16 = lowest.split_whitespace().next().unwrap().parse().unwrap();
    assert!(numbers.last().unwrap() < &lowest, "outgoing connections could be given one of {numbers:?}");
}

#[test]
fn a_process_is_known_again_by_more_than_its_id() {
    let (program, _directory) = shell("sleep 1000");
    let seen = Sighting::of(program.pid()).unwrap();
    assert!(seen.still_runs());
    let stranger = Sighting { started: seen.started - 1, ..seen };
    assert!(!stranger.still_runs());
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap();
    assert_eq!(stat.split_whitespace().nth(21).unwrap(), seen.started.to_string());
    program.kill();
    assert!(!seen.still_runs());
}
