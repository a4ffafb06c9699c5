//! `rekey`: a new token in one step, the old one dead.

use std::sync::Arc;

use cloakroom_core::EndReason::{IdleTimeout, SignedOut};
use cloakroom_core::Timestamp;
use cloakroom_store::{Live, Lookup, Rekeyed, Retired, TouchReport, Version};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, IDLE, RETENTION, T0, at};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("rekey", |_| true;
    the_session_lives_under_the_new_token_and_the_old_one_is_retired,
    an_exchange_is_activity,
    an_exchange_by_a_clock_behind_does_not_move_activity_back,
    another_version_is_a_conflict_that_answers_the_current_session,
    a_new_token_that_is_taken_is_refused,
    a_token_is_exchanged_only_once,
    a_session_that_was_never_filed_is_not_created,
    a_session_that_ended_stays_ended,
    a_session_is_over_at_the_instant_of_its_timeout,
    every_token_of_a_chain_stays_retired,
    a_retired_token_stays_retired_after_its_session_ended_until_its_retention_ends,
    a_retired_token_is_kept_for_its_retention_while_the_session_lives,
    nothing_is_left_of_a_retired_token_when_nothing_is_left_of_its_session,
    a_retired_token_is_no_activity,
    the_session_ends_by_its_id_whatever_its_token,
    of_many_exchanges_of_one_version_exactly_one_is_done,
);

fn live(filing: &Filing, version: u64, last_seen_at: Timestamp) -> Lookup {
    let record = Arc::new(filing.record.clone());
    Lookup::Live(Live { record, version: Version::from_u64(version), last_seen_at })
}

fn retired(filing: &Filing, rotated_at: Timestamp) -> Lookup {
    Lookup::Retired(Retired { session: filing.id(), rotated_at })
}

/// Files a session at `T0` and exchanges its token at `now`.
async fn exchanged(store: &Subject, now: Timestamp) -> (Filing, Filing) {
    let mut fixtures = Fixtures::new(1);
    let filing = fixtures.signed_in("alice");
    store.file(&filing).await;
    let next = filing.rotated(fixtures.next_digest(&filing), now);
    let answer = store.exchange(filing.digest, Version::FIRST, &next, now).await;
    assert_eq!(answer, Rekeyed::Done(Version::from_u64(2)));
    (filing, next)
}

async fn the_session_lives_under_the_new_token_and_the_old_one_is_retired(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for filing in [fixtures.signed_in("alice"), fixtures.anonymous()] {
        store.file(&filing).await;
        let next = filing.rotated(fixtures.next_digest(&filing), at(20)).with_attribute("cart", *b"a hat");
        let answer = store.exchange(filing.digest, Version::FIRST, &next, at(20)).await;
        assert_eq!(answer, Rekeyed::Done(Version::from_u64(2)));
        assert_eq!(store.look_up(filing.digest, at(20)).await, retired(&filing, at(20)));
        assert_eq!(store.look_up(next.digest, at(20)).await, live(&next, 2, at(20)));
    }
}

async fn an_exchange_is_activity(context: &Context) {
    let store = context.open().await;
    let (_, next) = exchanged(&store, at(600)).await;
    assert_eq!(store.look_up(next.digest, at(1_599)).await, live(&next, 2, at(600)));
    let over = Lookup::Ended(next.tombstone(IdleTimeout, at(1_600)));
    assert_eq!(store.look_up(next.digest, at(1_600)).await, over);
}

async fn an_exchange_by_a_clock_behind_does_not_move_activity_back(context: &Context) {
    let store = context.open().await;
    let (filing, next) = exchanged(&store, at(-300)).await;
    assert_eq!(store.look_up(next.digest, T0).await, live(&next, 2, T0));
    assert_eq!(store.look_up(filing.digest, T0).await, retired(&filing, at(-300)));
}

async fn another_version_is_a_conflict_that_answers_the_current_session(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    store.file(&filing).await;
    let changed = filing.clone().with_attribute("cart", *b"a hat");
    store.change(filing.digest, Version::FIRST, &changed.record, at(10)).await;
    let next = filing.rotated(fixtures.next_digest(&filing), at(20));
    let current = live(&changed, 2, T0);
    for version in [0, 1, 3] {
        let answer = store.exchange(filing.digest, Version::from_u64(version), &next, at(20)).await;
        let Rekeyed::Conflict(found) = answer else { panic!("version {version}: {answer:?}") };
        assert_eq!(Lookup::Live(found), current, "version {version}");
    }
    assert_eq!(store.look_up(filing.digest, at(20)).await, current);
    assert_eq!(store.look_up(next.digest, at(20)).await, Lookup::Unknown);
}

async fn a_new_token_that_is_taken_is_refused(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [subject, alive, ended, rotated] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    for filing in [&subject, &alive, &ended, &rotated] {
        store.file(filing).await;
    }
    store.finish_one(ended.id(), SignedOut, at(5)).await;
    let next = rotated.rotated(fixtures.next_digest(&rotated), at(5));
    store.exchange(rotated.digest, Version::FIRST, &next, at(5)).await;
    for taken in [alive.digest, ended.digest, rotated.digest, next.digest, subject.digest] {
        let before = store.look_up(taken, at(10)).await;
        let wanted = subject.rotated(taken, at(10)).with_attribute("cart", *b"stolen");
        let answer = store.exchange(subject.digest, Version::FIRST, &wanted, at(10)).await;
        assert_eq!(answer, Rekeyed::AlreadyExists, "{before:?}");
        assert_eq!(store.look_up(taken, at(10)).await, before);
        assert_eq!(store.look_up(subject.digest, at(10)).await, live(&subject, 1, T0));
    }
}

async fn a_token_is_exchanged_only_once(context: &Context) {
    let store = context.open().await;
    let (filing, next) = exchanged(&store, at(20)).await;
    let again = filing.rotated(Fixtures::new(9).next_digest(&filing), at(30));
    for version in [1, 2] {
        let answer = store.exchange(filing.digest, Version::from_u64(version), &again, at(30)).await;
        assert_eq!(answer, Rekeyed::Retired(Retired { session: filing.id(), rotated_at: at(20) }));
    }
    assert_eq!(store.look_up(again.digest, at(30)).await, Lookup::Unknown);
    assert_eq!(store.look_up(next.digest, at(30)).await, live(&next, 2, at(20)));
}

async fn a_session_that_was_never_filed_is_not_created(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    let next = filing.rotated(fixtures.next_digest(&filing), T0);
    assert_eq!(store.exchange(filing.digest, Version::FIRST, &next, T0).await, Rekeyed::Unknown);
    for digest in [filing.digest, next.digest] {
        assert_eq!(store.look_up(digest, T0).await, Lookup::Unknown);
    }
}

async fn a_session_that_ended_stays_ended(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    store.file(&filing).await;
    store.finish_one(filing.id(), SignedOut, at(10)).await;
    let next = filing.rotated(fixtures.next_digest(&filing), at(5));
    let tombstone = filing.tombstone(SignedOut, at(10));
    let answer = store.exchange(filing.digest, Version::FIRST, &next, at(5)).await;
    assert_eq!(answer, Rekeyed::Ended(tombstone.clone()));
    assert_eq!(store.look_up(filing.digest, at(5)).await, Lookup::Ended(tombstone));
    assert_eq!(store.look_up(next.digest, at(5)).await, Lookup::Unknown);
}

async fn a_session_is_over_at_the_instant_of_its_timeout(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [in_time, too_late] = [fixtures.signed_in("alice"), fixtures.signed_in("bob")];
    for filing in [&in_time, &too_late] {
        store.file(filing).await;
    }
    let next = in_time.rotated(fixtures.next_digest(&in_time), at(999));
    let answer = store.exchange(in_time.digest, Version::FIRST, &next, at(999)).await;
    assert_eq!(answer, Rekeyed::Done(Version::from_u64(2)));
    let next = too_late.rotated(fixtures.next_digest(&too_late), at(1_000));
    let answer = store.exchange(too_late.digest, Version::FIRST, &next, at(1_000)).await;
    assert_eq!(answer, Rekeyed::Ended(too_late.tombstone(IdleTimeout, at(1_000))));
    assert_eq!(store.look_up(next.digest, at(1_000)).await, Lookup::Unknown);
}

async fn every_token_of_a_chain_stays_retired(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let mut current = fixtures.signed_in("alice");
    store.file(&current).await;
    let mut earlier = Vec::new();
    for step in 1..=5 {
        let next = current.rotated(fixtures.next_digest(&current), at(step));
        let version = Version::from_u64(step.unsigned_abs());
        assert_eq!(
            store.exchange(current.digest, version, &next, at(step)).await,
            Rekeyed::Done(version.next())
        );
        earlier.push((current.digest, at(step)));
        current = next;
    }
    assert_eq!(store.look_up(current.digest, at(5)).await, live(&current, 6, at(5)));
    for (digest, rotated_at) in earlier {
        assert_eq!(store.look_up(digest, at(5)).await, retired(&current, rotated_at));
    }
}

async fn a_retired_token_stays_retired_after_its_session_ended_until_its_retention_ends(context: &Context) {
    let store = context.open().await;
    let (filing, next) = exchanged(&store, at(20)).await;
    store.finish_one(filing.id(), SignedOut, at(30)).await;
    for now in [at(30), at(19).plus(RETENTION)] {
        store.sweep_up(now).await;
        assert_eq!(store.look_up(filing.digest, now).await, retired(&filing, at(20)), "at {now}");
        assert_eq!(store.look_up(next.digest, now).await, Lookup::Ended(next.tombstone(SignedOut, at(30))));
    }
}

async fn a_retired_token_is_kept_for_its_retention_while_the_session_lives(context: &Context) {
    let store = context.open().await;
    let (filing, next) = exchanged(&store, at(20)).await;
    let mut now = at(20);
    while now < at(19).plus(RETENTION) {
        now = now.plus(IDLE / 2).min(at(19).plus(RETENTION));
        store.note(&[(next.digest, now)], now).await;
        store.sweep_up(now).await;
        assert_eq!(store.look_up(filing.digest, now).await, retired(&filing, at(20)), "at {now}");
        assert_eq!(store.look_up(next.digest, now).await, live(&next, 2, now), "at {now}");
    }
}

async fn nothing_is_left_of_a_retired_token_when_nothing_is_left_of_its_session(context: &Context) {
    let store = context.open().await;
    let (filing, next) = exchanged(&store, at(20)).await;
    store.finish_one(filing.id(), SignedOut, at(30)).await;
    let later = at(30).plus(RETENTION);
    store.sweep_up(later).await;
    for digest in [filing.digest, next.digest] {
        store.is_gone(digest, later).await;
    }
}

async fn a_retired_token_is_no_activity(context: &Context) {
    let store = context.open().await;
    let (filing, next) = exchanged(&store, at(20)).await;
    let report = store.note(&[(filing.digest, at(500))], at(500)).await;
    assert_eq!(report, TouchReport { touched: 0, ignored: 1 });
    assert_eq!(store.look_up(next.digest, at(500)).await, live(&next, 2, at(20)));
    assert_eq!(store.look_up(filing.digest, at(500)).await, retired(&filing, at(20)));
}

async fn the_session_ends_by_its_id_whatever_its_token(context: &Context) {
    let store = context.open().await;
    let (filing, next) = exchanged(&store, at(20)).await;
    let tombstone = next.tombstone(SignedOut, at(30));
    let ending = store.finish_one(filing.id(), SignedOut, at(30)).await;
    assert_eq!(ending.ended, [tombstone.clone().into()]);
    assert_eq!(store.look_up(next.digest, at(30)).await, Lookup::Ended(tombstone));
    assert_eq!(store.look_up(filing.digest, at(30)).await, retired(&filing, at(20)));
}

async fn of_many_exchanges_of_one_version_exactly_one_is_done(context: &Context) {
    race(&[context.open().await]).await;
}

/// Exchanges tokens many times at once, spread over `stores`.
pub(crate) async fn race(stores: &[Subject]) {
    let mut fixtures = Fixtures::new(4);
    for racers in [64, 8, 8, 8, 8, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2] {
        let filing = fixtures.signed_in("alice");
        stores.first().expect("a store to race at").file(&filing).await;
        race_for(stores, &filing, &mut fixtures, racers).await;
    }
}

/// One exchange is done, and the others leave nothing.
async fn race_for(stores: &[Subject], filing: &Filing, fixtures: &mut Fixtures, racers: usize) {
    let exchanges = stores.iter().cycle().take(racers);
    let mut racers = tokio::task::JoinSet::new();
    for store in exchanges {
        let next = filing.rotated(fixtures.next_digest(filing), at(20));
        let (store, old) = (store.clone(), filing.digest);
        racers.spawn(async move { (store.exchange(old, Version::FIRST, &next, at(20)).await, next) });
    }
    let answers = racers.join_all().await;
    let done = answers.iter().filter(|(answer, _)| *answer == Rekeyed::Done(Version::from_u64(2))).count();
    assert_eq!(done, 1, "exactly one wins");
    let lost = Rekeyed::Retired(Retired { session: filing.id(), rotated_at: at(20) });
    for (store, (answer, next)) in stores.iter().cycle().zip(answers) {
        if matches!(answer, Rekeyed::Done(_)) {
            assert_eq!(store.look_up(next.digest, at(20)).await, live(&next, 2, at(20)));
        } else {
            assert_eq!(answer, lost);
            assert_eq!(store.look_up(next.digest, at(20)).await, Lookup::Unknown);
        }
    }
}
