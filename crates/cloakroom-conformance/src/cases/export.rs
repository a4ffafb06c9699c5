//! `export`: everything that is filed, page by page, as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::time::Duration;

use cloakroom_core::EndReason::{Compromised, IdleTimeout, RevokedByAdmin, SignedOut};
use cloakroom_core::TokenDigest;
use cloakroom_store::{
    Entry, ErrorKind, ExportCursor, ExportQuery, Filed, ListFilter, ListQuery, Selector, Verb, Version,
};

use super::import::{moved, remains, worn};
use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, IDLE, RETENTION, T0, at};
use crate::harness::Corruption;
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("export", |claims| claims.listing;
    an_empty_store_has_nothing_to_tell,
    everything_is_told_as_it_is,
    pages_of_every_size_hold_everything,
    what_is_there_throughout_is_told_while_others_come_and_go,
    a_session_that_is_over_is_told_as_ended,
    everything_that_was_ended_at_once_is_told_as_ended,
    an_export_goes_on_where_it_stopped,
    a_cursor_of_another_store_is_an_error,
    a_damaged_record_is_left_out_and_counted,
    what_is_told_can_be_filed_elsewhere_and_is_the_same_there,
);

/// One of everything: live and anonymous, changed, exchanged, ended; and what an export is to tell of it at 20.
async fn one_of_everything(store: &Subject) -> BTreeMap<TokenDigest, Entry> {
    let mut fixtures = Fixtures::new(1);
    let [anonymous, ended] = [fixtures.anonymous(), fixtures.signed_in("bob")];
    let changed = fixtures.signed_in("alice").with_ip([192, 0, 2, 1]).with_attribute("cart", *b"a hat");
    let old = fixtures.signed_in("alice");
    let new = old.rotated(fixtures.next_digest(&old), at(10));
    for filing in [&anonymous, &ended, &changed, &old] {
        store.file(filing).await;
    }
    store.change(changed.digest, Version::FIRST, &changed.record, at(5)).await;
    store.note(&[(changed.digest, at(15))], at(15)).await;
    store.exchange(old.digest, Version::FIRST, &new, at(10)).await;
    store.finish_one(ended.id(), SignedOut, at(10)).await;
    let filed = [
        moved(&anonymous, 1, T0),
        moved(&changed, 2, at(15)),
        moved(&new, 2, at(10)),
        worn(&old, at(10)),
        remains(&ended, at(10)),
    ];
    filed.into_iter().map(|Filed { digest, entry }| (digest, entry)).collect()
}

/// What was told of each digest, the last time it was; stores that forget when an ended session was issued tell when it
/// ended instead.
fn by_digest(told: Vec<Filed>, like: &BTreeMap<TokenDigest, Entry>) -> BTreeMap<TokenDigest, Entry> {
    let adjusted = |Filed { digest, mut entry }: Filed| {
        if let (Entry::Ended { created_at, tombstone, .. }, Some(Entry::Ended { created_at: issued, .. })) =
            (&mut entry, like.get(&digest))
            && *created_at == tombstone.ended_at
        {
            *created_at = *issued;
        }
        (digest, entry)
    };
    told.into_iter().map(adjusted).collect()
}

async fn an_empty_store_has_nothing_to_tell(context: &Context) {
    assert_eq!(context.open().await.told(10, T0).await, []);
}

async fn everything_is_told_as_it_is(context: &Context) {
    let store = context.open().await;
    let expected = one_of_everything(&store).await;
    for round in ["once", "again"] {
        assert_eq!(by_digest(store.told(100, at(20)).await, &expected), expected, "{round}");
    }
}

async fn crowd(store: &Subject, seed: u64, size: usize) -> Vec<Filing> {
    let mut fixtures = Fixtures::new(seed);
    let mut names = [None, Some("alice"), Some("bob")].into_iter().cycle();
    let filings: Vec<Filing> = std::iter::repeat_with(|| names.next().flatten())
        .map(|name| match name {
            Some(name) => fixtures.signed_in(name),
            None => fixtures.anonymous(),
        })
        .map(|filing| filing.with_idle_timeout(IDLE * 100))
        .take(size)
        .collect();
    super::race::file_together(store, &filings).await;
    filings
}

async fn pages_of_every_size_hold_everything(context: &Context) {
    let store = context.open().await;
    let filings = crowd(&store, 1, 60).await;
    let ids: BTreeSet<TokenDigest> = filings.iter().map(|filing| filing.digest).collect();
    for limit in [1, 2, 7, 60, 61, u16::MAX] {
        let told: BTreeSet<TokenDigest> =
            store.told(limit, T0).await.into_iter().map(|filed| filed.digest).collect();
        assert_eq!(told, ids, "pages of {limit}");
    }
}

async fn what_is_there_throughout_is_told_while_others_come_and_go(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(9));
    let [stays, goes, ends] =
        [crowd(&store, 1, 40).await, crowd(&store, 2, 40).await, crowd(&store, 3, 40).await];
    let brief: [Filing; 40] = std::array::from_fn(|_| fixtures.anonymous().with_retention(Duration::ZERO));
    super::race::file_together(&store, &brief).await;
    let (mut after, mut told) = (None, BTreeMap::new());
    for turn in 0.. {
        let query = ExportQuery::new(after, NonZeroU16::new(6).expect("not zero"));
        let page = store.export(&query, at(10)).await.expect("export answers");
        told.extend(page.items.into_iter().map(|filed| (filed.digest, filed.entry)));
        after = page.next;
        if after.is_none() {
            break;
        }
        store.file(&fixtures.anonymous().with_idle_timeout(IDLE * 100)).await;
        if let (Some(one), Some(other)) = (goes.get(turn), ends.get(turn)) {
            let next = one.rotated(fixtures.next_digest(one), at(10));
            store.exchange(one.digest, Version::FIRST, &next, at(10)).await;
            store.finish_one(other.id(), SignedOut, at(10)).await;
        }
        // Half-way, many vanish at once: who counts pages skips as many.
        for filing in brief.iter().filter(|_| turn == 10) {
            store.finish_one(filing.id(), SignedOut, at(10)).await;
        }
        store.sweep_up(at(10)).await;
        assert!(turn < 2_000, "an export ends although sessions keep coming");
    }
    for filing in &stays {
        assert_eq!(told.get(&filing.digest), Some(&Entry::Live(filing.live())));
    }
    for filing in &ends {
        let alive = Entry::Live(filing.live());
        let found = told.get(&filing.digest);
        assert!(found == Some(&alive) || matches!(found, Some(Entry::Ended { .. })), "{found:?}");
    }
}

async fn a_session_that_is_over_is_told_as_ended(context: &Context) {
    let store = context.open().await;
    let filing = Fixtures::new(1).signed_in("alice");
    store.file(&filing).await;
    assert_eq!(store.told(10, at(999)).await, [moved(&filing, 1, T0)], "until the instant of its timeout");
    for round in ["before", "after"] {
        let told = store.told(10, at(1_000)).await;
        let [Filed { digest, entry: Entry::Ended { tombstone, kept_until, .. } }] = told.as_slice() else {
            panic!("{round} a sweep: {told:?}")
        };
        assert_eq!((*digest, tombstone), (filing.digest, &filing.tombstone(IdleTimeout, at(1_000))));
        assert_eq!(*kept_until, at(1_000).plus(RETENTION), "{round} a sweep");
        store.sweep_up(at(1_000)).await;
    }
}

async fn everything_that_was_ended_at_once_is_told_as_ended(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [early, late] = [T0, at(5)].map(|issued| fixtures.signed_in("alice").issued_at(issued));
    for filing in [&early, &late] {
        store.file(filing).await;
    }
    store.finish(&Selector::IssuedBefore(at(1)), Compromised, at(10)).await;
    store.finish(&Selector::All, RevokedByAdmin, at(20)).await;
    let fresh = fixtures.signed_in("alice").issued_at(at(21));
    store.file(&fresh).await;
    for round in ["before", "after"] {
        let told = by_digest(store.told(10, at(30)).await, &BTreeMap::new());
        for (filing, over) in
            [(&early, early.tombstone(Compromised, at(10))), (&late, late.tombstone(RevokedByAdmin, at(20)))]
        {
            let Some(Entry::Ended { tombstone, .. }) = told.get(&filing.digest) else {
                panic!("{round} a sweep: {told:?}")
            };
            assert_eq!(*tombstone, over, "{round} a sweep");
        }
        assert_eq!(told.get(&fresh.digest), Some(&Entry::Live(fresh.live())), "{round} a sweep");
        store.sweep_up(at(30)).await;
    }
}

/// A cursor is text: what began in one process can go on in another.
async fn an_export_goes_on_where_it_stopped(context: &Context) {
    let mut store = context.open().await;
    let filings = crowd(&store, 1, 30).await;
    let restarts = store.capabilities().durable;
    let (mut after, mut told, mut pages) = (None::<ExportCursor>, BTreeSet::new(), 0);
    loop {
        let query = ExportQuery::new(after, NonZeroU16::new(4).expect("not zero"));
        let page = store.export(&query, T0).await.expect("export answers");
        told.extend(page.items.iter().map(|filed| filed.digest));
        pages += 1;
        assert!(pages < 1_000, "an export ends");
        let Some(next) = page.next else { break };
        after = Some(next.to_string().parse().expect("a cursor reads back"));
        if restarts {
            store = context.reopen(store).await;
        }
    }
    assert_eq!(told, filings.iter().map(|filing| filing.digest).collect());
    assert!(pages > 1, "a page is bounded");
}

async fn a_cursor_of_another_store_is_an_error(context: &Context) {
    let store = context.open().await;
    crowd(&store, 1, 3).await;
    for text in ["~", "not-a-cursor", "~~.~~"] {
        let query = ExportQuery::new(Some(text.parse().expect("visible text")), NonZeroU16::MIN);
        let error = store.export(&query, T0).await.expect_err("it is nobody's cursor");
        assert_eq!((error.kind(), error.verb()), (ErrorKind::Internal, Verb::Export), "{text}");
    }
}

async fn a_damaged_record_is_left_out_and_counted(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [damaged, sound] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    store.file(&damaged).await;
    store.file(&sound).await;
    if context.corrupt(damaged.digest).await == Corruption::KeepsNoBytes {
        return;
    }
    let query = ExportQuery::new(None, NonZeroU16::MAX);
    let page = store.export(&query, T0).await.expect("one damaged record does not stop it");
    assert_eq!((page.items, page.damaged), (vec![moved(&sound, 1, T0)], 1));
}

async fn what_is_told_can_be_filed_elsewhere_and_is_the_same_there(context: &Context) {
    let store = context.open().await;
    let expected = one_of_everything(&store).await;
    let somewhere = context.elsewhere();
    let other = somewhere.open().await;
    for _ in 0..2 {
        for filed in store.told(2, at(20)).await {
            other.take_in(&filed, at(20)).await;
        }
    }
    for digest in expected.keys() {
        assert_eq!(other.look_up(*digest, at(20)).await, store.look_up(*digest, at(20)).await);
    }
    assert_eq!(by_digest(other.told(100, at(20)).await, &expected), expected);
    assert_eq!(other.total(at(20)).await, store.total(at(20)).await);
    let all = ListQuery::new(ListFilter::default());
    assert_eq!(other.pages(&all, at(20)).await, store.pages(&all, at(20)).await);
    for now in [at(1_010), at(1_015)] {
        other.sweeps(now, store.sweep_up(now).await).await;
    }
}
