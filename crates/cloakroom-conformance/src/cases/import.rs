//! `import`: a session comes as it was; nothing is overwritten, and nothing revives on the way.

use std::sync::Arc;

use cloakroom_core::EndReason::{Compromised, IdleTimeout, RevokedByAdmin, SessionLimit, SignedOut};
use cloakroom_core::{OnLimit, Timestamp};
use cloakroom_store::{
    Entry, Filed, Imported, Inserted, Live, Lookup, Rekeyed, Replaced, Retired, Selector, TouchReport,
    Version,
};
use tokio::task::JoinSet;

use super::limit::limit;
use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, RETENTION, T0, at};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("import", |_| true;
    a_live_session_lives_as_it_was,
    a_session_that_came_goes_on_like_any_other,
    what_is_left_of_a_session_is_filed_and_is_kept_as_long_as_where_it_was,
    a_retired_token_is_filed_and_writes_nothing,
    what_is_there_is_not_overwritten,
    what_has_ended_here_does_not_come_back,
    a_session_that_time_has_ended_on_the_way_is_not_live,
    no_limit_applies,
    an_end_of_all_issued_before_an_instant_ends_what_comes_later_too,
    an_end_of_everything_ends_what_was_issued_until_then_and_comes_later,
    what_was_issued_after_an_end_of_everything_lives,
    of_many_imports_of_one_session_exactly_one_is_done,
    a_sign_out_after_it_came_is_final,
);

pub(crate) const LIMITED: &[Case] = cases!("import", |claims| claims.limits;
    sessions_that_came_count_for_the_next_sign_in,
);

pub(crate) fn moved(filing: &Filing, version: u64, last_seen_at: Timestamp) -> Filed {
    Filed { digest: filing.digest, entry: Entry::Live(live(filing, version, last_seen_at)) }
}

pub(crate) fn live(filing: &Filing, version: u64, last_seen_at: Timestamp) -> Live {
    Live { record: Arc::new(filing.record.clone()), version: Version::from_u64(version), last_seen_at }
}

/// `filing` as it was left when it was signed out at `ended_at`.
pub(crate) fn remains(filing: &Filing, ended_at: Timestamp) -> Filed {
    let entry = Entry::Ended {
        tombstone: filing.tombstone(SignedOut, ended_at),
        created_at: filing.record.created_at,
        kept_until: ended_at.plus(RETENTION),
    };
    Filed { digest: filing.digest, entry }
}

/// The token of `filing` as it was left when it was exchanged at `rotated_at`.
pub(crate) fn worn(filing: &Filing, rotated_at: Timestamp) -> Filed {
    let entry = Entry::Retired {
        retired: Retired { session: filing.id(), rotated_at },
        kept_until: rotated_at.plus(RETENTION),
    };
    Filed { digest: filing.digest, entry }
}

pub(crate) async fn comes(store: &Subject, filed: &Filed, now: Timestamp) {
    assert_eq!(store.take_in(filed, now).await, Imported::Done, "{filed:?}");
}

async fn a_live_session_lives_as_it_was(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let full = fixtures.signed_in("alice").with_roles(&["admin"]).with_ip([192, 0, 2, 1]);
    let filings = [full.with_attribute("cart", *b"a hat"), fixtures.anonymous(), fixtures.signed_in("zoë")];
    for (filing, version) in filings.iter().zip([1, 2, 7_000_000_000]) {
        comes(&store, &moved(filing, version, at(300)), at(400)).await;
        let alive = Lookup::Live(live(filing, version, at(300)));
        for now in [at(400), at(1_299), at(-500)] {
            assert_eq!(store.look_up(filing.digest, now).await, alive, "at {now}");
        }
        let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_300)));
        assert_eq!(store.look_up(filing.digest, at(1_300)).await, over);
    }
}

async fn a_session_that_came_goes_on_like_any_other(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    comes(&store, &moved(&filing, 5, at(300)), at(300)).await;
    let changed = filing.clone().with_attribute("cart", *b"a hat");
    for stale in [1, 4, 6] {
        let answer = store.change(filing.digest, Version::from_u64(stale), &changed.record, at(310)).await;
        assert_eq!(answer, Replaced::Conflict(live(&filing, 5, at(300))), "version {stale}");
    }
    let answer = store.change(filing.digest, Version::from_u64(5), &changed.record, at(310)).await;
    assert_eq!(answer, Replaced::Done(Version::from_u64(6)));
    let report = store.note(&[(filing.digest, at(290)), (filing.digest, at(400))], at(400)).await;
    assert_eq!(report.touched, 1);
    let next = changed.rotated(fixtures.next_digest(&filing), at(500));
    let answer = store.exchange(filing.digest, Version::from_u64(6), &next, at(500)).await;
    assert_eq!(answer, Rekeyed::Done(Version::from_u64(7)));
    let retired = Lookup::Retired(Retired { session: filing.id(), rotated_at: at(500) });
    assert_eq!(store.look_up(filing.digest, at(500)).await, retired);
    assert_eq!(store.look_up(next.digest, at(500)).await, Lookup::Live(live(&next, 7, at(500))));
    store.sweeps(at(1_500), [next.tombstone(IdleTimeout, at(1_500)).into()]).await;
    assert_eq!(
        store.look_up(next.digest, at(1_500)).await,
        Lookup::Ended(next.tombstone(IdleTimeout, at(1_500)))
    );
}

async fn what_is_left_of_a_session_is_filed_and_is_kept_as_long_as_where_it_was(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for filing in [fixtures.signed_in("alice"), fixtures.anonymous()] {
        comes(&store, &remains(&filing, at(10)), at(20)).await;
        let over = Lookup::Ended(filing.tombstone(SignedOut, at(10)));
        let last = at(9).plus(RETENTION);
        for now in [at(20), at(-500), last] {
            assert_eq!(store.look_up(filing.digest, now).await, over, "at {now}");
        }
        store.sweeps(last, []).await;
        assert_eq!(store.look_up(filing.digest, last).await, over);
        assert_eq!(
            store.finish_one(filing.id(), RevokedByAdmin, at(20)).await.ended,
            [],
            "it ended elsewhere"
        );
    }
    let gone = at(10).plus(RETENTION);
    store.sweeps(gone, []).await;
    let mut fixtures = Fixtures::new(1);
    for filing in [fixtures.signed_in("alice"), fixtures.anonymous()] {
        store.is_gone(filing.digest, gone).await;
        store.take_in(&remains(&filing, at(10)), gone).await;
        store.sweeps(gone, []).await;
        store.is_gone(filing.digest, gone).await;
    }
}

async fn a_retired_token_is_filed_and_writes_nothing(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let old = fixtures.signed_in("alice");
    let new = old.rotated(fixtures.next_digest(&old), at(10));
    comes(&store, &worn(&old, at(10)), at(20)).await;
    let retired = Retired { session: old.id(), rotated_at: at(10) };
    assert_eq!(store.look_up(old.digest, at(20)).await, Lookup::Retired(retired), "before its session came");
    comes(&store, &moved(&new, 2, at(10)), at(20)).await;
    for (digest, found) in
        [(old.digest, Lookup::Retired(retired)), (new.digest, Lookup::Live(live(&new, 2, at(10))))]
    {
        assert_eq!(store.look_up(digest, at(20)).await, found, "after its session came");
    }
    let answer = store.change(old.digest, Version::from_u64(2), &new.record, at(20)).await;
    assert_eq!(answer, Replaced::Retired(retired));
    let ignored = TouchReport { touched: 0, ignored: 1 };
    assert_eq!(store.note(&[(old.digest, at(20))], at(20)).await, ignored);
    store.finish_one(old.id(), SignedOut, at(30)).await;
    assert_eq!(store.look_up(new.digest, at(30)).await, Lookup::Ended(new.tombstone(SignedOut, at(30))));
    assert_eq!(store.look_up(old.digest, at(30)).await, Lookup::Retired(retired));
    let later = at(30).plus(RETENTION);
    store.sweeps(later, []).await;
    store.is_gone(old.digest, later).await;
}

/// Everything that could come in the place of `filing`: under its digest, or with its id.
fn intruders(fixtures: &mut Fixtures, filing: &Filing) -> Vec<Filed> {
    let changed = filing.clone().with_attribute("cart", *b"stolen");
    let [stranger, mut namesake] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    namesake.record.id = filing.id();
    let stranger = Filing { digest: filing.digest, ..stranger };
    let mut all = vec![worn(&stranger, at(5)), worn(filing, at(5))];
    for one in [&changed, &stranger, &namesake] {
        all.extend([moved(one, 9, at(500)), remains(one, at(5))]);
    }
    all
}

/// Nothing of what could come in the place of `filing` does.
async fn is_taken(store: &Subject, fixtures: &mut Fixtures, filing: &Filing) {
    let before = store.look_up(filing.digest, at(20)).await;
    for intruder in intruders(fixtures, filing) {
        assert_eq!(store.take_in(&intruder, at(20)).await, Imported::AlreadyExists, "{intruder:?}");
        assert_eq!(store.look_up(filing.digest, at(20)).await, before, "after {intruder:?}");
        if intruder.digest != filing.digest {
            assert_eq!(store.look_up(intruder.digest, at(20)).await, Lookup::Unknown);
        }
    }
}

async fn what_is_there_is_not_overwritten(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [issued, came, left] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    store.file(&issued).await;
    comes(&store, &moved(&came, 3, at(10)), at(20)).await;
    comes(&store, &remains(&left, at(10)), at(20)).await;
    for filing in [&issued, &came, &left] {
        is_taken(&store, &mut fixtures, filing).await;
    }
    let taken = store.try_file(&came, None, None, at(20)).await;
    assert_eq!(taken, Inserted::AlreadyExists, "nor is what came overwritten by a sign-in");
}

async fn what_has_ended_here_does_not_come_back(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [ended, rotated] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    store.file(&ended).await;
    store.finish_one(ended.id(), RevokedByAdmin, at(10)).await;
    is_taken(&store, &mut fixtures, &ended).await;
    comes(&store, &moved(&rotated, 3, at(10)), at(10)).await;
    let next = rotated.rotated(fixtures.next_digest(&rotated), at(10));
    store.exchange(rotated.digest, Version::from_u64(3), &next, at(10)).await;
    let retired = Lookup::Retired(Retired { session: rotated.id(), rotated_at: at(10) });
    for filed in [moved(&rotated, 3, at(10)), moved(&next, 4, at(10))] {
        assert_eq!(store.take_in(&filed, at(20)).await, Imported::AlreadyExists);
        assert_eq!(
            store.look_up(rotated.digest, at(20)).await,
            retired,
            "a token that was exchanged stays so"
        );
    }
}

/// The report of its end belongs to the store it came from, or to this one: never twice to this one.
async fn a_session_that_time_has_ended_on_the_way_is_not_live(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    let over = filing.tombstone(IdleTimeout, at(1_300));
    assert_eq!(store.take_in(&moved(&filing, 3, at(300)), at(1_300)).await, Imported::Done);
    assert_eq!(store.look_up(filing.digest, at(1_300)).await, Lookup::Ended(over.clone()));
    let mut reports = store.sweep_up(at(1_300)).await;
    reports.extend(store.sweep_up(at(1_400)).await);
    assert!(reports.is_empty() || reports == [over.into()], "{reports:?}");
    let past = fixtures.signed_in("alice");
    store.take_in(&moved(&past, 3, at(300)), at(90_000)).await;
    assert!(!matches!(store.look_up(past.digest, at(90_000)).await, Lookup::Live(_)));
}

async fn no_limit_applies(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filings: [Filing; 10] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    for filing in &filings {
        comes(&store, &moved(filing, 1, at(10)), at(10)).await;
    }
    for filing in &filings {
        assert_eq!(store.look_up(filing.digest, at(10)).await, Lookup::Live(live(filing, 1, at(10))));
    }
}

async fn sessions_that_came_count_for_the_next_sign_in(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [idle, active] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    comes(&store, &moved(&idle, 1, at(10)), at(30)).await;
    comes(&store, &moved(&active, 1, at(20)), at(30)).await;
    let new = fixtures.signed_in("alice").issued_at(at(30));
    let refused = store.try_file(&new, limit(2, OnLimit::Refuse), None, at(30)).await;
    assert_eq!(refused, Inserted::LimitReached);
    let inserted = store.try_file(&new, limit(2, OnLimit::EndIdlest), None, at(30)).await;
    let over = idle.tombstone(SessionLimit, at(30));
    assert_eq!(inserted, Inserted::Done { ended: vec![over.into()] });
    assert_eq!(store.look_up(active.digest, at(30)).await, Lookup::Live(live(&active, 1, at(20))));
}

/// Whatever was issued at these instants and comes now is refused by every clock, and no longer there than anything else.
pub(crate) async fn are_refused(store: &Subject, fixtures: &mut Fixtures, issued: &[Timestamp]) {
    for issued in issued {
        for filing in [fixtures.signed_in("alice"), fixtures.anonymous()] {
            let filing = filing.issued_at(*issued);
            let filed = moved(&filing, 3, filing.record.created_at);
            assert_eq!(store.take_in(&filed, at(160)).await, Imported::Done);
            for now in [at(160), at(100), at(-500)] {
                let found = store.look_up(filing.digest, now).await;
                let Lookup::Ended(tombstone) = &found else {
                    panic!("issued at {issued}, at {now}: {found:?}")
                };
                assert_eq!((tombstone.session, tombstone.reason), (filing.id(), Compromised));
            }
            let changed = store.change(filing.digest, Version::from_u64(3), &filing.record, at(160)).await;
            assert!(matches!(changed, Replaced::Ended(_)), "{changed:?}");
            assert_eq!(store.note(&[(filing.digest, at(170))], at(170)).await.touched, 0);
            let mut reports = store.sweep_up(at(170)).await;
            reports.extend(store.sweep_up(at(170)).await);
            let told = reports.iter().filter(|ended| ended.session == filing.id()).count();
            assert!(told <= 1, "{reports:?}");
        }
    }
}

async fn an_end_of_all_issued_before_an_instant_ends_what_comes_later_too(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    store.finish(&Selector::IssuedBefore(at(100)), Compromised, at(150)).await;
    for _ in 0..2 {
        are_refused(&store, &mut fixtures, &[at(99), at(-300)]).await;
        let exactly = fixtures.signed_in("alice").issued_at(at(100));
        comes(&store, &moved(&exactly, 3, at(150)), at(160)).await;
        assert_eq!(store.look_up(exactly.digest, at(160)).await, Lookup::Live(live(&exactly, 3, at(150))));
        store.sweep_up(at(170)).await;
    }
}

async fn an_end_of_everything_ends_what_was_issued_until_then_and_comes_later(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let present = fixtures.signed_in("bob");
    store.file(&present).await;
    store.finish(&Selector::All, Compromised, at(150)).await;
    for _ in 0..2 {
        are_refused(&store, &mut fixtures, &[at(150), at(149), at(-300)]).await;
        // What was carried out here need not be carried out again, but is not forgotten.
        store.sweep_up(at(170)).await;
    }
    let empty = context.elsewhere();
    let store = empty.open().await;
    store.finish(&Selector::All, Compromised, at(150)).await;
    store.finish(&Selector::All, Compromised, at(40)).await;
    are_refused(&store, &mut fixtures, &[at(150)]).await;
}

async fn what_was_issued_after_an_end_of_everything_lives(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    store.finish(&Selector::All, Compromised, at(150)).await;
    let fresh = fixtures.signed_in("alice").issued_at(at(151));
    comes(&store, &moved(&fresh, 3, at(160)), at(160)).await;
    for _ in 0..2 {
        assert_eq!(store.look_up(fresh.digest, at(160)).await, Lookup::Live(live(&fresh, 3, at(160))));
        store.sweep_up(at(160)).await;
    }
    store.finish(&Selector::All, RevokedByAdmin, at(170)).await;
    let over = Lookup::Ended(fresh.tombstone(RevokedByAdmin, at(170)));
    assert_eq!(
        store.look_up(fresh.digest, at(170)).await,
        over,
        "the next end of everything is about it too"
    );
}

async fn of_many_imports_of_one_session_exactly_one_is_done(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for _ in 0..5 {
        let filing = fixtures.signed_in("alice");
        let mut racers = JoinSet::new();
        for turn in 0..16 {
            let (store, mut filing) = (store.clone(), filing.clone());
            if turn % 2 == 1 {
                filing.digest = fixtures.next_digest(&filing);
            }
            racers.spawn(async move { (store.take_in(&moved(&filing, 3, T0), T0).await, filing.digest) });
        }
        let answers = racers.join_all().await;
        let done = answers.iter().filter(|(answer, _)| *answer == Imported::Done).count();
        assert_eq!(done, 1, "exactly one wins: {answers:?}");
        for (answer, digest) in answers {
            let there = matches!(store.look_up(digest, T0).await, Lookup::Live(_));
            assert!(there || answer == Imported::AlreadyExists, "the one that won is there");
        }
        assert_eq!(store.finish_one(filing.id(), SignedOut, T0).await.ended.len(), 1);
    }
}

async fn a_sign_out_after_it_came_is_final(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    comes(&store, &moved(&filing, 3, T0), T0).await;
    let tombstone = filing.tombstone(SignedOut, at(10));
    assert_eq!(store.finish_one(filing.id(), SignedOut, at(10)).await.ended, [tombstone.clone().into()]);
    let next = filing.rotated(fixtures.next_digest(&filing), at(5));
    assert_eq!(store.take_in(&moved(&filing, 3, T0), at(20)).await, Imported::AlreadyExists);
    let answer = store.exchange(filing.digest, Version::from_u64(3), &next, at(5)).await;
    assert_eq!(answer, Rekeyed::Ended(tombstone.clone()));
    assert_eq!(store.look_up(filing.digest, at(5)).await, Lookup::Ended(tombstone));
    let alice = filing.principal().expect("signed in");
    assert_eq!(
        store.finish_all_of(alice, SignedOut, at(30)).await.ended,
        [],
        "nor is it found by its principal"
    );
}
