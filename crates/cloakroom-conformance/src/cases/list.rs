//! `list`: every session on exactly one page, whatever happens meanwhile.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use cloakroom_core::EndReason::{Compromised, IdleTimeout, SignedOut};
use cloakroom_core::{SessionId, Timestamp, Tombstone};
use cloakroom_store::{Cursor, ListFilter, ListItem, ListQuery, Selector, StateFilter, Version};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at, principal_id};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("list", |claims| claims.listing;
    an_empty_store_has_one_empty_page,
    sessions_come_from_the_latest_issued_to_the_first_and_by_descending_id_at_a_tie,
    pages_of_every_size_hold_each_session_once,
    the_last_page_says_so_even_when_it_is_full,
    every_condition_lets_through_what_meets_it,
    conditions_hold_together,
    addresses_of_both_families_are_told_apart,
    a_live_session_is_listed_as_it_is_now,
    a_session_that_is_over_is_never_listed_as_live,
    an_ended_session_is_listed_with_its_reason_where_it_stood,
    what_ended_with_all_others_is_listed_with_its_reason_when_it_is_swept,
    pages_stay_stable_while_sessions_come_and_go,
    a_cursor_of_a_session_that_is_gone_still_names_its_place,
);

const SOME: NonZeroU16 = NonZeroU16::new(2).expect("not zero");

pub(super) fn query(filter: ListFilter, limit: NonZeroU16) -> ListQuery {
    ListQuery::new(filter).with_limit(limit)
}

/// A filter with these conditions.
pub(super) fn such(conditions: impl FnOnce(&mut ListFilter)) -> ListFilter {
    let mut filter = ListFilter::default();
    conditions(&mut filter);
    filter
}

fn any() -> ListFilter {
    such(|filter| filter.state = StateFilter::Any)
}

fn ended() -> ListFilter {
    such(|filter| filter.state = StateFilter::Ended)
}

pub(super) fn session(item: &ListItem) -> SessionId {
    item.cursor().session
}

/// The filings in the order every list has.
pub(super) fn ids(filings: &[Filing]) -> Vec<SessionId> {
    let mut cursors: Vec<(Timestamp, SessionId)> =
        filings.iter().map(|filing| (filing.record.created_at, filing.id())).collect();
    cursors.sort_unstable();
    cursors.into_iter().rev().map(|(_, id)| id).collect()
}

async fn listed(store: &Subject, filter: ListFilter, now: Timestamp) -> Vec<SessionId> {
    store.pages(&query(filter, SOME), now).await.iter().map(session).collect()
}

/// Ten sessions, several of which were issued at the same millisecond.
pub(super) async fn ten(store: &Subject) -> Vec<Filing> {
    let mut fixtures = Fixtures::new(1);
    let mut filings = Vec::new();
    for issued in [5, 0, 3, 3, 3, -7, 3, 9, 0, 9] {
        let filing = if issued == 3 { fixtures.anonymous() } else { fixtures.signed_in("alice") };
        let filing = filing.issued_at(at(issued));
        store.file_at(&filing, at(9)).await;
        filings.push(filing);
    }
    filings
}

async fn an_empty_store_has_one_empty_page(context: &Context) {
    let store = context.open().await;
    for filter in [ListFilter::default(), any()] {
        let page = store.page(&query(filter, SOME), T0).await;
        assert_eq!((page.items, page.next), (Vec::new(), None));
    }
}

async fn sessions_come_from_the_latest_issued_to_the_first_and_by_descending_id_at_a_tie(context: &Context) {
    let store = context.open().await;
    let filings = ten(&store).await;
    let page = store.page(&ListQuery::new(ListFilter::default()), at(10)).await;
    assert_eq!(page.items.iter().map(session).collect::<Vec<_>>(), ids(&filings));
    assert_eq!(page.next, None);
}

async fn pages_of_every_size_hold_each_session_once(context: &Context) {
    let store = context.open().await;
    let filings = ten(&store).await;
    for size in 1..=12 {
        let limit = NonZeroU16::new(size).expect("not zero");
        let items = store.pages(&query(ListFilter::default(), limit), at(10)).await;
        assert_eq!(items.iter().map(session).collect::<Vec<_>>(), ids(&filings), "{size} on a page");
    }
}

async fn the_last_page_says_so_even_when_it_is_full(context: &Context) {
    let store = context.open().await;
    ten(&store).await;
    let mut next = None;
    for remaining in [8, 6, 4, 2, 0] {
        let page = store.page(&query(ListFilter::default(), SOME).after(next), at(10)).await;
        assert_eq!(page.items.len(), 2);
        assert_eq!(page.next.is_some(), remaining > 0, "{remaining} remain");
        assert_eq!(
            page.next.or(page.items.last().map(ListItem::cursor)),
            page.items.last().map(ListItem::cursor)
        );
        next = page.next;
    }
}

async fn every_condition_lets_through_what_meets_it(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let home = IpAddr::from(Ipv4Addr::new(203, 0, 113, 9));
    let alice = fixtures.signed_in("alice").issued_at(at(1)).with_ip(home);
    let bob = fixtures.signed_in("bob").issued_at(at(2)).with_ip([203, 0, 113, 90]);
    let nobody = fixtures.anonymous().issued_at(at(3));
    let gone = fixtures.signed_in("alice").issued_at(at(4)).with_ip(home);
    for filing in [&alice, &bob, &nobody, &gone] {
        store.file_at(filing, at(4)).await;
    }
    store.finish_one(gone.id(), SignedOut, at(5)).await;
    let [a, b, n, g] = [&alice, &bob, &nobody, &gone].map(Filing::id);
    let of = |conditions: fn(&mut ListFilter)| {
        such(|filter| {
            filter.state = StateFilter::Any;
            conditions(filter);
        })
    };
    let table: [(&str, ListFilter, Vec<SessionId>); 9] = [
        ("any", any(), vec![g, n, b, a]),
        ("active", of(|filter| filter.state = StateFilter::Active), vec![n, b, a]),
        ("ended", of(|filter| filter.state = StateFilter::Ended), vec![g]),
        ("principal", of(|filter| filter.principal = Some(principal_id("alice"))), vec![g, a]),
        ("nobody's", of(|filter| filter.principal = Some(principal_id("carol"))), vec![]),
        ("address", of(|filter| filter.ip = Some([203, 0, 113, 9].into())), vec![a]),
        ("from", of(|filter| filter.issued_from = Some(at(2))), vec![g, n, b]),
        ("before", of(|filter| filter.issued_before = Some(at(2))), vec![a]),
        (
            "between",
            of(|filter| (filter.issued_from, filter.issued_before) = (Some(at(2)), Some(at(4)))),
            vec![n, b],
        ),
    ];
    for (name, filter, expected) in table {
        assert_eq!(listed(&store, filter, at(6)).await, expected, "{name}");
    }
    for id in [a, b, n, g] {
        let one = such(|filter| (filter.state, filter.session) = (StateFilter::Any, Some(id)));
        assert_eq!(listed(&store, one, at(6)).await, [id]);
    }
    let stranger = such(|filter| filter.session = Some(fixtures.anonymous().id()));
    assert_eq!(listed(&store, stranger, at(6)).await, []);
}

async fn conditions_hold_together(context: &Context) {
    let store = context.open().await;
    let filings = ten(&store).await;
    let filter = such(|filter| {
        filter.principal = Some(principal_id("alice"));
        filter.issued_from = Some(at(0));
        filter.issued_before = Some(at(9));
    });
    let expected: Vec<Filing> = filings
        .into_iter()
        .filter(|filing| filing.principal().is_some() && (at(0)..at(9)).contains(&filing.record.created_at))
        .collect();
    assert_eq!(expected.len(), 3);
    assert_eq!(listed(&store, filter.clone(), at(10)).await, ids(&expected));
    for filing in &expected {
        let mut one = filter.clone();
        one.session = Some(filing.id());
        assert_eq!(listed(&store, one.clone(), at(10)).await, [filing.id()]);
        one.principal = Some(principal_id("bob"));
        assert_eq!(listed(&store, one, at(10)).await, []);
    }
}

async fn addresses_of_both_families_are_told_apart(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let addresses: [IpAddr; 4] = [
        Ipv4Addr::new(192, 0, 2, 1).into(),
        Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xc000, 0x201).into(),
    ];
    let filings = addresses.map(|ip| fixtures.signed_in("alice").with_ip(ip));
    for filing in &filings {
        store.file(filing).await;
    }
    for (ip, filing) in addresses.into_iter().zip(&filings) {
        let filter = such(|filter| filter.ip = Some(ip));
        assert_eq!(listed(&store, filter, T0).await, [filing.id()], "{ip}");
    }
}

async fn a_live_session_is_listed_as_it_is_now(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice").with_ip([192, 0, 2, 1]));
    store.file(&filing).await;
    let changed = filing.clone().with_attribute("cart", *b"a hat");
    store.change(filing.digest, Version::FIRST, &changed.record, at(10)).await;
    store.note(&[(filing.digest, at(20))], at(20)).await;
    let mut live = changed.live_seen(at(20));
    live.version = Version::from_u64(2);
    let page = store.page(&ListQuery::new(ListFilter::default()), at(30)).await;
    assert_eq!(page.items, [ListItem::Live(live)]);
}

async fn a_session_that_is_over_is_never_listed_as_live(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [ended, expired] = [fixtures.signed_in("alice"), fixtures.anonymous().with_absolute_at(at(50))];
    for filing in [&ended, &expired] {
        store.file(filing).await;
    }
    store.finish(&Selector::All, Compromised, at(10)).await;
    let late = fixtures.signed_in("alice").issued_at(at(10)).with_absolute_at(at(50));
    store.file(&late).await;
    for (now, live) in [(at(49), vec![late.id()]), (at(50), vec![]), (at(51), vec![])] {
        for filter in [ListFilter::default(), any()] {
            let items = store.pages(&query(filter, SOME), now).await;
            let alive: Vec<SessionId> =
                items.iter().filter(|item| matches!(item, ListItem::Live(_))).map(session).collect();
            assert_eq!(alive, live, "at {now}");
        }
        assert_eq!(listed(&store, ListFilter::default(), now).await, live, "at {now}");
    }
}

async fn an_ended_session_is_listed_with_its_reason_where_it_stood(context: &Context) {
    let store = context.open().await;
    let mut filings = ten(&store).await;
    let signed_out: Vec<Filing> = filings.iter().step_by(2).cloned().collect();
    for filing in &signed_out {
        store.finish_one(filing.id(), SignedOut, at(20)).await;
    }
    let check = async |filings: &[Filing], now| {
        let items = store.pages(&query(any(), SOME), now).await;
        assert_eq!(items.len(), filings.len());
        let mut previous: Option<Cursor> = None;
        for item in items {
            assert!(previous.is_none_or(|previous| item.cursor() < previous), "in order");
            previous = Some(item.cursor());
            let ListItem::Ended { tombstone, created_at } = item else { continue };
            let filing =
                filings.iter().find(|filing| filing.id() == tombstone.session).expect("a session filed");
            assert_eq!(tombstone, over(filing, &signed_out));
            assert!([filing.record.created_at, tombstone.ended_at].contains(&created_at), "{created_at}");
        }
    };
    check(&filings, at(30)).await;
    store.sweep_up(at(1_100)).await;
    check(&filings, at(1_100)).await;
    assert_eq!(store.pages(&query(ended(), SOME), at(1_100)).await.len(), filings.len());
    assert_eq!(listed(&store, ListFilter::default(), at(1_100)).await, []);
    store.sweep_up(at(9_000)).await;
    if !store.removes_by_itself() {
        filings.truncate(0);
        check(&filings, at(9_000)).await;
    }
}

fn over(filing: &Filing, signed_out: &[Filing]) -> Tombstone {
    if signed_out.contains(filing) {
        return filing.tombstone(SignedOut, at(20));
    }
    let idle_at = filing.record.created_at.plus(filing.record.lifetime.idle_timeout);
    filing.tombstone(IdleTimeout, idle_at)
}

async fn what_ended_with_all_others_is_listed_with_its_reason_when_it_is_swept(context: &Context) {
    let store = context.open().await;
    let filings = ten(&store).await;
    store.finish(&Selector::All, Compromised, at(20)).await;
    store.sweep_up(at(20)).await;
    let items = store.pages(&query(ended(), SOME), at(20)).await;
    assert_eq!(items.len(), filings.len());
    for item in items {
        let ListItem::Ended { tombstone, .. } = item else { panic!("all have ended: {item:?}") };
        assert_eq!((tombstone.reason, tombstone.ended_at), (Compromised, at(20)));
    }
}

async fn pages_stay_stable_while_sessions_come_and_go(context: &Context) {
    let store = context.open().await;
    let filings = ten(&store).await;
    let (mut fixtures, mut query) = (Fixtures::new(2), query(any(), SOME));
    let mut seen = Vec::new();
    for turn in 0.. {
        let page = store.page(&query, at(30)).await;
        seen.extend(page.items.iter().map(session));
        let Some(next) = page.next else { break };
        query.after = Some(next);
        // One at the top, one at the bottom, and one that ends in the middle.
        for issued in [at(20 + turn), at(-20)] {
            store.file_at(&fixtures.signed_in("alice").issued_at(issued), at(20)).await;
        }
        let middle =
            filings.get(usize::try_from(turn).expect("not negative")).expect("fewer pages than sessions");
        store.finish_one(middle.id(), SignedOut, middle.record.created_at).await;
    }
    let original: Vec<SessionId> = seen.into_iter().filter(|id| ids(&filings).contains(id)).collect();
    assert_eq!(original, ids(&filings), "each session that was there throughout is on exactly one page");
}

async fn a_cursor_of_a_session_that_is_gone_still_names_its_place(context: &Context) {
    let store = context.open().await;
    let filings = ten(&store).await;
    let page = store.page(&query(ListFilter::default(), SOME), at(10)).await;
    let last = page.next.expect("there are more than two");
    store.finish_one(last.session, SignedOut, at(10)).await;
    let rest = store.pages(&query(ListFilter::default(), SOME).after(last), at(10)).await;
    assert_eq!(rest.iter().map(session).collect::<Vec<_>>(), ids(&filings).split_off(2));
}
