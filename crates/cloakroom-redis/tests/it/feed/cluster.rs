//! Slots of a Cluster are lost, taken over, and moved.

use std::sync::Arc;

use cloakroom_conformance::{Filing, Fixtures};
use cloakroom_servers::{RedisCluster, Role};
use cloakroom_store::{Feed, Parts};

use super::super::{end_one, eventually, file_all, is_live, lasting, open, run};
use super::{Enders, eventually_proven, eventually_told, part, watched};

/// The slot of a session's bucket, and a primary that does not serve it.
fn target(cluster: &RedisCluster, filing: &Filing) -> (u16, u16) {
    let slot = cluster.slot_of(&format!("{{{:02x}}}", part(filing))).unwrap();
    let nodes = cluster.nodes().unwrap();
    let other = nodes.iter().find(|node| !node.owns(slot) && node.role == Role::Primary).unwrap();
    (slot, other.port)
}

/// Returns when every node but the one on port `old`, which does not answer, has it that this one serves nothing any more.
async fn wait_for_promotion_without(cluster: &RedisCluster, old: u16) {
    let others = || cluster.servers().iter().filter(|server| server.port() != old);
    let is_replaced = |text: String| {
        let line = text.lines().find(|line| line.contains(&format!(":{old}@")));
        line.is_some_and(|line| line.trim_end().ends_with("connected"))
    };
    eventually_told("a promotion", || {
        others().all(|server| is_replaced(server.command(&["CLUSTER", "NODES"]).unwrap()))
    })
    .await;
}

#[test]
fn a_dead_primary_takes_its_own_parts_along_and_no_others_until_it_is_replaced() {
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let (store, recorder, feed) = watched(&cluster.url()).await;
        assert_eq!(feed.prove().await.unwrap(), Parts::ALL);
        let filing = lasting(Fixtures::new(1).signed_in("alice"));
        file_all(&store, std::slice::from_ref(&filing)).await;
        let (slot, _) = target(&cluster, &filing);
        feed.prove().await.unwrap();
        recorder.clear();
        let old = cluster.kill_primary_of(slot).unwrap();
        eventually_told("the loss", || recorder.anything().contains(part(&filing))).await;
        let lost = recorder.anything();
        assert!((20..200).contains(&lost.numbers().count()), "a third of them, or so: {lost:?}");
        let proven = feed.prove().await.unwrap();
        assert_eq!(proven, Parts::ALL.without(lost), "the others are there");
        cluster.wait_for_promotion(slot, old).unwrap();
        recorder.clear();
        eventually_proven(&*feed, Parts::ALL).await;
        assert!(recorder.anything().contains(part(&filing)), "told before it was covered anew");
        assert!(recorder.anything().without(lost).is_empty(), "the others were covered throughout");
    });
}

#[test]
fn a_slot_on_its_way_is_not_proven_and_then_by_its_new_owner() {
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let (store, recorder, feed) = watched(&cluster.url()).await;
        let mut fixtures = Fixtures::new(1);
        let filings: Vec<Filing> = (0..5).map(|_| lasting(fixtures.signed_in("alice"))).collect();
        file_all(&store, &filings).await;
        let (slot, to) = target(&cluster, &filings[0]);
        let own = Parts::one(part(&filings[0]));
        assert_eq!(feed.prove().await.unwrap(), Parts::ALL);
        recorder.clear();
        let migration = cluster.begin_migration(slot, to).unwrap();
        assert_eq!(feed.prove().await.unwrap(), Parts::ALL.without(own));
        while migration.move_keys(3).unwrap() > 0 {
            assert_eq!(feed.prove().await.unwrap(), Parts::ALL.without(own));
        }
        migration.finish().unwrap();
        eventually_proven(&*feed, Parts::ALL).await;
        // Whoever takes a slot begins anew; the others go on.
        let anew = recorder.anything();
        assert!(anew.contains(part(&filings[0])) && anew.numbers().count() < 200, "{anew:?}");
        recorder.clear();
        let writer = open(&cluster.url()).await;
        end_one(&writer, &filings[0]).await.unwrap();
        assert_eq!(feed.prove().await.unwrap(), Parts::ALL);
        assert_eq!((recorder.changed(filings[0].digest), recorder.anything()), (1, Parts::NONE));

        // There and back before anybody asks.
        let back = cluster.primary_of(slot).unwrap().port();
        let other = target(&cluster, &filings[0]).1;
        recorder.clear();
        cluster.migrate_slot(slot, other).unwrap();
        end_one(&writer, &filings[1]).await.unwrap();
        cluster.migrate_slot(slot, back).unwrap();
        eventually_proven(&*feed, Parts::ALL).await;
        assert!(recorder.anything().contains(part(&filings[0])), "it was elsewhere in between");
        assert!(!is_live(&store, &filings[1]).await.unwrap());
    });
}

#[test]
fn through_fail_overs_and_moves_no_proof_comes_before_the_news_it_proves() {
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let (_store, recorder, feed) = watched(&cluster.url()).await;
        let feed: Arc<dyn Feed> = Arc::from(feed);
        // Whatever a replaced primary acknowledges on its own, nobody else knows of: no end, and no news of it.
        let enders = Enders::start(&format!("{}?wait_replicas=1", cluster.url()), &recorder, &feed).await;
        let witness = lasting(Fixtures::new(1).signed_in("witness"));
        enders.go_on(20).await;
        let (slot, to) = target(&cluster, &witness);
        cluster.migrate_slot(slot, to).unwrap();
        enders.go_on(20).await;
        // Stopped, replaced, and back as somebody who believes for a moment to serve its slots.
        let old = cluster.primary_of(slot).unwrap().port();
        cluster.server(old).unwrap().pause();
        wait_for_promotion_without(&cluster, old).await;
        cluster.server(old).unwrap().resume();
        enders.go_on(20).await;
        cluster.heal().unwrap();
        // By an operator's hand.
        let nodes = cluster.nodes().unwrap();
        let primary = nodes.iter().find(|node| node.owns(slot)).unwrap().port;
        cluster.server(old).unwrap().command(&["CLUSTER", "FAILOVER"]).unwrap();
        cluster.wait_for_promotion(slot, primary).unwrap();
        enders.go_on(20).await;
        enders.finish().await;
        eventually("proving", || feed.prove()).await;
        eventually_proven(&*feed, Parts::ALL).await;
    });
}
