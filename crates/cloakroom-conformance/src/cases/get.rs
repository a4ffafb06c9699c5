//! `get`: live to the last millisecond before the instant, over at the instant.

use cloakroom_core::EndReason::{AbsoluteTimeout, IdleTimeout};
use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::Lookup;

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("get", |_| true;
    a_digest_never_filed_is_unknown,
    a_session_ends_at_the_instant_of_its_idle_timeout,
    activity_moves_the_instant_of_the_idle_timeout,
    a_session_ends_at_the_instant_of_its_absolute_timeout_however_active_it_is,
    the_earlier_timeout_is_the_reason_and_the_absolute_one_wins_a_tie,
    looking_is_not_activity,
    an_expired_session_is_never_live_before_or_after_a_sweep,
    what_a_sweep_buried_stays_over_when_the_clock_steps_back,
    a_clock_behind_the_issuing_one_ends_nothing,
);

async fn check(store: &Subject, digest: TokenDigest, table: &[(Timestamp, Lookup)]) {
    for (now, expected) in table {
        assert_eq!(store.look_up(digest, *now).await, *expected, "at {now}");
    }
}

fn live_seen(filing: &Filing, last_seen_at: Timestamp) -> Lookup {
    Lookup::Live(filing.live_seen(last_seen_at))
}

async fn a_digest_never_filed_is_unknown(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let never_filed = fixtures.anonymous();
    store.file(&fixtures.anonymous()).await;
    assert_eq!(store.look_up(never_filed.digest, T0).await, Lookup::Unknown);
}

async fn a_session_ends_at_the_instant_of_its_idle_timeout(context: &Context) {
    let store = context.open().await;
    for filing in [Fixtures::new(1).signed_in("alice"), Fixtures::new(2).anonymous()] {
        store.file(&filing).await;
        let alive = live_seen(&filing, T0);
        let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)));
        let table = [
            (at(0), alive.clone()),
            (at(999), alive),
            (at(1_000), over.clone()),
            (at(1_001), over.clone()),
            (at(5_999), over),
        ];
        check(&store, filing.digest, &table).await;
    }
}

async fn activity_moves_the_instant_of_the_idle_timeout(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    store.note(&[(filing.digest, at(600))], at(600)).await;
    let alive = live_seen(&filing, at(600));
    let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_600)));
    check(&store, filing.digest, &[(at(1_000), alive.clone()), (at(1_599), alive), (at(1_600), over)]).await;
}

async fn a_session_ends_at_the_instant_of_its_absolute_timeout_however_active_it_is(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).anonymous().with_absolute_at(at(1_200)));
    store.file(&filing).await;
    store.note(&[(filing.digest, at(900))], at(900)).await;
    let over = Lookup::Ended(filing.tombstone(AbsoluteTimeout, at(1_200)));
    let table = [
        (at(1_199), live_seen(&filing, at(900))),
        (at(1_200), over.clone()),
        (at(1_201), over.clone()),
        (at(2_000), over),
    ];
    check(&store, filing.digest, &table).await;
}

async fn the_earlier_timeout_is_the_reason_and_the_absolute_one_wins_a_tie(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for (absolute, reason, ended_at) in
        [(999, AbsoluteTimeout, 999), (1_000, AbsoluteTimeout, 1_000), (1_001, IdleTimeout, 1_000)]
    {
        let filing = fixtures.signed_in("alice").with_absolute_at(at(absolute));
        store.file(&filing).await;
        let over = Lookup::Ended(filing.tombstone(reason, at(ended_at)));
        assert_eq!(store.look_up(filing.digest, at(3_000)).await, over, "absolute at {absolute}");
    }
}

async fn looking_is_not_activity(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    for now in [at(1), at(500), at(999)] {
        assert_eq!(store.look_up(filing.digest, now).await, live_seen(&filing, T0), "at {now}");
    }
    let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)));
    assert_eq!(store.look_up(filing.digest, at(1_000)).await, over);
}

async fn an_expired_session_is_never_live_before_or_after_a_sweep(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)));
    assert_eq!(store.look_up(filing.digest, at(1_500)).await, over, "before the sweep");
    store.sweep_up(at(1_500)).await;
    assert_eq!(store.look_up(filing.digest, at(1_500)).await, over, "after the sweep");
    assert_eq!(store.look_up(filing.digest, at(5_999)).await, over, "until its retention ends");
}

async fn what_a_sweep_buried_stays_over_when_the_clock_steps_back(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    if store.sweep_up(at(1_000)).await.is_empty() && !store.finds_what_is_over() {
        // Nobody came upon it: each clock judges for itself.
        return;
    }
    let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)));
    check(&store, filing.digest, &[(at(999), over.clone()), (at(0), over.clone()), (at(-5_000), over)]).await;
}

async fn a_clock_behind_the_issuing_one_ends_nothing(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file_at(&filing, at(-700)).await;
    let alive = live_seen(&filing, T0);
    check(
        &store,
        filing.digest,
        &[(at(-700), alive.clone()), (at(-100_000), alive.clone()), (at(999), alive)],
    )
    .await;
}
