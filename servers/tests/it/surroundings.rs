use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cloakroom_servers::{Clock, Mariadb, Memcached, Postgres, Redis, Surroundings};

use crate::{eventually, is_alive};

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// What a server's clock shows, in seconds that it is ahead of ours; each look may take a few.
fn check(kind: &str, shown: &str, expected: i64) {
    let shown: i64 = shown.lines().next().unwrap().trim().parse().unwrap();
    let ahead = shown - ours();
    assert!((ahead - expected).abs() <= 30, "{kind} is {ahead} s ahead, not {expected}");
}

#[expect(clippy::disallowed_methods, reason = "the clock that the server's is compared with")]
fn ours() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// Starts ten minutes ahead, is set ten minutes behind while it runs, is killed and started again, and set right.
fn steps(kind: &str, set: impl Fn(Clock), restart: impl Fn(), ask: impl Fn() -> String) {
    check(kind, &ask(), 600);
    set(Clock::behind(TEN_MINUTES));
    check(kind, &ask(), -600);
    restart();
    check(kind, &ask(), -600);
    set(Clock::right());
    check(kind, &ask(), 0);
}

fn ahead() -> Surroundings {
    Surroundings::default().with_clock(Clock::ahead(TEN_MINUTES))
}

#[test]
fn redis_goes_by_a_clock_of_its_own() {
    let server = Redis::start_in(&ahead(), &[]).unwrap();
    steps(
        "Redis",
        |clock| server.set_clock(clock).unwrap(),
        || server.restart().unwrap(),
        || server.command(&["TIME"]).unwrap(),
    );
    let pid = server.pid().unwrap();
    assert!(fs::exists(format!("/dev/shm/faketime_shm_{pid}")).unwrap());
    drop(server);
    assert!(!fs::exists(format!("/dev/shm/faketime_shm_{pid}")).unwrap(), "nothing is left of its clock");
}

#[test]
fn postgres_goes_by_a_clock_of_its_own() {
    let server = Postgres::start_in(&ahead(), &[]).unwrap();
    let now = "SELECT extract(epoch FROM clock_timestamp())::bigint;";
    steps(
        "PostgreSQL",
        |clock| server.set_clock(clock).unwrap(),
        || server.restart().unwrap(),
        || server.sql("cloakroom", now).unwrap(),
    );
}

#[test]
fn mariadb_goes_by_a_clock_of_its_own() {
    let server = Mariadb::start_in(&ahead(), &[]).unwrap();
    steps(
        "MariaDB",
        |clock| server.set_clock(clock).unwrap(),
        || server.restart().unwrap(),
        || server.sql("cloakroom", "SELECT UNIX_TIMESTAMP();").unwrap(),
    );
}

#[test]
fn memcached_is_started_by_a_clock_of_its_own_and_then_counts_seconds() {
    let server = Memcached::start_in(&ahead(), &[]).unwrap();
    check("memcached", &server.stat("time").unwrap(), 600);
    server.set_clock(Clock::behind(TEN_MINUTES)).unwrap();
    check("memcached", &server.stat("time").unwrap(), 600);
    server.restart().unwrap();
    check("memcached", &server.stat("time").unwrap(), -600);
}

#[test]
fn a_small_disk_is_filled_outlives_its_server_and_goes_with_it() {
    let server = Redis::start_in(&Surroundings::default().with_disk(4), &[]).unwrap();
    server.command(&["SET", "kept", "value"]).unwrap();
    assert!(server.disk().room().unwrap() <= 4 << 20);
    server.disk().fill(4096).unwrap();
    assert!(server.disk().room().unwrap() <= 4096);
    assert!(server.disk().fill(0).is_err(), "it is filled once");
    let refused = server.command(&["SET", "large", &"x".repeat(100_000)]);
    eventually("Redis to notice", || server.command(&["SET", "small", "y"]).is_err());
    assert_eq!(server.command(&["GET", "kept"]).unwrap(), "value", "{refused:?}");
    server.disk().make_room().unwrap();
    eventually("Redis to notice", || server.command(&["SET", "small", "y"]).is_ok());
    server.kill();
    server.restart().unwrap();
    assert_eq!(server.command(&["GET", "kept"]).unwrap(), "value");
    let (pid, disk) = (server.pid().unwrap(), server.disk().path().to_owned());
    let is_mounted = || fs::read_to_string("/proc/mounts").unwrap().contains(disk.to_str().unwrap());
    assert!(is_mounted());
    drop(server);
    assert!(!is_alive(pid) && !is_mounted() && !disk.exists());
}
