//! A server that takes no writes, and finding the one that does.

use cloakroom_conformance::{Fixtures, T0};
use cloakroom_core::SessionId;
use cloakroom_servers::{Postgres, Relay};
use cloakroom_store::{Applied, ErrorKind, Selector, Store, Touch, Version};

use crate::support::{
    change, database, end, file, healed, is_live, kind, open, runtime, shared, try_file, undoubted,
};

#[test]
fn a_server_that_takes_no_writes_is_read_only_and_answers_look_ups() {
    let server = Postgres::start().unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        let [filing, other] = std::array::from_fn(|_| fixtures.signed_in("alice"));
        file(&store, &filing).await;
        let read_only = "ALTER ROLE cloakroom SET default_transaction_read_only = on;
                         SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename = 'cloakroom';";
        server.sql("postgres", read_only).unwrap();
        // The first one may find that its connection was ended.
        undoubted(|| try_file(&store, &other)).await;
        let refused = (ErrorKind::ReadOnly, Applied::No);
        let touch = [Touch { digest: filing.digest, seen_at: T0.plus(std::time::Duration::from_millis(5)) }];
        assert_eq!(kind(try_file(&store, &other).await), refused);
        assert_eq!(kind(change(&store, &filing, Version::FIRST).await), refused);
        assert_eq!(kind(store.touch(&touch, T0).await), refused);
        assert_eq!(kind(end(&store, &Selector::One(filing.id()), T0).await), refused);
        assert_eq!(kind(end(&store, &Selector::All, T0).await), refused);
        assert_eq!(kind(store.ping().await), refused);
        assert!(is_live(&store, &filing).await, "look-ups go on");
        // A process that starts now finds the schema in order, and reads.
        assert!(is_live(&*open(&server.url()).await, &filing).await);
        server.sql("postgres", "ALTER ROLE cloakroom RESET default_transaction_read_only;").unwrap();
        healed(|| try_file(&store, &other)).await;
        assert!(is_live(&store, &other).await);
    });
}

#[test]
fn of_several_hosts_the_one_that_can_be_written_to_is_taken_and_the_next_one_after_a_fail_over() {
    let servers = [Postgres::start().unwrap(), Postgres::start().unwrap()];
    let [first, second] = &servers;
    let set = |server: &Postgres, value: &str| {
        let sql = format!(
            "ALTER ROLE cloakroom SET default_transaction_read_only = {value};
             SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename = 'cloakroom';"
        );
        server.sql("postgres", &sql).unwrap();
    };
    runtime().block_on(async {
        drop(open(&second.url()).await);
        set(second, "on");
        // A host that refuses, and two that take connections.
        let dead = Relay::to(1).unwrap();
        dead.refuse();
        let hosts =
            format!("127.0.0.1:{},127.0.0.1:{},127.0.0.1:{}", dead.port(), first.port(), second.port());
        let url = format!("postgres://cloakroom@{hosts}/cloakroom");
        let store = open(&url).await;
        let mut fixtures = Fixtures::new(1);
        let [before, after] = std::array::from_fn(|_| fixtures.signed_in("alice"));
        file(&store, &before).await;
        assert!(is_filed(first, before.id()));
        set(first, "on");
        set(second, "off");
        healed(|| try_file(&store, &after)).await;
        assert!(is_filed(second, after.id()) && !is_filed(first, after.id()), "it went where writes go");
        assert!(is_live(&store, &after).await, "and look-ups go there too");
    });
}

#[test]
fn a_host_that_accepts_and_says_nothing_is_passed_over() {
    let url = database("passed_over");
    runtime().block_on(async {
        let silent = Relay::to(shared().port()).unwrap();
        silent.stall();
        let both = url.replace("127.0.0.1:", &format!("127.0.0.1:{},127.0.0.1:", silent.port()));
        let store = open(&both).await;
        let filing = Fixtures::new(1).signed_in("alice");
        file(&store, &filing).await;
        assert!(is_live(&store, &filing).await);
    });
}

fn is_filed(server: &Postgres, session: SessionId) -> bool {
    let sql =
        "SELECT 'ses_' || translate(rtrim(encode(id, 'base64'), '='), '+/', '-_') FROM cloakroom.session;";
    server.sql("cloakroom", sql).unwrap().contains(&session.to_string())
}
