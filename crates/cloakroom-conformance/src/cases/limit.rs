//! `insert` with a limit: exact, whoever is signing in at the same time.

use std::num::NonZeroU32;

use cloakroom_core::EndReason::{
    Compromised, Replaced as ReplacedBySignIn, SessionLimit as OverLimit, SignedOut,
};
use cloakroom_core::{OnLimit, SessionLimit, Timestamp};
use cloakroom_store::{Ended, Inserted, Lookup, Selector};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at};
use crate::subject::{Subject, sorted};

pub(crate) const CASES: &[Case] = cases!("limit", |claims| claims.limits;
    below_the_limit_nobody_ends,
    the_session_issued_first_ends,
    the_session_unused_for_longest_ends,
    whoever_signs_in_is_not_put_out_by_that_however_slow_their_nodes_clock,
    a_sign_in_beyond_the_limit_is_refused_and_leaves_nothing,
    a_limit_that_was_lowered_ends_as_many_as_are_too_many,
    sessions_that_are_over_do_not_count,
    sessions_of_others_do_not_count_and_do_not_end,
    a_session_that_is_replaced_does_not_count,
    a_session_that_is_replaced_lives_where_the_sign_in_is_refused,
    anonymous_sessions_have_no_limit,
    whoever_was_put_out_is_reported_once,
    a_sign_in_refused_for_its_digest_puts_nobody_out,
    parallel_sign_ins_never_exceed_it_and_put_out_as_many_as_too_many,
    of_parallel_sign_ins_exactly_as_many_succeed_as_are_allowed,
);

pub(crate) fn limit(max: u32, on_limit: OnLimit) -> Option<SessionLimit> {
    Some(SessionLimit { max: NonZeroU32::new(max)?, on_limit })
}

/// Files the sessions of `names`, issued one millisecond after the other, without a limit.
async fn filed<const N: usize>(store: &Subject, names: [&str; N]) -> [Filing; N] {
    let (mut fixtures, mut issued) = (Fixtures::new(1), T0);
    let filings = names.map(|name| {
        issued = issued.plus(std::time::Duration::from_millis(1));
        fixtures.signed_in(name).issued_at(issued)
    });
    for filing in &filings {
        store.file(filing).await;
    }
    filings
}

fn newcomer(name: &str) -> Filing {
    Fixtures::new(2).signed_in(name).issued_at(at(100))
}

fn put_out<'a>(filings: impl IntoIterator<Item = &'a Filing>) -> Inserted {
    let ended = filings.into_iter().map(|filing| filing.tombstone(OverLimit, at(100)).into()).collect();
    Inserted::Done { ended: sorted(ended) }
}

async fn sign_in(store: &Subject, filing: &Filing, limit: Option<SessionLimit>) -> Inserted {
    match store.try_file(filing, limit, None, at(100)).await {
        Inserted::Done { ended } => Inserted::Done { ended: sorted(ended) },
        other => other,
    }
}

async fn alive(store: &Subject, filings: &[Filing], now: Timestamp) -> Vec<bool> {
    let mut alive = Vec::new();
    for filing in filings {
        alive.push(matches!(store.look_up(filing.digest, now).await, Lookup::Live(_)));
    }
    alive
}

async fn below_the_limit_nobody_ends(context: &Context) {
    for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse] {
        let somewhere = context.elsewhere();
        let store = somewhere.open().await;
        let filings = filed(&store, ["alice"; 2]).await;
        assert_eq!(
            sign_in(&store, &newcomer("alice"), limit(3, on_limit)).await,
            put_out([]),
            "{on_limit:?}"
        );
        assert_eq!(alive(&store, &filings, at(100)).await, [true; 2], "{on_limit:?}");
    }
}

async fn the_session_issued_first_ends(context: &Context) {
    let store = context.open().await;
    let filings = filed(&store, ["alice"; 3]).await;
    let [first, ..] = &filings;
    // The one issued first is also the one used last: age decides, not use.
    store.note(&[(first.digest, at(90))], at(90)).await;
    let new = newcomer("alice");
    assert_eq!(sign_in(&store, &new, limit(3, OnLimit::EndOldest)).await, put_out([first]));
    assert_eq!(alive(&store, &filings, at(100)).await, [false, true, true]);
    assert_eq!(
        store.look_up(first.digest, at(100)).await,
        Lookup::Ended(first.tombstone(OverLimit, at(100)))
    );
    assert_eq!(store.look_up(new.digest, at(100)).await, Lookup::Live(new.live()));
}

async fn the_session_unused_for_longest_ends(context: &Context) {
    let store = context.open().await;
    let filings = filed(&store, ["alice"; 3]).await;
    let [first, idlest, third] = &filings;
    store.note(&[(first.digest, at(80)), (idlest.digest, at(70)), (third.digest, at(75))], at(90)).await;
    assert_eq!(sign_in(&store, &newcomer("alice"), limit(3, OnLimit::EndIdlest)).await, put_out([idlest]));
    assert_eq!(alive(&store, &filings, at(100)).await, [true, false, true]);
}

async fn whoever_signs_in_is_not_put_out_by_that_however_slow_their_nodes_clock(context: &Context) {
    for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest] {
        let somewhere = context.elsewhere();
        let store = somewhere.open().await;
        let filings = filed(&store, ["alice"; 2]).await;
        let [first, _] = &filings;
        let slow = newcomer("alice").issued_at(at(-500));
        assert_eq!(sign_in(&store, &slow, limit(2, on_limit)).await, put_out([first]), "{on_limit:?}");
        assert_eq!(store.look_up(slow.digest, at(100)).await, Lookup::Live(slow.live()), "{on_limit:?}");
    }
}

async fn a_sign_in_beyond_the_limit_is_refused_and_leaves_nothing(context: &Context) {
    let store = context.open().await;
    let filings = filed(&store, ["alice"; 3]).await;
    let new = newcomer("alice");
    assert_eq!(sign_in(&store, &new, limit(3, OnLimit::Refuse)).await, Inserted::LimitReached);
    assert_eq!(alive(&store, &filings, at(100)).await, [true; 3]);
    assert_eq!(store.look_up(new.digest, at(100)).await, Lookup::Unknown);
    let [first, ..] = &filings;
    store.finish_one(first.id(), SignedOut, at(100)).await;
    assert_eq!(sign_in(&store, &new, limit(3, OnLimit::Refuse)).await, put_out([]), "there is room now");
}

async fn a_limit_that_was_lowered_ends_as_many_as_are_too_many(context: &Context) {
    let store = context.open().await;
    let filings = filed(&store, ["alice"; 5]).await;
    let [a, b, c, d, _] = &filings;
    assert_eq!(
        sign_in(&store, &newcomer("alice"), limit(2, OnLimit::EndOldest)).await,
        put_out([a, b, c, d])
    );
    assert_eq!(alive(&store, &filings, at(100)).await, [false, false, false, false, true]);
}

async fn sessions_that_are_over_do_not_count(context: &Context) {
    let store = context.open().await;
    let mut fixtures = Fixtures::new(1);
    let [expired, signed_out, everything] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    store.file(&everything).await;
    store.finish(&Selector::All, Compromised, at(1)).await;
    let expired = expired.with_absolute_at(at(100));
    for filing in [&expired, &signed_out] {
        store.file_at(filing, at(1)).await;
    }
    store.finish_one(signed_out.id(), SignedOut, at(2)).await;
    let new = newcomer("alice");
    let Inserted::Done { ended } = sign_in(&store, &new, limit(1, OnLimit::Refuse)).await else {
        panic!("only what lives counts")
    };
    assert!(ended.iter().all(|ended| ended.reason != OverLimit), "nobody has to go: {ended:?}");
    assert_eq!(store.look_up(new.digest, at(100)).await, Lookup::Live(new.live()));
}

async fn sessions_of_others_do_not_count_and_do_not_end(context: &Context) {
    for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse] {
        let somewhere = context.elsewhere();
        let store = somewhere.open().await;
        let filings = filed(&store, ["bob", "Alice", "alice ", "bob"]).await;
        assert_eq!(
            sign_in(&store, &newcomer("alice"), limit(1, on_limit)).await,
            put_out([]),
            "{on_limit:?}"
        );
        assert_eq!(alive(&store, &filings, at(100)).await, [true; 4], "{on_limit:?}");
    }
}

async fn a_session_that_is_replaced_does_not_count(context: &Context) {
    for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse] {
        let somewhere = context.elsewhere();
        let store = somewhere.open().await;
        let filings = filed(&store, ["alice"; 2]).await;
        let [other, replaced] = &filings;
        let answer =
            store.try_file(&newcomer("alice"), limit(2, on_limit), Some(replaced.id()), at(100)).await;
        let expected: Ended = replaced.tombstone(ReplacedBySignIn, at(100)).into();
        assert_eq!(answer, Inserted::Done { ended: vec![expected] }, "{on_limit:?}");
        assert_eq!(store.look_up(other.digest, at(100)).await, Lookup::Live(other.live()), "{on_limit:?}");
    }
}

async fn a_session_that_is_replaced_lives_where_the_sign_in_is_refused(context: &Context) {
    let store = context.open().await;
    let filings = filed(&store, ["alice"; 3]).await;
    let [replaced, ..] = &filings;
    let answer =
        store.try_file(&newcomer("alice"), limit(2, OnLimit::Refuse), Some(replaced.id()), at(100)).await;
    assert_eq!(answer, Inserted::LimitReached);
    assert_eq!(alive(&store, &filings, at(100)).await, [true; 3]);
}

async fn anonymous_sessions_have_no_limit(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for _ in 0..3 {
        let filing = fixtures.anonymous().issued_at(at(100));
        assert_eq!(sign_in(&store, &filing, limit(1, OnLimit::Refuse)).await, put_out([]));
    }
}

async fn whoever_was_put_out_is_reported_once(context: &Context) {
    let store = context.open().await;
    let filings = filed(&store, ["alice"; 2]).await;
    assert_eq!(sign_in(&store, &newcomer("alice"), limit(1, OnLimit::EndOldest)).await, put_out(&filings));
    assert_eq!(store.sweep_up(at(100)).await, []);
    for filing in &filings {
        assert_eq!(store.finish_one(filing.id(), SignedOut, at(100)).await.ended, []);
    }
}

async fn a_sign_in_refused_for_its_digest_puts_nobody_out(context: &Context) {
    let store = context.open().await;
    let filings = filed(&store, ["alice"; 2]).await;
    let [first, second] = &filings;
    for (digest, id) in [(second.digest, newcomer("alice").id()), (newcomer("alice").digest, second.id())] {
        let mut taken = Filing { digest, ..newcomer("alice") };
        taken.record.id = id;
        for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest] {
            assert_eq!(sign_in(&store, &taken, limit(1, on_limit)).await, Inserted::AlreadyExists);
        }
        let replacing = store.try_file(&taken, limit(1, OnLimit::EndOldest), Some(first.id()), at(100)).await;
        assert_eq!(replacing, Inserted::AlreadyExists);
    }
    assert_eq!(alive(&store, &filings, at(100)).await, [true; 2]);
}

/// Signs `RACERS` sessions of alice in at the same time; the answers, and the sessions.
pub(crate) async fn race(stores: &[Subject], limit: Option<SessionLimit>) -> Vec<(Inserted, Filing)> {
    let mut fixtures = Fixtures::new(4);
    let mut racers = tokio::task::JoinSet::new();
    for store in stores.iter().cycle().take(RACERS) {
        let (store, filing) = (store.clone(), fixtures.signed_in("alice"));
        racers.spawn(async move { (store.try_file(&filing, limit, None, T0).await, filing) });
    }
    racers.join_all().await
}

/// Sign-ins at once.
pub(crate) const RACERS: usize = 64;

/// Signs `RACERS` sessions in, two of a principal at the same time, each through a store of its own, of whom one may stay:
/// races whose outcome no later sign-in mends.
pub(crate) async fn duels([one, other]: [&Subject; 2], on_limit: OnLimit) {
    let mut fixtures = Fixtures::new(5);
    for round in 0..RACERS / 2 {
        let name = format!("bob-{round}");
        let filings: [Filing; 2] = std::array::from_fn(|_| fixtures.signed_in(&name));
        let mut signing_in = tokio::task::JoinSet::new();
        for (store, filing) in [one, other].into_iter().zip(&filings) {
            let (store, filing) = (store.clone(), filing.clone());
            signing_in.spawn(async move { store.try_file(&filing, limit(1, on_limit), None, T0).await });
        }
        let answers = signing_in.join_all().await;
        let done = answers.iter().filter(|answer| matches!(answer, Inserted::Done { .. })).count();
        assert_eq!(done, if on_limit == OnLimit::Refuse { 1 } else { 2 }, "round {round}: {answers:?}");
        let alive = alive(one, &filings, T0).await;
        assert_eq!(alive.iter().filter(|alive| **alive).count(), 1, "round {round}: {answers:?}");
    }
}

/// Never more than `max` live, and everybody else reported exactly once.
pub(crate) async fn check_race(store: &Subject, answers: Vec<(Inserted, Filing)>, max: usize) {
    let (mut reported, mut lives) = (Vec::new(), 0);
    for (answer, filing) in &answers {
        let Inserted::Done { ended } = answer else { panic!("room is made for everybody: {answer:?}") };
        reported.extend(ended.iter().cloned());
        match store.look_up(filing.digest, T0).await {
            Lookup::Live(_) => lives += 1,
            other => assert_eq!(other, Lookup::Ended(filing.tombstone(OverLimit, T0))),
        }
    }
    assert_eq!(lives, max, "as many as allowed");
    assert_eq!(reported.len(), RACERS - max, "everybody who had to go is reported");
    reported.sort_by_key(|ended| ended.session);
    reported.dedup_by_key(|ended| ended.session);
    assert_eq!(reported.len(), RACERS - max, "once");
    assert!(reported.iter().all(|ended| ended.reason == OverLimit), "{reported:?}");
}

async fn parallel_sign_ins_never_exceed_it_and_put_out_as_many_as_too_many(context: &Context) {
    for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest] {
        let somewhere = context.elsewhere();
        let store = somewhere.open().await;
        let answers = race(std::slice::from_ref(&store), limit(5, on_limit)).await;
        check_race(&store, answers, 5).await;
        duels([&store, &store], on_limit).await;
    }
}

async fn of_parallel_sign_ins_exactly_as_many_succeed_as_are_allowed(context: &Context) {
    let store = context.open().await;
    let answers = race(std::slice::from_ref(&store), limit(5, OnLimit::Refuse)).await;
    check_refusals(&store, &answers, 5).await;
    duels([&store, &store], OnLimit::Refuse).await;
}

/// Exactly `max` are in and live, and the others were refused and left nothing.
pub(crate) async fn check_refusals(store: &Subject, answers: &[(Inserted, Filing)], max: usize) {
    let mut lives = 0;
    for (answer, filing) in answers {
        let refused = *answer == Inserted::LimitReached;
        let expected = if refused { Lookup::Unknown } else { Lookup::Live(filing.live()) };
        lives += usize::from(!refused);
        assert_eq!(store.look_up(filing.digest, T0).await, expected, "{answer:?}");
    }
    assert_eq!(lives, max);
}
