//! A token that was exchanged, and a fail-over: the old one is dead afterwards, if replicas were demanded and had heard of it.

use std::pin::pin;
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_servers::{Redis, RedisSentinel};
use cloakroom_store::{Applied, ErrorKind, Lookup, RekeyRequest, Rekeyed, Store as _, StoreError, Version};

use super::{alice, eventually, file, is_live, open, run};

async fn exchange(store: &RedisStore, old: &Filing, new: &Filing) -> Result<Rekeyed, StoreError> {
    let request = RekeyRequest {
        old: old.digest,
        new: new.digest,
        version: Version::FIRST,
        record: &new.record,
        now: at(1),
    };
    store.rekey(request).await
}

#[test]
fn an_exchange_is_acknowledged_once_replicas_know_of_it_and_the_old_token_is_dead_after_a_fail_over() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let options = RedisOptions::from_url(&servers.url()).unwrap().with_deadline(Duration::from_secs(20));
        let store = RedisStore::connect(options.with_replicas(2, Duration::from_secs(14))).await.unwrap();
        let (plain, mut fixtures) = (open(&servers.url()).await, Fixtures::new(1));
        let old = alice(&mut fixtures);
        let new = old.rotated(fixtures.next_digest(&old), at(1));
        file(&store, &old, None).await.unwrap();
        let primary = servers.primary_port().unwrap();
        let replicas = servers.replicas().unwrap();
        for port in &replicas {
            servers.server(*port).unwrap().pause();
        }
        let mut exchanging = pin!(exchange(&store, &old, &new));
        let done_there = async {
            loop {
                if matches!(plain.get(old.digest, at(1)).await, Ok(Lookup::Retired(_))) {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            answer = &mut exchanging => panic!("no replica can have heard of it: {answer:?}"),
            () = done_there => {}
        }
        // Anybody else's round trip to the primary is longer than what an answer that waited for nobody would take.
        plain.ping().await.unwrap();
        let pending = tokio::time::timeout(Duration::from_millis(100), &mut exchanging).await;
        assert!(
            pending.is_err(),
            "the primary has done it, and nobody is told before replicas know: {pending:?}"
        );
        for port in &replicas {
            servers.server(*port).unwrap().resume();
        }
        assert_eq!(exchanging.await.unwrap(), Rekeyed::Done(Version::from_u64(2)));
        assert_eq!(servers.kill_primary().unwrap(), primary);
        servers.wait_for_failover(primary).unwrap();
        let found = eventually("looking up", || store.get(old.digest, at(1))).await;
        assert!(matches!(found, Lookup::Retired(_)), "{found:?}");
        assert!(is_live(&store, &new).await.unwrap());
    });
}

#[test]
fn without_replicas_an_exchange_that_demands_one_is_in_doubt_done_on_the_primary_and_revives_no_token() {
    let server = Redis::start().unwrap();
    run(async {
        let url = format!("{}?wait_replicas=1&wait_timeout=50ms", server.url());
        let (store, mut fixtures) = (open(&url).await, Fixtures::new(1));
        let old = alice(&mut fixtures);
        let new = old.rotated(fixtures.next_digest(&old), at(1));
        file(&store, &old, None).await.unwrap();
        let error = exchange(&store, &old, &new).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown), "{error:?}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("0 of 1 replicas"), "{cause}");
        assert!(matches!(store.get(old.digest, at(1)).await.unwrap(), Lookup::Retired(_)));
        assert!(is_live(&store, &new).await.unwrap());
        // Whoever asks again is told what became of it, not that it was done.
        let error = exchange(&store, &old, &new).await;
        assert!(error.is_err() || matches!(error, Ok(Rekeyed::Retired(_))), "{error:?}");
        assert!(!matches!(store.get(old.digest, T0).await.unwrap(), Lookup::Live(_)));
    });
}
