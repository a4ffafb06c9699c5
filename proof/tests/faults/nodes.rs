//! Nodes that are stopped.

use cloakroom_servers::Redis;

use super::{lawful, plan};

#[test]
fn nodes_stopped_for_longer_than_a_lease_while_sessions_end() {
    let redis = Redis::start().unwrap();
    lawful("Redis, nodes stopped", &plan(&redis.url(), 6, |_| redis.url()), |stage| {
        stage.leases(1.0);
        for (node, leases) in [(0, 1.5), (1, 0.6), (2, 3.0), (0, 1.1)] {
            stage.pause(node);
            stage.leases(leases);
            stage.resume(node);
            stage.leases(0.5);
        }
        (0..3).for_each(|node| stage.pause(node));
        stage.leases(1.5);
        (0..3).for_each(|node| stage.resume(node));
        stage.leases(1.0);
        stage.until_all_trust()
    });
}
