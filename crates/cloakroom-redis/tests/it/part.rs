//! One primary of a Cluster that is away, and nobody to take its place: whose sessions are elsewhere notices nothing.

use std::collections::HashSet;
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_redis::{RedisOptions, RedisRevocations, RedisStore};
use cloakroom_servers::{Look, Redis, RedisCluster, Relay, Role, until};
use cloakroom_store::{
    ErrorKind, Lookup, Place, RevocationList as _, Selector, Store as _, SweepRequest, Touch,
};
use futures_util::future::join_all;

use super::{end, eventually, file_all, is_live, lasting, open, run};

/// A Cluster of primaries alone, each of which goes on without the others.
fn lonely() -> RedisCluster {
    let cluster = RedisCluster::start_with(&["--cluster-require-full-coverage", "no"]).unwrap();
    for node in cluster.nodes().unwrap().iter().filter(|node| node.role != Role::Primary) {
        cluster.server(node.port).unwrap().kill();
    }
    cluster
}

/// The primary that keeps a session.
fn primary_of<'a>(cluster: &'a RedisCluster, filing: &Filing) -> &'a Redis {
    cluster.primary_of(slot_of(cluster, filing)).unwrap()
}

fn slot_of(cluster: &RedisCluster, filing: &Filing) -> u16 {
    cluster.slot_of(&format!("{{{:02x}}}", filing.id().as_bytes()[0])).unwrap()
}

/// The only way to a primary that the cluster tells of.
fn way_to(cluster: &RedisCluster, primary: &Redis) -> Relay {
    let relay = Relay::to(primary.port()).unwrap();
    let port = relay.port().to_string();
    primary.command(&["CONFIG", "SET", "cluster-announce-port", &port]).unwrap();
    until("the others to know the way", Duration::from_secs(30), || {
        let knows = |node: &Redis| {
            node.pid().is_none()
                || node.command(&["CLUSTER", "SLOTS"]).unwrap().lines().any(|line| line == port)
        };
        if cluster.servers().iter().all(knows) { Look::Done(()) } else { Look::NotYet(String::new()) }
    })
    .unwrap();
    relay
}

/// So many that every primary keeps somebody's session.
fn people() -> Vec<Filing> {
    let mut fixtures = Fixtures::new(1);
    (0..32).map(|number| lasting(fixtures.signed_in(&format!("person-{number}")))).collect()
}

/// Those of the people whose sessions this primary keeps, and the others.
fn of<'a>(
    cluster: &RedisCluster,
    primary: &Redis,
    people: &'a [Filing],
) -> (Vec<&'a Filing>, Vec<&'a Filing>) {
    people.iter().partition(|filing| primary_of(cluster, filing).port() == primary.port())
}

async fn seen_at(store: &RedisStore, filing: &Filing) -> Timestamp {
    match store.get(filing.digest, T0).await.unwrap() {
        Lookup::Live(live) => live.last_seen_at,
        other => panic!("it lives: {other:?}"),
    }
}

#[test]
fn while_a_primary_hangs_or_is_gone_the_activity_of_everybody_else_is_noted_and_it_is_said_whose_is_not() {
    let cluster = lonely();
    run(async {
        let (store, people) = (open(&cluster.url()).await, people());
        file_all(&store, &people).await;
        let primary = primary_of(&cluster, &people[0]);
        let (away, well) = of(&cluster, primary, &people);
        assert!(away.len() > 1 && !well.is_empty(), "several of them are there, others are elsewhere");
        let missed: HashSet<TokenDigest> = away.iter().map(|filing| filing.digest).collect();
        let mut now = T0;
        let mut round = async |what: &str| {
            now = now.plus(Duration::from_secs(1));
            let touches: Vec<Touch> =
                people.iter().map(|filing| Touch { digest: filing.digest, seen_at: now }).collect();
            let error = store.touch(&touches, now).await.unwrap_err();
            assert!(error.is_of_a_part(), "{what}: {error:?}");
            let noted = error.noted().unwrap_or_else(|| panic!("{what}: some are noted: {error:?}"));
            assert_eq!(noted.missed, missed, "{what}");
            assert_eq!((noted.report.touched, noted.report.ignored), (well.len(), 0), "{what}");
            for filing in &well {
                assert_eq!(seen_at(&store, filing).await, now, "{what}");
            }
        };
        primary.pause();
        // Found out by waiting, then known, and tried now and then.
        for _ in 0..3 {
            round("it hangs").await;
        }
        primary.kill();
        for _ in 0..3 {
            round("it is gone").await;
        }
        primary.restart().unwrap();
        let touches: Vec<Touch> =
            people.iter().map(|filing| Touch { digest: filing.digest, seen_at: at(500) }).collect();
        eventually("noting", || store.touch(&touches, at(500))).await;
    });
}

#[test]
fn whatever_asks_several_buckets_tries_a_primary_that_was_away_as_well_as_a_single_call() {
    let cluster = lonely();
    run(async {
        let (store, people) = (open(&cluster.url()).await, people());
        let list = RedisRevocations::connect(RedisOptions::from_url(&cluster.url()).unwrap()).await.unwrap();
        // The one that keeps the list of ends: the same is true of it.
        let primary = cluster.primary_of(cluster.slot_of("{00}").unwrap()).unwrap();
        let witness = of(&cluster, primary, &people).0[0];
        for what in ["ends", "counts", "sweeps", "reads the list"] {
            primary.kill();
            while store.get(witness.digest, T0).await.is_ok() {}
            list.read(Place::START, 1).await.unwrap_err();
            primary.restart().unwrap();
            match what {
                "ends" => drop(eventually(what, || end(&store, Selector::All, T0)).await),
                "counts" => drop(eventually(what, || store.count(T0)).await),
                "reads the list" => drop(eventually(what, || list.read(Place::START, 1)).await),
                _ => {
                    let request = SweepRequest { now: T0, limit: 100, lease: Duration::ZERO };
                    eventually(what, || store.sweep(request)).await;
                }
            }
        }
    });
}

#[test]
fn a_cluster_can_be_written_to_for_as_long_as_one_primary_answers_and_again_when_one_does() {
    let cluster = lonely();
    run(async {
        let (store, people) = (open(&cluster.url()).await, people());
        let nodes = cluster.nodes().unwrap();
        let primaries: Vec<u16> =
            nodes.iter().filter(|node| node.role == Role::Primary).map(|node| node.port).collect();
        let [first, others @ ..] = primaries.as_slice() else { panic!("there are primaries") };
        let server = |port: &u16| cluster.server(*port).unwrap();
        server(first).pause();
        // Whoever asks for a session there finds out; whoever asks whether there is a store does not wait for that one.
        for _ in 0..5 {
            store.ping().await.unwrap();
        }
        for filing in &people {
            drop(store.get(filing.digest, T0).await);
        }
        for _ in 0..5 {
            store.ping().await.unwrap();
        }
        server(first).kill();
        for port in others {
            server(port).kill();
        }
        for _ in 0..5 {
            let error = store.ping().await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
            assert!(!error.is_of_a_part(), "{error:?}");
        }
        server(first).restart().unwrap();
        eventually("writing", || store.ping()).await;
    });
}

#[test]
fn a_connection_to_one_primary_that_is_cut_costs_no_look_up_and_nobody_is_left_alone_for_it() {
    let cluster = lonely();
    run(async {
        let people = people();
        let primary = primary_of(&cluster, &people[0]);
        let (there, _) = of(&cluster, primary, &people);
        let relay = way_to(&cluster, primary);
        let store = open(&cluster.url()).await;
        file_all(&store, &people).await;
        for round in 0..20 {
            let accepted = relay.accepted();
            relay.cut_replies_after(3);
            let looks = join_all(there.iter().map(|filing| is_live(&store, filing))).await;
            for look in looks {
                assert!(look.unwrap(), "round {round}");
            }
            assert!(!relay.will_cut() && relay.accepted() > accepted, "it was cut");
        }
    });
}

#[test]
fn whoever_waits_for_a_connection_that_nobody_gets_is_told_that_a_part_is_away_and_not_one_after_the_other() {
    let cluster = lonely();
    run(async {
        let people = people();
        let primary = primary_of(&cluster, &people[0]);
        let (there, _) = of(&cluster, primary, &people);
        let relay = way_to(&cluster, primary);
        let store = open(&cluster.url()).await;
        file_all(&store, &people).await;
        // The connection is gone, and who dials hears nothing.
        relay.stall();
        relay.cut();
        let looks = join_all(there.iter().cycle().take(16).map(|filing| is_live(&store, filing))).await;
        for look in looks {
            let error = look.unwrap_err();
            assert!(error.is_of_a_part(), "{error:?}");
        }
        relay.flow();
        eventually("looking up", || store.get(there[0].digest, T0)).await;
    });
}

#[test]
fn a_primary_that_hangs_is_found_out_by_callers_who_leave_before_the_deadline() {
    let cluster = lonely();
    run(async {
        let (store, people) = (open(&cluster.url()).await, people());
        let primary = primary_of(&cluster, &people[0]);
        primary.pause();
        let impatient = tokio::time::timeout(Duration::from_millis(1_500), store.get(people[0].digest, T0));
        impatient.await.unwrap_err();
        let error = store.get(people[0].digest, T0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "it is known to be away: {error:?}");
    });
}
