//! `end` of everything: an epoch that every answer is compared with.

use cloakroom_core::EndReason::{self, AccountDisabled, Compromised, IdleTimeout, RevokedByAdmin, SignedOut};
use cloakroom_core::Timestamp;
use cloakroom_store::{
    Ended, Ending, Inserted, Lookup, Rekeyed, Replaced, Retired, Selector, TouchReport, Version,
};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, RETENTION, T0, at};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("end_all", |_| true;
    every_session_is_refused_when_it_returns,
    a_session_issued_by_a_clock_ahead_ends_too,
    a_session_issued_afterwards_in_the_same_millisecond_lives,
    every_session_is_reported_exactly_once,
    ending_everything_again_ends_nothing_more_and_keeps_the_first_reason,
    what_ended_before_keeps_its_reason,
    a_session_that_idled_out_before_keeps_its_timeout_as_reason,
    a_session_ended_with_the_others_answers_so_after_its_timeout_too,
    nothing_revives_a_session_that_ended_with_the_others,
    a_retired_token_stays_retired,
    tombstones_stay_until_their_retention_ends,
    ending_what_was_issued_before_an_instant_ends_nothing_issued_at_it,
    a_session_issued_before_the_instant_is_refused_even_when_it_is_filed_later,
    a_session_that_comes_too_late_is_reported_though_nobody_asks_for_it,
    ends_in_stages_each_have_their_own_reason,
);

async fn three(context: &Context) -> (Subject, [Filing; 3]) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filings = [fixtures.signed_in("alice"), fixtures.signed_in("bob"), fixtures.anonymous()];
    for filing in &filings {
        store.file(filing).await;
    }
    (store, filings)
}

async fn end_all(store: &Subject, reason: EndReason, now: Timestamp) -> Ending {
    store.finish(&Selector::All, reason, now).await
}

async fn over(store: &Subject, filing: &Filing, reason: EndReason, ended_at: Timestamp, now: Timestamp) {
    let expected = Lookup::Ended(filing.tombstone(reason, ended_at));
    assert_eq!(store.look_up(filing.digest, now).await, expected, "at {now}");
}

async fn every_session_is_refused_when_it_returns(context: &Context) {
    let (store, filings) = three(context).await;
    end_all(&store, Compromised, at(10)).await;
    for filing in &filings {
        for now in [at(-500), at(0), at(9), at(10), at(11), at(999)] {
            over(&store, filing, Compromised, at(10), now).await;
        }
    }
}

/// Whatever any clock says: a node whose clock is a minute ahead is no way past an administrator.
async fn a_session_issued_by_a_clock_ahead_ends_too(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let ahead = fixtures.signed_in("alice").issued_at(at(60_000)).with_retention(RETENTION * 100);
    store.file(&ahead).await;
    end_all(&store, Compromised, at(10)).await;
    for now in [at(10), at(60_000), at(60_999)] {
        over(&store, &ahead, Compromised, at(10), now).await;
    }
}

async fn a_session_issued_afterwards_in_the_same_millisecond_lives(context: &Context) {
    let (store, _) = three(context).await;
    let mut fixtures = Fixtures::new(2);
    for round in 0..3 {
        end_all(&store, Compromised, at(10)).await;
        for issued in [at(10), at(9), at(-500)] {
            let filing = fixtures.signed_in("alice").issued_at(issued);
            store.file_at(&filing, at(10)).await;
            let alive = Lookup::Live(filing.live());
            assert_eq!(
                store.look_up(filing.digest, at(10)).await,
                alive,
                "round {round}, issued at {issued}"
            );
        }
    }
}

async fn every_session_is_reported_exactly_once(context: &Context) {
    let (store, filings) = three(context).await;
    let Ending { mut ended, swept_later } = end_all(&store, Compromised, at(10)).await;
    let rest = u64::try_from(filings.len() - ended.len()).expect("no more than there were");
    assert!(
        swept_later == rest || !store.finds_what_is_over(),
        "{swept_later} swept later, {ended:?} ended now"
    );
    let fresh = Fixtures::new(2).signed_in("alice").issued_at(at(10));
    store.file(&fresh).await;
    ended.extend(store.sweep_up(at(10)).await);
    store.reported(ended, filings.iter().map(|filing| Ended::from(filing.tombstone(Compromised, at(10)))));
    assert_eq!(store.sweep_up(at(20)).await, [], "nothing is reported again");
    for filing in &filings {
        over(&store, filing, Compromised, at(10), at(20)).await;
        let again = store.finish_one(filing.id(), SignedOut, at(20)).await.ended;
        let untold = again == [filing.tombstone(Compromised, at(10)).into()] && !store.finds_what_is_over();
        assert!(again.is_empty() || untold, "nothing is reported again: {again:?}");
    }
    assert_eq!(store.look_up(fresh.digest, at(20)).await, Lookup::Live(fresh.live()));
}

async fn ending_everything_again_ends_nothing_more_and_keeps_the_first_reason(context: &Context) {
    let (store, filings) = three(context).await;
    let first = end_all(&store, Compromised, at(10)).await;
    let mut reports = first.ended;
    for now in [at(10), at(20), at(5)] {
        let again = end_all(&store, RevokedByAdmin, now).await;
        let more = again.swept_later;
        assert!(more == 0 || !store.finds_what_is_over(), "no more sessions are refused than before: {more}");
        reports.extend(again.ended);
    }
    for filing in &filings {
        over(&store, filing, Compromised, at(10), at(20)).await;
    }
    reports.extend(store.sweep_up(at(20)).await);
    store.reported(reports, filings.iter().map(|filing| Ended::from(filing.tombstone(Compromised, at(10)))));
}

async fn what_ended_before_keeps_its_reason(context: &Context) {
    let (store, [signed_out, ..]) = three(context).await;
    store.finish_one(signed_out.id(), SignedOut, at(5)).await;
    let ended = end_all(&store, Compromised, at(10)).await.ended;
    let swept = store.sweep_up(at(10)).await;
    assert!(
        ended.iter().chain(&swept).all(|ended| ended.session != signed_out.id()),
        "it was reported before"
    );
    over(&store, &signed_out, SignedOut, at(5), at(20)).await;
}

async fn a_session_that_idled_out_before_keeps_its_timeout_as_reason(context: &Context) {
    let (store, filings) = three(context).await;
    let mut reports = end_all(&store, Compromised, at(1_000)).await.ended;
    for filing in &filings {
        for now in [at(999), at(1_000), at(1_001), at(2_000)] {
            over(&store, filing, IdleTimeout, at(1_000), now).await;
        }
    }
    reports.extend(store.sweep_up(at(1_000)).await);
    store.reported(
        reports,
        filings.iter().map(|filing| Ended::from(filing.tombstone(IdleTimeout, at(1_000)))),
    );
}

async fn a_session_ended_with_the_others_answers_so_after_its_timeout_too(context: &Context) {
    let (store, filings) = three(context).await;
    end_all(&store, Compromised, at(999)).await;
    for filing in &filings {
        over(&store, filing, Compromised, at(999), at(4_000)).await;
    }
    store.sweep_up(at(4_000)).await;
    for filing in &filings {
        over(&store, filing, Compromised, at(999), at(4_000)).await;
    }
}

async fn nothing_revives_a_session_that_ended_with_the_others(context: &Context) {
    let (store, filings) = three(context).await;
    end_all(&store, Compromised, at(10)).await;
    let mut fixtures = Fixtures::new(2);
    for filing in &filings {
        let tombstone = filing.tombstone(Compromised, at(10));
        let next = filing.rotated(fixtures.next_digest(filing), at(5));
        for now in [at(5), at(20)] {
            let replaced = store.change(filing.digest, Version::FIRST, &filing.record, now).await;
            assert_eq!(replaced, Replaced::Ended(tombstone.clone()));
            let rekeyed = store.exchange(filing.digest, Version::FIRST, &next, now).await;
            assert_eq!(rekeyed, Rekeyed::Ended(tombstone.clone()));
            let touched = store.note(&[(filing.digest, at(20))], now).await;
            assert_eq!(touched, TouchReport { touched: 0, ignored: 1 });
            over(&store, filing, Compromised, at(10), now).await;
        }
    }
}

async fn a_retired_token_stays_retired(context: &Context) {
    let (store, [filing, ..]) = three(context).await;
    let next = filing.rotated(Fixtures::new(2).next_digest(&filing), at(5));
    store.exchange(filing.digest, Version::FIRST, &next, at(5)).await;
    end_all(&store, Compromised, at(10)).await;
    for round in ["before the sweep", "after the sweep"] {
        let retired = Lookup::Retired(Retired { session: filing.id(), rotated_at: at(5) });
        assert_eq!(store.look_up(filing.digest, at(20)).await, retired, "{round}");
        over(&store, &next, Compromised, at(10), at(20)).await;
        store.sweep_up(at(20)).await;
    }
}

async fn tombstones_stay_until_their_retention_ends(context: &Context) {
    let (store, filings) = three(context).await;
    end_all(&store, Compromised, at(10)).await;
    store.sweep_up(at(3_000)).await;
    for filing in &filings {
        over(&store, filing, Compromised, at(10), at(9).plus(RETENTION)).await;
    }
    store.sweep_up(at(10).plus(RETENTION)).await;
    for filing in &filings {
        store.is_gone(filing.digest, at(10).plus(RETENTION)).await;
    }
}

async fn ending_what_was_issued_before_an_instant_ends_nothing_issued_at_it(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let issued = [at(99), at(100), at(101)];
    let [before, exactly, after] = issued.map(|instant| fixtures.signed_in("alice").issued_at(instant));
    for filing in [&before, &exactly, &after] {
        store.file_at(filing, at(101)).await;
    }
    let ending = store.finish(&Selector::IssuedBefore(at(100)), Compromised, at(150)).await;
    let told = ending.swept_later + u64::try_from(ending.ended.len()).expect("few");
    assert!(told == 1 || !store.finds_what_is_over(), "{ending:?}");
    let mut reports = ending.ended;
    reports.extend(store.sweep_up(at(160)).await);
    store.reported(reports, [before.tombstone(Compromised, at(150)).into()]);
    for round in ["once", "again"] {
        over(&store, &before, Compromised, at(150), at(160)).await;
        for filing in [&exactly, &after] {
            assert_eq!(store.look_up(filing.digest, at(160)).await, Lookup::Live(filing.live()), "{round}");
        }
        let again = store.finish(&Selector::IssuedBefore(at(100)), RevokedByAdmin, at(170)).await;
        assert!(again == Ending::default() || !store.finds_what_is_over(), "{round}: {again:?}");
    }
    let fresh = fixtures.signed_in("alice").issued_at(at(150));
    store.file(&fresh).await;
    assert_eq!(store.look_up(fresh.digest, at(150)).await, Lookup::Live(fresh.live()));
}

/// It was on its way when the end came, or its node has a slow clock: it is among those meant all the same.
async fn a_session_issued_before_the_instant_is_refused_even_when_it_is_filed_later(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [late, fresh] = [at(99), at(100)].map(|instant| fixtures.signed_in("alice").issued_at(instant));
    store.finish(&Selector::IssuedBefore(at(100)), Compromised, at(150)).await;
    store.sweep_up(at(150)).await;
    let inserted = store.try_file(&late, None, None, at(160)).await;
    let Inserted::Done { ended: mut reports } = inserted else { panic!("it is filed: {inserted:?}") };
    store.file_at(&fresh, at(160)).await;
    for round in ["once", "again"] {
        over(&store, &late, Compromised, at(150), at(160)).await;
        assert_eq!(store.look_up(fresh.digest, at(160)).await, Lookup::Live(fresh.live()), "{round}");
        reports.extend(store.sweep_up(at(160)).await);
    }
    store.reported(reports, [late.tombstone(Compromised, at(150)).into()]);
}

async fn a_session_that_comes_too_late_is_reported_though_nobody_asks_for_it(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    store.finish(&Selector::IssuedBefore(at(100)), Compromised, at(150)).await;
    store.sweep_up(at(150)).await;
    for late in [fixtures.signed_in("alice").issued_at(at(99)), fixtures.anonymous().issued_at(at(-50))] {
        let inserted = store.try_file(&late, None, None, at(160)).await;
        let Inserted::Done { ended: mut reports } = inserted else { panic!("it is filed: {inserted:?}") };
        reports.extend(store.sweep_up(at(160)).await);
        store.reported(reports, [late.tombstone(Compromised, at(150)).into()]);
    }
}

async fn ends_in_stages_each_have_their_own_reason(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let issued = [T0, at(100), at(200)];
    let [first, second, third] = issued.map(|instant| fixtures.signed_in("alice").issued_at(instant));
    for filing in [&first, &second, &third] {
        store.file_at(filing, at(200)).await;
    }
    let stages = [
        (Selector::IssuedBefore(at(50)), Compromised, at(210)),
        (Selector::IssuedBefore(at(150)), AccountDisabled, at(220)),
        (Selector::IssuedBefore(at(50)), SignedOut, at(225)),
        (Selector::All, RevokedByAdmin, at(230)),
    ];
    for (selector, reason, now) in stages {
        store.finish(&selector, reason, now).await;
    }
    for round in 0..2 {
        over(&store, &first, Compromised, at(210), at(300 + round)).await;
        over(&store, &second, AccountDisabled, at(220), at(300 + round)).await;
        over(&store, &third, RevokedByAdmin, at(230), at(300 + round)).await;
        store.sweep_up(at(300 + round)).await;
    }
}
