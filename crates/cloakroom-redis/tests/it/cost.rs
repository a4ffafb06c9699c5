//! What each verb costs, counted by the server itself.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_servers::{Redis, RedisCluster};
use cloakroom_store::{
    ExportQuery, ListFilter, ListOrder, ListQuery, Lookup, RekeyRequest, Rekeyed, ReplaceRequest, Replaced,
    Selector, StateFilter, Store as _, SweepRequest, Version,
};

use super::{alice, end, file, file_all, lasting, open, run, touch};

/// What clients send; everything else a server counts was done by scripts.
const FROM_CLIENTS: [&str; 7] =
    ["evalsha", "evalsha_ro", "eval", "eval_ro", "wait", "cluster|slots", "script|load"];

/// Calls by command since the last time.
pub(crate) fn calls(server: &Redis) -> BTreeMap<String, u64> {
    let text = server.command(&["INFO", "commandstats"]).unwrap();
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let line = |line: &str| {
        let (name, rest) = line.trim().strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// What a store asked of a server since the last time.
fn asked(server: &Redis) -> u64 {
    let calls = calls(server);
    let count = |name: &&str| calls.get(*name).copied().unwrap_or(0);
    FROM_CLIENTS.iter().map(count).sum()
}

#[test]
fn every_verb_is_one_command_however_many_sessions_it_is_about() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(1));
        // Every script is known to the server from here on.
        warm_up(&store, &mut fixtures).await;
        let mut told = Vec::new();
        let mut check = |what: &'static str, most: u64| {
            let count = asked(&server);
            told.push(format!("{what} {count}"));
            assert!(count <= most && count > 0, "{what}: {count} commands, at most {most}");
        };
        asked(&server);

        let filing = alice(&mut fixtures);
        let limit = SessionLimit { max: NonZeroU32::new(3).unwrap(), on_limit: OnLimit::EndOldest };
        file(&store, &filing, Some(limit)).await.unwrap();
        check("insert with a limit", 1);
        assert!(matches!(store.get(filing.digest, T0).await.unwrap(), Lookup::Live(_)));
        check("get", 1);
        let request = ReplaceRequest {
            digest: filing.digest,
            version: Version::FIRST,
            record: &filing.record,
            now: T0,
        };
        assert!(matches!(store.replace(request).await.unwrap(), Replaced::Done(_)));
        check("replace", 1);
        let next = filing.rotated(fixtures.next_digest(&filing), at(1));
        let request = RekeyRequest {
            old: filing.digest,
            new: next.digest,
            version: Version::from_u64(2),
            record: &next.record,
            now: at(1),
        };
        assert!(matches!(store.rekey(request).await.unwrap(), Rekeyed::Done(_)));
        check("rekey", 1);
        touch(&store, &next, at(2)).await.unwrap();
        check("touch", 1);

        let many: Vec<Filing> = (0..200).map(|_| alice(&mut fixtures)).collect();
        file_all(&store, &many).await;
        asked(&server);
        let mut of_alice = ListQuery::new(ListFilter::default());
        of_alice.filter.principal = Some(principal_id("alice"));
        assert_eq!(store.list(&of_alice, at(3)).await.unwrap().items.len(), 50);
        check("list a page of a principal", 1);
        assert_eq!(store.list(&ListQuery::new(ListFilter::default()), at(3)).await.unwrap().items.len(), 50);
        check("list a page of everything", 1);
        store.count(at(3)).await.unwrap();
        check("count", 1);
        store.export(&ExportQuery::new(None, NonZeroU16::new(100).unwrap()), at(3)).await.unwrap();
        check("export a page", 1);
        let selector = Selector::Principal { principal: principal_id("alice"), except: None };
        assert_eq!(end(&store, selector, at(4)).await.unwrap().ended.len(), 201);
        check("end 201 sessions of a principal", 1);
        end(&store, Selector::All, at(5)).await.unwrap();
        check("end everything", 1);
        store.sweep(SweepRequest { now: at(6), limit: 100, lease: Duration::from_secs(1) }).await.unwrap();
        check("sweep", 1);
        println!("commands: {}", told.join(", "));
    });
}

async fn warm_up(store: &cloakroom_redis::RedisStore, fixtures: &mut Fixtures) {
    let filing = lasting(fixtures.signed_in("bob"));
    file(store, &filing, None).await.unwrap();
    store.get(filing.digest, T0).await.unwrap();
    let request =
        ReplaceRequest { digest: filing.digest, version: Version::FIRST, record: &filing.record, now: T0 };
    store.replace(request).await.unwrap();
    let next = filing.rotated(fixtures.next_digest(&filing), at(1));
    let (old, new, version) = (filing.digest, next.digest, Version::from_u64(2));
    let rekeyed = store.rekey(RekeyRequest { old, new, version, record: &next.record, now: at(1) }).await;
    assert_eq!(rekeyed.unwrap(), Rekeyed::Done(Version::from_u64(3)));
    touch(store, &next, at(1)).await.unwrap();
    let mut query = ListQuery::new(ListFilter::default());
    query.filter.state = StateFilter::Any;
    store.list(&query, T0).await.unwrap();
    store.export(&ExportQuery::new(None, NonZeroU16::MIN), T0).await.unwrap();
    super::end_one(store, &filing).await.unwrap();
    end(store, Selector::All, T0).await.unwrap();
    store.sweep(SweepRequest { now: T0, limit: 10, lease: Duration::ZERO }).await.unwrap();
}

#[test]
fn no_page_of_a_list_makes_the_server_look_at_more_sessions_than_its_bound() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(1));
        let filings: Vec<Filing> = (0..4_000)
            .map(|number| {
                let filing = lasting(fixtures.signed_in(&format!("person-{}", number / 2)));
                if number % 500 == 7 { filing.with_ip([192, 0, 2, 7]) } else { filing }
            })
            .collect();
        for part in filings.chunks(64) {
            file_all(&store, part).await;
        }
        let list = |conditions: fn(&mut ListFilter)| {
            let mut filter = ListFilter::default();
            conditions(&mut filter);
            filter
        };
        let filters = [
            list(|_| ()),
            list(|filter| filter.state = StateFilter::Any),
            list(|filter| filter.principal = Some(principal_id("person-7"))),
            list(|filter| filter.ip = Some([192, 0, 2, 7].into())),
            list(|filter| filter.principal_prefix = Some(principal_id("person-77"))),
            list(|filter| filter.principal_prefix = Some(principal_id("nobody"))),
        ];
        for (filter, order) in filters.into_iter().flat_map(|filter| {
            [ListOrder::NewestFirst, ListOrder::OldestFirst].map(|order| (filter.clone(), order))
        }) {
            let query = ListQuery::new(filter).ordered(order);
            calls(&server);
            let page = store.list(&query, at(1)).await.unwrap();
            let calls = calls(&server);
            let count = |name: &str| calls.get(name).copied().unwrap_or(0);
            assert!(page.read <= u64::from(ListQuery::MOST_READ), "{} rows: {query:?}", page.read);
            assert!(count("zrange") <= 9, "{calls:?}");
            // An entry and a record for each that is looked at; both again for each that is wanted, and an epoch each call.
            let wanted = u64::try_from(page.items.len()).unwrap() + 1;
            let most = 2 * page.read + wanted + 6;
            assert!((1..=most).contains(&count("get")), "{} rows, {calls:?}: {query:?}", page.read);
        }
    });
}

#[test]
fn in_a_cluster_what_is_about_a_principal_is_one_command_and_what_is_about_everything_one_for_each_bucket() {
    let cluster = RedisCluster::start().unwrap();
    let asked_of_all = || cluster.servers().iter().map(asked).sum::<u64>();
    run(async {
        let (store, mut fixtures) = (open(&cluster.url()).await, Fixtures::new(1));
        for _ in 0..3 {
            warm_up(&store, &mut fixtures).await;
        }
        let filings: Vec<Filing> = (0..50).map(|_| alice(&mut fixtures)).collect();
        file_all(&store, &filings).await;
        // The scripts are known to alice's node by now.
        super::end_one(&store, &filings[0]).await.unwrap();
        let mut of_alice = ListQuery::new(ListFilter::default());
        of_alice.filter.principal = Some(principal_id("alice"));
        store.list(&of_alice, at(1)).await.unwrap();
        asked_of_all();
        assert_eq!(store.list(&of_alice, at(1)).await.unwrap().items.len(), 49);
        assert_eq!(asked_of_all(), 1, "a page of a principal");
        let selector = Selector::Principal { principal: principal_id("alice"), except: None };
        assert_eq!(end(&store, selector, at(2)).await.unwrap().ended.len(), 49);
        assert_eq!(asked_of_all(), 1, "all of a principal");
        end(&store, Selector::All, at(3)).await.unwrap();
        assert_eq!(asked_of_all(), 256, "everything");
    });
}

#[test]
fn a_session_takes_little_more_than_a_kilobyte_and_leaves_nothing() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(7));
        warm_up(&store, &mut fixtures).await;
        let used = || server.info("used_memory").unwrap().trim().parse::<u64>().unwrap();
        let mut filings = Vec::new();
        let before = used();
        for number in 0..SESSIONS {
            // Two sessions each, with a device and a small attribute.
            let filing = fixtures.signed_in(&format!("user-{}@example.org", number / 2));
            filings.push(lasting(filing.with_ip([203, 0, 113, 9]).with_attribute("cart", [7; 64])));
        }
        for part in filings.chunks(64) {
            let all = part.iter().map(|filing| file(&store, filing, None));
            for inserted in futures_util::future::join_all(all).await {
                inserted.unwrap();
            }
        }
        let each = (used() - before) / SESSIONS;
        println!("bytes for each of {SESSIONS} sessions: {each}");
        assert!(each < 1_300, "{each} bytes for each session");
        end(&store, Selector::All, at(1)).await.unwrap();
        let later = at(1).plus(Duration::from_secs(60));
        loop {
            let swept =
                store.sweep(SweepRequest { now: later, limit: 1_000, lease: Duration::ZERO }).await.unwrap();
            if !swept.more {
                break;
            }
        }
        let left = server.command(&["KEYS", "cloakroom:*"]).unwrap();
        let left: Vec<&str> = left.lines().collect();
        assert!(
            left.iter().all(|key| key.ends_with(":epoch:current") || key.ends_with(":ping:written")),
            "nothing is left but the epoch: {left:?}"
        );
    });
}

const SESSIONS: u64 = 10_000;
