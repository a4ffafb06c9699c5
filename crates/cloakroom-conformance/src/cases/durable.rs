//! What was acknowledged is there after a restart.

use std::time::Duration;

use cloakroom_core::EndReason::{Compromised, IdleTimeout, SignedOut};
use cloakroom_store::{Ended, Ending, Lookup, Replaced, Retired, Selector, Version};

use super::import::{are_refused, comes, live, moved, remains, worn};
use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, RETENTION, T0, at};

pub(crate) const CASES: &[Case] = cases!("durable", |claims| claims.durable;
    live_sessions_are_there_after_a_restart_as_they_were,
    ended_sessions_stay_ended_after_a_restart,
    retired_tokens_stay_retired_after_a_restart,
    everything_that_was_ended_at_once_stays_ended_after_a_restart,
    what_was_reported_is_not_reported_again_after_a_restart,
    time_goes_on_during_a_restart,
    restarts_can_follow_each_other,
    what_came_from_another_store_is_there_after_a_restart,
    what_comes_after_a_restart_has_ended_with_everything_before_it,
);

pub(crate) const NOT: &[Case] = cases!("durable", |claims| !claims.durable;
    a_store_that_claims_not_to_be_durable_starts_empty,
);

async fn live_sessions_are_there_after_a_restart_as_they_were(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [signed_in, anonymous] = [fixtures.signed_in("alice"), fixtures.anonymous()];
    for filing in [&signed_in, &anonymous] {
        store.file(filing).await;
    }
    let changed = signed_in.clone().with_attribute("cart", *b"a hat").with_ip([192, 0, 2, 1]);
    store.change(signed_in.digest, Version::FIRST, &changed.record, at(10)).await;
    store.note(&[(signed_in.digest, at(500)), (anonymous.digest, at(600))], at(600)).await;
    let store = context.reopen(store).await;
    let mut live = changed.live_seen(at(500));
    live.version = Version::from_u64(2);
    assert_eq!(store.look_up(signed_in.digest, at(600)).await, Lookup::Live(live));
    assert_eq!(store.look_up(anonymous.digest, at(600)).await, Lookup::Live(anonymous.live_seen(at(600))));
    let answer = store.change(signed_in.digest, Version::from_u64(2), &signed_in.record, at(600)).await;
    assert_eq!(answer, Replaced::Done(Version::from_u64(3)));
}

async fn ended_sessions_stay_ended_after_a_restart(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [ended, expired] = [fixtures.signed_in("alice"), fixtures.anonymous()];
    for filing in [&ended, &expired] {
        store.file(filing).await;
    }
    store.finish_one(ended.id(), SignedOut, at(10)).await;
    store.sweep_up(at(1_000)).await;
    let store = context.reopen(store).await;
    for now in [at(0), at(1_000)] {
        let over = Lookup::Ended(ended.tombstone(SignedOut, at(10)));
        assert_eq!(store.look_up(ended.digest, now).await, over, "at {now}");
        if now < at(1_000) && !store.finds_what_is_over() {
            continue;
        }
        let over = Lookup::Ended(expired.tombstone(IdleTimeout, at(1_000)));
        assert_eq!(store.look_up(expired.digest, now).await, over, "at {now}");
    }
    assert_eq!(store.finish_one(ended.id(), Compromised, at(20)).await, Ending::default());
}

async fn retired_tokens_stay_retired_after_a_restart(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    store.file(&filing).await;
    let next = filing.rotated(fixtures.next_digest(&filing), at(20));
    store.exchange(filing.digest, Version::FIRST, &next, at(20)).await;
    let store = context.reopen(store).await;
    let retired = Lookup::Retired(Retired { session: filing.id(), rotated_at: at(20) });
    assert_eq!(store.look_up(filing.digest, at(30)).await, retired);
    let mut live = next.live_seen(at(20));
    live.version = Version::from_u64(2);
    assert_eq!(store.look_up(next.digest, at(30)).await, Lookup::Live(live));
}

async fn everything_that_was_ended_at_once_stays_ended_after_a_restart(context: &Context) {
    let (mut store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filings: [Filing; 3] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    for filing in &filings {
        store.file(filing).await;
    }
    let mut reports = store.finish(&Selector::All, Compromised, at(10)).await.ended;
    store = context.reopen(store).await;
    let fresh = fixtures.signed_in("alice").issued_at(at(10));
    store.file(&fresh).await;
    store = context.reopen(store).await;
    for filing in &filings {
        let over = Lookup::Ended(filing.tombstone(Compromised, at(10)));
        assert_eq!(store.look_up(filing.digest, at(5)).await, over);
    }
    assert_eq!(store.look_up(fresh.digest, at(10)).await, Lookup::Live(fresh.live()));
    reports.extend(store.sweep_up(at(20)).await);
    store.reported(reports, filings.iter().map(|filing| Ended::from(filing.tombstone(Compromised, at(10)))));
}

async fn what_was_reported_is_not_reported_again_after_a_restart(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [ended, expired] = [fixtures.signed_in("alice"), fixtures.anonymous()];
    for filing in [&ended, &expired] {
        store.file(filing).await;
    }
    store.finish_one(ended.id(), SignedOut, at(10)).await;
    store.sweeps(at(1_000), [expired.tombstone(IdleTimeout, at(1_000)).into()]).await;
    let store = context.reopen(store).await;
    assert_eq!(store.sweep_up(at(1_000)).await, []);
    assert_eq!(store.sweep_up(at(1_000).plus(RETENTION)).await, []);
    for filing in [&ended, &expired] {
        store.is_gone(filing.digest, at(1_000).plus(RETENTION)).await;
    }
}

async fn time_goes_on_during_a_restart(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    let store = context.reopen(store).await;
    assert_eq!(store.look_up(filing.digest, at(999)).await, Lookup::Live(filing.live()));
    let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)));
    assert_eq!(store.look_up(filing.digest, at(1_000)).await, over);
}

async fn restarts_can_follow_each_other(context: &Context) {
    let (mut store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let mut filings: Vec<Filing> = Vec::new();
    for _ in 0..5 {
        let filing = fixtures.signed_in("alice").with_idle_timeout(Duration::from_secs(60));
        store.file(&filing).await;
        filings.push(filing);
        store = context.reopen(store).await;
        for filing in &filings {
            assert_eq!(store.look_up(filing.digest, T0).await, Lookup::Live(filing.live()));
        }
    }
}

async fn what_came_from_another_store_is_there_after_a_restart(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [alive, ended, retired] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    comes(&store, &moved(&alive, 4, at(300)), at(400)).await;
    comes(&store, &remains(&ended, at(10)), at(400)).await;
    comes(&store, &worn(&retired, at(20)), at(400)).await;
    let store = context.reopen(store).await;
    assert_eq!(store.look_up(alive.digest, at(400)).await, Lookup::Live(live(&alive, 4, at(300))));
    assert_eq!(store.look_up(ended.digest, at(400)).await, Lookup::Ended(ended.tombstone(SignedOut, at(10))));
    let worn = Retired { session: retired.id(), rotated_at: at(20) };
    assert_eq!(store.look_up(retired.digest, at(400)).await, Lookup::Retired(worn));
}

async fn what_comes_after_a_restart_has_ended_with_everything_before_it(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    store.finish(&Selector::All, Compromised, at(150)).await;
    store.sweep_up(at(150)).await;
    let store = context.reopen(store).await;
    are_refused(&store, &mut fixtures, &[at(150), T0]).await;
}

/// Under-claiming is no harm to anybody's sessions, but what is written about a store should be true.
async fn a_store_that_claims_not_to_be_durable_starts_empty(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    if store.capabilities().shared {
        // Others may use the same sessions: they outlive this handle, whatever outlives a restart of their server.
        return;
    }
    store.file(&filing).await;
    let store = context.reopen(store).await;
    assert_eq!(store.look_up(filing.digest, T0).await, Lookup::Unknown);
}
