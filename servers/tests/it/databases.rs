use std::net::TcpListener;

use cloakroom_servers::{Mariadb, Memcached, Postgres};

use crate::{descendants, is_alive};

#[test]
fn postgres_keeps_what_is_committed_through_kill_9_and_leaves_nothing_when_dropped() {
    let server = Postgres::start().unwrap();
    let url = server.database("shop").unwrap();
    assert_eq!(url, format!("postgres://cloakroom@127.0.0.1:{}/shop", server.port()));
    server.sql("shop", "CREATE TABLE t (n int); INSERT INTO t VALUES (7);").unwrap();
    let (pid, children) = (server.pid().unwrap(), descendants(server.pid().unwrap()));
    assert!(!children.is_empty(), "PostgreSQL works with several processes");
    server.kill();
    assert_eq!(server.pid(), None);
    assert!(!is_alive(pid) && !children.iter().any(|child| is_alive(*child)));
    assert!(server.sql("shop", "SELECT 1").is_err());
    server.restart().unwrap();
    assert_eq!(server.sql("shop", "SELECT n, n + 1 FROM t;").unwrap(), "7|8");
    let (directory, pid) = (server.directory().to_owned(), server.pid().unwrap());
    let children = descendants(pid);
    drop(server);
    assert!(!is_alive(pid) && !children.iter().any(|child| is_alive(*child)));
    assert!(!directory.exists());
}

#[test]
fn the_role_of_the_url_owns_its_database_and_is_no_superuser() {
    let server = Postgres::start().unwrap();
    let owner =
        "SELECT rolname FROM pg_database JOIN pg_roles r ON r.oid = datdba WHERE datname = 'cloakroom';";
    assert_eq!(server.sql("cloakroom", owner).unwrap(), "cloakroom");
    let rights = "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = 'cloakroom';";
    assert_eq!(server.sql("cloakroom", rights).unwrap(), "f|t");
    let failure = server.sql("cloakroom", "SELECT nonsense;").unwrap_err().to_string();
    assert!(failure.contains("nonsense"), "{failure}");
}

#[test]
fn a_paused_postgres_does_not_answer_on_connections_that_it_has_and_goes_on_afterwards() {
    let server = Postgres::start().unwrap();
    let children = descendants(server.pid().unwrap());
    server.pause();
    let state = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state(server.pid().unwrap()).contains(") T "), "{}", state(server.pid().unwrap()));
    for pid in children {
        // One that had just finished its work moves no more either.
        let state = state(pid);
        assert!(state.contains(") T ") || state.contains(") Z ") || state.is_empty(), "{state}");
    }
    server.resume();
    assert_eq!(server.sql("cloakroom", "SELECT 1;").unwrap(), "1");
    server.pause();
    server.restart().unwrap();
    assert_eq!(server.sql("cloakroom", "SELECT 2;").unwrap(), "2", "killed while it was paused");
}

#[test]
fn mariadb_keeps_what_is_committed_through_kill_9_and_leaves_nothing_when_dropped() {
    let server = Mariadb::start().unwrap();
    let url = server.database("shop").unwrap();
    assert_eq!(url, format!("mysql://cloakroom@127.0.0.1:{}/shop", server.port()));
    server.sql("shop", "CREATE TABLE t (n int); INSERT INTO t VALUES (7);").unwrap();
    server.kill();
    server.restart().unwrap();
    assert_eq!(server.sql("shop", "SELECT n, n + 1 FROM t;").unwrap(), "7\t8");
    let grants = server.sql("mysql", "SELECT COUNT(*) FROM user WHERE user = '';").unwrap();
    assert_eq!(grants, "0", "accounts without a name would shadow others");
    let (directory, pid) = (server.directory().to_owned(), server.pid().unwrap());
    drop(server);
    assert!(!is_alive(pid) && !directory.exists());
}

#[test]
fn memcached_answers_pauses_and_forgets_everything_when_it_is_killed() {
    let server = Memcached::start_with(&["-m", "8"]).unwrap();
    assert_eq!(server.stat("limit_maxbytes").unwrap(), "8388608");
    assert_eq!(server.command("ms key 1\r\nx").unwrap(), "HD");
    assert_eq!(server.command("mg key").unwrap(), "HD");
    server.pause();
    server.resume();
    assert_eq!(server.command("mg key").unwrap(), "HD");
    let port = server.port();
    server.kill();
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "nobody listens any more");
    server.restart().unwrap();
    assert_eq!(server.port(), port);
    assert_eq!(server.command("mg key").unwrap(), "EN");
}

#[test]
fn a_server_that_refuses_its_options_says_why() {
    let failure = Postgres::start_with(&["-c", "no_such_setting=1"]).unwrap_err().to_string();
    assert!(failure.contains("no_such_setting"), "{failure}");
    let failure = Memcached::start_with(&["--no-such-option"]).unwrap_err().to_string();
    assert!(failure.contains("no-such-option"), "{failure}");
}
