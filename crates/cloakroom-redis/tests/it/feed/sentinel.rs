//! The primary behind sentinels is replaced, or said to be.

use std::sync::Arc;

use cloakroom_conformance::Fixtures;
use cloakroom_servers::{Redis, RedisSentinel};
use cloakroom_store::{ErrorKind, Feed, Parts};

use super::super::failover::{known, sentinel_that_says};
use super::super::{alice, end_one, eventually, file_all, is_live, open, run};
use super::{Enders, eventually_proven, watched};

/// Ends sessions throughout, at handles of their own that wait for all replicas: whatever a replaced primary acknowledges on
/// its own, nobody else knows of, neither the end nor news of it.
async fn while_sessions_end(servers: &RedisSentinel, replaced: impl FnOnce()) {
    let (_store, recorder, feed) = watched(&servers.url()).await;
    let feed: Arc<dyn Feed> = Arc::from(feed);
    let enders = Enders::start(&format!("{}?wait_replicas=2", servers.url()), &recorder, &feed).await;
    enders.go_on(50).await;
    replaced();
    enders.go_on(50).await;
    enders.finish().await;
}

#[test]
fn while_a_primary_is_replaced_that_answers_throughout_no_proof_comes_before_the_news_it_proves() {
    let servers = RedisSentinel::start().unwrap();
    run(while_sessions_end(&servers, || {
        let old = servers.primary_port().unwrap();
        servers.sentinels()[0].command(&["SENTINEL", "FAILOVER", "mymaster"]).unwrap();
        servers.wait_for_failover(old).unwrap();
    }));
}

#[test]
fn while_a_primary_is_stopped_and_comes_back_no_proof_comes_before_the_news_it_proves() {
    let servers = RedisSentinel::start().unwrap();
    run(while_sessions_end(&servers, || {
        let old = servers.primary_port().unwrap();
        servers.server(old).unwrap().pause();
        servers.wait_for_failover(old).unwrap();
        // It believes for a moment to be the primary.
        servers.server(old).unwrap().resume();
    }));
}

#[test]
fn nothing_is_proven_without_most_sentinels_and_nothing_is_forgotten_for_it() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let (store, recorder, feed) = watched(&servers.url()).await;
        let filing = alice(&mut Fixtures::new(1));
        file_all(&store, std::slice::from_ref(&filing)).await;
        feed.prove().await.unwrap();
        recorder.clear();
        for sentinel in &servers.sentinels()[..2] {
            sentinel.pause();
        }
        // They may have been cut off together with a primary that they chose.
        let error = feed.prove().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(is_live(&store, &filing).await.unwrap(), "the store goes on");
        for sentinel in &servers.sentinels()[..2] {
            sentinel.resume();
        }
        eventually_proven(&*feed, Parts::ALL).await;
        assert_eq!(recorder.times(), 0, "its news came throughout");
    });
}

#[test]
fn a_primary_that_the_sentinels_replaced_proves_nothing_though_it_says_to_be_one() {
    let [old, new] = [Redis::start().unwrap(), Redis::start().unwrap()];
    let port = |server: &Redis| server.url().rsplit(':').next().unwrap().to_owned();
    let all = [0; 3].map(|_| known(port(&old), 1));
    let hosts: Vec<String> =
        all.iter().map(|known| format!("127.0.0.1:{}", sentinel_that_says(known))).collect();
    run(async {
        let (store, recorder, feed) =
            watched(&format!("redis+sentinel://{}/mymaster", hosts.join(","))).await;
        let filing = alice(&mut Fixtures::new(1));
        let writer = open(&new.url()).await;
        file_all(&store, std::slice::from_ref(&filing)).await;
        file_all(&writer, std::slice::from_ref(&filing)).await;
        feed.prove().await.unwrap();
        recorder.clear();
        // One finds it down: two others do not.
        all[0].lock().unwrap().2 = "s_down,master";
        assert_eq!(feed.prove().await.unwrap(), Parts::ALL);
        all[1].lock().unwrap().2 = "s_down,o_down,master,failover_in_progress";
        feed.prove().await.unwrap_err();
        assert_eq!(recorder.times(), 0, "nobody was chosen yet");
        all[1].lock().unwrap().2 = "master";
        feed.prove().await.unwrap();
        // One knows of the new one already, while the old one answers whoever still asks it.
        *all[0].lock().unwrap() = (port(&new), 2, "master");
        end_one(&writer, &filing).await.unwrap();
        feed.prove().await.unwrap_err();
        for known in &all[1..] {
            *known.lock().unwrap() = (port(&new), 2, "master");
        }
        eventually_proven(&*feed, Parts::ALL).await;
        assert_eq!(recorder.anything(), Parts::ALL);
        let ended = eventually("looking up", || is_live(&store, &filing)).await;
        assert!(!ended, "the store asks the new one");
    });
}
