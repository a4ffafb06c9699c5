//! `sweep`: finds what is over, reports it once, removes what is left in time; bounded.

use std::time::Duration;

use cloakroom_core::EndReason::{AbsoluteTimeout, IdleTimeout, SignedOut};
use cloakroom_store::{Ended, Lookup, SweepRequest, Swept};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, IDLE, RETENTION, T0, at};
use crate::subject::{Subject, sorted};

pub(crate) const CASES: &[Case] = cases!("sweep", |_| true;
    an_empty_store_has_nothing_to_do,
    a_session_is_reported_from_the_instant_of_its_timeout,
    the_report_names_the_exact_instant_however_late_it_comes,
    activity_since_counts,
    every_session_that_expired_is_reported_exactly_once,
    what_lives_is_left_alone,
    a_round_looks_at_no_more_than_its_limit_and_says_whether_there_is_more,
    what_is_left_of_a_session_is_removed_from_the_instant_its_retention_ends,
    without_retention_nothing_is_left,
    a_session_whose_retention_ended_unseen_is_reported_all_the_same,
    a_clock_that_stepped_back_removes_and_reports_nothing,
    this_node_may_sweep_again_within_its_own_lease,
);

async fn filed<const N: usize>(store: &Subject) -> [Filing; N] {
    let mut fixtures = Fixtures::new(1);
    let filings =
        std::array::from_fn(|n| if n % 2 == 0 { fixtures.signed_in("alice") } else { fixtures.anonymous() });
    for filing in &filings {
        store.file(filing).await;
    }
    filings
}

fn idle_ends<'a>(filings: impl IntoIterator<Item = &'a Filing>) -> Vec<Ended> {
    sorted(filings.into_iter().map(|filing| filing.tombstone(IdleTimeout, at(1_000)).into()).collect())
}

async fn an_empty_store_has_nothing_to_do(context: &Context) {
    let store = context.open().await;
    assert_eq!(store.sweep_round(T0, 100).await, Swept::default());
}

async fn a_session_is_reported_from_the_instant_of_its_timeout(context: &Context) {
    let store = context.open().await;
    let [idle, absolute] =
        [Fixtures::new(1).signed_in("alice"), Fixtures::new(2).anonymous().with_absolute_at(at(500))];
    for filing in [&idle, &absolute] {
        store.file(filing).await;
    }
    let table = [
        (at(499), vec![]),
        (at(500), vec![absolute.tombstone(AbsoluteTimeout, at(500)).into()]),
        (at(999), vec![]),
        (at(1_000), vec![idle.tombstone(IdleTimeout, at(1_000)).into()]),
        (at(1_001), vec![]),
    ];
    for (now, expected) in table {
        store.sweeps(now, expected).await;
    }
}

async fn the_report_names_the_exact_instant_however_late_it_comes(context: &Context) {
    let store = context.open().await;
    let filings = filed::<3>(&store).await;
    store.sweeps(at(4_321), idle_ends(&filings)).await;
}

async fn activity_since_counts(context: &Context) {
    let store = context.open().await;
    let [active, idle] = filed(&store).await;
    store.note(&[(active.digest, at(300))], at(300)).await;
    store.sweeps(at(1_299), idle_ends([&idle])).await;
    assert_eq!(store.look_up(active.digest, at(1_299)).await, Lookup::Live(active.live_seen(at(300))));
    store.sweeps(at(1_300), [active.tombstone(IdleTimeout, at(1_300)).into()]).await;
}

async fn every_session_that_expired_is_reported_exactly_once(context: &Context) {
    let store = context.open().await;
    let filings = filed::<20>(&store).await;
    for filing in &filings {
        store.look_up(filing.digest, at(1_000)).await;
    }
    store.sweeps(at(1_000), idle_ends(&filings)).await;
    for now in [at(1_000), at(2_000), at(5_999), at(6_000), at(60_000)] {
        assert_eq!(store.sweep_up(now).await, [], "at {now}");
    }
}

async fn what_lives_is_left_alone(context: &Context) {
    let store = context.open().await;
    let filings = filed::<5>(&store).await;
    for now in [at(-50_000), at(0), at(999)] {
        let swept = store.sweep_round(now, 100).await;
        assert_eq!((swept.ended, swept.removed, swept.more), (vec![], 0, false), "at {now}");
        for filing in &filings {
            assert_eq!(store.look_up(filing.digest, now).await, Lookup::Live(filing.live()), "at {now}");
        }
    }
}

async fn a_round_looks_at_no_more_than_its_limit_and_says_whether_there_is_more(context: &Context) {
    let store = context.open().await;
    let filings = filed::<20>(&store).await;
    for now in [at(1_000), at(1_000).plus(RETENTION)] {
        let (mut ended, mut removed, mut rounds) = (Vec::new(), 0, 0);
        loop {
            let swept = store.sweep_round(now, 3).await;
            assert!(swept.ended.len() <= 3 && swept.removed <= 3, "{swept:?}");
            ended.extend(swept.ended);
            removed += swept.removed;
            rounds += 1;
            assert!(rounds <= 100, "bounded rounds come to an end");
            if !swept.more {
                break;
            }
        }
        let (expected, due) =
            if now == at(1_000) { (idle_ends(&filings), 0) } else { (Vec::new(), filings.len()) };
        let looked_at = expected.len() + if store.removes_by_itself() { 0 } else { due };
        store.reported(ended, expected);
        let enough = rounds >= looked_at.div_ceil(3) || !store.finds_what_is_over();
        assert!(enough, "{looked_at} of them in rounds of 3, at {now}: {rounds}");
        let exactly = removed == due || (store.removes_by_itself() && removed <= due);
        assert!(exactly, "{removed} of {due} removed at {now}");
    }
}

async fn what_is_left_of_a_session_is_removed_from_the_instant_its_retention_ends(context: &Context) {
    let store = context.open().await;
    let [signed_out, expired] = filed(&store).await;
    store.finish_one(signed_out.id(), SignedOut, at(700)).await;
    store.sweep_up(at(1_000)).await;
    for (filing, reason, ended_at) in [(signed_out, SignedOut, at(700)), (expired, IdleTimeout, at(1_000))] {
        let gone = ended_at.plus(RETENTION);
        let last = gone.minus(Duration::from_millis(1));
        store.sweep_up(last).await;
        let over = Lookup::Ended(filing.tombstone(reason, ended_at));
        assert_eq!(store.look_up(filing.digest, last).await, over, "{reason}, at {last}");
        for now in [gone, gone.plus(Duration::from_millis(1))] {
            store.sweep_up(now).await;
            store.is_gone(filing.digest, now).await;
        }
    }
}

async fn without_retention_nothing_is_left(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [ended, expired] =
        std::array::from_fn(|_| fixtures.signed_in("alice").with_retention(Duration::ZERO));
    for filing in [&ended, &expired] {
        store.file(filing).await;
    }
    let answer = store.finish_one(ended.id(), SignedOut, at(10)).await;
    assert_eq!(answer.ended, [ended.tombstone(SignedOut, at(10)).into()]);
    store.sweeps(at(1_000), [expired.tombstone(IdleTimeout, at(1_000)).into()]).await;
    for filing in [&ended, &expired] {
        store.is_gone(filing.digest, at(1_000)).await;
    }
}

async fn a_session_whose_retention_ended_unseen_is_reported_all_the_same(context: &Context) {
    let store = context.open().await;
    let filings = filed::<3>(&store).await;
    store.sweeps(at(1_000_000), idle_ends(&filings)).await;
    for filing in &filings {
        store.is_gone(filing.digest, at(1_000_000)).await;
    }
}

async fn a_clock_that_stepped_back_removes_and_reports_nothing(context: &Context) {
    let store = context.open().await;
    let [signed_out, expired] = filed(&store).await;
    store.finish_one(signed_out.id(), SignedOut, at(10)).await;
    store.sweep_up(at(1_500)).await;
    assert_eq!(store.sweep_up(at(-70_000)).await, []);
    let over = Lookup::Ended(signed_out.tombstone(SignedOut, at(10)));
    assert_eq!(store.look_up(signed_out.digest, at(-70_000)).await, over);
    if store.finds_what_is_over() {
        let over = Lookup::Ended(expired.tombstone(IdleTimeout, at(1_000)));
        assert_eq!(store.look_up(expired.digest, at(-70_000)).await, over);
    }
}

/// A lease keeps other nodes away, not the one that holds it: it has more rounds to do.
async fn this_node_may_sweep_again_within_its_own_lease(context: &Context) {
    let store = context.open().await;
    let filings = filed::<6>(&store).await;
    let mut ended = Vec::new();
    for round in 0..20 {
        let request = SweepRequest { now: at(1_000 + round), limit: 2, lease: IDLE };
        let swept = store.sweep(request).await.expect("sweep answers");
        assert!(!swept.elsewhere, "round {round}");
        ended.extend(swept.ended);
        if !swept.more {
            break;
        }
    }
    store.reported(ended, idle_ends(&filings));
}
