//! A record that cannot be decoded: an error for whoever asks for it, harmless to everybody else.

use cloakroom_core::EndReason::{IdleTimeout, SignedOut};
use cloakroom_core::TokenDigest;
use cloakroom_store::{ErrorKind, ListFilter, ListQuery, Lookup, Verb};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at, principal_id};
use crate::harness::Corruption;
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("corrupt", |_| true;
    a_store_that_is_durable_keeps_bytes_that_can_be_damaged,
    a_damaged_record_is_an_error_of_its_own_kind_and_never_live,
    a_damaged_record_leaves_the_others_unharmed,
    a_sweep_goes_on_and_removes_it_in_the_end,
    a_session_with_a_damaged_record_can_be_ended,
    all_of_a_principal_can_be_ended_although_a_record_is_damaged,
);

pub(crate) const LISTED: &[Case] = cases!("corrupt", |claims| claims.listing;
    a_list_leaves_it_out,
);

/// A store with a damaged session and one that is not; `None` where nothing can be damaged.
async fn damaged(context: &Context) -> Option<(Subject, Filing, Filing)> {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [damaged, sound] =
        std::array::from_fn(|_| fixtures.signed_in("alice").with_attribute("cart", *b"a hat"));
    store.file(&damaged).await;
    store.file(&sound).await;
    match context.corrupt(damaged.digest).await {
        Corruption::Done => Some((store, damaged, sound)),
        Corruption::KeepsNoBytes => None,
    }
}

async fn is_corrupt(store: &Subject, digest: TokenDigest) {
    let error = store.get(digest, T0).await.expect_err("damaged bytes are no answer");
    assert_eq!((error.kind(), error.verb(), error.store()), (ErrorKind::Corrupt, Verb::Get, store.name()));
}

async fn a_store_that_is_durable_keeps_bytes_that_can_be_damaged(context: &Context) {
    let durable = context.open().await.capabilities().durable;
    let somewhere = context.elsewhere();
    assert!(
        damaged(&somewhere).await.is_some() || !durable,
        "the harness of a durable store implements `corrupt`"
    );
}

async fn a_damaged_record_is_an_error_of_its_own_kind_and_never_live(context: &Context) {
    let Some((store, damaged, _)) = damaged(context).await else { return };
    is_corrupt(&store, damaged.digest).await;
    is_corrupt(&store, damaged.digest).await;
}

async fn a_damaged_record_leaves_the_others_unharmed(context: &Context) {
    let Some((store, _, sound)) = damaged(context).await else { return };
    assert_eq!(store.look_up(sound.digest, T0).await, Lookup::Live(sound.live()));
    let new = Fixtures::new(2).signed_in("alice");
    store.file(&new).await;
    store.finish_one(sound.id(), SignedOut, at(10)).await;
    assert_eq!(store.look_up(new.digest, at(10)).await, Lookup::Live(new.live()));
}

async fn a_sweep_goes_on_and_removes_it_in_the_end(context: &Context) {
    let Some((store, damaged, sound)) = damaged(context).await else { return };
    let swept = store.sweep_up(at(1_000)).await;
    let found = swept.contains(&sound.tombstone(IdleTimeout, at(1_000)).into());
    assert!(found || !store.finds_what_is_over(), "the sound one is found: {swept:?}");
    let expired = at(1_000);
    assert!(!matches!(store.get(damaged.digest, expired).await, Ok(Lookup::Live(_))), "it is never live");
    // Past its absolute instant and every retention that could count from there.
    let later = at(100_000);
    store.sweep_up(later).await;
    store.sweep_up(later).await;
    store.is_gone(sound.digest, later).await;
    if store.removes_by_itself() {
        assert!(!matches!(store.get(damaged.digest, later).await, Ok(Lookup::Live(_))), "it is never live");
    } else {
        store.is_gone(damaged.digest, later).await;
    }
}

async fn a_session_with_a_damaged_record_can_be_ended(context: &Context) {
    let Some((store, damaged, sound)) = damaged(context).await else { return };
    store.finish_one(damaged.id(), SignedOut, at(10)).await;
    assert!(!matches!(store.get(damaged.digest, at(10)).await, Ok(Lookup::Live(_))));
    assert_eq!(store.look_up(sound.digest, at(10)).await, Lookup::Live(sound.live()));
}

async fn a_list_leaves_it_out(context: &Context) {
    let Some((store, _, sound)) = damaged(context).await else { return };
    let page = store.page(&ListQuery::new(ListFilter::default()), T0).await;
    assert_eq!(page.items.iter().map(|item| item.cursor().session).collect::<Vec<_>>(), [sound.id()]);
}

async fn all_of_a_principal_can_be_ended_although_a_record_is_damaged(context: &Context) {
    let Some((store, damaged, sound)) = damaged(context).await else { return };
    let ending = store.finish_all_of(principal_id("alice"), SignedOut, at(10)).await;
    assert!(ending.ended.contains(&sound.tombstone(SignedOut, at(10)).into()), "{ending:?}");
    for filing in [&damaged, &sound] {
        assert!(!matches!(store.get(filing.digest, at(10)).await, Ok(Lookup::Live(_))));
    }
}
