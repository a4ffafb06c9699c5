//! Several handles to the same sessions: what one does, the others see at once.

use std::time::Duration;

use cloakroom_core::EndReason::{Compromised, IdleTimeout, RevokedByAdmin, SignedOut};
use cloakroom_core::OnLimit;
use cloakroom_store::{
    Counts, Ending, Inserted, ListFilter, ListQuery, Lookup, Rekeyed, Replaced, Retired, Selector,
    SweepRequest, Version,
};

use super::duel::{self, Write};
use super::race;
use super::{limit, rekey};
use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at, principal_id};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("shared", |claims| claims.shared;
    what_one_files_changes_and_touches_the_other_sees,
    what_one_ends_the_other_refuses,
    what_one_ends_by_principal_or_all_at_once_the_other_refuses,
    a_token_exchanged_by_one_is_retired_for_the_other,
    a_version_read_by_one_is_a_conflict_after_a_change_by_the_other,
    the_same_digest_is_filed_by_one_of_them_only,
    each_session_is_reported_to_one_of_them_only,
    of_many_changes_by_both_every_one_counts,
    a_sign_out_at_one_is_not_undone_by_a_change_at_the_other,
    a_sign_out_at_one_is_not_undone_by_activity_at_the_other,
    a_sign_out_at_one_is_not_undone_by_an_exchange_of_the_token_at_the_other,
    whoever_signed_in_at_one_before_the_other_ended_everything_is_out,
    whoever_signed_in_at_one_before_the_other_ended_all_their_sessions_is_out,
    of_parallel_exchanges_at_both_exactly_one_is_done,
);

pub(crate) const LISTED: &[Case] = cases!("shared", |claims| claims.shared && claims.listing;
    both_list_and_count_the_same,
    while_one_holds_the_lease_the_other_does_not_sweep,
);

pub(crate) const LIMITED: &[Case] = cases!("shared", |claims| claims.shared && claims.limits;
    parallel_sign_ins_at_both_never_exceed_the_limit,
    of_parallel_sign_ins_at_both_exactly_as_many_succeed_as_are_allowed,
);

pub(crate) const NOT: &[Case] = cases!("shared", |claims| !claims.shared;
    a_store_that_claims_not_to_be_shared_knows_nothing_of_another,
);

async fn both(context: &Context) -> (Subject, Subject, Filing) {
    let (one, other, filing) =
        (context.open().await, context.open().await, Fixtures::new(1).signed_in("alice"));
    one.file(&filing).await;
    (one, other, filing)
}

async fn what_one_files_changes_and_touches_the_other_sees(context: &Context) {
    let (one, other, filing) = both(context).await;
    assert_eq!(other.look_up(filing.digest, T0).await, Lookup::Live(filing.live()));
    other.note(&[(filing.digest, at(300))], at(300)).await;
    assert_eq!(one.look_up(filing.digest, at(300)).await, Lookup::Live(filing.live_seen(at(300))));
    let changed = filing.clone().with_attribute("cart", *b"a hat");
    one.change(filing.digest, Version::FIRST, &changed.record, at(300)).await;
    let mut live = changed.live_seen(at(300));
    live.version = Version::from_u64(2);
    assert_eq!(other.look_up(filing.digest, at(300)).await, Lookup::Live(live));
}

async fn what_one_ends_the_other_refuses(context: &Context) {
    let (one, other, filing) = both(context).await;
    other.look_up(filing.digest, T0).await;
    one.finish_one(filing.id(), SignedOut, at(10)).await;
    let tombstone = filing.tombstone(SignedOut, at(10));
    assert_eq!(other.look_up(filing.digest, at(10)).await, Lookup::Ended(tombstone.clone()));
    assert_eq!(other.note(&[(filing.digest, at(10))], at(10)).await.touched, 0);
    let slow = other.change(filing.digest, Version::FIRST, &filing.record, at(10)).await;
    assert_eq!(slow, Replaced::Ended(tombstone));
    assert_eq!(other.finish_one(filing.id(), RevokedByAdmin, at(10)).await, Ending::default());
}

async fn what_one_ends_by_principal_or_all_at_once_the_other_refuses(context: &Context) {
    let principal = Selector::Principal { principal: principal_id("alice"), except: None };
    for selector in [Selector::All, Selector::IssuedBefore(at(1)), principal] {
        let somewhere = context.elsewhere();
        let (one, other, filing) = both(&somewhere).await;
        assert_eq!(other.look_up(filing.digest, T0).await, Lookup::Live(filing.live()), "{selector:?}");
        one.finish(&selector, Compromised, at(10)).await;
        let over = Lookup::Ended(filing.tombstone(Compromised, at(10)));
        assert_eq!(other.look_up(filing.digest, at(10)).await, over, "{selector:?}");
    }
}

async fn a_token_exchanged_by_one_is_retired_for_the_other(context: &Context) {
    let (one, other, filing) = both(context).await;
    let next = filing.rotated(Fixtures::new(2).next_digest(&filing), at(20));
    one.exchange(filing.digest, Version::FIRST, &next, at(20)).await;
    let retired = Retired { session: filing.id(), rotated_at: at(20) };
    assert_eq!(other.look_up(filing.digest, at(20)).await, Lookup::Retired(retired));
    assert!(matches!(other.look_up(next.digest, at(20)).await, Lookup::Live(_)));
    let again = filing.rotated(Fixtures::new(3).next_digest(&filing), at(30));
    let answer = other.exchange(filing.digest, Version::FIRST, &again, at(30)).await;
    assert_eq!(answer, Rekeyed::Retired(retired));
}

async fn a_version_read_by_one_is_a_conflict_after_a_change_by_the_other(context: &Context) {
    let (one, other, filing) = both(context).await;
    let [first, second] =
        ["first", "second"].map(|text| filing.clone().with_attribute("cart", text.as_bytes()));
    one.change(filing.digest, Version::FIRST, &first.record, T0).await;
    let mut current = first.live();
    current.version = Version::from_u64(2);
    let answer = other.change(filing.digest, Version::FIRST, &second.record, T0).await;
    assert_eq!(answer, Replaced::Conflict(current));
}

async fn the_same_digest_is_filed_by_one_of_them_only(context: &Context) {
    let (one, other, filing) = both(context).await;
    assert_eq!(other.try_file(&filing, None, None, T0).await, Inserted::AlreadyExists);
    let mut fixtures = Fixtures::new(2);
    for _ in 0..20 {
        let filing = fixtures.signed_in("alice");
        let (a, b) =
            tokio::join!(one.try_file(&filing, None, None, T0), other.try_file(&filing, None, None, T0));
        assert_eq!([a, b].iter().filter(|answer| **answer == Inserted::AlreadyExists).count(), 1);
    }
}

async fn each_session_is_reported_to_one_of_them_only(context: &Context) {
    let (one, other) = (context.open().await, context.open().await);
    let mut fixtures = Fixtures::new(1);
    let filings: [Filing; 20] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    for filing in &filings {
        one.file(filing).await;
    }
    let (mut ended, rest) = tokio::join!(one.sweep_up(at(1_000)), other.sweep_up(at(1_000)));
    ended.extend(rest);
    one.reported(ended, filings.iter().map(|filing| filing.tombstone(IdleTimeout, at(1_000)).into()));
}

async fn while_one_holds_the_lease_the_other_does_not_sweep(context: &Context) {
    let (one, other, filing) = both(context).await;
    let round = |now| SweepRequest { now, limit: 100, lease: Duration::from_millis(100) };
    assert!(!one.sweep(round(at(950))).await.expect("sweep answers").elsewhere);
    for now in [at(951), at(1_000), at(1_049)] {
        let swept = other.sweep(round(now)).await.expect("sweep answers");
        assert!(swept.elsewhere && swept.ended.is_empty() && swept.removed == 0, "at {now}: {swept:?}");
    }
    let swept = other.sweep(round(at(1_050))).await.expect("sweep answers");
    assert!(!swept.elsewhere, "the lease is over at its instant");
    assert_eq!(swept.ended, [filing.tombstone(IdleTimeout, at(1_000)).into()]);
    assert!(one.sweep(round(at(1_060))).await.expect("sweep answers").elsewhere, "now it is the other's");
}

async fn of_many_changes_by_both_every_one_counts(context: &Context) {
    let (one, other, filing) = both(context).await;
    race::count_up(&[one, other], &filing, 64).await;
}

async fn a_sign_out_at_one_is_not_undone_by_a_change_at_the_other(context: &Context) {
    let [one, other] = [context.open().await, context.open().await];
    duel::sign_out_against(context.effort().races / 10, [&one, &other], Write::Change).await;
}

async fn a_sign_out_at_one_is_not_undone_by_activity_at_the_other(context: &Context) {
    let [one, other] = [context.open().await, context.open().await];
    duel::sign_out_against(context.effort().races / 10, [&one, &other], Write::Activity).await;
}

async fn a_sign_out_at_one_is_not_undone_by_an_exchange_of_the_token_at_the_other(context: &Context) {
    let [one, other] = [context.open().await, context.open().await];
    duel::sign_out_against(context.effort().races / 10, [&one, &other], Write::Exchange).await;
}

async fn whoever_signed_in_at_one_before_the_other_ended_everything_is_out(context: &Context) {
    let [one, other] = [context.open().await, context.open().await];
    race::end_among_sign_ins([&one, &other], &Selector::All).await;
}

async fn whoever_signed_in_at_one_before_the_other_ended_all_their_sessions_is_out(context: &Context) {
    let [one, other] = [context.open().await, context.open().await];
    let selector = Selector::Principal { principal: principal_id("alice"), except: None };
    race::end_among_sign_ins([&one, &other], &selector).await;
}

async fn of_parallel_exchanges_at_both_exactly_one_is_done(context: &Context) {
    rekey::race(&[context.open().await, context.open().await]).await;
}

async fn both_list_and_count_the_same(context: &Context) {
    let (one, other, filing) = both(context).await;
    let second = Fixtures::new(2).anonymous();
    other.file(&second).await;
    let query = ListQuery::new(ListFilter::default());
    for store in [&one, &other] {
        assert_eq!(store.page(&query, T0).await.items.len(), 2);
        assert_eq!(store.total(T0).await, Counts { anonymous: 1, signed_in: 1, tombstones: 0 });
    }
    one.finish_one(second.id(), SignedOut, T0).await;
    assert_eq!(other.total(T0).await, Counts { anonymous: 0, signed_in: 1, tombstones: 1 });
    let left: Vec<_> = other.page(&query, T0).await.items.iter().map(|item| item.cursor().session).collect();
    assert_eq!(left, [filing.id()]);
}

async fn parallel_sign_ins_at_both_never_exceed_the_limit(context: &Context) {
    for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest] {
        let somewhere = context.elsewhere();
        let stores = [somewhere.open().await, somewhere.open().await];
        let answers = limit::race(&stores, limit::limit(5, on_limit)).await;
        for store in &stores {
            limit::check_race(store, answers.clone(), 5).await;
        }
        let [one, other] = &stores;
        limit::duels([one, other], on_limit).await;
    }
}

async fn of_parallel_sign_ins_at_both_exactly_as_many_succeed_as_are_allowed(context: &Context) {
    let stores = [context.open().await, context.open().await];
    let answers = limit::race(&stores, limit::limit(5, OnLimit::Refuse)).await;
    for store in &stores {
        limit::check_refusals(store, &answers, 5).await;
    }
    let [one, other] = &stores;
    limit::duels([one, other], OnLimit::Refuse).await;
}

async fn a_store_that_claims_not_to_be_shared_knows_nothing_of_another(context: &Context) {
    let one = context.open().await;
    if one.capabilities().durable {
        // Two of them at one place is a mistake of whoever runs them, and refused in the store's own way.
        return;
    }
    let (other, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    one.file(&filing).await;
    assert_eq!(other.look_up(filing.digest, T0).await, Lookup::Unknown);
}
