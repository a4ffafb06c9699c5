//! `count`: how many, exactly once everything is swept.

use cloakroom_core::EndReason::{Compromised, SignedOut};
use cloakroom_store::{Counts, Selector, Version};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Fixtures, RETENTION, T0, at};

pub(crate) const CASES: &[Case] = cases!("count", |claims| claims.listing;
    an_empty_store_has_nothing,
    it_counts_by_kind_what_lives_and_what_is_left,
    a_new_token_is_no_other_session,
    everything_ended_at_once_counts_as_ended_when_it_is_swept,
);

async fn an_empty_store_has_nothing(context: &Context) {
    assert_eq!(context.open().await.total(T0).await, Counts::default());
}

async fn it_counts_by_kind_what_lives_and_what_is_left(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| fixtures.signed_in(name));
    let [nobody, noone] = [fixtures.anonymous(), fixtures.anonymous().with_absolute_at(at(50))];
    for filing in [&alice, &bob, &carol, &nobody, &noone] {
        store.file(filing).await;
    }
    assert_eq!(store.total(T0).await, Counts { anonymous: 2, signed_in: 3, tombstones: 0 });
    store.finish_one(alice.id(), SignedOut, at(10)).await;
    assert_eq!(store.total(at(10)).await, Counts { anonymous: 2, signed_in: 2, tombstones: 1 });
    store.sweep_up(at(50)).await;
    assert_eq!(store.total(at(50)).await, Counts { anonymous: 1, signed_in: 2, tombstones: 2 });
    store.sweep_up(at(10).plus(RETENTION)).await;
    // All have ended, and of the first of them the retention is over.
    let lingering = u64::from(store.removes_by_itself());
    let counts = store.total(at(10).plus(RETENTION)).await;
    assert!((4..=4 + lingering).contains(&counts.tombstones), "{counts:?}");
    assert_eq!((counts.anonymous, counts.signed_in), (0, 0));
    store.sweep_up(at(60_000)).await;
    let Counts { tombstones, .. } = store.total(at(60_000)).await;
    assert!(tombstones <= 5 * lingering, "{tombstones} are left past their retention");
    assert_eq!(store.total(at(60_000)).await, Counts { tombstones, ..Counts::default() });
}

async fn a_new_token_is_no_other_session(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    store.file(&filing).await;
    let next = filing.rotated(fixtures.next_digest(&filing), at(10));
    store.exchange(filing.digest, Version::FIRST, &next, at(10)).await;
    assert_eq!(store.total(at(10)).await, Counts { anonymous: 0, signed_in: 1, tombstones: 0 });
}

async fn everything_ended_at_once_counts_as_ended_when_it_is_swept(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for filing in [fixtures.signed_in("alice"), fixtures.anonymous()] {
        store.file(&filing).await;
    }
    store.finish(&Selector::All, Compromised, at(10)).await;
    store.file(&fixtures.anonymous().issued_at(at(10))).await;
    store.sweep_up(at(10)).await;
    assert_eq!(store.total(at(10)).await, Counts { anonymous: 1, signed_in: 0, tombstones: 2 });
}
