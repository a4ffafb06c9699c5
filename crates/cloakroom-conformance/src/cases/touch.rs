//! `touch`: activity moves forward, revives nothing, and lengthens nothing beyond the absolute instant.

use cloakroom_core::EndReason::{AbsoluteTimeout, IdleTimeout, SignedOut};
use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{Lookup, TouchReport};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("touch", |_| true;
    activity_moves_forward_only,
    a_touch_in_the_last_millisecond_counts_and_one_at_the_idle_instant_does_not,
    a_touch_that_comes_too_late_changes_nothing_however_early_it_was_seen,
    a_touch_never_passes_the_absolute_instant,
    a_touch_from_beyond_the_absolute_instant_lengthens_nothing,
    a_session_that_ended_is_not_revived,
    a_digest_that_was_never_filed_is_ignored_and_not_created,
    a_batch_names_a_session_more_than_once,
    a_batch_touches_what_lives_and_ignores_the_rest,
    an_empty_batch_is_no_error,
    a_large_batch_is_applied_whole,
);

const MOVED: TouchReport = TouchReport { touched: 1, ignored: 0 };
const IGNORED: TouchReport = TouchReport { touched: 0, ignored: 1 };

async fn filed(context: &Context) -> (Subject, Filing) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    (store, filing)
}

async fn seen(store: &Subject, digest: TokenDigest, now: Timestamp) -> Timestamp {
    match store.look_up(digest, now).await {
        Lookup::Live(live) => live.last_seen_at,
        other => panic!("the session lives at {now}: {other:?}"),
    }
}

async fn activity_moves_forward_only(context: &Context) {
    let (store, filing) = filed(context).await;
    let table = [
        (at(300), MOVED, at(300)),
        (at(300), IGNORED, at(300)),
        (at(299), IGNORED, at(300)),
        (at(-5), IGNORED, at(300)),
        (at(301), MOVED, at(301)),
    ];
    for (seen_at, report, expected) in table {
        assert_eq!(store.note(&[(filing.digest, seen_at)], at(400)).await, report, "seen at {seen_at}");
        let live = Lookup::Live(filing.live_seen(expected));
        assert_eq!(store.look_up(filing.digest, at(400)).await, live, "record and version are as they were");
    }
}

async fn a_touch_in_the_last_millisecond_counts_and_one_at_the_idle_instant_does_not(context: &Context) {
    let (store, filing) = filed(context).await;
    assert_eq!(store.note(&[(filing.digest, at(999))], at(999)).await, MOVED);
    assert_eq!(store.note(&[(filing.digest, at(1_999))], at(1_999)).await, IGNORED);
    let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_999)));
    assert_eq!(store.look_up(filing.digest, at(1_999)).await, over);
}

async fn a_touch_that_comes_too_late_changes_nothing_however_early_it_was_seen(context: &Context) {
    let (store, filing) = filed(context).await;
    let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)));
    assert_eq!(store.look_up(filing.digest, at(1_000)).await, over, "somebody has been told so");
    assert_eq!(store.note(&[(filing.digest, at(900))], at(1_000)).await, IGNORED);
    for now in [at(1_000), at(1_100)] {
        assert_eq!(store.look_up(filing.digest, now).await, over, "at {now}");
    }
}

async fn a_touch_never_passes_the_absolute_instant(context: &Context) {
    let (store, filing) =
        (context.open().await, Fixtures::new(1).signed_in("alice").with_absolute_at(at(2_500)));
    store.file(&filing).await;
    for now in [at(800), at(1_600), at(2_400), at(2_499)] {
        assert_eq!(store.note(&[(filing.digest, now)], now).await, MOVED);
        assert_eq!(seen(&store, filing.digest, now).await, now);
    }
    assert_eq!(store.note(&[(filing.digest, at(2_500))], at(2_500)).await, IGNORED);
    let over = Lookup::Ended(filing.tombstone(AbsoluteTimeout, at(2_500)));
    assert_eq!(store.look_up(filing.digest, at(2_500)).await, over);
}

/// Reported by a node whose clock is ahead of the one that applies it.
async fn a_touch_from_beyond_the_absolute_instant_lengthens_nothing(context: &Context) {
    let (store, filing) =
        (context.open().await, Fixtures::new(1).signed_in("alice").with_absolute_at(at(900)));
    store.file(&filing).await;
    store.note(&[(filing.digest, at(5_000))], at(100)).await;
    assert!(seen(&store, filing.digest, at(100)).await <= at(900));
    let over = Lookup::Ended(filing.tombstone(AbsoluteTimeout, at(900)));
    for now in [at(900), at(901), at(5_500)] {
        assert_eq!(store.look_up(filing.digest, now).await, over, "at {now}");
    }
}

async fn a_session_that_ended_is_not_revived(context: &Context) {
    let (store, filing) = filed(context).await;
    store.finish_one(filing.id(), SignedOut, at(10)).await;
    for (seen_at, now) in [(at(5), at(5)), (at(20), at(20)), (at(5_000), at(5_000))] {
        assert_eq!(store.note(&[(filing.digest, seen_at)], now).await, IGNORED);
        let over = Lookup::Ended(filing.tombstone(SignedOut, at(10)));
        assert_eq!(store.look_up(filing.digest, now).await, over, "at {now}");
    }
}

async fn a_digest_that_was_never_filed_is_ignored_and_not_created(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    assert_eq!(store.note(&[(filing.digest, T0)], T0).await, IGNORED);
    assert_eq!(store.look_up(filing.digest, T0).await, Lookup::Unknown);
}

async fn a_batch_names_a_session_more_than_once(context: &Context) {
    let (store, filing) = filed(context).await;
    let times = [at(100), at(300), at(200), at(300), at(-1)];
    let report = store.note(&times.map(|seen_at| (filing.digest, seen_at)), at(400)).await;
    assert!((1..=2).contains(&report.touched), "{report:?}");
    assert_eq!(seen(&store, filing.digest, at(400)).await, at(300), "the latest counts, wherever it stands");
}

async fn a_batch_touches_what_lives_and_ignores_the_rest(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [alive, ended, expired, never_filed, other] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    let expired = expired.with_absolute_at(at(50));
    for filing in [&alive, &ended, &expired, &other] {
        store.file(filing).await;
    }
    store.finish_one(ended.id(), SignedOut, at(10)).await;
    let batch = [&ended, &alive, &never_filed, &expired, &other].map(|filing| (filing.digest, at(60)));
    assert_eq!(store.note(&batch, at(60)).await, TouchReport { touched: 2, ignored: 3 });
    for filing in [alive, other] {
        assert_eq!(seen(&store, filing.digest, at(60)).await, at(60));
    }
}

async fn an_empty_batch_is_no_error(context: &Context) {
    let store = context.open().await;
    assert_eq!(store.note(&[], T0).await, TouchReport::default());
}

async fn a_large_batch_is_applied_whole(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filings: Vec<Filing> = (0..LARGE_BATCH).map(|_| fixtures.anonymous()).collect();
    super::race::file_together(&store, &filings).await;
    let batch: Vec<_> = filings.iter().map(|filing| (filing.digest, at(500))).collect();
    assert_eq!(store.note(&batch, at(500)).await, TouchReport { touched: LARGE_BATCH, ignored: 0 });
    for (digest, seen_at) in batch {
        assert_eq!(seen(&store, digest, at(500)).await, seen_at);
    }
}

/// More than any store's rows per statement or variables per query happen to be convenient.
const LARGE_BATCH: usize = 300;
