//! `list`: from either end, by the beginning of a name, and within its bound.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

use cloakroom_core::EndReason::SignedOut;
use cloakroom_core::SessionId;
use cloakroom_store::StateFilter::{Active, Any, Ended};
use cloakroom_store::{ListFilter, ListItem, ListOrder, ListQuery, Selector, StateFilter};

use super::list::{ids, query, session, such, ten};
use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, at, principal_id};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("list", |claims| claims.listing;
    from_the_other_end_the_same_sessions_come_in_the_opposite_order,
    from_the_other_end_pages_stay_stable_while_sessions_come_and_go,
    a_beginning_finds_all_whose_name_begins_so_and_nobody_else,
    a_beginning_holds_together_with_every_other_condition,
    no_page_looks_at_more_than_its_bound_and_whoever_follows_finds_each_match_once,
);

const SOME: NonZeroU16 = NonZeroU16::new(2).expect("not zero");
const ORDERS: [ListOrder; 2] = [ListOrder::NewestFirst, ListOrder::OldestFirst];

fn beginning(name: &str, state: StateFilter) -> ListFilter {
    such(|filter| (filter.principal_prefix, filter.state) = (Some(principal_id(name)), state))
}

async fn from_the_other_end_the_same_sessions_come_in_the_opposite_order(context: &Context) {
    let store = context.open().await;
    let filings = ten(&store).await;
    let expected: Vec<SessionId> = ids(&filings).into_iter().rev().collect();
    for size in 1..=12 {
        let limit = NonZeroU16::new(size).expect("not zero");
        let query = query(ListFilter::default(), limit).ordered(ListOrder::OldestFirst);
        let items = store.pages(&query, at(10)).await;
        assert_eq!(items.iter().map(session).collect::<Vec<_>>(), expected, "{size} on a page");
    }
    let from_three = such(|filter| filter.issued_from = Some(at(3)));
    let upto_five = such(|filter| filter.issued_before = Some(at(5)));
    for (filter, holds) in [(from_three, 3..100), (upto_five, -100..5)] {
        let query = query(filter, SOME).ordered(ListOrder::OldestFirst);
        let items = store.pages(&query, at(10)).await;
        let within = |filing: &&Filing| (at(holds.start)..at(holds.end)).contains(&filing.record.created_at);
        let within: Vec<Filing> = filings.iter().filter(within).cloned().collect();
        let expected: Vec<SessionId> = ids(&within).into_iter().rev().collect();
        assert_eq!(items.iter().map(session).collect::<Vec<_>>(), expected);
    }
}

async fn from_the_other_end_pages_stay_stable_while_sessions_come_and_go(context: &Context) {
    let store = context.open().await;
    let filings = ten(&store).await;
    let mut fixtures = Fixtures::new(2);
    let any = such(|filter| filter.state = StateFilter::Any);
    let mut query = query(any, SOME).ordered(ListOrder::OldestFirst);
    let mut seen = Vec::new();
    for turn in 0.. {
        let page = store.page(&query, at(30)).await;
        seen.extend(page.items.iter().map(session));
        let Some(next) = page.next else { break };
        query.after = Some(next);
        // One at each end, and one that ends in the middle; so few at the end that it is reached.
        let issued = if turn < 3 { [at(20), at(-20)] } else { [at(-20), at(-30)] };
        for issued in issued {
            store.file_at(&fixtures.signed_in("alice").issued_at(issued), at(20)).await;
        }
        let middle =
            filings.get(usize::try_from(turn).expect("not negative")).expect("fewer pages than sessions");
        store.finish_one(middle.id(), SignedOut, middle.record.created_at).await;
    }
    let original: Vec<SessionId> = seen.into_iter().filter(|id| ids(&filings).contains(id)).collect();
    let expected: Vec<SessionId> = ids(&filings).into_iter().rev().collect();
    assert_eq!(original, expected, "each session that was there throughout is on exactly one page");
}

/// Names that a comparison with wild cards, without case, or by letters instead of bytes would mix up.
const NAMES: [&str; 12] =
    ["a_b", "a_b_c", "axb", "a%b", "A_b", "a_", "a_\u{10FFFF}\u{10FFFF}", "a`", "a", "ä_b", "b_a_b", "a_B"];

async fn a_beginning_finds_all_whose_name_begins_so_and_nobody_else(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let mut filings = vec![fixtures.anonymous()];
    filings.extend(NAMES.into_iter().chain(NAMES).map(|name| fixtures.signed_in(name)));
    for (filing, minute) in filings.iter_mut().zip(0..) {
        *filing = filing.clone().issued_at(at(minute));
        store.file_at(filing, at(minute)).await;
    }
    let gone: Vec<Filing> = filings.iter().skip(NAMES.len()).step_by(2).cloned().collect();
    for filing in &gone {
        store.finish_one(filing.id(), SignedOut, at(100)).await;
    }
    for name in NAMES.into_iter().chain(["a_b_", "a_b_c_d", "\u{10FFFF}", "c"]) {
        for (state, order) in [StateFilter::Active, StateFilter::Ended, StateFilter::Any]
            .into_iter()
            .flat_map(|state| ORDERS.map(|order| (state, order)))
        {
            let begins = |filing: &&Filing| {
                let is_wanted = match state {
                    StateFilter::Active => !gone.contains(filing),
                    StateFilter::Ended => gone.contains(filing),
                    StateFilter::Any => true,
                };
                is_wanted && filing.principal().is_some_and(|principal| principal.as_str().starts_with(name))
            };
            let expected: Vec<Filing> = filings.iter().filter(begins).cloned().collect();
            let mut expected = ids(&expected);
            if order == ListOrder::OldestFirst {
                expected.reverse();
            }
            let query = query(beginning(name, state), SOME).ordered(order);
            let found: Vec<SessionId> = store.pages(&query, at(100)).await.iter().map(session).collect();
            assert_eq!(found, expected, "{name} {state:?} {order:?}");
        }
    }
}

async fn a_beginning_holds_together_with_every_other_condition(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let home = IpAddr::from(Ipv4Addr::new(203, 0, 113, 9));
    let [one, two] = [1, 2].map(|instant| fixtures.signed_in("alice").issued_at(at(instant)).with_ip(home));
    let three = fixtures.signed_in("alina").issued_at(at(3));
    let four = fixtures.signed_in("bob").issued_at(at(4)).with_ip(home);
    for filing in [&one, &two, &three, &four] {
        store.file_at(filing, at(4)).await;
    }
    let [a, b, c, _] = [&one, &two, &three, &four].map(Filing::id);
    let of = |conditions: &dyn Fn(&mut ListFilter)| {
        let mut filter = beginning("ali", StateFilter::Active);
        conditions(&mut filter);
        filter
    };
    let table: [(&str, ListFilter, Vec<SessionId>); 7] = [
        ("beginning", of(&|_| ()), vec![c, b, a]),
        ("address", of(&|filter| filter.ip = Some(home)), vec![b, a]),
        ("principal", of(&|filter| filter.principal = Some(principal_id("alice"))), vec![b, a]),
        ("another principal", of(&|filter| filter.principal = Some(principal_id("bob"))), vec![]),
        ("session", of(&|filter| filter.session = Some(c)), vec![c]),
        ("another session", of(&|filter| filter.session = Some(four.id())), vec![]),
        (
            "between",
            of(&|filter| (filter.issued_from, filter.issued_before) = (Some(at(2)), Some(at(3)))),
            vec![b],
        ),
    ];
    for (name, filter, expected) in table {
        let found = store.pages(&query(filter, SOME), at(5)).await;
        assert_eq!(found.iter().map(session).collect::<Vec<_>>(), expected, "{name}");
    }
}

/// More than a page may look at, of whom there are few of one sort and many of another.
async fn crowd(store: &Subject) -> Vec<(Filing, bool)> {
    let mut fixtures = Fixtures::new(3);
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let filing = match number % 16 {
            0 => fixtures.anonymous(),
            1..8 => fixtures.signed_in("service"),
            _ => fixtures.signed_in(&format!("person-{number}")),
        };
        let filing = filing.issued_at(at(i64::from(number / 7)));
        let filing = if number % 97 == 5 { filing.with_ip(RARE) } else { filing.with_ip([203, 0, 113, 1]) };
        store.file_at(&filing, filing.record.created_at).await;
        crowd.push((filing, number % 61 == 3));
    }
    for (filing, _) in crowd.iter().filter(|(_, is_over)| *is_over) {
        store.finish(&Selector::One(filing.id()), SignedOut, at(400)).await;
    }
    crowd
}

const CROWD: u32 = 2_300;
const RARE: [u8; 4] = [192, 0, 2, 77];

async fn no_page_looks_at_more_than_its_bound_and_whoever_follows_finds_each_match_once(context: &Context) {
    let store = context.open().await;
    let crowd = crowd(&store).await;
    let of = |state: StateFilter, conditions: &dyn Fn(&mut ListFilter)| {
        let mut filter = such(|filter| filter.state = state);
        conditions(&mut filter);
        filter
    };
    let filters = [
        of(Active, &|_| ()),
        of(Ended, &|_| ()),
        of(Active, &|filter| filter.ip = Some(RARE.into())),
        of(Any, &|filter| filter.ip = Some([198, 51, 100, 1].into())),
        of(Any, &|filter| filter.principal = Some(principal_id("service"))),
        of(Active, &|filter| {
            (filter.principal, filter.ip) = (Some(principal_id("service")), Some(RARE.into()));
        }),
        // Fewer than can be counted first, and more.
        of(Any, &|filter| filter.principal_prefix = Some(principal_id("person-12"))),
        of(Any, &|filter| filter.principal_prefix = Some(principal_id("person"))),
        of(Active, &|filter| filter.principal_prefix = Some(principal_id("s"))),
        of(Ended, &|filter| filter.principal_prefix = Some(principal_id("person-2"))),
        of(Active, &|filter| {
            (filter.principal_prefix, filter.ip) = (Some(principal_id("person")), Some(RARE.into()));
        }),
        of(Active, &|filter| (filter.ip, filter.issued_from) = (Some(RARE.into()), Some(at(300)))),
        of(Any, &|filter| filter.issued_before = Some(at(10))),
    ];
    // Small pages from one end for this one, large ones from the other for the next.
    let ways = [(ListOrder::NewestFirst, 80), (ListOrder::OldestFirst, 2_500)].into_iter().cycle();
    for (filter, (order, limit)) in filters.into_iter().zip(ways) {
        let limit = NonZeroU16::new(limit).expect("not zero");
        follow(&store, &query(filter, limit).ordered(order), &crowd).await;
    }
}

async fn follow(store: &Subject, query: &ListQuery, crowd: &[(Filing, bool)]) {
    let mut expected = BTreeSet::new();
    for (filing, is_over) in crowd {
        let item = match is_over {
            true => ListItem::Ended {
                tombstone: filing.tombstone(SignedOut, at(400)),
                created_at: filing.record.created_at,
            },
            false => ListItem::Live(filing.live()),
        };
        if query.filter.lets_through(&item) {
            expected.insert(filing.id());
        }
    }
    let (mut query, mut found) = (query.clone(), BTreeSet::new());
    loop {
        let page = store.page(&query, at(401)).await;
        assert!(page.read <= u64::from(ListQuery::MOST_READ), "looked at {}: {query:?}", page.read);
        assert!(
            page.read >= u64::try_from(page.items.len()).expect("few"),
            "whatever is found was looked at"
        );
        assert!(page.items.len() <= usize::from(query.limit.get()), "a page keeps its limit");
        for item in &page.items {
            let id = item.cursor().session;
            assert!(expected.contains(&id), "nothing else is found: {item:?}");
            assert!(found.insert(id), "nothing is found twice: {item:?}");
            assert!(query.is_behind(item.cursor()), "nothing is found before its page");
        }
        let Some(next) = page.next else { break };
        assert!(query.is_behind(next), "every page leads on: {next:?}");
        query.after = Some(next);
    }
    assert_eq!(found.len(), expected.len(), "each is found: {query:?}");
}
