//! The primary behind sentinels is replaced, or said to be.

use std::sync::Arc;

use cloakroom_conformance::{Ends, ListTraffic};
use cloakroom_redis::{RedisOptions, RedisRevocations};
use cloakroom_servers::{Redis, RedisSentinel};
use cloakroom_store::{Applied, ErrorKind, RevocationList};

use super::super::failover::{GONE, known, sentinel_that_says};
use super::super::{eventually, run};
use super::crowd::check_replaced;
use super::{Copy, open};

/// Replaces the primary while handles are connected to it: the old one believes to be the primary, and answers whoever
/// asks it.
async fn replaced(servers: &RedisSentinel, replace: impl FnOnce(u16), wake: impl FnOnce(u16)) {
    let old = servers.primary_port().unwrap();
    let replace = async || {
        replace(old);
        servers.wait_for_failover(old).unwrap();
        // One of its two replicas is the old primary, and may not know yet. Nobody can begin before the sentinels agree.
        let options = RedisOptions::from_url(&format!("{}?wait_replicas=1", servers.url())).unwrap();
        eventually("connecting", async || RedisRevocations::connect(options.clone()).await).await
    };
    check_replaced(&servers.url(), 2, replace, || wake(old)).await;
}

#[test]
fn after_a_primary_was_replaced_that_answers_throughout_no_read_is_answered_by_it() {
    let servers = RedisSentinel::start().unwrap();
    let command = ["SENTINEL", "FAILOVER", "mymaster"];
    run(replaced(&servers, |_| drop(servers.sentinels()[0].command(&command).unwrap()), |_| ()));
}

#[test]
fn after_a_primary_was_replaced_while_it_was_stopped_no_read_is_answered_by_it() {
    let servers = RedisSentinel::start().unwrap();
    let server = |port| servers.server(port).unwrap();
    run(replaced(&servers, |old| server(old).pause(), |old| server(old).resume()));
}

#[test]
fn after_a_primary_was_killed_whatever_replicas_acknowledged_is_there_and_whoever_follows_reads_all_of_it() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let list: Arc<dyn RevocationList> =
            Arc::new(open(&format!("{}?wait_replicas=2&wait_timeout=300ms", servers.url())).await);
        let traffic = ListTraffic::begin(&list);
        traffic.goes_on(50).await;
        let old = servers.kill_primary().unwrap();
        servers.wait_for_failover(old).unwrap();
        servers.heal().unwrap();
        traffic.goes_on(50).await;
        traffic.settles(&list).await;
    });
}

#[test]
fn what_no_replica_had_heard_of_when_one_took_over_is_lost_and_said_to_whoever_had_read_it() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&servers.url()).await, Ends::new(1));
        let durable = open(&format!("{}?wait_replicas=2&wait_timeout=300ms", servers.url())).await;
        let kept = ends.some(3);
        let url = format!("{}?wait_replicas=2&wait_timeout=15s&deadline=20s", servers.url());
        open(&url).await.add(&kept).await.unwrap();
        let mut early = Copy::of(&list).await;
        let primary = servers.primary().unwrap();
        let replicas = servers.replicas().unwrap();
        for port in &replicas {
            servers.server(*port).unwrap().pause();
        }
        primary.command(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
        let error = durable.add(&ends.some(1)).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
        list.add(&ends.some(1)).await.unwrap();
        let mut late = early.clone();
        assert!(late.read(&list).await.unwrap());
        assert_eq!(late.known.len(), 5, "on the primary it is");
        let old = servers.kill_primary().unwrap();
        for port in &replicas {
            servers.server(*port).unwrap().resume();
        }
        servers.wait_for_failover(old).unwrap();
        assert!(!eventually("reading", async || late.clone().read(&list).await).await, "its place is gone");
        assert!(eventually("reading", async || early.clone().read(&list).await).await);
        // Past the place, by others.
        let next = ends.some(5);
        list.add(&next).await.unwrap();
        assert!(!late.read(&list).await.unwrap());
        assert!(early.read(&list).await.unwrap());
        assert_eq!(early.known, [kept, next].concat());
    });
}

#[test]
fn nothing_is_read_without_most_sentinels() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&servers.url()).await, Ends::new(1));
        list.add(&ends.some(2)).await.unwrap();
        let mut copy = Copy::of(&list).await;
        for sentinel in &servers.sentinels()[..2] {
            sentinel.pause();
        }
        // They may have been cut off together with a primary that they chose.
        let error = copy.read(&list).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
        let error = list.add(&ends.some(1)).await.unwrap_err();
        assert_eq!(error.applied(), Applied::Unknown, "whether that was the primary, nobody says");
        servers.sentinels()[0].resume();
        assert!(eventually("reading", async || copy.clone().read(&list).await).await);
        servers.sentinels()[1].resume();
    });
}

#[test]
fn one_sentinel_that_knows_of_another_primary_is_enough_for_nothing_to_be_read_from_this_one() {
    let [old, new] = [Redis::start().unwrap(), Redis::start().unwrap()];
    let [old_port, new_port] = [&old, &new].map(|server| server.url().rsplit(':').next().unwrap().to_owned());
    let knowledge = [(); 3].map(|()| known(old_port.clone(), 1));
    let sentinels = [0, 1, 2].map(|number: usize| sentinel_that_says(&knowledge[number]));
    let hosts = sentinels.map(|port| format!("127.0.0.1:{port}")).join(",");
    run(async {
        let (list, mut ends) = (open(&format!("redis+sentinel://{hosts}/mymaster")).await, Ends::new(1));
        list.add(&ends.some(2)).await.unwrap();
        let copy = Copy::of(&list).await;
        // One cannot be asked: most of them are both others, however late each of them answers.
        knowledge[0].lock().unwrap().2 = GONE;
        *knowledge[2].lock().unwrap() = (new_port.clone(), 2, "master");
        for _ in 0..10 {
            let known = copy.clone().read(&list).await;
            assert!(!matches!(known, Ok(true)), "the old one answered for the new one");
        }
        // The others hear of it.
        for knowledge in &knowledge[..2] {
            *knowledge.lock().unwrap() = (new_port.clone(), 2, "master");
        }
        assert!(!eventually("reading", async || copy.clone().read(&list).await).await);
        for knowledge in &knowledge[1..] {
            knowledge.lock().unwrap().2 = "master,s_down";
        }
        let error = list.add(&ends.some(1)).await.unwrap_err();
        assert_eq!(error.applied(), Applied::Unknown, "most of them do not find it well");
    });
}
