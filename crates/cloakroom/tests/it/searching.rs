//! Searching sessions within bounds.

use std::collections::BTreeSet;
use std::sync::Arc;

use cloakroom::{
    Clock as _, Device, EndReason, Found, Issued, ListItem, ListOrder, ListQuery, Revocation, SEARCH_READS,
    Search, Selector, SessionId, StateFilter, Store, TakenFor,
};
use cloakroom_conformance::CountingStore;
use cloakroom_memory::MemoryStore;
use cloakroom_store::Verb;

use crate::support::{MILLI, World, policy, principal};

/// Whom a search is expected to find, in the order of issue.
struct People {
    world: World,
    calls: Arc<CountingStore>,
    alice: Issued,
    malice: Issued,
    alina: Issued,
    gone: Issued,
}

impl People {
    async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let calls = Arc::new(CountingStore::new(store));
        let world = World::over(Arc::<CountingStore>::clone(&calls), policy());
        let device = |ip: [u8; 4], label: &str, user_agent: &str| {
            Device::new().with_ip(ip.into()).with_label(label).with_user_agent(user_agent)
        };
        let home =
            device([203, 0, 113, 9], "Firefox on Linux", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0");
        let away = device([198, 51, 100, 4], "Safari on iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0)");
        let alice = issue(&world, "alice", Some(home)).await;
        let malice = issue(&world, "malice", Some(away)).await;
        let alina = issue(&world, "Alina", None).await;
        let gone = issue(&world, "alice", None).await;
        let selector = Selector::One(gone.session.id());
        world.sessions.revoke(&selector, Revocation::by_system(EndReason::SignedOut)).await.unwrap();
        calls.take();
        Self { world, calls, alice, malice, alina, gone }
    }

    async fn search(&self, ask: impl FnOnce(&mut Search)) -> Found {
        let mut search = Search::default();
        search.order = ListOrder::OldestFirst;
        search.filter.state = StateFilter::Any;
        ask(&mut search);
        self.world.sessions.search(&search).await.unwrap()
    }

    /// What a text is taken for, and what it finds.
    async fn find(&self, text: &str) -> (Option<TakenFor>, Vec<SessionId>) {
        let found = self.search(|search| search.text = Some(text.to_owned())).await;
        assert_eq!((found.next, found.at_bound), (None, false), "{text}");
        (found.taken_for, ids(&found))
    }
}

async fn issue(world: &World, name: &str, device: Option<Device>) -> Issued {
    world.clock.advance(MILLI);
    let wish = match device {
        Some(device) => world.wish(name).device(device),
        None => world.wish(name),
    };
    world.sessions.issue(wish).await.unwrap().expect_issued()
}

fn ids(found: &Found) -> Vec<SessionId> {
    found.items.iter().map(|item| item.cursor().session).collect()
}

#[tokio::test]
async fn what_can_be_looked_up_is_looked_up() {
    let people = People::new().await;
    let [alice, malice, alina, gone] =
        [&people.alice, &people.malice, &people.alina, &people.gone].map(|issued| issued.session.id());
    let table: [(&str, TakenFor, Vec<SessionId>); 9] = [
        (&alice.to_string(), TakenFor::Session, vec![alice]),
        (&gone.to_string(), TakenFor::Session, vec![gone]),
        ("203.0.113.9", TakenFor::Address, vec![alice]),
        ("2001:db8::1", TakenFor::Address, vec![]),
        ("  alice ", TakenFor::Principal, vec![alice, gone]),
        ("ali*", TakenFor::Prefix, vec![alice, gone]),
        ("Al*", TakenFor::Prefix, vec![alina]),
        // Nobody is called so: words.
        ("lice", TakenFor::Words, vec![alice, malice, gone]),
        ("\"alice\"", TakenFor::Words, vec![alice, malice, gone]),
    ];
    for (text, taken_for, expected) in table {
        assert_eq!(people.find(text).await, (Some(taken_for), expected), "{text}");
    }
    assert_eq!(people.find(" ").await, (None, vec![alice, malice, alina, gone]));
}

#[tokio::test]
async fn a_look_up_costs_one_round_trip_and_looks_at_no_stranger() {
    let people = People::new().await;
    for number in 0..500 {
        issue(&people.world, &format!("stranger-{number}"), None).await;
    }
    for (text, rows) in [(people.alice.session.id().to_string(), 1), ("alice".to_owned(), 2)] {
        people.calls.take();
        let found = people.search(|search| search.text = Some(text)).await;
        assert_eq!(people.calls.take(), [Verb::List]);
        assert_eq!(found.read, rows);
    }
}

#[tokio::test]
async fn words_are_found_in_whatever_a_session_mentions_whatever_their_case() {
    let people = People::new().await;
    let [alice, malice, alina, gone] =
        [&people.alice, &people.malice, &people.alina, &people.gone].map(|issued| issued.session.id());
    let middle = &malice.to_string()[6..20];
    let table: [(&str, Vec<SessionId>); 9] = [
        ("ALI", vec![alice, malice, alina, gone]),
        ("mal", vec![malice]),
        (middle, vec![malice]),
        ("firefox on", vec![alice]),
        ("iphone os 18", vec![malice]),
        ("113.9", vec![alice]),
        ("198.51", vec![malice]),
        ("\"203.0.113.9\"", vec![alice]),
        ("nothing of the kind", vec![]),
    ];
    for (text, expected) in table {
        assert_eq!(people.find(text).await, (Some(TakenFor::Words), expected), "{text}");
    }
}

#[tokio::test]
async fn device_and_activity_are_asked_of_live_sessions() {
    let people = People::new().await;
    let [alice, malice, alina] =
        [&people.alice, &people.malice, &people.alina].map(|issued| issued.session.id());
    for (device, expected) in [("LINUX", vec![alice]), ("mozilla", vec![alice, malice]), ("opera", vec![])] {
        let found = people.search(|search| search.device = Some(device.to_owned())).await;
        assert_eq!(ids(&found), expected, "{device}");
    }
    let seen = people.malice.session.created_at();
    let found = people.search(|search| search.seen_since = Some(seen)).await;
    assert_eq!(ids(&found), [malice, alina]);
    let found = people.search(|search| search.seen_before = Some(seen)).await;
    assert_eq!(ids(&found), [alice]);
    let found = people
        .search(|search| {
            search.text = Some("ali".to_owned());
            search.device = Some("iphone".to_owned());
            search.filter.principal = Some(principal("malice"));
            search.seen_before = Some(people.world.clock.now());
        })
        .await;
    assert_eq!(ids(&found), [malice]);
}

#[tokio::test]
async fn pages_of_every_size_hold_each_match_once_from_either_end() {
    let people = People::new().await;
    for number in 0..40 {
        issue(&people.world, ["bob", "alice-2"][number % 2], None).await;
    }
    for (order, limit) in [1, 2, 7, 50]
        .into_iter()
        .flat_map(|limit| [ListOrder::OldestFirst, ListOrder::NewestFirst].map(|order| (order, limit)))
    {
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let found = people
                .search(|search| {
                    (search.text, search.after, search.order) = (Some("lice".to_owned()), after, order);
                    search.limit = Some(limit.try_into().unwrap());
                })
                .await;
            assert!(found.items.len() <= usize::from(limit));
            all.extend(found.items.iter().map(ListItem::cursor));
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(all.len(), 23, "{order:?} {limit}");
        assert!(all.is_sorted_by(|one, next| order.compare(*one, *next).is_lt()), "{order:?} {limit}");
    }
}

#[tokio::test]
async fn a_needle_in_a_haystack_is_found_by_following_and_no_page_looks_at_more_than_its_bound() {
    let people = People::new().await;
    for number in 0..9_000 {
        issue(&people.world, &format!("straw-{number}"), None).await;
    }
    let (mut after, mut found, mut pages) = (None, BTreeSet::new(), 0);
    loop {
        people.calls.take();
        let page = people
            .search(|search| {
                (search.text, search.after) = (Some("\"alice\"".to_owned()), after);
                search.order = ListOrder::NewestFirst;
            })
            .await;
        assert!(page.read <= SEARCH_READS, "looked at {}", page.read);
        assert!(people.calls.take().len() <= 8, "each list looks at 500 at least");
        assert_eq!(page.at_bound, page.next.is_some(), "it stops at nothing else");
        found.extend(ids(&page));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [&people.alice, &people.malice, &people.gone].map(|issued| issued.session.id()).into());
    assert!((4..10).contains(&pages), "{pages} pages for nine thousand");
    assert_eq!(SEARCH_READS, 2 * u64::from(ListQuery::MOST_READ));
}
