//! What each verb costs, counted by the server itself.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_redis::RedisStore;
use cloakroom_servers::{Redis, RedisCluster};
use cloakroom_store::{
    ExportQuery, ListFilter, ListOrder, ListQuery, Lookup, RekeyRequest, Rekeyed, ReplaceRequest, Replaced,
    Selector, StateFilter, Store as _, SweepRequest, Version,
};

use super::overheard::{Overheard, verbs};
use super::{alice, end, file, file_all, lasting, open, run, touch};

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

/// What a verb is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    /// Nobody counts it.
    Beside,
    Principal,
    /// Every bucket.
    Everything,
    /// Every bucket, then those that have more.
    Listing,
    /// Every bucket, then those that have something to clear up, as far as the bound of a round allows; and the lease.
    Sweeping,
    /// Every server that keeps sessions.
    Servers,
    /// As many buckets as a page is worth asking: sixteen.
    Exporting,
}

/// Every verb there is, one after the other; `check` hears of each.
async fn each_verb(store: &RedisStore, fixtures: &mut Fixtures, mut check: impl FnMut(&'static str, About)) {
    let filing = alice(fixtures);
    let limit = SessionLimit { max: NonZeroU32::new(3).unwrap(), on_limit: OnLimit::EndOldest };
    check("what was before", About::Beside);
    file(store, &filing, Some(limit)).await.unwrap();
    check("insert with a limit", About::Principal);
    assert!(matches!(store.get(filing.digest, T0).await.unwrap(), Lookup::Live(_)));
    check("get", About::Principal);
    let request =
        ReplaceRequest { digest: filing.digest, version: Version::FIRST, record: &filing.record, now: T0 };
    assert!(matches!(store.replace(request).await.unwrap(), Replaced::Done(_)));
    check("replace", About::Principal);
    let next = filing.rotated(fixtures.next_digest(&filing), at(1));
    let (old, new, version) = (filing.digest, next.digest, Version::from_u64(2));
    let request = RekeyRequest { old, new, version, record: &next.record, now: at(1) };
    assert!(matches!(store.rekey(request).await.unwrap(), Rekeyed::Done(_)));
    check("rekey", About::Principal);
    assert_eq!(touch(store, &next, at(2)).await.unwrap().touched, 1);
    check("touch", About::Principal);
    assert_eq!(super::end_one(store, &filing).await.unwrap().ended.len(), 1);
    check("end one", About::Principal);

    let many: Vec<Filing> = (0..200).map(|_| alice(fixtures)).collect();
    file_all(store, &many).await;
    check("filing many", About::Beside);
    let mut of_alice = ListQuery::new(ListFilter::default());
    of_alice.filter.principal = Some(principal_id("alice"));
    assert_eq!(store.list(&of_alice, at(3)).await.unwrap().items.len(), 50);
    check("list a page of a principal", About::Principal);
    assert_eq!(store.list(&ListQuery::new(ListFilter::default()), at(3)).await.unwrap().items.len(), 50);
    check("list a page of everything", About::Listing);
    store.count(at(3)).await.unwrap();
    check("count", About::Everything);
    let mut page = store.export(&ExportQuery::new(None, NonZeroU16::new(100).unwrap()), at(3)).await.unwrap();
    check("export a page", About::Exporting);
    while page.items.is_empty() {
        page = store.export(&ExportQuery::new(page.next, NonZeroU16::MIN), at(3)).await.unwrap();
    }
    check("looking for somebody", About::Beside);
    let filed = page.items.first().expect("somebody was found");
    store.import(filed, at(3)).await.unwrap();
    check("import", About::Principal);
    let selector = Selector::Principal { principal: principal_id("alice"), except: None };
    assert_eq!(end(store, selector, at(4)).await.unwrap().ended.len(), 200);
    check("end 200 sessions of a principal", About::Principal);
    end(store, Selector::IssuedBefore(T0), at(5)).await.unwrap();
    check("end everything issued before", About::Everything);
    end(store, Selector::All, at(5)).await.unwrap();
    check("end everything", About::Everything);
    store.sweep(SweepRequest { now: at(6), limit: 100, lease: Duration::from_secs(1) }).await.unwrap();
    check("sweep", About::Sweeping);
    store.ping().await.unwrap();
    check("ping", About::Servers);
}

/// Counts every verb, of which those about everything are expected to be so many commands; what came of it.
async fn count_each(store: &RedisStore, overheard: &mut [Overheard], all: usize) -> String {
    let mut fixtures = Fixtures::new(1);
    // Every script is known to every server from here on.
    for _ in 0..3 {
        warm_up(store, &mut fixtures).await;
    }
    each_verb(store, &mut fixtures, |_, _| ()).await;
    let servers = if all == 1 { 1 } else { 3 };
    let mut told = Vec::new();
    let check = |what: &'static str, about: About| {
        let verbs = verbs(overheard);
        let expected = match about {
            About::Beside => return,
            About::Principal => 1..=1,
            About::Everything => all..=all,
            // The first answer counts: what is on its way to the others may arrive later.
            About::Servers => 1..=servers,
            About::Listing => all..=all + all / 16,
            About::Sweeping if all == 1 => 1..=1,
            About::Sweeping => all..=all + 1 + 100,
            About::Exporting => all.min(16)..=all.min(16),
        };
        told.push(format!("{what} {}", verbs.len()));
        assert!(expected.contains(&verbs.len()), "{what}: {}, not {expected:?}: {verbs:?}", verbs.len());
        assert!(verbs.iter().all(|verb| verb.starts_with("evalsha")), "{what}: {verbs:?}");
    };
    each_verb(store, &mut fixtures, check).await;
    told.join(", ")
}

#[test]
fn every_verb_is_one_command_however_many_sessions_it_is_about() {
    let server = Redis::start().unwrap();
    let mut overheard = [Overheard::at(&server, &[])];
    let told = run(async { count_each(&open(&server.url()).await, &mut overheard, 1).await });
    println!("commands: {told}");
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
    let all = |server| Overheard::at(server, cluster.servers());
    let mut overheard: Vec<Overheard> = cluster.servers().iter().map(all).collect();
    let told = run(async { count_each(&open(&cluster.url()).await, &mut overheard, 256).await });
    println!("commands: {told}");
}

#[test]
fn what_went_astray_is_put_right_in_rounds_each_of_which_looks_at_no_more_than_its_bound() {
    const EACH: u64 = 100;
    let server = Redis::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(1));
        let filings: Vec<Filing> =
            (0..1_000).map(|number| lasting(fixtures.signed_in(&format!("person-{}", number / 2)))).collect();
        file_all(&store, &filings).await;
        let request =
            SweepRequest { now: at(1), limit: usize::try_from(EACH).unwrap(), lease: Duration::ZERO };
        store.sweep(request).await.unwrap();
        let places = |name: &str| server.command(&["ZCARD", &format!("cloakroom:index:{name}")]).unwrap();
        for (lost, other) in [("due", "live:0"), ("live:0", "due")] {
            server.command(&["DEL", &format!("cloakroom:index:{lost}")]).unwrap();
            calls(&server);
            let (mut rounds, mut more) = (0, true);
            while more {
                more = store.sweep(request).await.unwrap().more;
                rounds += 1;
                let calls = calls(&server);
                let count = |name: &str| calls.get(name).copied().unwrap_or(0);
                assert!(count("evalsha") + count("eval") <= 2, "one call: {calls:?}");
                // A session is an entry, a record, and its place among those of its principal.
                assert!(
                    count("get") <= 2 * EACH + 3 && count("mget") <= EACH && count("zscore") <= EACH,
                    "{calls:?}"
                );
                assert!(count("zadd") <= EACH && count("zrange") <= 6, "{calls:?}");
            }
            assert_eq!(places(lost), places(other), "{lost}");
            assert_eq!(places(lost).trim(), "1000", "{lost}");
            assert_eq!(rounds, 1_000 / EACH, "{lost}");
            // Where nothing went astray, a round looks at nobody.
            calls(&server);
            store.sweep(request).await.unwrap();
            let calls = calls(&server);
            let count = |name: &str| calls.get(name).copied().unwrap_or(0);
            assert_eq!((count("mget"), count("zscore"), count("zcard")), (0, 0, 3), "{calls:?}");
        }
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
