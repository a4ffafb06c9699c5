//! What the list costs, counted by the server itself.

use std::collections::BTreeMap;

use cloakroom_conformance::{Ends, past};
use cloakroom_servers::{Redis, RedisCluster, RedisSentinel};
use cloakroom_store::{Place, Reading, RevocationList as _};

use super::super::cost::calls;
use super::super::run;
use super::{Copy, open};

/// What clients ask about the list; everything else a server counts was done by scripts, or to keep connections.
fn asked(server: &Redis) -> Vec<(String, u64)> {
    let names = ["evalsha", "evalsha_ro", "eval", "eval_ro", "set", "wait", "cluster|nodes", "cluster|slots"];
    calls(server).into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect()
}

fn counted(of: &[(&str, u64)]) -> Vec<(String, u64)> {
    of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn every_verb_is_one_call_however_many_entries_it_is_about() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        // The scripts are known from here on.
        list.add(&[ends.over_at(past(0))]).await.unwrap();
        list.prune(past(0), 1).await.unwrap();
        asked(&server);
        list.add(&[ends.next_entry()]).await.unwrap();
        assert_eq!(asked(&server), counted(&[("evalsha", 1)]));
        list.add(&ends.some(1_000)).await.unwrap();
        assert_eq!(asked(&server), counted(&[("evalsha", 1)]));
        let Reading::Entries { entries, more: true } = list.read(Place::START, 500).await.unwrap() else {
            panic!("there are more")
        };
        assert_eq!((asked(&server), entries.len()), (counted(&[("evalsha_ro", 1)]), 500));
        let mut copy = Copy::of(&list).await;
        asked(&server);
        assert!(copy.read(&list).await.unwrap());
        let calls = calls(&server);
        assert_eq!(
            (calls.get("evalsha_ro"), calls.get("zrange"), calls.get("info"), calls.get("hello")),
            (Some(&1), Some(&1), Some(&1), None),
            "one look at the end of it, one at whether this is the primary: {calls:?}"
        );
        assert_eq!(list.prune(past(1), 500).await.unwrap(), 1);
        assert_eq!(asked(&server), counted(&[("evalsha", 1)]));
    });
}

#[test]
fn what_replicas_have_to_acknowledge_is_one_pipeline_and_sentinels_are_asked_once_each() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let list = open(&format!("{}?wait_replicas=2", servers.url())).await;
        let mut ends = Ends::new(1);
        list.add(&[ends.next_entry()]).await.unwrap();
        let primary = servers.primary().unwrap();
        let mut copy = Copy::of(&list).await;
        asked(primary);
        list.add(&[ends.next_entry()]).await.unwrap();
        assert_eq!(asked(primary), counted(&[("eval", 1), ("set", 1), ("wait", 1)]));
        assert!(copy.read(&list).await.unwrap());
        assert_eq!(asked(primary), counted(&[("evalsha_ro", 1)]));
        assert_eq!(copy.known.len(), 2);
    });
}

#[test]
fn in_a_cluster_the_list_is_asked_of_one_node_and_each_primary_who_that_is() {
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&cluster.url()).await, Ends::new(1));
        list.add(&[ends.next_entry()]).await.unwrap();
        let mut copy = Copy::of(&list).await;
        let owner = cluster.primary_of(cluster.slot_of("{00}").unwrap()).unwrap();
        for server in cluster.servers() {
            asked(server);
        }
        for _ in 0..READS {
            assert!(copy.read(&list).await.unwrap());
        }
        for server in cluster.servers() {
            let asked: BTreeMap<String, u64> = asked(server).into_iter().collect();
            let of = |name: &str| asked.get(name).copied().unwrap_or(0);
            assert_eq!(of("evalsha_ro"), if std::ptr::eq(server, owner) { READS } else { 0 }, "{asked:?}");
            // Nobody waits for the last primary to answer who that is: one question from before may be among them.
            let most = if server.info("role").unwrap() == "master" { READS + 1 } else { 0 };
            assert!(asked.values().sum::<u64>() - of("evalsha_ro") <= most, "{asked:?}");
        }
        let keys = owner.command(&["KEYS", "*"]).unwrap();
        assert_eq!(
            keys.lines().filter(|key| key.contains("ends")).collect::<Vec<_>>(),
            ["cloakroom:ends:{00}:list"]
        );
    });
}

#[test]
fn an_entry_takes_some_three_hundred_bytes_of_the_server_and_leaves_nothing_but_the_last_one() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        let used = || server.info("used_memory").unwrap().trim().parse::<u64>().unwrap();
        list.add(&[ends.next_entry()]).await.unwrap();
        let before = used();
        for _ in 0..ENTRIES / 1_000 {
            let entries: Vec<_> = (0..1_000).map(|_| ends.over_at(past(7))).collect();
            list.add(&entries).await.unwrap();
        }
        let each = (used() - before) / ENTRIES;
        println!("bytes for each of {ENTRIES} entries: {each}");
        assert!(each < 400, "{each} bytes for each entry");
        while list.prune(past(7), 1_000).await.unwrap() > 0 {}
        assert_eq!(Copy::of(&list).await.known.len(), 2, "the one that is not over, and the last one");
        assert_eq!(server.command(&["ZCARD", "cloakroom:ends:list"]).unwrap(), "4");
    });
}

const READS: u64 = 20;
const ENTRIES: u64 = 20_000;
