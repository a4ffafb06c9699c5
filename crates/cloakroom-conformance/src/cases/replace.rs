//! `replace`: compare and swap, and never creates.

use std::sync::Arc;

use cloakroom_core::EndReason::{IdleTimeout, SignedOut};
use cloakroom_core::Timestamp;
use cloakroom_store::{Live, Lookup, Replaced, Retired, Version};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at};

pub(crate) const CASES: &[Case] = cases!("replace", |_| true;
    the_record_is_replaced_and_has_the_next_version,
    another_version_is_a_conflict_that_answers_the_current_session,
    a_session_that_was_never_filed_is_not_created,
    a_session_that_ended_stays_ended,
    a_session_is_over_at_the_instant_of_its_timeout,
    a_retired_token_changes_nothing,
    replacing_is_not_activity,
    activity_is_no_conflict,
    of_many_replacements_of_one_version_exactly_one_is_done,
);

/// The same session after a change.
fn changed(filing: &Filing, to: &str) -> Filing {
    filing.clone().with_attribute("cart", to.as_bytes())
}

fn live(filing: &Filing, version: u64, last_seen_at: Timestamp) -> Live {
    Live { record: Arc::new(filing.record.clone()), version: Version::from_u64(version), last_seen_at }
}

async fn the_record_is_replaced_and_has_the_next_version(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    let mut version = Version::FIRST;
    for (step, text) in ["a hat", "a hat and a scarf", ""].into_iter().enumerate() {
        let changed = changed(&filing, text);
        let answer = store.change(filing.digest, version, &changed.record, at(10)).await;
        assert_eq!(answer, Replaced::Done(version.next()), "step {step}");
        version = version.next();
        let expected = live(&changed, version.as_u64(), T0);
        assert_eq!(store.look_up(filing.digest, at(10)).await, Lookup::Live(expected), "step {step}");
    }
}

async fn another_version_is_a_conflict_that_answers_the_current_session(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    let (winner, loser) = (changed(&filing, "first"), changed(&filing, "second"));
    store.change(filing.digest, Version::FIRST, &winner.record, T0).await;
    store.note(&[(filing.digest, at(200))], at(200)).await;
    let current = live(&winner, 2, at(200));
    for other in [0, 1, 3, 4_000_000_000] {
        let answer = store.change(filing.digest, Version::from_u64(other), &loser.record, at(300)).await;
        assert_eq!(answer, Replaced::Conflict(current.clone()), "version {other}");
    }
    assert_eq!(store.look_up(filing.digest, at(300)).await, Lookup::Live(current));
}

async fn a_session_that_was_never_filed_is_not_created(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    for version in [0, 1, 2] {
        let answer = store.change(filing.digest, Version::from_u64(version), &filing.record, T0).await;
        assert_eq!(answer, Replaced::Unknown);
    }
    assert_eq!(store.look_up(filing.digest, T0).await, Lookup::Unknown);
    store.file(&filing).await;
}

async fn a_session_that_ended_stays_ended(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    store.finish_one(filing.id(), SignedOut, at(10)).await;
    let tombstone = filing.tombstone(SignedOut, at(10));
    for version in [1, 2] {
        let answer = store.change(filing.digest, Version::from_u64(version), &filing.record, at(5)).await;
        assert_eq!(answer, Replaced::Ended(tombstone.clone()), "version {version}");
    }
    assert_eq!(store.look_up(filing.digest, at(5)).await, Lookup::Ended(tombstone));
}

async fn a_session_is_over_at_the_instant_of_its_timeout(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    let (first, second) = (changed(&filing, "in time"), changed(&filing, "too late"));
    let in_time = store.change(filing.digest, Version::FIRST, &first.record, at(999)).await;
    assert_eq!(in_time, Replaced::Done(Version::from_u64(2)));
    let tombstone = filing.tombstone(IdleTimeout, at(1_000));
    for version in [1, 2] {
        let too_late =
            store.change(filing.digest, Version::from_u64(version), &second.record, at(1_000)).await;
        assert_eq!(too_late, Replaced::Ended(tombstone.clone()), "version {version}");
    }
    assert_eq!(store.look_up(filing.digest, at(1_000)).await, Lookup::Ended(tombstone));
}

async fn a_retired_token_changes_nothing(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    store.file(&filing).await;
    let next = filing.rotated(fixtures.next_digest(&filing), at(10));
    store.exchange(filing.digest, Version::FIRST, &next, at(10)).await;
    let retired = Retired { session: filing.id(), rotated_at: at(10) };
    for version in [1, 2] {
        let slow = changed(&filing, "slow");
        let answer = store.change(filing.digest, Version::from_u64(version), &slow.record, at(20)).await;
        assert_eq!(answer, Replaced::Retired(retired), "version {version}");
    }
    assert_eq!(store.look_up(next.digest, at(20)).await, Lookup::Live(live(&next, 2, at(10))));
}

async fn replacing_is_not_activity(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    store.change(filing.digest, Version::FIRST, &changed(&filing, "late").record, at(999)).await;
    let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)));
    assert_eq!(store.look_up(filing.digest, at(1_000)).await, over);
}

async fn activity_is_no_conflict(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    store.note(&[(filing.digest, at(400))], at(400)).await;
    let changed = changed(&filing, "a hat");
    let answer = store.change(filing.digest, Version::FIRST, &changed.record, at(400)).await;
    assert_eq!(answer, Replaced::Done(Version::from_u64(2)));
    assert_eq!(store.look_up(filing.digest, at(400)).await, Lookup::Live(live(&changed, 2, at(400))));
}

async fn of_many_replacements_of_one_version_exactly_one_is_done(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..64 {
        let (store, digest, changed) = (store.clone(), filing.digest, changed(&filing, &number.to_string()));
        racers
            .spawn(async move { (store.change(digest, Version::FIRST, &changed.record, T0).await, changed) });
    }
    let (done, lost): (Vec<_>, Vec<_>) =
        racers.join_all().await.into_iter().partition(|(answer, _)| matches!(answer, Replaced::Done(_)));
    let [(answer, winner)] = done.as_slice() else { panic!("exactly one wins: {done:?}") };
    assert_eq!(*answer, Replaced::Done(Version::from_u64(2)));
    for (answer, _) in lost {
        assert_eq!(answer, Replaced::Conflict(live(winner, 2, T0)));
    }
}
