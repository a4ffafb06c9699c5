//! Another server takes over: nothing acknowledged with replicas is lost, nothing ended lives, nobody restarts.

use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_servers::{Redis, RedisCluster, RedisSentinel};
use cloakroom_store::{Applied, ErrorKind, Lookup, Store as _};

use super::{alice, end_one, eventually, file, is_live, lasting, open, run};

/// The store at `url`, whose ends have to reach `replicas`.
async fn open_with(url: &str, replicas: u32) -> RedisStore {
    let options = RedisOptions::from_url(url).unwrap().with_replicas(replicas, Duration::from_millis(1_500));
    RedisStore::connect(options).await.unwrap()
}

#[test]
fn after_a_fail_over_by_sentinel_whatever_replicas_acknowledged_is_ended_and_service_goes_on() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open_with(&servers.url(), 2).await, Fixtures::new(1));
        let filings: Vec<Filing> = (0..40).map(|_| alice(&mut fixtures)).collect();
        for filing in &filings {
            file(&store, filing, None).await.unwrap();
        }
        let (gone, kept) = filings.split_at(20);
        for filing in gone {
            assert_eq!(end_one(&store, filing).await.unwrap().ended.len(), 1);
        }
        let old = servers.kill_primary().unwrap();
        let error = store.get(kept[0].digest, T0).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
        let new = servers.wait_for_failover(old).unwrap();
        assert_ne!(old, new);
        eventually("looking up", || store.get(kept[0].digest, T0)).await;
        for filing in gone {
            assert!(
                matches!(store.get(filing.digest, T0).await.unwrap(), Lookup::Ended(_)),
                "it was acknowledged"
            );
        }
        for filing in kept {
            // The waits of the ends made sure of what was filed before.
            assert!(is_live(&store, filing).await.unwrap());
        }
        // One of two replicas is left, and two are demanded: an end is done, and said to be in doubt.
        let error = end_one(&store, &kept[0]).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
        assert!(
            std::error::Error::source(&error).unwrap().to_string().contains("of 2 replicas"),
            "{error:?}"
        );
        assert!(!is_live(&store, &kept[0]).await.unwrap());
        // Asking again does not pretend: what the first call did is what has to be acknowledged.
        assert!(end_one(&store, &kept[0]).await.is_err());
        // The old primary comes back as a replica; whoever was connected to it is not fooled.
        servers.heal().unwrap();
        let ending = eventually("ending", || end_one(&store, &kept[1])).await;
        assert_eq!(ending.ended.len(), usize::from(!ending.ended.is_empty()));
        assert!(!is_live(&store, &kept[1]).await.unwrap());
    });
}

#[test]
fn a_primary_that_was_replaced_while_it_was_stopped_is_left_within_seconds() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let (store, filing) = (open(&servers.url()).await, alice(&mut Fixtures::new(1)));
        file(&store, &filing, None).await.unwrap();
        let old = servers.primary_port().unwrap();
        servers.server(old).unwrap().pause();
        let new = servers.wait_for_failover(old).unwrap();
        let found = eventually("looking up", || store.get(filing.digest, T0)).await;
        assert!(matches!(found, Lookup::Live(_)), "filed long before: {found:?}");
        end_one(&store, &filing).await.unwrap();
        servers.server(old).unwrap().resume();
        // It still believes to be the primary for a moment, and nobody asks it.
        assert!(!is_live(&store, &filing).await.unwrap());
        assert_eq!(servers.primary_port().unwrap(), new);
        let fresh = open(&servers.url()).await;
        assert!(!is_live(&fresh, &filing).await.unwrap());
    });
}

#[test]
fn after_a_fail_over_in_a_cluster_whatever_a_replica_acknowledged_is_ended_and_service_goes_on() {
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open_with(&cluster.url(), 1).await, Fixtures::new(1));
        let filings: Vec<Filing> =
            (0..60).map(|number| lasting(fixtures.signed_in(&format!("user-{number}")))).collect();
        for filing in &filings {
            file(&store, filing, None).await.unwrap();
        }
        let (gone, kept) = filings.split_at(30);
        for filing in gone {
            assert_eq!(end_one(&store, filing).await.unwrap().ended.len(), 1);
        }
        // Until the replicas have what was filed beside: ends of others wait for it.
        let witness = lasting(fixtures.signed_in("witness"));
        let tag = format!("{{{:02x}}}", witness.id().as_bytes()[0]);
        let slot = cluster.slot_of(&tag).unwrap();
        file(&store, &witness, None).await.unwrap();
        let old = cluster.kill_primary_of(slot).unwrap();
        let error = store.get(witness.digest, T0).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
        cluster.wait_for_promotion(slot, old).unwrap();
        eventually("looking up", || store.get(witness.digest, T0)).await;
        for filing in gone {
            let found = eventually("looking up", || store.get(filing.digest, T0)).await;
            assert!(matches!(found, Lookup::Ended(_)), "it was acknowledged: {found:?}");
        }
        for filing in kept {
            let found = eventually("looking up", || store.get(filing.digest, T0)).await;
            assert!(matches!(found, Lookup::Live(_)), "{found:?}");
        }
        eventually("counting", || store.count(T0)).await;
        let next = lasting(fixtures.signed_in("witness"));
        eventually("filing", || file(&store, &next, None)).await;
        assert!(is_live(&store, &next).await.unwrap());
    });
}

#[test]
fn without_replicas_an_end_that_demands_one_is_in_doubt_however_often_it_is_asked_for() {
    let server = Redis::start().unwrap();
    run(async {
        let options =
            RedisOptions::from_url(&format!("{}?wait_replicas=1&wait_timeout=50ms", server.url())).unwrap();
        let (store, filing) = (RedisStore::connect(options).await.unwrap(), alice(&mut Fixtures::new(1)));
        file(&store, &filing, None).await.unwrap();
        for _ in 0..2 {
            let error = end_one(&store, &filing).await.unwrap_err();
            assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
            assert!(!is_live(&store, &filing).await.unwrap());
        }
    });
}
