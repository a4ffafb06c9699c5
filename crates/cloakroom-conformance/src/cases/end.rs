//! `end`: by decision, once, for good.

use cloakroom_core::EndReason::{self, IdleTimeout, PasswordChanged, RevokedByAdmin, SignedOut};
use cloakroom_store::{Ending, Lookup, Rekeyed, Replaced, Selector, TouchReport, Version};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, RETENTION, T0, at, principal_id};
use crate::subject::{Subject, sorted};

pub(crate) const CASES: &[Case] = cases!("end", |_| true;
    a_session_that_is_ended_is_refused_and_reported_with_its_reason,
    every_reason_reads_back,
    ending_again_reports_nothing_and_keeps_the_first_reason_and_instant,
    ending_what_never_was_is_no_error,
    nothing_revives_an_ended_session,
    a_session_ended_by_decision_is_not_reported_by_a_sweep,
    a_session_that_expired_before_keeps_its_timeout_as_reason_and_is_reported_once,
    a_session_that_looked_expired_here_is_refused_by_a_clock_behind_too,
    a_tombstone_stays_until_its_retention_ends,
);

pub(crate) const OF_PRINCIPAL: &[Case] = cases!("end", |_| true;
    all_sessions_of_a_principal_end_and_nobody_elses,
    the_excepted_session_lives_on,
    excepting_a_session_of_somebody_else_excepts_nothing,
    a_principal_without_sessions_is_no_error,
    principals_are_told_apart_byte_by_byte,
    sessions_of_a_principal_that_ended_before_keep_their_reasons,
    a_principal_can_sign_in_again_at_once,
);

async fn filed(context: &Context) -> (Subject, Filing) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    (store, filing)
}

/// The end of exactly these, nothing left for later.
fn ending<'a>(
    ended: impl IntoIterator<Item = &'a Filing>,
    reason: EndReason,
    at: cloakroom_core::Timestamp,
) -> Ending {
    let ended = ended.into_iter().map(|filing| filing.tombstone(reason, at).into()).collect();
    Ending { ended: sorted(ended), swept_later: 0 }
}

async fn finish_principal(store: &Subject, name: &str, except: Option<&Filing>) -> Ending {
    let selector = Selector::Principal { principal: principal_id(name), except: except.map(Filing::id) };
    let Ending { ended, swept_later } = store.finish(&selector, PasswordChanged, at(10)).await;
    Ending { ended: sorted(ended), swept_later }
}

async fn a_session_that_is_ended_is_refused_and_reported_with_its_reason(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let bystander = fixtures.signed_in("alice");
    store.file(&bystander).await;
    for filing in [fixtures.signed_in("alice"), fixtures.anonymous()] {
        store.file(&filing).await;
        let answer = store.finish_one(filing.id(), RevokedByAdmin, at(10)).await;
        assert_eq!(answer, ending([&filing], RevokedByAdmin, at(10)));
        let over = Lookup::Ended(filing.tombstone(RevokedByAdmin, at(10)));
        for now in [at(-500), at(0), at(10), at(999), at(2_000)] {
            assert_eq!(store.look_up(filing.digest, now).await, over, "at {now}");
        }
    }
    assert_eq!(store.look_up(bystander.digest, at(10)).await, Lookup::Live(bystander.live()));
}

async fn every_reason_reads_back(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for reason in EndReason::ALL {
        let filing = fixtures.signed_in("alice");
        store.file(&filing).await;
        store.finish_one(filing.id(), reason, at(10)).await;
        let over = Lookup::Ended(filing.tombstone(reason, at(10)));
        assert_eq!(store.look_up(filing.digest, at(10)).await, over);
    }
}

async fn ending_again_reports_nothing_and_keeps_the_first_reason_and_instant(context: &Context) {
    let (store, filing) = filed(context).await;
    store.finish_one(filing.id(), SignedOut, at(10)).await;
    for (reason, now) in
        [(RevokedByAdmin, at(20)), (SignedOut, at(10)), (RevokedByAdmin, at(5)), (SignedOut, at(2_000))]
    {
        assert_eq!(store.finish_one(filing.id(), reason, now).await, Ending::default(), "{reason} at {now}");
        let over = Lookup::Ended(filing.tombstone(SignedOut, at(10)));
        assert_eq!(store.look_up(filing.digest, now).await, over);
    }
}

async fn ending_what_never_was_is_no_error(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    assert_eq!(store.finish_one(filing.id(), SignedOut, T0).await, Ending::default());
    store.file(&filing).await;
    assert_eq!(store.look_up(filing.digest, T0).await, Lookup::Live(filing.live()), "an end is no prophecy");
}

async fn nothing_revives_an_ended_session(context: &Context) {
    let (store, filing) = filed(context).await;
    store.finish_one(filing.id(), SignedOut, at(10)).await;
    let tombstone = filing.tombstone(SignedOut, at(10));
    let next = filing.rotated(Fixtures::new(2).next_digest(&filing), at(5));
    for now in [at(5), at(10), at(20)] {
        let replaced = store.change(filing.digest, Version::FIRST, &filing.record, now).await;
        assert_eq!(replaced, Replaced::Ended(tombstone.clone()));
        let rekeyed = store.exchange(filing.digest, Version::FIRST, &next, now).await;
        assert_eq!(rekeyed, Rekeyed::Ended(tombstone.clone()));
        let touched = store.note(&[(filing.digest, now)], now).await;
        assert_eq!(touched, TouchReport { touched: 0, ignored: 1 });
        assert_eq!(store.look_up(filing.digest, now).await, Lookup::Ended(tombstone.clone()));
        assert_eq!(store.look_up(next.digest, now).await, Lookup::Unknown);
    }
}

async fn a_session_ended_by_decision_is_not_reported_by_a_sweep(context: &Context) {
    let (store, filing) = filed(context).await;
    store.finish_one(filing.id(), SignedOut, at(10)).await;
    for now in [at(10), at(1_000), at(9).plus(RETENTION), at(10).plus(RETENTION), at(20_000)] {
        assert_eq!(store.sweep_up(now).await, [], "at {now}");
    }
}

async fn a_session_that_expired_before_keeps_its_timeout_as_reason_and_is_reported_once(context: &Context) {
    let (store, filing) = filed(context).await;
    let tombstone = filing.tombstone(IdleTimeout, at(1_000));
    let mut reports = store.finish_one(filing.id(), SignedOut, at(1_000)).await.ended;
    assert_eq!(store.look_up(filing.digest, at(1_000)).await, Lookup::Ended(tombstone.clone()));
    reports.extend(store.finish_one(filing.id(), SignedOut, at(1_100)).await.ended);
    reports.extend(store.sweep_up(at(1_200)).await);
    // By the end that came upon it, or by the sweep.
    store.reported(reports, [tombstone.clone().into()]);
    assert_eq!(store.look_up(filing.digest, at(1_200)).await, Lookup::Ended(tombstone));
}

/// When `end` returns, the store refuses the session on every node, the one with the slow clock included.
async fn a_session_that_looked_expired_here_is_refused_by_a_clock_behind_too(context: &Context) {
    let (store, filing) = filed(context).await;
    store.finish_one(filing.id(), SignedOut, at(1_000)).await;
    let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)));
    for now in [at(999), at(500), at(0)] {
        assert_eq!(store.look_up(filing.digest, now).await, over, "at {now}");
    }
    let touched = store.note(&[(filing.digest, at(900))], at(900)).await;
    assert_eq!(touched, TouchReport { touched: 0, ignored: 1 });
}

async fn a_tombstone_stays_until_its_retention_ends(context: &Context) {
    let (store, filing) = filed(context).await;
    store.finish_one(filing.id(), SignedOut, at(10)).await;
    let over = Lookup::Ended(filing.tombstone(SignedOut, at(10)));
    for now in [at(10), at(3_000), at(9).plus(RETENTION)] {
        store.sweep_up(now).await;
        assert_eq!(store.look_up(filing.digest, now).await, over, "at {now}");
    }
    store.sweep_up(at(10).plus(RETENTION)).await;
    store.is_gone(filing.digest, at(10).plus(RETENTION)).await;
}

async fn all_sessions_of_a_principal_end_and_nobody_elses(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let own: [Filing; 3] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    let others = [fixtures.signed_in("bob"), fixtures.anonymous()];
    for filing in own.iter().chain(&others) {
        store.file(filing).await;
    }
    assert_eq!(finish_principal(&store, "alice", None).await, ending(&own, PasswordChanged, at(10)));
    for filing in &own {
        let over = Lookup::Ended(filing.tombstone(PasswordChanged, at(10)));
        assert_eq!(store.look_up(filing.digest, at(10)).await, over);
    }
    for filing in &others {
        assert_eq!(store.look_up(filing.digest, at(10)).await, Lookup::Live(filing.live()));
    }
    assert_eq!(finish_principal(&store, "alice", None).await, Ending::default(), "again");
}

async fn the_excepted_session_lives_on(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [kept, one, two] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    for filing in [&kept, &one, &two] {
        store.file(filing).await;
    }
    assert_eq!(
        finish_principal(&store, "alice", Some(&kept)).await,
        ending([&one, &two], PasswordChanged, at(10))
    );
    assert_eq!(store.look_up(kept.digest, at(10)).await, Lookup::Live(kept.live()));
}

async fn excepting_a_session_of_somebody_else_excepts_nothing(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [own, foreign] = [fixtures.signed_in("alice"), fixtures.signed_in("bob")];
    for filing in [&own, &foreign] {
        store.file(filing).await;
    }
    assert_eq!(
        finish_principal(&store, "alice", Some(&foreign)).await,
        ending([&own], PasswordChanged, at(10))
    );
    assert_eq!(store.look_up(foreign.digest, at(10)).await, Lookup::Live(foreign.live()));
}

async fn a_principal_without_sessions_is_no_error(context: &Context) {
    let (store, filing) = filed(context).await;
    assert_eq!(finish_principal(&store, "nobody", None).await, Ending::default());
    assert_eq!(store.look_up(filing.digest, at(10)).await, Lookup::Live(filing.live()));
}

async fn principals_are_told_apart_byte_by_byte(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let names = ["alice", "Alice", "alice ", "al%ce", "al_ce", "zoë", "zoe\u{308}", "'; --", "*", "{alice}"];
    let filings = names.map(|name| fixtures.signed_in(name));
    for filing in &filings {
        store.file(filing).await;
    }
    for (turn, (name, filing)) in names.iter().zip(&filings).enumerate() {
        assert_eq!(
            finish_principal(&store, name, None).await,
            ending([filing], PasswordChanged, at(10)),
            "{name}"
        );
        for other in filings.iter().skip(turn + 1) {
            assert_eq!(store.look_up(other.digest, at(10)).await, Lookup::Live(other.live()), "after {name}");
        }
    }
}

async fn sessions_of_a_principal_that_ended_before_keep_their_reasons(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [signed_out, expired, alive] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    let expired = expired.with_idle_timeout(std::time::Duration::from_millis(10));
    for filing in [&signed_out, &expired, &alive] {
        store.file(filing).await;
    }
    store.finish_one(signed_out.id(), SignedOut, at(5)).await;
    let mut reports = finish_principal(&store, "alice", None).await.ended;
    let over = [
        (&signed_out, signed_out.tombstone(SignedOut, at(5))),
        (&expired, expired.tombstone(IdleTimeout, at(10))),
        (&alive, alive.tombstone(PasswordChanged, at(10))),
    ];
    for (filing, tombstone) in &over {
        for now in [at(10), at(9)] {
            assert_eq!(store.look_up(filing.digest, now).await, Lookup::Ended(tombstone.clone()), "at {now}");
        }
    }
    reports.extend(store.sweep_up(at(10)).await);
    let [_, expired, alive] = over.map(|(_, tombstone)| tombstone.into());
    assert!(reports.contains(&alive), "what was ended is reported by whoever ended it: {reports:?}");
    store.reported(reports, [expired, alive]);
}

async fn a_principal_can_sign_in_again_at_once(context: &Context) {
    let (store, filing) = filed(context).await;
    finish_principal(&store, "alice", None).await;
    let again = Fixtures::new(2).signed_in("alice").issued_at(at(10));
    store.file(&again).await;
    assert_eq!(store.look_up(again.digest, at(10)).await, Lookup::Live(again.live()));
    assert!(matches!(store.look_up(filing.digest, at(10)).await, Lookup::Ended(_)));
}
