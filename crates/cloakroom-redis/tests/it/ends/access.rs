//! Who may keep a list, and how it is reached.

use cloakroom_conformance::{Ends, T0, past};
use cloakroom_servers::{Authority, Redis, RedisCluster};
use cloakroom_store::{ErrorKind, RevocationList as _};

use super::super::access::RIGHTS;
use super::super::{alice, file, is_live, run, sentences};
use super::{Copy, open};

/// The URL of a server with a user of these rights.
fn with_rights(rights: &str) -> (Redis, String) {
    let mut options = vec!["--user", "shop", "on", ">s3cret"];
    options.extend(rights.split_whitespace());
    let server = Redis::start_with(&options).unwrap();
    let url = server.url().replace("redis://", "redis://shop:s3cret@");
    (server, url)
}

#[test]
fn a_user_with_the_rights_that_the_book_names_can_keep_a_list() {
    let (server, url) = with_rights(RIGHTS);
    run(async {
        let (list, mut ends) = (open(&url).await, Ends::new(1));
        assert!(list.standing().tells);
        super::hint::hears(&list, &list, &mut ends).await;
        server.command(&["SCRIPT", "FLUSH"]).unwrap();
        list.add(&[ends.over_at(past(0)), ends.next_entry()]).await.unwrap();
        assert!(Copy::of(&list).await.read(&list).await.unwrap());
        assert_eq!(list.prune(past(0), 9).await.unwrap(), 1);
        let warnings = sentences(&list.facts().await.unwrap().warnings_of_list());
        assert!(warnings.contains("CONFIG is denied"), "{warnings}");
        let durable = open(&format!("{url}?wait_replicas=1&wait_timeout=10ms")).await;
        let error = durable.add(&ends.some(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "there is no replica");
    });
}

#[test]
fn a_user_who_may_not_follow_changes_keeps_a_list_that_says_that_it_does_not_tell() {
    for missing in ["+client|tracking", "+ping"] {
        let (_server, url) = with_rights(&RIGHTS.replace(missing, ""));
        run(async {
            let (list, mut ends) = (open(&url).await, Ends::new(1));
            assert!(!list.standing().tells, "{missing}");
            let told = list.changed();
            let entries = ends.some(3);
            list.add(&entries).await.unwrap();
            assert_eq!(Copy::of(&list).await.known, entries);
            let told = tokio::time::timeout(std::time::Duration::from_millis(100), told).await;
            assert!(told.is_err(), "{missing}: nobody told");
            let warnings = sentences(&list.facts().await.unwrap().warnings_of_list());
            assert!(warnings.contains(missing), "{warnings}");
        });
    }
}

#[test]
fn over_tls_the_server_has_to_prove_who_it_is() {
    let authority = Authority::new().unwrap();
    let server = Redis::start_tls(&authority, &[]).unwrap();
    let file = std::env::temp_dir().join(format!("cloakroom-redis-ends-{}.pem", std::process::id()));
    std::fs::write(&file, authority.certificate_pem()).unwrap();
    run(async {
        let (list, mut ends) =
            (open(&format!("{}?ca_file={}", server.url(), file.display())).await, Ends::new(1));
        super::hint::hears(&list, &list, &mut ends).await;
        let options = cloakroom_redis::RedisOptions::from_url(&server.url()).unwrap();
        let error = cloakroom_redis::RedisRevocations::connect(options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    });
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_list_and_records_under_one_prefix_know_nothing_of_each_other() {
    let (server, cluster) = (Redis::start().unwrap(), RedisCluster::start().unwrap());
    for url in [server.url(), cluster.url()] {
        run(async {
            let (list, mut ends) = (open(&url).await, Ends::new(1));
            let store = super::super::open(&url).await;
            let filing = alice(&mut cloakroom_conformance::Fixtures::new(1));
            file(&store, &filing, None).await.unwrap();
            let entries = ends.some(3);
            list.add(&entries).await.unwrap();
            super::super::end(&store, cloakroom_store::Selector::All, T0).await.unwrap();
            assert!(!is_live(&store, &filing).await.unwrap());
            assert_eq!(Copy::of(&list).await.known, entries);
            let other = open(&format!("{url}?prefix=other")).await;
            assert_eq!(Copy::of(&other).await.known, []);
        });
    }
}
