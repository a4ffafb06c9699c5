//! Stores on real servers, from the command line.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Activity, Clock as _, ManualClock, MovingStore, Sessions, SystemClock, Validation};
use cloakroom_memcached::{MemcachedOptions, MemcachedStore};
use cloakroom_servers::{Mariadb, Memcached, Postgres, Redis, RedisCluster, RedisSentinel};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};

use crate::cli::Desk;
use crate::moving::{Crowd, run_here, sign_in};

#[track_caller]
fn checks_out(desk: &Desk, url: &str) {
    let run = desk.run(&["store", "check", url, "--json"]);
    assert_eq!(run.code, Some(0), "{url}: {run:?}");
    let report = run.json();
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["ok"] == true), "{url}: {report:#}");
}

/// Moves from one to the next, and back to a file.
#[test]
fn sessions_their_ends_and_their_exchanged_tokens_move_through_every_store_and_arrive() {
    let (redis, sentinel, cluster) =
        (Redis::start().unwrap(), RedisSentinel::start().unwrap(), RedisCluster::start().unwrap());
    let (postgres, mariadb) = (Postgres::start().unwrap(), Mariadb::start().unwrap());
    let desk = Desk::new();
    let path = [
        "sqlite:first.db".to_owned(),
        redis.url().clone(),
        postgres.database("moving").unwrap(),
        cluster.url(),
        mariadb.database("moving").unwrap(),
        sentinel.url(),
        "sqlite:last.db".to_owned(),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = |file: &str| {
        Sessions::builder(SqliteStore::open(SqliteOptions::new(desk.path(file))).unwrap()).build().unwrap()
    };
    let crowd = runtime.block_on(Crowd::arrive(&engine("first.db"), 20));
    for pair in path.windows(2) {
        let [from, to] = pair else { unreachable!("windows of two") };
        let report = desk.run(&["store", "migrate", "--from", from, "--to", to, "--json"]).json();
        assert_eq!(report["verified"], true, "{from} to {to}: {report:#}");
        let moved = ["sessions", "tombstones", "retired_tokens"].map(|kind| report["moved"][kind].as_u64());
        assert_eq!(moved, [Some(15), Some(5), Some(5)], "{from} to {to}: {report:#}");
        assert_eq!(report["old"]["signed_in"], 0, "{from} to {to}");
        assert_eq!(report["new"]["signed_in"], 15, "{from} to {to}");
    }
    runtime.block_on(crowd.check(&engine("last.db")));
    // Only now: what a check files and ends would have moved as well.
    for store in &path {
        checks_out(&desk, store);
    }
}

/// memcached cannot list: time alone empties it, and whoever forgets it earlier signs people out.
#[test]
fn a_move_from_memcached_says_from_when_it_may_be_forgotten_and_does_not_claim_to_be_done() {
    let memcached = Memcached::start().unwrap();
    let desk = Desk::configured(
        "[session]\nabsolute_timeout = \"12h\"\n[session.remember_me]\nabsolute_timeout = \"20d\"\n",
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let old = || {
        let options = MemcachedOptions::from_url(&memcached.url()).unwrap();
        Arc::new(runtime.block_on(MemcachedStore::connect(options)).unwrap())
    };
    let new = || Arc::new(SqliteStore::open(SqliteOptions::new(desk.path("new.db"))).unwrap());
    let alice = {
        let servers = Sessions::builder(MovingStore::new(old(), new())).build().unwrap();
        runtime.block_on(sign_in(&servers, "alice"))
    };
    let began = SystemClock::default().now();
    let to = format!("sqlite:{}", desk.path("new.db").display());
    let config = desk.path("cloakroom.toml").display().to_string();
    let url = memcached.url();
    let migrate = ["store", "migrate", "--from", &url, "--to", &to, "--config", &config];
    let first = desk.run(&migrate);
    assert_eq!((first.code, first.stderr.as_str()), (Some(3), ""), "{first:?}");
    assert!(
        first.stdout.contains("on every server until 2") && !first.stdout.contains("restart each"),
        "{first:?}"
    );

    // The same call again names the same instant: the longest that anybody may stay, from when moving began.
    let json = [&migrate[..], &["--json"]].concat();
    let again = desk.run(&json);
    assert_eq!(again.code, Some(3), "{again:?}");
    let report: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&report["verified"], &report["listed"]), (&false.into(), &false.into()), "{report}");
    let safe_from = report["safe_from"].as_str().unwrap();
    assert!(first.stdout.contains(safe_from), "{first:?} {report}");
    let safe_from: cloakroom::Timestamp = safe_from.parse().unwrap();
    let waits = safe_from.since(began);
    let longest = Duration::from_secs(20 * 86_400 + 60);
    assert!(waits >= longest && waits < longest + Duration::from_secs(60), "{waits:?}");

    // Until then alice is in the old store: servers that know both let her in, and one that forgot it would not.
    let validate =
        |sessions: &Sessions| runtime.block_on(sessions.validate(&alice.token, Activity::Ignored)).unwrap();
    let alone = Sessions::builder_shared(new()).build().unwrap();
    assert!(matches!(validate(&alone), Validation::Unknown));
    let both = Sessions::builder(MovingStore::new(old(), new())).build().unwrap();
    assert!(matches!(validate(&both), Validation::Active(_)));

    // From then on nobody can be there any more.
    let args: Vec<String> = json.iter().map(|&arg| arg.to_owned()).collect();
    let at = |instant| run_here(&args, Arc::new(ManualClock::at(instant)), false);
    assert_eq!(at(safe_from.minus(Duration::from_millis(1))).0, 3);
    let (code, stdout, _) = at(safe_from);
    assert_eq!(code, 0, "{stdout}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["verified"], true, "{report}");
}

#[test]
fn memcached_checks_out_and_says_what_it_lacks() {
    let memcached = Memcached::start().unwrap();
    let desk = Desk::new();
    let url = memcached.url();
    checks_out(&desk, &url);
    let run = desk.run(&["store", "check", &url]);
    assert!(run.stdout.contains("It cannot list or count sessions"), "{run:?}");
    std::fs::write(desk.path("cloakroom.toml"), format!("store = \"{url}\"\n")).unwrap();
    let doctor = desk.run(&["doctor"]);
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    assert!(doctor.stdout.contains("may forget") && doctor.stdout.contains("answers in"), "{doctor:?}");
    let listed = desk.run(&["sessions", "list"]);
    assert_eq!(listed.code, Some(1), "{listed:?}");
    assert!(listed.stderr.contains("cannot list"), "{listed:?}");
}

#[test]
fn a_move_to_a_store_that_cannot_count_comes_to_its_end() {
    let memcached = Memcached::start().unwrap();
    let desk = Desk::new();
    let url = memcached.url();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = cloakroom_sqlite::SqliteOptions::new(desk.path("first.db"));
    let store = cloakroom_sqlite::SqliteStore::open(options).unwrap();
    let first = cloakroom::Sessions::builder(store).build().unwrap();
    runtime.block_on(first.issue(cloakroom::Issue::anonymous())).unwrap();
    drop(first);
    let migrate = ["store", "migrate", "--from", "sqlite:first.db", "--to", &url];
    let run = desk.run(&migrate);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("Moved 1 session") && run.stdout.contains("cannot count its own"), "{run:?}");
    let report = desk.run(&[&migrate[..], &["--json"]].concat()).json();
    assert_eq!((&report["verified"], &report["new"]), (&true.into(), &serde_json::Value::Null), "{report:#}");
    assert!(!desk.path("cloakroom-data/store-migration.json").exists(), "nothing is left behind");
}

/// What a user of a server may not do, as the server's operator says it.
struct Restricted {
    /// The address of somebody who may do everything.
    owner: String,
    user: String,
}

fn who_may_not_delete(postgres: &Postgres, mariadb: &Mariadb) -> [Restricted; 2] {
    let in_postgres = postgres.database("kept").unwrap();
    let in_mariadb = mariadb.database("kept").unwrap();
    [in_postgres, in_mariadb].map(|owner| Restricted { user: owner.replace("cloakroom@", "web@"), owner })
}

#[test]
fn a_user_who_may_not_remove_what_is_over_is_found_by_check_and_by_doctor() {
    let (postgres, mariadb) = (Postgres::start().unwrap(), Mariadb::start().unwrap());
    let desk = Desk::new();
    let stores = who_may_not_delete(&postgres, &mariadb);
    for store in &stores {
        checks_out(&desk, &store.owner);
    }
    let grants = "CREATE ROLE web LOGIN; GRANT USAGE ON SCHEMA cloakroom TO web;
        GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA cloakroom TO web;";
    postgres.sql("kept", grants).unwrap();
    let grants = "CREATE USER 'web'@'%' IDENTIFIED BY '';
        GRANT SELECT, INSERT, UPDATE, EXECUTE ON kept.* TO 'web'@'%';";
    mariadb.sql("mysql", grants).unwrap();
    for Restricted { owner, user } in &stores {
        let run = desk.run(&["store", "check", user]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(
            run.stderr.contains("wrong: sweep may remove what is over: its user may not DELETE"),
            "{run:?}"
        );
        assert!(run.stdout.contains("WRONG"), "{run:?}");
        let doctor = desk.run(&["doctor", "--store", user]);
        assert!(doctor.stdout.contains("may not DELETE"), "{doctor:?}");
        assert!(!desk.run(&["doctor", "--store", owner]).stdout.contains("may not DELETE"), "{owner}");
    }
    // Where somebody is granted what is missing, nothing is wrong.
    postgres.sql("kept", "GRANT DELETE ON ALL TABLES IN SCHEMA cloakroom TO web;").unwrap();
    mariadb.sql("mysql", "GRANT DELETE ON kept.* TO 'web'@'%';").unwrap();
    for store in &stores {
        checks_out(&desk, &store.user);
    }
}

/// Nobody has broken a rule who was not there to keep it.
#[test]
fn a_server_that_cannot_be_reached_breaks_no_rule() {
    let (up, down) = (Memcached::start().unwrap(), Memcached::start().unwrap());
    let desk = Desk::new();
    let url = format!("memcached://{},{}", up.address(), down.address());
    down.kill();
    // Whether the sessions of a check fall to the one that is away is drawn anew each time.
    let met = (0..40).map(|_| desk.run(&["store", "check", &url])).find(|run| run.code != Some(0));
    let run = met.expect("one of two servers is away");
    assert!(!format!("{}{}", run.stdout, run.stderr).to_lowercase().contains("wrong"), "{run:?}");
    assert!(run.stderr.contains("no answer: ") && run.stderr.contains("cannot reach memcached"), "{run:?}");
}

/// Nobody has swept the old store since a day after people signed out.
#[test]
fn a_move_to_memcached_leaves_what_is_beyond_its_retention_and_comes_to_its_end() {
    let memcached = Memcached::start().unwrap();
    let desk = Desk::new();
    let days_ago = SystemClock::default().now().minus(Duration::from_secs(3 * 86_400));
    let store = SqliteStore::open(SqliteOptions::new(desk.path("first.db"))).unwrap();
    let before = Sessions::builder(store).clock(ManualClock::at(days_ago)).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let alice = sign_in(&before, "alice").await;
        let her = cloakroom::Selector::One(alice.session.id());
        before.revoke(&her, cloakroom::Revocation::by_system(cloakroom::EndReason::SignedOut)).await.unwrap();
        sign_in(&before, "bob").await;
    });
    drop(before);
    let url = memcached.url();
    let run = desk.run(&["store", "migrate", "--from", "sqlite:first.db", "--to", &url, "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let report = run.json();
    assert_eq!(report["verified"], true, "{report:#}");
    assert_eq!(report["moved"]["tombstones"], 0, "{report:#}");
}

#[test]
fn a_store_that_is_down_is_an_error_with_cause_and_remedy_and_without_its_password() {
    let redis = Redis::start().unwrap();
    let desk = Desk::new();
    let url = format!("redis://:hunter2@127.0.0.1:{}", redis.port());
    redis.kill();
    for args in
        [&["sessions", "list", "--store", &url][..], &["doctor", "--store", &url], &["store", "check", &url]]
    {
        let run = desk.run(args);
        assert_eq!(run.code, Some(1), "{run:?}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("error: ") && said.contains("help: "), "{run:?}");
        assert!(!said.contains("hunter2"), "{run:?}");
    }
}

#[test]
fn what_waiting_cannot_mend_ends_serve_at_once_and_says_what_it_is() {
    let guarded = Redis::start().unwrap();
    guarded.command(&["CONFIG", "SET", "requirepass", "hunter2"]).unwrap();
    let (redis, postgres, mariadb) =
        (Redis::start().unwrap(), Postgres::start().unwrap(), Mariadb::start().unwrap());
    let desk = Desk::new();
    std::fs::write(desk.path("notes.db"), "no database, however long one waits ".repeat(99)).unwrap();
    for (url, cause) in [
        (format!("redis://:wrong@127.0.0.1:{}", guarded.port()), "refused the user or password"),
        (format!("redis://127.0.0.1:{}/99", redis.port()), "DB index is out of range"),
        (format!("postgres://cloakroom@127.0.0.1:{}/nowhere", postgres.port()), "does not exist"),
        (format!("mysql://cloakroom@127.0.0.1:{}/nowhere", mariadb.port()), "Unknown database"),
        (format!("mysql://nobody:wrong@127.0.0.1:{}/cloakroom", mariadb.port()), "Access denied"),
        (format!("memcached://127.0.0.1:{}", redis.port()), "no memcached"),
        ("sqlite:notes.db".to_owned(), "not a database"),
    ] {
        let run = desk.run(&["serve", "--listen", "127.0.0.1:0", "--store", &url]);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(run.code, Some(1), "{url}: {said}");
        assert!(!said.contains("session_store_awaited"), "{url}: it was waited for: {said}");
        assert!(said.contains(cause) && said.contains("help: ") && !said.contains("wrong@"), "{url}: {said}");
    }
    // What may come up is waited for.
    let url = redis.url();
    redis.kill();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = cloakroom_redis::RedisOptions::from_url(&url).unwrap();
    let error = runtime.block_on(cloakroom_redis::RedisStore::connect(options)).unwrap_err();
    assert!(cloakroom_server::stores::may_come_up(&error), "{error:?}");
}

#[test]
fn what_is_weak_on_every_node_of_a_cluster_is_said_once_with_its_remedy() {
    let cluster = RedisCluster::start().unwrap();
    let desk = Desk::new();
    let addresses: Vec<_> =
        cluster.servers().iter().take(3).map(|server| format!("127.0.0.1:{}", server.port())).collect();
    let doctor = desk.run(&["doctor", "--store", &cluster.url()]);
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    for (cause, remedy) in [
        ("appendfsync is no: a crash", "set it to always"),
        ("maxmemory is not set: a server", "set it"),
        ("1 replica and no wait_replicas: a fail-over", "add ?wait_replicas=1"),
    ] {
        assert_eq!(doctor.stdout.matches(cause).count(), 1, "{cause}: {doctor:?}");
        let mut lines = doctor.stdout.lines().skip_while(|line| !line.contains(cause));
        let said = lines.next().unwrap();
        assert!(said.starts_with("  store: ") && addresses.iter().all(|one| said.contains(one)), "{said}");
        assert!(lines.next().unwrap().starts_with(&format!("    help: {remedy}")), "{doctor:?}");
    }
    let told = desk.run(&["doctor", "--store", &cluster.url(), "--json"]).json();
    let of_store: Vec<_> =
        told["warnings"].as_array().unwrap().iter().filter(|one| one["key"] == "store").collect();
    assert!(of_store.len() == 3 && of_store.iter().all(|one| one["remedy"].is_string()), "{told:#}");
}
