//! Redis with others that take over.

use cloakroom_servers::{RedisCluster, RedisSentinel};

use super::{lawful, plan};

#[test]
fn sentinel_another_server_takes_over_from_one_that_was_stopped_and_goes_on() {
    let servers = RedisSentinel::start().unwrap();
    // Both replicas have to know of an end: either may be promoted. Sentinel goes by what it has last heard of them, which is
    // not what they have heard since.
    let url = format!("{}?wait_replicas=2", servers.url());
    let mut plan = plan(&url, 4, |_| url.clone());
    plan.sign_ins_may_be_lost = true;
    lawful("Sentinel, fail-over", &plan, |stage| {
        stage.leases(2.0);
        let old = servers.primary_port()?;
        servers.server(old)?.pause();
        servers.wait_for_failover(old)?;
        stage.leases(2.0);
        servers.server(old)?.resume();
        stage.leases(4.0);
        stage.until_all_trust()
    });
}

#[test]
fn cluster_a_primary_is_killed_and_slots_move() {
    let cluster = RedisCluster::start().unwrap();
    let url = format!("{}?wait_replicas=1", cluster.url());
    let mut plan = plan(&url, 5, |_| url.clone());
    plan.sign_ins_may_be_lost = true;
    lawful("Cluster, slots and fail-over", &plan, |stage| {
        stage.leases(2.0);
        let (from, to) = (cluster.primary_of(0)?.port(), cluster.primary_of(16_383)?.port());
        for slot in (0..16).map(|slot| slot * 64) {
            if cluster.primary_of(slot)?.port() == from {
                cluster.migrate_slot(slot, to)?;
            }
        }
        stage.leases(2.0);
        let old = cluster.kill_primary_of(16_383)?;
        cluster.wait_for_promotion(16_383, old)?;
        stage.leases(2.0);
        cluster.heal()?;
        stage.leases(2.0);
        stage.until_all_trust()
    });
}
