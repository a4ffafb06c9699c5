//! Any of the indexes may be lost as a whole, evicted or deleted by hand: what follows, on one server and on a Cluster.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{EndReason, OnLimit, SessionLimit, Timestamp};
use cloakroom_redis::RedisStore;
use cloakroom_servers::{Redis, RedisCluster};
use cloakroom_store::{
    Counts, Ended, ExportQuery, Inserted, ListFilter, ListQuery, Selector, StateFilter, Store as _,
    SweepRequest,
};

use super::{alice, end, end_one, file, file_all, is_live, lasting, open, run};

/// Servers of either arrangement.
struct Servers<'a> {
    url: String,
    /// Those that keep sessions.
    primaries: Vec<&'a Redis>,
}

impl Servers<'_> {
    /// Runs a test on one server, then on a Cluster.
    async fn each(test: impl AsyncFn(Servers<'_>)) {
        let server = Redis::start().unwrap();
        test(Servers { url: server.url(), primaries: vec![&server] }).await;
        let cluster = RedisCluster::start().unwrap();
        test(Servers { url: cluster.url(), primaries: cluster.servers().iter().take(3).collect() }).await;
    }

    fn keys(&self) -> Vec<(&Redis, String)> {
        let of_one = |server: &&'_ Redis| server.command(&["KEYS", "cloakroom:*"]).unwrap();
        let all = self.primaries.iter().map(|server| (*server, of_one(server)));
        all.flat_map(|(server, keys)| keys.lines().map(|key| (server, key.to_owned())).collect::<Vec<_>>())
            .filter(|(_, key)| !key.is_empty())
            .collect()
    }

    /// Deletes whatever the name of which `is_lost` says; how many keys.
    fn lose(&self, is_lost: impl Fn(&str) -> bool) -> usize {
        let lost: Vec<_> = self.keys().into_iter().filter(|(_, key)| is_lost(key)).collect();
        for (server, key) in &lost {
            server.command(&["DEL", key]).unwrap();
        }
        lost.len()
    }

    fn flush(&self) {
        for server in &self.primaries {
            server.command(&["FLUSHALL"]).unwrap();
        }
    }

    /// Keys that nobody would come for any more.
    fn left(&self) -> Vec<String> {
        let is_of_the_bucket =
            |key: &String| [":epoch:", ":ping:", ":sweeper:"].iter().any(|class| key.contains(class));
        self.keys().into_iter().map(|(_, key)| key).filter(|key| !is_of_the_bucket(key)).collect()
    }
}

/// The keys of these indexes on one server.
fn servers_keys(server: &Redis, names: &[&str]) -> Vec<String> {
    let keys = server.command(&["KEYS", "cloakroom:index:*"]).unwrap();
    let of = |name: &&str| keys.lines().find(|key| is_index(key, name)).unwrap().to_owned();
    names.iter().map(of).collect()
}

/// Whether a key is this one of the indexes: in a Cluster the tag of its bucket stands before its name.
fn is_index(key: &str, name: &str) -> bool {
    key.contains(":index:") && (key.ends_with(&format!(":{name}")) || key.contains(&format!(":{name}:")))
}

/// Sweeps round by round; whom that ended.
async fn sweep(store: &RedisStore, now: Timestamp, rounds: usize) -> Vec<Ended> {
    let mut ended = Vec::new();
    for _ in 0..rounds {
        let request = SweepRequest { now, limit: 40, lease: Duration::ZERO };
        ended.extend(store.sweep(request).await.unwrap().ended);
    }
    ended
}

/// Sessions of several people and of nobody; the first five of them are over.
async fn some_sessions(store: &RedisStore, seed: u64) -> Vec<Filing> {
    let mut fixtures = Fixtures::new(seed);
    let filings: Vec<Filing> = (0..60)
        .map(|number| match number % 3 {
            0 => fixtures.anonymous(),
            1 => fixtures.signed_in("alice"),
            _ => fixtures.signed_in(&format!("user-{number}")),
        })
        .collect();
    file_all(store, &filings).await;
    for filing in filings.iter().take(5) {
        end_one(store, filing).await.unwrap();
    }
    filings
}

#[test]
fn where_the_index_of_due_instants_is_lost_sweeps_put_it_back_and_everybody_ends_and_is_told_of_once() {
    run(Servers::each(async |servers| {
        let store = open(&servers.url).await;
        let filings = some_sessions(&store, 1).await;
        assert!(servers.lose(|key| is_index(key, "due")) > 0);
        assert_eq!(sweep(&store, at(1), 40).await, [], "nobody is over yet");
        for filing in &filings[5..] {
            assert!(is_live(&store, filing).await.unwrap());
        }
        let mut ended = sweep(&store, at(20_000), 40).await;
        assert!(ended.iter().all(|one| one.reason == EndReason::IdleTimeout), "{ended:?}");
        ended.sort_by_key(|one| one.session);
        let mut expected: Vec<_> = filings[5..].iter().map(Filing::id).collect();
        expected.sort();
        assert_eq!(ended.iter().map(|one| one.session).collect::<Vec<_>>(), expected);
        sweep(&store, at(90_000), 40).await;
        assert_eq!(servers.left(), Vec::<String>::new());
    }));
}

#[test]
fn a_stretch_of_places_that_are_all_right_does_not_stop_the_walk_to_one_that_is_not() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(3));
        let filings: Vec<Filing> = (0..120).map(|_| fixtures.anonymous()).collect();
        file_all(&store, &filings).await;
        // The last one that a walk comes to is due no more.
        let lose = "local last = redis.call('ZRANGE', KEYS[1], -1, -1)[1] \
             for _, due in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do \
                 if due:sub(14, 37) == last:sub(2) then return redis.call('ZREM', KEYS[2], due) end \
             end";
        let indexes: Vec<String> = servers_keys(&server, &["live", "due"]);
        let words = ["EVAL", lose, "2", &indexes[0], &indexes[1]];
        assert_eq!(server.command(&words).unwrap().trim(), "1");
        let due = || server.command(&["ZCARD", &indexes[1]]).unwrap();
        assert_eq!(due().trim(), "119");
        let mut rounds = 0;
        loop {
            let request = SweepRequest { now: at(1), limit: 40, lease: Duration::ZERO };
            let swept = store.sweep(request).await.unwrap();
            assert_eq!(swept.ended, [], "nobody is over");
            rounds += 1;
            if !swept.more {
                break;
            }
        }
        assert_eq!((due().trim(), rounds), ("120", 3), "one sweep walks all of it, in calls of forty");
    });
}

#[test]
fn where_it_is_lost_and_everything_else_expired_nobody_is_counted_and_no_key_is_left() {
    run(Servers::each(async |servers| {
        let store = open(&servers.url).await;
        some_sessions(&store, 2).await;
        assert!(
            servers.lose(|key| is_index(key, "due") || !key.contains(":index:") && !key.contains(":epoch:"))
                > 0
        );
        assert_ne!(store.count(at(1)).await.unwrap(), Counts::default(), "their places are still there");
        sweep(&store, at(90_000), 40).await;
        assert_eq!(store.count(at(90_000)).await.unwrap(), Counts::default());
        assert_eq!(servers.left(), Vec::<String>::new());
    }));
}

#[test]
fn where_the_indexes_of_live_and_ended_ones_are_lost_sweeps_put_everybody_back_on_the_list() {
    run(Servers::each(async |servers| {
        let store = open(&servers.url).await;
        let filings = some_sessions(&store, 3).await;
        let counts = store.count(at(1)).await.unwrap();
        assert!(servers.lose(|key| is_index(key, "live") || is_index(key, "ended")) > 0);
        assert_eq!(store.count(at(1)).await.unwrap(), Counts::default());
        assert_eq!(sweep(&store, at(1), 40).await, []);
        assert_eq!(store.count(at(1)).await.unwrap(), counts);
        let mut filter = ListFilter::default();
        filter.state = StateFilter::Any;
        let (mut query, mut listed) = (ListQuery::new(filter), 0);
        loop {
            let page = store.list(&query, at(1)).await.unwrap();
            listed += page.items.len();
            match page.next {
                None => break,
                next => query = query.after(next),
            }
        }
        assert_eq!(listed, filings.len());
        let mut query = ExportQuery::new(None, NonZeroU16::MAX);
        let mut exported = 0;
        loop {
            let page = store.export(&query, at(1)).await.unwrap();
            exported += page.items.len();
            match page.next {
                None => break,
                next => query = ExportQuery::new(next, NonZeroU16::MAX),
            }
        }
        assert_eq!(exported, filings.len());
    }));
}

#[test]
fn whichever_of_its_keys_are_lost_a_limit_is_exact_and_an_end_of_all_of_a_principal_misses_nobody() {
    const CLASSES: [&str; 6] = [":principal:", "live:", "due", "ended", "retired", ":epoch:"];
    run(Servers::each(async |servers| {
        let store = open(&servers.url).await;
        for (first, second) in
            (0..CLASSES.len()).flat_map(|first| (first..CLASSES.len()).map(move |one| (first, one)))
        {
            servers.flush();
            let lost = [CLASSES[first], CLASSES[second]];
            let mut fixtures = Fixtures::new(4);
            let mut of_alice: Vec<Filing> = (0..4).map(|_| alice(&mut fixtures)).collect();
            let bob = lasting(fixtures.signed_in("bob"));
            file_all(&store, &of_alice).await;
            file_all(&store, std::slice::from_ref(&bob)).await;
            end_one(&store, &of_alice[3]).await.unwrap();
            servers.lose(|key| {
                lost.iter()
                    .any(|class| key.contains(class) && (class.starts_with(':') || key.contains(":index:")))
            });
            let limit = SessionLimit { max: NonZeroU32::new(2).unwrap(), on_limit: OnLimit::EndOldest };
            let next = alice(&mut fixtures);
            assert!(matches!(file(&store, &next, Some(limit)).await.unwrap(), Inserted::Done { .. }));
            of_alice.push(next.clone());
            let mut live = 0;
            for filing in &of_alice {
                live += u32::from(is_live(&store, filing).await.unwrap());
            }
            let are_unknown = lost.iter().any(|class| [":principal:", ":epoch:"].contains(class));
            assert_eq!(live, if are_unknown { 1 } else { 2 }, "{lost:?}");
            assert!(is_live(&store, &next).await.unwrap(), "{lost:?}");
            let selector = Selector::Principal { principal: principal_id("alice"), except: None };
            let ending = end(&store, selector, T0).await.unwrap();
            assert_eq!(ending.ended.len(), usize::try_from(live).unwrap(), "{lost:?}");
            for when in ["at once", "after a sweep"] {
                for filing in &of_alice {
                    assert!(!is_live(&store, filing).await.unwrap(), "{lost:?} {when}");
                }
                sweep(&store, at(1), 3).await;
            }
            assert_eq!(is_live(&store, &bob).await.unwrap(), !are_unknown, "{lost:?}");
        }
    }));
}

#[test]
fn places_of_a_principal_that_nothing_else_comes_for_go_with_the_next_sign_ins_and_with_an_end() {
    run(Servers::each(async |servers| {
        let store = open(&servers.url).await;
        let mut fixtures = Fixtures::new(5);
        let filings: Vec<Filing> = (0..12).map(|_| alice(&mut fixtures)).collect();
        file_all(&store, &filings).await;
        for filing in &filings[..4] {
            end_one(&store, filing).await.unwrap();
        }
        servers.lose(|key| is_index(key, "due") || key.contains(":session:") || key.contains(":record:"));
        let places = || {
            let (server, key) =
                servers.keys().into_iter().find(|(_, key)| key.contains(":principal:")).unwrap();
            server.command(&["ZCARD", &key]).unwrap().trim().parse::<usize>().unwrap()
        };
        sweep(&store, at(1), 20).await;
        assert_eq!(places(), 12);
        let later: Vec<Filing> = (0..4).map(|_| alice(&mut fixtures).issued_at(at(10))).collect();
        file_all(&store, &later).await;
        assert_eq!(places(), 12 - 8 + 4, "one live and one ended with each");
        let selector = Selector::Principal { principal: principal_id("alice"), except: Some(later[3].id()) };
        assert_eq!(end(&store, selector, at(11)).await.unwrap().ended.len(), 3);
        assert_eq!(places(), 4, "one that lives, and three that are over");
    }));
}
