//! Servers that accept no changes, or have no room for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use cloakroom_conformance::{Fixtures, T0};
use cloakroom_mysql::MysqlStore;
use cloakroom_servers::Mariadb;
use cloakroom_store::{Applied, ErrorKind, Lookup, Selector, Store, Version};

use crate::support::{
    change, end, eventually, failure, file, is_live, open, options, runtime, try_file, whole,
};

/// The account of the test server may change tables of a read-only server; an ordinary one may not.
const ACCOUNT: &str = "CREATE USER ordinary@'%' IDENTIFIED BY '';
    GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON cloakroom.* TO ordinary@'%';";

#[test]
fn a_server_that_became_read_only_says_so_and_reads_go_on() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        drop(open(&server.url()).await);
        server.sql("mysql", ACCOUNT).unwrap();
        let url = server.url().replace("cloakroom@", "ordinary@");
        let store = open(&url).await;
        let mut fixtures = Fixtures::new(1);
        let filing = fixtures.signed_in("alice");
        file(&store, &filing).await;
        server.sql("mysql", "SET GLOBAL read_only = 1").unwrap();
        let refused = (ErrorKind::ReadOnly, Applied::No);
        let one = Selector::One(filing.id());
        assert_eq!(failure(try_file(&store, &fixtures.anonymous(), None)).await, refused);
        assert_eq!(failure(change(&store, &filing, Version::FIRST)).await, refused);
        assert_eq!(failure(end(&store, &one, T0)).await, refused);
        assert_eq!(failure(end(&store, &Selector::All, T0)).await, refused);
        assert_eq!(failure(store.ping()).await, refused);
        assert!(is_live(&store, &filing).await);
        assert!(store.facts().await.unwrap().is_read_only);
        let again = open(&url).await;
        assert!(is_live(&again, &filing).await, "a replica can be connected to and read");
        server.sql("mysql", "SET GLOBAL read_only = 0").unwrap();
        assert_eq!(end(&store, &one, T0).await.unwrap().ended.len(), 1);
        assert!(matches!(store.get(filing.digest, T0).await.unwrap(), Lookup::Ended(_)));
    });
}

/// What is still connected to a server that became a replica would answer look-ups from the past.
#[test]
fn when_the_server_becomes_read_only_or_writable_again_every_connection_is_made_anew() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        drop(open(&server.url()).await);
        server.sql("mysql", ACCOUNT).unwrap();
        let store = open(&server.url().replace("cloakroom@", "ordinary@")).await;
        let mut fixtures = Fixtures::new(1);
        let filing = fixtures.signed_in("alice");
        file(&store, &filing).await;
        let connected = || -> BTreeSet<String> {
            let ids = "SELECT id FROM information_schema.processlist WHERE user = 'ordinary'";
            server.sql("mysql", ids).unwrap().lines().map(str::to_owned).collect()
        };
        for read_only in [1, 0] {
            let lookups: Vec<_> = (0..8)
                .map(|_| {
                    let (store, digest) = (Arc::clone(&store), filing.digest);
                    tokio::spawn(async move { store.get(digest, T0).await.unwrap() })
                })
                .collect();
            for lookup in lookups {
                lookup.await.unwrap();
            }
            let before = connected();
            server.sql("mysql", &format!("SET GLOBAL read_only = {read_only}")).unwrap();
            let written = store.ping().await;
            assert_eq!(written.is_err(), read_only == 1, "{written:?}");
            // Where it was refused first, the connections that came after that are those to be given up.
            eventually(|| {
                let left: Vec<String> = connected().intersection(&before).cloned().collect();
                std::future::ready(if left.is_empty() { Ok(()) } else { Err(left) })
            })
            .await;
            if read_only == 1 {
                assert_eq!(failure(store.ping()).await, (ErrorKind::ReadOnly, Applied::No));
            }
        }
        assert!(is_live(&store, &filing).await);
    });
}

#[test]
fn a_record_larger_than_the_server_takes_is_an_error_that_harms_nobody_else() {
    let server = Mariadb::start_with(&["--max-allowed-packet=1M"]).unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        let (large, small) =
            (fixtures.anonymous().with_attribute("x", vec![7; 2 << 20]), fixtures.anonymous());
        let error = try_file(&store, &large, None).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal), "{}", whole(&error));
        file(&store, &small).await;
        assert!(!is_live(&store, &large).await && is_live(&store, &small).await);
    });
}

/// InnoDB answers `The table is full` (1114), as for a disk without room.
#[test]
fn a_tablespace_that_may_not_grow_is_full_and_reads_go_on() {
    let server = Mariadb::start_with(&[
        "--innodb-file-per-table=0",
        "--innodb-data-file-path=ibdata1:12M:autoextend:max:24M",
    ]);
    let server = server.unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        let first = fixtures.signed_in("alice");
        file(&store, &first).await;
        let mut full = None;
        for _ in 0..2_000 {
            let filing = fixtures.anonymous().with_attribute("x", vec![7; 60_000]);
            if let Err(error) = try_file(&store, &filing, None).await {
                assert_eq!(store.get(filing.digest, T0).await.unwrap(), Lookup::Unknown);
                full = Some(error);
                break;
            }
        }
        let full = full.expect("24 MB are full after 120 MB");
        assert_eq!((full.kind(), full.applied()), (ErrorKind::Full, Applied::No), "{}", whole(&full));
        assert!(is_live(&store, &first).await);
        // An end needs a little room for its undo: there is some, or it says so and has done nothing.
        match end(&store, &Selector::One(first.id()), T0).await {
            Ok(ending) => assert_eq!((ending.ended.len(), is_live(&store, &first).await), (1, false)),
            Err(error) => {
                assert_eq!(
                    (error.kind(), error.applied()),
                    (ErrorKind::Full, Applied::No),
                    "{}",
                    whole(&error)
                );
                assert!(is_live(&store, &first).await);
            }
        }
    });
}

#[test]
fn too_many_connections_are_unavailable_with_a_remedy() {
    let server = Mariadb::start_with(&["--max-connections=10"]).unwrap();
    runtime().block_on(async {
        let mut held = Vec::new();
        let error = loop {
            match MysqlStore::connect(options(&server.url())).await {
                Ok(store) => held.push(store),
                Err(error) => break error,
            }
            assert!(held.len() < 20, "ten connections are fewer than twenty");
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(whole(&error).contains("max_connections"), "{}", whole(&error));
    });
}
