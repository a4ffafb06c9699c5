//! The list's slot in a Cluster: its owner is replaced, and it moves to another node, while it is in use.

use std::sync::Arc;

use cloakroom_conformance::{Ends, ListTraffic};
use cloakroom_redis::RedisRevocations;
use cloakroom_servers::{Redis, RedisCluster, Role};
use cloakroom_store::{ErrorKind, Place, RevocationList};

use super::super::{eventually, run};
use super::crowd::check_replaced;
use super::{Copy, open, open_hasty, open_patient};

fn slot(cluster: &RedisCluster) -> u16 {
    cluster.slot_of("{00}").unwrap()
}

/// A primary that does not have the list.
fn another(cluster: &RedisCluster) -> u16 {
    let (nodes, slot) = (cluster.nodes().unwrap(), slot(cluster));
    nodes.iter().find(|node| !node.owns(slot) && node.role == Role::Primary).unwrap().port
}

/// The replica of the primary on this port.
fn replica_of(cluster: &RedisCluster, port: u16) -> &Redis {
    let is_its = |server: &&Redis| {
        server.info("role").unwrap() == "slave" && server.info("master_port").unwrap() == port.to_string()
    };
    cluster.servers().iter().find(is_its).unwrap()
}

/// Until the others know of another owner than the one that is stopped, and cannot be asked.
async fn wait_for_promotion(cluster: &RedisCluster, slot: u16, old: u16) {
    let others = || cluster.servers().iter().filter(|server| server.port() != old);
    super::until("another owner", async || others().all(|server| owner_seen_by(server, slot) != Some(old)))
        .await;
}

/// The port of whoever serves a slot: in `CLUSTER NODES` the second word is the address, slots begin with the ninth.
fn owner_seen_by(server: &Redis, slot: u16) -> Option<u16> {
    let nodes = server.command(&["CLUSTER", "NODES"]).unwrap();
    let serves = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        (first.parse::<u16>().unwrap()..=last.parse().unwrap()).contains(&slot)
    };
    let owner = nodes.lines().find(|line| line.split_whitespace().skip(8).any(serves))?;
    owner.split_once('@')?.0.rsplit_once(':')?.1.parse().ok()
}

#[test]
fn after_the_owner_was_replaced_while_it_was_stopped_no_read_is_answered_by_it() {
    let cluster = RedisCluster::start().unwrap();
    let slot = slot(&cluster);
    let owner = cluster.primary_of(slot).unwrap();
    let replace = async || {
        owner.pause();
        wait_for_promotion(&cluster, slot, owner.port()).await;
        open(&cluster.url()).await
    };
    // It believes for a moment to be the owner.
    run(check_replaced(&cluster.url(), 1, replace, || owner.resume()));
}

#[test]
fn what_the_replica_had_not_heard_of_when_it_took_over_is_lost_and_said_to_whoever_had_read_it() {
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&cluster.url()).await, Ends::new(1));
        let durable = open(&format!("{}?wait_replicas=1", cluster.url())).await;
        let kept = ends.some(3);
        durable.add(&kept).await.unwrap();
        let mut early = Copy::of(&list).await;
        let slot = slot(&cluster);
        let owner = cluster.primary_of(slot).unwrap();
        let replica = replica_of(&cluster, owner.port());
        replica.pause();
        owner.command(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
        list.add(&ends.some(2)).await.unwrap();
        let mut late = early.clone();
        assert!(late.read(&list).await.unwrap());
        assert_eq!(late.known.len(), 5, "on the primary it is");
        let old = cluster.kill_primary_of(slot).unwrap();
        replica.resume();
        cluster.wait_for_promotion(slot, old).unwrap();
        assert!(!eventually("reading", async || late.clone().read(&list).await).await, "its place is gone");
        let next = ends.some(5);
        list.add(&next).await.unwrap();
        assert!(!late.read(&list).await.unwrap());
        assert!(early.read(&list).await.unwrap());
        assert_eq!(early.known, [kept, next].concat());
    });
}

#[test]
fn through_moves_and_fail_overs_what_a_replica_acknowledged_is_there_whoever_follows_reads_it_and_hints_come()
{
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let url = format!("{}?wait_replicas=1&wait_timeout=300ms", cluster.url());
        let list = Arc::new(open(&url).await);
        let shared: Arc<dyn RevocationList> = Arc::<RedisRevocations>::clone(&list);
        let told = list.changed();
        let traffic = ListTraffic::begin(&shared);
        traffic.goes_on(50).await;
        told.await.unwrap();
        let slot = slot(&cluster);
        cluster.migrate_slot(slot, another(&cluster)).unwrap();
        traffic.goes_on(50).await;
        let old = cluster.kill_primary_of(slot).unwrap();
        cluster.wait_for_promotion(slot, old).unwrap();
        cluster.heal().unwrap();
        traffic.goes_on(50).await;
        traffic.settles(&shared).await;
        super::hint::hears(&list, &list, &mut Ends::new(1)).await;
    });
}

#[test]
fn a_slot_that_is_half_way_is_waited_for_within_the_deadline() {
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let (list, mut ends) = (open_hasty(&cluster.url()).await, Ends::new(1));
        let patient = open_patient(&cluster.url()).await;
        patient.add(&ends.some(3)).await.unwrap();
        let mut copy = Copy::of(&patient).await;
        let migration = cluster.begin_migration(slot(&cluster), another(&cluster)).unwrap();
        assert!(copy.read(&patient).await.unwrap(), "the list is one key: it is still here");
        while migration.move_keys(100).unwrap() > 0 {}
        for place in [copy.place, Place::START] {
            assert_eq!(list.read(place, 10).await.unwrap_err().kind(), ErrorKind::Timeout);
        }
        assert_eq!(list.add(&ends.some(1)).await.unwrap_err().kind(), ErrorKind::Timeout);
        migration.finish().unwrap();
        assert!(copy.read(&patient).await.unwrap());
        assert_eq!(copy.known.len(), 3, "nothing was written where it was not any more");
    });
}
