//! Who may connect, how, and what a wrong address says.

use std::time::Duration;

use cloakroom_conformance::{Fixtures, T0, at};
use cloakroom_core::Timestamp;
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_servers::{Authority, Redis, RedisCluster};
use cloakroom_store::{
    ErrorKind, ExportQuery, ListFilter, ListQuery, Selector, Store as _, StoreError, SweepRequest,
};

use super::{alice, end, end_one, file, is_live, lasting, open, run, sentences, touch};

/// What the book tells operators to allow, and no more.
pub(crate) const RIGHTS: &str = include_str!("rights.txt");

pub(crate) const BOOK: &str = include_str!("../../../../docs/book/stores/redis.md");

pub(crate) async fn refused(url: &str) -> StoreError {
    let options = RedisOptions::from_url(url).unwrap().with_deadline(Duration::from_secs(1));
    RedisStore::connect(options).await.expect_err("this cannot be connected to")
}

/// An error with all of its causes.
pub(crate) fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn a_user_with_the_rights_that_the_book_names_can_do_everything_and_nothing_else() {
    let mut options = vec!["--user", "shop", "on", ">s3cret"];
    for right in RIGHTS.split_whitespace() {
        assert!(BOOK.contains(right), "the book names {right}");
        options.push(right);
    }
    let server = Redis::start_with(&options).unwrap();
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    run(async {
        let store =
            open(&format!("redis://shop:s3cret@127.0.0.1:{port}?wait_replicas=1&wait_timeout=10ms")).await;
        let mut fixtures = Fixtures::new(1);
        let [one, other] = std::array::from_fn(|_| alice(&mut fixtures));
        for filing in [&one, &other] {
            file(&store, filing, None).await.unwrap();
        }
        server.command(&["SCRIPT", "FLUSH"]).unwrap();
        assert!(is_live(&store, &one).await.unwrap());
        touch(&store, &one, at(1)).await.unwrap();
        store.list(&ListQuery::new(ListFilter::default()), T0).await.unwrap();
        store.export(&ExportQuery::new(None, std::num::NonZeroU16::MAX), T0).await.unwrap();
        // Everything that demands a replica is done all the same.
        assert_eq!(end_one(&store, &one).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(end(&store, Selector::All, at(2)).await.unwrap_err().kind(), ErrorKind::Unavailable);
        store.sweep(SweepRequest { now: at(3), limit: 10, lease: Duration::from_secs(1) }).await.unwrap();
        for filing in [&one, &other] {
            assert!(!is_live(&store, filing).await.unwrap());
        }
        for forbidden in
            ["GET secrets:1", "FLUSHALL", "CONFIG GET *", "KEYS *", "SCRIPT FLUSH", "SUBSCRIBE x"]
        {
            let words: Vec<&str> =
                ["ACL", "DRYRUN", "shop"].into_iter().chain(forbidden.split(' ')).collect();
            let answer = server.command(&words).unwrap();
            assert!(answer.contains("no permissions"), "{forbidden}: {answer}");
        }
    });
}

#[test]
fn a_wrong_password_or_missing_rights_are_told_when_connecting_without_the_password() {
    let server =
        Redis::start_with(&["--user", "shop", "on", ">s3cret", "~cloakroom:*", "+@all", "-evalsha"]).unwrap();
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    run(async {
        for (user, cause) in [("shop:hunter2", "user or password"), ("shop:s3cret", "evalsha")] {
            let error = refused(&format!("redis://{user}@127.0.0.1:{port}")).await;
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(told(&error).contains(cause), "{}", told(&error));
            assert!(!told(&error).contains("hunter2") && !format!("{error:?}").contains("hunter2"));
        }
    });
}

#[test]
fn an_address_without_a_server_or_of_another_kind_of_server_says_what_is_wrong() {
    let (server, cluster) = (Redis::start().unwrap(), RedisCluster::start().unwrap());
    run(async {
        let error = refused("redis://127.0.0.1:1").await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(told(&error).contains("cannot connect to 127.0.0.1:1"), "{}", told(&error));
        assert_eq!(told(&error).matches("refused").count(), 1, "said once: {}", told(&error));
        let hosts = server.url().replace("redis://", "redis+cluster://");
        assert!(told(&refused(&hosts).await).contains("cluster"), "{}", told(&refused(&hosts).await));
        let node = cluster.servers()[0].url();
        assert!(told(&refused(&node).await).contains("redis+cluster://"), "{}", told(&refused(&node).await));
        let sentinel = server.url().replace("redis://", "redis+sentinel://") + "/mymaster";
        assert!(told(&refused(&sentinel).await).contains("mymaster"), "{}", told(&refused(&sentinel).await));
    });
}

#[test]
fn what_puts_sessions_at_risk_is_told_with_what_to_do_also_to_a_user_who_may_not_ask_for_everything() {
    let mut options =
        vec!["--appendonly", "no", "--maxmemory-policy", "allkeys-lru", "--user", "shop", "on", ">s3cret"];
    options.extend(RIGHTS.split_whitespace());
    let server = Redis::start_with(&options).unwrap();
    run(async {
        let facts = open(&server.url()).await.facts().await.unwrap();
        assert!(!facts.survives_a_crash());
        let warnings = sentences(&facts.warnings());
        for cause in ["appendonly yes", "allkeys-lru", "maxmemory is not set"] {
            assert!(warnings.contains(cause), "{cause}: {warnings}");
        }
        for (option, value) in [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory-policy", "noeviction"),
            ("maxmemory", "1gb"),
        ] {
            server.command(&["CONFIG", "SET", option, value]).unwrap();
        }
        let facts = open(&server.url()).await.facts().await.unwrap();
        assert!(facts.survives_a_crash());
        assert_eq!(facts.warnings(), []);
        let url = server.url().replace("redis://", "redis://shop:s3cret@");
        let facts = open(&url).await.facts().await.unwrap();
        let warnings = facts.warnings();
        assert!(warnings.len() == 1 && warnings[0].cause().contains("CONFIG is denied"), "{warnings:?}");
    });
}

#[test]
fn over_tls_the_server_has_to_prove_who_it_is() {
    let authority = Authority::new().unwrap();
    let server = Redis::start_tls(&authority, &[]).unwrap();
    let file_of_authority = std::env::temp_dir().join(format!("cloakroom-redis-{}.pem", std::process::id()));
    std::fs::write(&file_of_authority, authority.certificate_pem()).unwrap();
    run(async {
        let url = server.url();
        assert!(url.starts_with("rediss://"), "{url}");
        let store = open(&format!("{url}?ca_file={}", file_of_authority.display())).await;
        let filing = alice(&mut Fixtures::new(1));
        file(&store, &filing, None).await.unwrap();
        assert!(is_live(&store, &filing).await.unwrap());
        let error = refused(&url).await;
        assert!(told(&error).to_lowercase().contains("certificate"), "{}", told(&error));
    });
    std::fs::remove_file(file_of_authority).unwrap();
}

#[test]
fn the_clock_of_the_server_decides_nothing_and_is_told_by_a_ping() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(1));
        let told = store.ping().await.unwrap().expect("a server has a clock");
        assert!(told > Timestamp::from_millis(1_700_000_000_000), "{told}");
        // Nodes that live in 1970, in 2100, and at the end of time.
        for now in [0, 4_102_444_800_000, i64::MAX - 2_000_000_000] {
            let now = Timestamp::from_millis(now);
            let filing = lasting(fixtures.signed_in("alice").issued_at(now));
            file(&store, &filing, None).await.unwrap();
            assert!(is_live(&store, &filing).await.unwrap(), "{now}");
            let over = filing.record.created_at.plus(Duration::from_secs(500_000));
            let swept =
                store.sweep(SweepRequest { now: over, limit: 10, lease: Duration::ZERO }).await.unwrap();
            assert!(swept.ended.iter().any(|ended| ended.session == filing.id()), "{now}: {swept:?}");
        }
    });
}
