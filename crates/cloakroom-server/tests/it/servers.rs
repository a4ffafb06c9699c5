//! Stores on real servers, from the command line.

use cloakroom_servers::{Mariadb, Memcached, Postgres, Redis, RedisCluster};

use crate::cli::Desk;

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
fn sessions_move_through_every_store_and_arrive() {
    let (redis, postgres, mariadb) =
        (Redis::start().unwrap(), Postgres::start().unwrap(), Mariadb::start().unwrap());
    let desk = Desk::new();
    let path = [
        "sqlite:first.db".to_owned(),
        redis.url().clone(),
        postgres.database("moving").unwrap(),
        mariadb.database("moving").unwrap(),
        "sqlite:last.db".to_owned(),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store =
        cloakroom_sqlite::SqliteStore::open(cloakroom_sqlite::SqliteOptions::new(desk.path("first.db")))
            .unwrap();
    let first = cloakroom::Sessions::builder(store).build().unwrap();
    let issued: Vec<_> = (0..20)
        .map(|_| runtime.block_on(first.issue(cloakroom::Issue::anonymous())).unwrap().expect_issued())
        .collect();
    for pair in path.windows(2) {
        let [from, to] = pair else { unreachable!("windows of two") };
        checks_out(&desk, to);
        let report = desk.run(&["store", "migrate", "--from", from, "--to", to, "--json"]).json();
        assert_eq!(
            (&report["verified"], &report["moved"]["sessions"]),
            (&true.into(), &20.into()),
            "{from} to {to}: {report:#}"
        );
        assert_eq!(report["old"]["anonymous"], 0, "{from} to {to}");
        assert_eq!(report["new"]["anonymous"], 20, "{from} to {to}");
    }
    let store =
        cloakroom_sqlite::SqliteStore::open(cloakroom_sqlite::SqliteOptions::new(desk.path("last.db")))
            .unwrap();
    let last = cloakroom::Sessions::builder(store).build().unwrap();
    for issued in issued {
        let found = runtime.block_on(last.validate(&issued.token, cloakroom::Activity::Ignored)).unwrap();
        assert!(
            matches!(&found, cloakroom::Validation::Active(session) if session.id() == issued.session.id()),
            "{found:?}"
        );
    }
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
