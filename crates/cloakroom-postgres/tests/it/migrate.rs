//! Creating and upgrading the schema, and doing without the right to.

use cloakroom_conformance::{Fixtures, T0, at};
use cloakroom_postgres::PostgresStore;
use cloakroom_store::{
    ErrorKind, ExportQuery, ListFilter, ListQuery, RekeyRequest, Selector, Store, SweepRequest, Touch,
    Version,
};
use tokio::task::JoinSet;

use crate::support::{change, database, end, file, is_live, kind, open, options, runtime, shared, whole};

#[test]
fn several_nodes_that_start_at_once_bring_an_empty_or_an_old_schema_up_to_date_once() {
    let server = shared();
    let first = include_str!("../../schema/001_tables.sql");
    for (database, prepared) in [
        ("empty", String::new()),
        ("created", "CREATE SCHEMA cloakroom AUTHORIZATION cloakroom;".to_owned()),
        ("old", format!("SET ROLE cloakroom; BEGIN; CREATE SCHEMA cloakroom; {first} COMMIT;")),
    ] {
        let url = server.database(database).unwrap();
        server.sql(database, &prepared).unwrap();
        runtime().block_on(async {
            let mut nodes = JoinSet::new();
            for _ in 0..8 {
                let url = url.clone();
                nodes.spawn(async move { open(&url).await });
            }
            let stores = nodes.join_all().await;
            let mut fixtures = Fixtures::new(1);
            for store in &stores {
                let filing = fixtures.signed_in("alice");
                file(store, &filing).await;
                assert!(is_live(stores.first().unwrap(), &filing).await);
            }
        });
        let versions =
            "SELECT string_agg(version::text, ',' ORDER BY version) FROM cloakroom.schema_version;";
        assert_eq!(server.sql(database, versions).unwrap().trim(), "1,2,3,4", "{database}");
    }
}

#[test]
fn a_schema_that_cannot_be_used_says_why_and_what_to_do() {
    let server = shared();
    let newer = "INSERT INTO cloakroom.schema_version (version) VALUES (99);";
    let foreign =
        "SET ROLE cloakroom; CREATE SCHEMA cloakroom; CREATE TABLE cloakroom.session (number integer);";
    runtime().block_on(async {
        let table = [
            ("newer", "", newer, ["version 99", "version 4"]),
            ("foreign", "", foreign, ["already exists", "another schema"]),
            (
                "forbidden",
                "",
                "REVOKE CREATE ON DATABASE forbidden FROM cloakroom, PUBLIC;
                               ALTER DATABASE forbidden OWNER TO postgres;",
                ["permission denied", "grant"],
            ),
            ("unmigrated", "?migrate=off", "SELECT 1;", ["version 0", "migrate=on"]),
        ];
        for (database, query, sql, expected) in table {
            let url = server.database(database).unwrap();
            if database == "newer" {
                drop(open(&url).await);
            }
            server.sql(database, sql).unwrap();
            let error = PostgresStore::connect(options(&format!("{url}{query}"))).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            let text = whole(&error);
            assert!(expected.iter().all(|part| text.contains(part)), "{database}: {text}");
        }
        let url = server.database("unused").unwrap();
        drop(open(&url).await);
        server.sql("unused", "CREATE ROLE nobody LOGIN;").unwrap();
        let url = url.replace("cloakroom@", "nobody@") + "?migrate=off";
        let error = PostgresStore::connect(options(&url)).await.unwrap_err();
        let text = whole(&error);
        assert!(text.contains("may not use schema") && text.contains("GRANT USAGE"), "{text}");
        assert!(!text.contains("brought to version") && error.is_for_good(), "{text}");
        let nowhere = server.url().trim_end_matches("cloakroom").to_owned() + "nowhere";
        let error = PostgresStore::connect(options(&nowhere)).await.unwrap_err();
        assert!(whole(&error).contains("create the database"), "{}", whole(&error));
    });
    let left = "SELECT count(*) FROM pg_tables WHERE schemaname = 'cloakroom';";
    assert_eq!(server.sql("foreign", left).unwrap().trim(), "1", "a failed migration leaves nothing behind");
}

/// The grants of the operator's chapter, word by word.
#[test]
fn a_role_that_may_only_use_the_tables_can_do_every_verb() {
    let (server, own) = (shared(), database("rights"));
    runtime().block_on(async {
        drop(open(&own).await);
        let chapter = include_str!("../../../../docs/book/stores/postgres.md");
        let grants: String = chapter
            .lines()
            .filter(|line| line.starts_with("GRANT") || line.starts_with("REVOKE"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(grants.contains("TO web;"), "the chapter has them: {grants}");
        server.sql("rights", &format!("CREATE ROLE web LOGIN; {grants}")).unwrap();
        let url = own.replace("cloakroom@", "web@");
        for url in [url.clone(), format!("{url}?migrate=off")] {
            let store = open(&url).await;
            let mut fixtures = Fixtures::new(u64::try_from(url.len()).unwrap());
            let [filing, other] = std::array::from_fn(|_| fixtures.signed_in("alice"));
            file(&store, &filing).await;
            file(&store, &other).await;
            change(&store, &filing, Version::FIRST).await.unwrap();
            let next = filing.rotated(fixtures.next_digest(&filing), T0);
            let (old, new, record) = (filing.digest, next.digest, &next.record);
            let request = RekeyRequest { old, new, version: Version::from_u64(2), record, now: T0 };
            store.rekey(request).await.unwrap();
            store.touch(&[Touch { digest: new, seen_at: at(1) }], at(1)).await.unwrap();
            store.list(&ListQuery::new(ListFilter::default()), T0).await.unwrap();
            store.count(T0).await.unwrap();
            let page = store.export(&ExportQuery::new(None, 100.try_into().unwrap()), T0).await.unwrap();
            for filed in &page.items {
                store.import(filed, T0).await.unwrap();
            }
            end(&store, &Selector::One(other.id()), T0).await.unwrap();
            end(&store, &Selector::All, T0).await.unwrap();
            let sweep =
                SweepRequest { now: at(90_000), limit: 100, lease: std::time::Duration::from_secs(1) };
            store.sweep(sweep).await.unwrap();
            store.ping().await.unwrap();
        }
        let error = server.sql("rights", "SET ROLE web; DROP TABLE cloakroom.session;").unwrap_err();
        assert!(error.to_string().contains("must be owner"), "{error}");
    });
}

#[test]
fn a_schema_that_went_away_is_unavailable_and_well_again_when_it_is_back() {
    let (server, url) = (shared(), database("renamed"));
    runtime().block_on(async {
        let store = open(&url).await;
        let filing = Fixtures::new(1).signed_in("alice");
        file(&store, &filing).await;
        server.sql("renamed", "ALTER SCHEMA cloakroom RENAME TO elsewhere;").unwrap();
        assert_eq!(kind(store.get(filing.digest, T0).await).0, ErrorKind::Unavailable);
        assert_eq!(kind(change(&store, &filing, Version::FIRST).await).0, ErrorKind::Unavailable);
        server.sql("renamed", "ALTER SCHEMA elsewhere RENAME TO cloakroom;").unwrap();
        assert!(is_live(&store, &filing).await);
        change(&store, &filing, Version::FIRST).await.unwrap();
    });
}

#[test]
fn an_operator_sees_who_is_signed_in_also_where_instants_are_far_away() {
    let (server, url) = (shared(), database("readable"));
    runtime().block_on(async {
        let store = open(&format!("{url}?schema=web_sessions")).await;
        let mut fixtures = Fixtures::new(1);
        let far = cloakroom_core::Timestamp::from_millis(i64::MAX - 1);
        let ever = std::time::Duration::from_millis(i64::MAX.unsigned_abs());
        let filing = fixtures.signed_in("alice").with_ip([203, 0, 113, 9]).with_idle_timeout(ever);
        let filing = filing.with_absolute_at(far);
        file(&store, &filing).await;
        file(&store, &fixtures.signed_in("over").issued_at(cloakroom_core::Timestamp::from_millis(-5))).await;
        let sql = "SET timezone = 'UTC';
                   SELECT session, principal, device, ip, created_at, expires_at FROM web_sessions.active_sessions;";
        let row = format!("{}|alice|test/1|203.0.113.9|2027-01-15 08:00:00+00|infinity", filing.id());
        assert_eq!(server.sql("readable", sql).unwrap().trim(), row);
    });
}
