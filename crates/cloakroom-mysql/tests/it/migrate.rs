//! Schemas that come about: at once, in pieces, by whom.

use std::num::NonZeroU16;
use std::sync::Arc;

use cloakroom_conformance::{Ends, Fixtures, T0, at, principal_id};
use cloakroom_mysql::{MysqlPool, MysqlRevocations, MysqlStore};
use cloakroom_servers::{Mariadb, Relay};
use cloakroom_store::{
    ErrorKind, ExportQuery, Imported, ListFilter, ListQuery, Place, Reading, RevocationList, Selector, Store,
    SweepRequest, Version,
};

use crate::support::{
    change, end, exchange, file, is_live, note, open, options, runtime, shared, through, try_file, whole,
};
use crate::upgrade::NEXT;

/// All there is in a database, as text.
fn schema(server: &Mariadb, database: &str) -> String {
    let tables = "SELECT table_name, column_name, column_type, is_nullable, column_key, extra, generation_expression
                  FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1, ordinal_position;
                  SELECT routine_name, md5(routine_definition) FROM information_schema.routines
                  WHERE routine_schema = DATABASE() ORDER BY 1;
                  SELECT version, step FROM cloakroom_schema; SELECT COUNT(*) FROM stripe; SELECT * FROM counter;";
    server.sql(database, tables).unwrap()
}

#[test]
fn nodes_that_start_at_once_find_one_schema() {
    let server = shared();
    let url = server.database("at_once").unwrap();
    runtime().block_on(async {
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { open(&url).await })
            })
            .collect();
        let mut stores = Vec::new();
        for start in starts {
            stores.push(start.await.unwrap());
        }
        let filing = Fixtures::new(1).signed_in("alice");
        file(&stores[0], &filing).await;
        for store in &stores {
            assert!(is_live(store, &filing).await);
        }
    });
}

/// The link is cut after ever more of the server's answers: between any two steps, and between a step and the note of it.
#[test]
fn a_migration_that_was_interrupted_anywhere_goes_on_where_it_stopped() {
    let server = shared();
    let url = server.database("whole").unwrap();
    let relay = Relay::to(server.port()).unwrap();
    runtime().block_on(async {
        drop(open(&url).await);
        let whole_schema = schema(server, "whole");
        let mut interruptions = 0;
        for (number, stride) in [5, 23].into_iter().enumerate() {
            let name = format!("pieces_{number}");
            let url = through(&server.database(&name).unwrap(), server.port(), relay.port());
            let mut bytes = 0;
            // Each attempt gets a little further than the one before.
            let store = loop {
                relay.cut_replies_after(bytes);
                match MysqlStore::connect(options(&url)).await {
                    Ok(store) => break store,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", whole(&error)),
                }
                interruptions += 1;
                bytes += stride;
            };
            assert_eq!(schema(server, &name), whole_schema);
            // The order to cut, if it is still out, is used up.
            while relay.will_cut() {
                let _ = store.ping().await;
            }
        }
        assert!(interruptions > 30, "{interruptions}");
    });
}

#[test]
fn a_schema_of_a_later_version_is_refused_by_both_numbers() {
    let server = shared();
    let url = server.database("later").unwrap();
    runtime().block_on(async {
        drop(open(&url).await);
        server.sql("later", "UPDATE cloakroom_schema SET version = 7").unwrap();
        let error = MysqlStore::connect(options(&url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            whole(&error).contains("schema 7") && whole(&error).contains("schema 1"),
            "{}",
            whole(&error)
        );
    });
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let server = shared();
    let url = server.database("foreign").unwrap();
    server.sql("foreign", "CREATE TABLE session (id INT); INSERT INTO session VALUES (1)").unwrap();
    runtime().block_on(async {
        let error = MysqlStore::connect(options(&url)).await.unwrap_err();
        assert!(whole(&error).contains("a database of its own"), "{}", whole(&error));
        assert_eq!(server.sql("foreign", "SHOW TABLES").unwrap().trim(), "session");
    });
}

#[test]
fn without_the_right_to_migrate_the_error_says_what_to_grant() {
    let server = shared();
    let url = server.database("rights").unwrap();
    server
        .sql("mysql", "CREATE USER small@'%' IDENTIFIED BY ''; GRANT SELECT ON rights.* TO small@'%';")
        .unwrap();
    runtime().block_on(async {
        let url = url.clone().replace("cloakroom@", "small@");
        let error = MysqlStore::connect(options(&url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(whole(&error).contains("CREATE ROUTINE"), "{}", whole(&error));
        let error = MysqlStore::connect(options(&url).without_migration()).await.unwrap_err();
        assert!(whole(&error).contains("migrate=on"), "{}", whole(&error));
    });
}

/// The statements of the operator's chapter about rights, word by word: who migrates, and who runs.
fn grants_of_the_book() -> &'static str {
    let chapter = include_str!("../../../../docs/book/stores/mysql.md");
    let blocks = chapter.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let statements = blocks.into_iter().find(|block| block.contains("GRANT")).unwrap();
    assert!(statements.contains("TO 'owner'@'%';") && statements.contains("TO 'web'@'%';"), "{statements}");
    statements
}

#[test]
fn the_books_owner_can_create_and_upgrade_and_its_web_can_do_every_verb_and_neither() {
    let server = shared();
    let users = "CREATE USER 'owner'@'%' IDENTIFIED BY ''; CREATE USER 'web'@'%' IDENTIFIED BY '';";
    server.sql("mysql", &format!("{users} {}", grants_of_the_book())).unwrap();
    let [owner, web] =
        ["owner", "web"].map(|user| format!("mysql://{user}@127.0.0.1:{}/sessions", server.port()));
    runtime().block_on(async {
        let refused = MysqlStore::connect(options(&web)).await.unwrap_err();
        assert!(whole(&refused).contains("CREATE ROUTINE"), "{}", whole(&refused));
        drop(open(&owner).await);
        drop(MysqlRevocations::connect(options(&owner)).await.unwrap());
        let store = open(&web).await;
        every_verb(&store).await;
        let list = MysqlRevocations::connect(options(&web)).await.unwrap();
        let entries = Ends::new(1).of_every_kind();
        list.add(&entries).await.unwrap();
        let Reading::Entries { entries: read, .. } = list.read(Place::START, 100).await.unwrap() else {
            panic!("a short list is one page")
        };
        assert_eq!(read.len(), entries.len());
        list.prune(T0, 10).await.unwrap();
        list.ping().await.unwrap();
        let refused = MysqlPool::connect(&options(&web), &NEXT).await.unwrap_err();
        assert!(refused.to_string().contains("denied"), "{refused}");
        let filing = Fixtures::new(2).signed_in("bob").issued_at(at(1));
        file(&store, &filing).await;
        drop(MysqlPool::connect(&options(&owner), &NEXT).await.unwrap());
        assert!(is_live(&store, &filing).await);
    });
}

async fn every_verb(store: &MysqlStore) {
    let mut fixtures = Fixtures::new(1);
    let filing = fixtures.signed_in("alice");
    file(store, &filing).await;
    change(store, &filing, Version::FIRST).await.unwrap();
    let next = filing.rotated(fixtures.next_digest(&filing), T0);
    exchange(store, &filing, &next, Version::from_u64(2)).await.unwrap();
    assert_eq!(note(store, std::slice::from_ref(&next), at(5)).await.unwrap().touched, 1);
    let page = store.list(&ListQuery::new(ListFilter::default()), T0).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(store.count(T0).await.unwrap().signed_in, 1);
    assert!(store.ping().await.unwrap().is_some());
    let everything = ExportQuery::new(None, NonZeroU16::MAX);
    for filed in store.export(&everything, T0).await.unwrap().items {
        assert_eq!(store.import(&filed, T0).await.unwrap(), Imported::AlreadyExists);
    }
    let principal = Selector::Principal { principal: principal_id("alice"), except: None };
    assert_eq!(end(store, &principal, T0).await.unwrap().ended.len(), 1);
    end(store, &Selector::All, T0).await.unwrap();
    end(store, &Selector::IssuedBefore(T0), T0).await.unwrap();
    let round = SweepRequest { now: at(100_000_000), limit: 100, lease: std::time::Duration::from_secs(1) };
    assert_eq!(store.sweep(round).await.unwrap().removed, 2);
    assert!(store.export(&everything, T0).await.unwrap().items.is_empty());
}

/// Nodes that are already running are not disturbed by one that starts.
#[test]
fn a_start_beside_running_nodes_interrupts_none_of_their_calls() {
    let server = shared();
    let url = server.database("beside").unwrap();
    runtime().block_on(async {
        let store = open(&url).await;
        let working = Arc::clone(&store);
        let task = tokio::spawn(async move {
            let mut fixtures = Fixtures::new(1);
            for _ in 0..200 {
                try_file(&working, &fixtures.signed_in("alice"), None).await.unwrap();
            }
        });
        while !task.is_finished() {
            drop(open(&url).await);
        }
        task.await.unwrap();
    });
}
