//! TLS with certificates on both sides, and users with the rights that the book names, on servers that replace each other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cloakroom_conformance::{Fixtures, T0, at, principal_id};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_servers::{Authority, Redis, RedisCluster, RedisSentinel};
use cloakroom_store::{
    ErrorKind, ExportQuery, ListFilter, ListQuery, Lookup, RekeyRequest, Rekeyed, Selector, Store as _,
    SweepRequest, Version,
};

use super::access::{BOOK, RIGHTS, refused, told};
use super::feed::{eventually_proven, watched_by};
use super::{alice, end, end_one, eventually, file, is_live, lasting, run, touch};

/// What the book adds in a Cluster.
const OF_A_CLUSTER: &str = "+cluster|slots +cluster|nodes";
/// What it names for sentinels.
const OF_SENTINELS: &str = "+sentinel|master +hello +auth";

/// The options that make a server know a user with exactly these rights.
fn user<'a>(name: &'a str, password: &'a str, rights: &'a str) -> Vec<&'a str> {
    ["--user", name, "on", password, "resetkeys", "resetchannels", "-@all"]
        .into_iter()
        .chain(rights.split_whitespace())
        .collect()
}

/// The files that a client needs, in a directory of their own for as long as the test runs.
struct Papers(PathBuf);

impl Papers {
    fn issued_by(authority: &Authority, test: &str) -> Self {
        let papers = Self(std::env::temp_dir().join(format!("cloakroom-{test}-{}", std::process::id())));
        std::fs::create_dir_all(&papers.0).unwrap();
        let own = authority.issue().unwrap();
        let stranger = Authority::new().unwrap().issue().unwrap();
        for (name, text) in [
            ("ca.pem", authority.certificate_pem()),
            ("own.pem", own.certificate_pem().to_owned()),
            ("own.key", own.key_pem().to_owned()),
            ("stranger.pem", stranger.certificate_pem().to_owned()),
            ("stranger.key", stranger.key_pem().to_owned()),
        ] {
            std::fs::write(papers.0.join(name), text).unwrap();
        }
        papers
    }

    fn path(&self, name: &str) -> String {
        Path::new(&self.0).join(name).display().to_string()
    }

    /// The options of a URL for whoever shows the certificate of this name.
    fn of(&self, name: &str) -> String {
        let [certificate, key] = ["pem", "key"].map(|kind| self.path(&format!("{name}.{kind}")));
        format!("ca_file={}&cert_file={certificate}&key_file={key}", self.path("ca.pem"))
    }
}

impl Drop for Papers {
    fn drop(&mut self) {
        // Whatever remains is in the directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn connect(url: &str) -> RedisStore {
    let options = RedisOptions::from_url(url).unwrap().with_deadline(Duration::from_secs(10));
    RedisStore::connect(options).await.unwrap()
}

/// Every verb once, as a user who may do nothing else, on servers that forgot the scripts.
async fn does_everything(store: &RedisStore, servers: &[&Redis]) {
    let mut fixtures = Fixtures::new(1);
    let [one, other, third] = std::array::from_fn(|_| alice(&mut fixtures));
    for filing in [&one, &other, &third] {
        file(store, filing, None).await.unwrap();
    }
    for server in servers {
        server.command(&["SCRIPT", "FLUSH"]).unwrap();
    }
    assert!(is_live(store, &one).await.unwrap());
    assert_eq!(touch(store, &one, at(1)).await.unwrap().touched, 1);
    let next = one.rotated(fixtures.next_digest(&one), at(1));
    let exchange = RekeyRequest {
        old: one.digest,
        new: next.digest,
        version: Version::FIRST,
        record: &next.record,
        now: at(1),
    };
    assert!(matches!(store.rekey(exchange).await.unwrap(), Rekeyed::Done(_)));
    assert!(matches!(store.get(one.digest, at(1)).await.unwrap(), Lookup::Retired(_)));
    assert_eq!(store.list(&ListQuery::new(ListFilter::default()), T0).await.unwrap().items.len(), 3);
    store.export(&ExportQuery::new(None, std::num::NonZeroU16::MAX), T0).await.unwrap();
    assert_eq!(store.count(T0).await.unwrap().signed_in, 3);
    assert_eq!(end_one(store, &other).await.unwrap().ended.len(), 1);
    let selector = Selector::Principal { principal: principal_id("alice"), except: Some(third.id()) };
    assert_eq!(end(store, selector, at(2)).await.unwrap().ended.len(), 1);
    end(store, Selector::All, at(3)).await.unwrap();
    assert!(!is_live(store, &third).await.unwrap());
    let request = SweepRequest { now: at(4), limit: 1_000, lease: Duration::from_secs(1) };
    assert_eq!(store.sweep(request).await.unwrap().ended.len(), 1);
    store.ping().await.unwrap();
    assert!(store.facts().await.unwrap().servers.iter().all(|server| server.tells_changes));
}

fn may_not(server: &Redis, user: &str, forbidden: &[&str]) {
    for command in forbidden {
        let words: Vec<&str> = ["ACL", "DRYRUN", user].into_iter().chain(command.split(' ')).collect();
        let answer = server.command(&words).unwrap();
        assert!(answer.contains("no permissions"), "{command}: {answer}");
    }
}

#[test]
fn behind_sentinels_that_demand_certificates_and_a_user_of_their_own_everything_works_across_a_fail_over() {
    assert!(BOOK.contains(OF_SENTINELS));
    let authority = Authority::new().unwrap();
    let papers = Papers::issued_by(&authority, "sentinel");
    let servers = RedisSentinel::start_tls(
        &authority,
        &user("shop", ">s3cret", RIGHTS),
        &user("watcher", ">w4tch", OF_SENTINELS),
    )
    .unwrap();
    let url = servers.url().replace("://", "://shop:s3cret@");
    assert!(url.starts_with("rediss+sentinel://"), "{url}");
    let address = |papers: &str, watcher: &str| {
        format!("{url}?{papers}&sentinel_user=watcher&sentinel_password={watcher}&wait_replicas=2")
    };
    run(async {
        let own = papers.of("own");
        let store = connect(&address(&own, "w4tch")).await;
        does_everything(&store, &servers.data().iter().collect::<Vec<_>>()).await;
        let without = format!("ca_file={}", papers.path("ca.pem"));
        for (papers, watcher, why) in [
            (without.as_str(), "w4tch", "no certificate"),
            (&papers.of("stranger"), "w4tch", "a certificate of somebody else's authority"),
            (&own, "wrong", "another password at the sentinels"),
        ] {
            let error = refused(&address(papers, watcher)).await;
            assert!(
                matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout),
                "{why}: {}",
                told(&error)
            );
            assert!(!told(&error).contains("wrong"), "{why}: {}", told(&error));
        }
        may_not(
            &servers.sentinels()[0],
            "watcher",
            &["SENTINEL FAILOVER mymaster", "INFO", "SENTINEL MASTERS"],
        );
        may_not(&servers.data()[0], "shop", &["GET secrets:1", "FLUSHALL", "CONFIG GET *", "CLUSTER SLOTS"]);

        let (store, _, feed) = watched_by(store).await;
        eventually_proven(&*feed, cloakroom_store::Parts::ALL).await;
        let filing = alice(&mut Fixtures::new(2));
        file(&store, &filing, None).await.unwrap();
        let gone = alice(&mut Fixtures::new(3));
        file(&store, &gone, None).await.unwrap();
        end_one(&store, &gone).await.unwrap();
        let old = servers.kill_primary().unwrap();
        servers.wait_for_failover(old).unwrap();
        assert!(eventually("looking up", || is_live(&store, &filing)).await);
        assert!(!is_live(&store, &gone).await.unwrap());
        eventually_proven(&*feed, cloakroom_store::Parts::ALL).await;
    });
}

#[test]
fn in_a_cluster_that_demands_certificates_a_user_with_the_rights_of_the_book_does_everything_across_a_fail_over()
 {
    assert!(BOOK.contains(OF_A_CLUSTER));
    let authority = Authority::new().unwrap();
    let papers = Papers::issued_by(&authority, "cluster");
    let rights = format!("{RIGHTS} {OF_A_CLUSTER}");
    let mut options = user("shop", ">s3cret", &rights);
    let blind = rights.replace("+cluster|slots", "");
    options.extend(user("blind", ">s3cret", &blind));
    let deaf = rights.replace("+cluster|nodes", "");
    options.extend(user("deaf", ">s3cret", &deaf));
    let cluster = RedisCluster::start_tls(&authority, &options).unwrap();
    let address = |user: &str, papers: &str| {
        format!("{}?{papers}&wait_replicas=1", cluster.url().replace("://", &format!("://{user}:s3cret@")))
    };
    assert!(cluster.url().starts_with("rediss+cluster://"));
    run(async {
        let own = papers.of("own");
        let store = connect(&address("shop", &own)).await;
        let primaries: Vec<&Redis> = cluster.servers().iter().take(3).collect();
        does_everything(&store, &primaries).await;
        for (user, papers, why) in [
            ("shop", format!("ca_file={}", papers.path("ca.pem")), "no certificate"),
            ("shop", papers.of("stranger"), "a certificate of somebody else's authority"),
            ("blind", own.clone(), "no right to ask who has which slot"),
        ] {
            let error = refused(&address(user, &papers)).await;
            assert!(
                matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout),
                "{why}: {}",
                told(&error)
            );
        }
        let facts = connect(&address("deaf", &own)).await.facts().await.unwrap();
        assert!(facts.servers.iter().all(|server| !server.tells_changes), "{facts:?}");
        may_not(primaries[0], "shop", &["CLUSTER FAILOVER", "CLUSTER RESET", "GET secrets:1", "FLUSHALL"]);

        let (store, _, feed) = watched_by(store).await;
        eventually_proven(&*feed, cloakroom_store::Parts::ALL).await;
        let mut fixtures = Fixtures::new(2);
        let [filing, gone] = std::array::from_fn(|_| lasting(fixtures.signed_in("witness")));
        for one in [&filing, &gone] {
            file(&store, one, None).await.unwrap();
        }
        end_one(&store, &gone).await.unwrap();
        let slot = cluster.slot_of(&format!("{{{:02x}}}", filing.id().as_bytes()[0])).unwrap();
        let old = cluster.kill_primary_of(slot).unwrap();
        cluster.wait_for_promotion(slot, old).unwrap();
        assert!(eventually("looking up", || is_live(&store, &filing)).await);
        assert!(!is_live(&store, &gone).await.unwrap());
        eventually_proven(&*feed, cloakroom_store::Parts::ALL).await;
    });
}

#[test]
fn a_user_that_was_made_on_the_primary_is_unknown_on_its_replicas() {
    let servers = RedisSentinel::start().unwrap();
    let made =
        [&["ACL", "SETUSER", "shop", "on", ">s3cret"][..], &RIGHTS.split_whitespace().collect::<Vec<_>>()];
    servers.primary().unwrap().command(&made.concat()).unwrap();
    assert!(servers.primary().unwrap().command(&["ACL", "USERS"]).unwrap().contains("shop"));
    for port in servers.replicas().unwrap() {
        let users = servers.server(port).unwrap().command(&["ACL", "USERS"]).unwrap();
        assert_eq!(users.trim(), "default", "access control lists are not replicated");
    }
}
