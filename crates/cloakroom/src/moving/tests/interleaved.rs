//! Calls that meet a session on its way, one interleaving after the other.

use std::num::NonZeroU32;
use std::sync::Arc;

use cloakroom_conformance::{FaultyStore, Fixtures, Moment, at};

use cloakroom_core::{EndReason, OnLimit, SessionLimit};
use cloakroom_store::{
    Entry, Filed, InsertRequest, Inserted, ListFilter, ListQuery, Lookup, RekeyRequest, Rekeyed,
    ReplaceRequest, Replaced, StateFilter, Store, Touch, Verb,
};

use super::super::home::sealed;
use super::super::{Beginning, MovingStore};
use super::{Stores, end, file, live, pass, value, write};

fn carry(node: &Arc<MovingStore>) -> tokio::task::JoinHandle<()> {
    let node = Arc::clone(node);
    tokio::spawn(async move {
        pass(&node).await.unwrap();
    })
}

fn is_ended(answer: &Lookup, reason: EndReason) -> bool {
    matches!(answer, Lookup::Ended(tombstone) if tombstone.reason == reason)
}

#[tokio::test]
async fn everything_moves_as_it_is_and_a_second_pass_finds_nothing_to_do() {
    let stores = Stores::new();
    let mut fixtures = Fixtures::new(1);
    let (alice, bob, gone) = (fixtures.signed_in("alice"), fixtures.signed_in("bob"), fixtures.anonymous());
    for filing in [&alice, &bob, &gone] {
        stores.issued(filing).await;
    }
    let written = write(&*stores.old, alice.digest, &alice.live(), b"1").await;
    assert!(matches!(written, Replaced::Done(_)));
    let before = live(&*stores.old, alice.digest).await;
    end(&*stores.old, &gone, EndReason::SignedOut).await.unwrap();
    let next = fixtures.next_digest(&bob);
    let rotated = RekeyRequest {
        old: bob.digest,
        new: next,
        version: bob.live().version,
        record: &bob.record,
        now: at(5),
    };
    assert!(matches!(stores.old.rekey(rotated).await.unwrap(), Rekeyed::Done(_)));

    let node = stores.moving().await;
    let first = pass(&node).await.unwrap();
    assert_eq!((first.sessions, first.tombstones, first.retired, first.damaged), (2, 1, 1, 0));
    let second = pass(&node).await.unwrap();
    assert!(second.is_settled(), "{second:?}");
    // The new store alone has all of it now.
    assert_eq!(live(&*stores.new, alice.digest).await, before, "record, version and last activity");
    live(&*stores.new, next).await;
    assert!(matches!(stores.new.get(bob.digest, at(20)).await.unwrap(), Lookup::Retired(_)));
    assert!(is_ended(&stores.new.get(gone.digest, at(20)).await.unwrap(), EndReason::SignedOut));
    let counts = node.count(at(20)).await.unwrap();
    assert_eq!((counts.signed_in, counts.anonymous), (2, 0), "nothing is counted twice");
}

#[tokio::test]
async fn until_moving_begins_nothing_is_filed_in_the_new_store() {
    let stores = Stores::new();
    let mut fixtures = Fixtures::new(2);
    let (node, alice) = (stores.node(), fixtures.signed_in("alice"));
    file(&*node, &alice).await;
    assert!(matches!(write(&*node, alice.digest, &alice.live(), b"1").await, Replaced::Done(_)));
    assert_eq!(stores.new.get(alice.digest, at(20)).await.unwrap(), Lookup::Unknown);
    assert_eq!(
        value(&live(&*stores.old, alice.digest).await),
        Some(&b"1"[..]),
        "back to the old store alone at any time"
    );
}

#[tokio::test]
async fn an_end_between_leaving_and_arriving_is_an_end() {
    for direct in [false, true] {
        let stores = Stores::new();
        let alice = Fixtures::new(3).signed_in("alice");
        stores.issued(&alice).await;
        let (node, other) = (stores.moving().await, stores.moving().await);
        let arriving = stores.new.hold(Verb::Import, Moment::Before);
        let carried = carry(&node);
        arriving.reached().await;
        // By a server that knows both, or by one that knows the old store alone.
        let store: &dyn Store = if direct { &*stores.old } else { &*other };
        assert_eq!(end(store, &alice, EndReason::RevokedByAdmin).await.unwrap().ended.len(), 1);
        let before = other.get(alice.digest, at(20)).await.unwrap();
        assert!(is_ended(&before, EndReason::RevokedByAdmin), "{before:?}");
        arriving.release();
        carried.await.unwrap();
        let everywhere: [&dyn Store; 3] = [&*other, &*node, &*stores.new];
        for store in everywhere {
            assert!(is_ended(&store.get(alice.digest, at(20)).await.unwrap(), EndReason::RevokedByAdmin));
        }
    }
}

#[tokio::test]
async fn an_end_between_arriving_and_the_last_step_is_an_end_at_every_moment() {
    let stores = Stores::new();
    let alice = Fixtures::new(4).signed_in("alice");
    stores.issued(&alice).await;
    let (node, other) = (stores.moving().await, stores.moving().await);
    // What is left in the old store is about to end as moved, and ends by decision a moment before.
    let last_step = stores.old.hold(Verb::End, Moment::Before);
    let carried = carry(&node);
    last_step.reached().await;
    end(&*stores.old, &alice, EndReason::Compromised).await.unwrap();
    assert!(is_ended(&other.get(alice.digest, at(20)).await.unwrap(), EndReason::Compromised));
    last_step.release();
    carried.await.unwrap();
    assert!(is_ended(&stores.new.get(alice.digest, at(20)).await.unwrap(), EndReason::Compromised));
}

#[tokio::test]
async fn a_sign_out_is_told_as_done_only_when_both_stores_have_done_it() {
    let stores = Stores::new();
    let alice = Fixtures::new(5).signed_in("alice");
    stores.issued(&alice).await;
    let node = stores.moving().await;
    pass(&node).await.unwrap();
    let held = stores.new.hold(Verb::End, Moment::Before);
    let ending = tokio::spawn({
        let (node, alice) = (Arc::clone(&node), alice.clone());
        async move { end(&*node, &alice, EndReason::SignedOut).await.unwrap() }
    });
    held.reached().await;
    live(&*node, alice.digest).await;
    assert!(!ending.is_finished());
    held.release();
    let told: Vec<_> = ending.await.unwrap().ended.into_iter().map(|ended| ended.reason).collect();
    assert_eq!(told, [EndReason::SignedOut], "once");
    assert!(is_ended(&node.get(alice.digest, at(20)).await.unwrap(), EndReason::SignedOut));
}

#[tokio::test]
async fn a_change_in_the_old_store_a_moment_before_the_session_leaves_comes_along() {
    let stores = Stores::new();
    let alice = Fixtures::new(6).signed_in("alice");
    stores.issued(&alice).await;
    let node = stores.moving().await;
    let leaving = stores.old.hold(Verb::Rekey, Moment::Before);
    let carried = carry(&node);
    leaving.reached().await;
    // A server that has not noticed yet.
    assert!(matches!(write(&*stores.old, alice.digest, &alice.live(), b"late").await, Replaced::Done(_)));
    leaving.release();
    carried.await.unwrap();
    assert_eq!(value(&live(&*stores.new, alice.digest).await), Some(&b"late"[..]));
}

#[tokio::test]
async fn a_change_that_was_on_its_way_to_the_old_store_when_the_session_left_is_made_in_the_new_one() {
    let stores = Stores::new();
    let alice = Fixtures::new(7).signed_in("alice");
    stores.issued(&alice).await;
    let behind = stores.node();
    let read = live(&*behind, alice.digest).await;
    let late = stores.old.hold(Verb::Replace, Moment::Before);
    let writing = tokio::spawn({
        let (behind, digest) = (Arc::clone(&behind), alice.digest);
        async move { write(&*behind, digest, &read, b"late").await }
    });
    late.reached().await;
    pass(&*stores.moving().await).await.unwrap();
    late.release();
    assert!(matches!(writing.await.unwrap(), Replaced::Done(_)), "the version means the same in both");
    assert_eq!(value(&live(&*stores.new, alice.digest).await), Some(&b"late"[..]));
}

#[tokio::test]
async fn a_change_that_waited_until_the_old_store_had_forgotten_that_the_session_left_is_made_in_the_new_one()
{
    let stores = Stores::new();
    let (hour, day) = (std::time::Duration::from_secs(3_600), std::time::Duration::from_secs(86_400));
    // Whoever is remembered for a month, and was away for longer than anything is kept that has ended.
    let alice = Fixtures::new(19).signed_in("alice").with_idle_timeout(30 * day).with_retention(hour);
    let alice = alice.with_absolute_at(at(0).plus(30 * day));
    stores.issued(&alice).await;
    let (node, other) = (stores.moving().await, stores.node());
    let now = at(0).plus(2 * day);
    let request =
        ReplaceRequest { digest: alice.digest, version: alice.live().version, record: &alice.record, now };
    let late = stores.old.hold(Verb::Rekey, Moment::Before);
    let waiting = tokio::spawn({
        let (other, alice) = (Arc::clone(&other), alice.clone());
        async move {
            let (version, record) = (alice.live().version, &alice.record);
            other.replace(ReplaceRequest { digest: alice.digest, version, record, now }).await.unwrap()
        }
    });
    late.reached().await;
    assert!(matches!(node.replace(request).await.unwrap(), Replaced::Done(_)));
    let sweep = cloakroom_store::SweepRequest { now, limit: 1_000, lease: std::time::Duration::ZERO };
    stores.old.sweep(sweep).await.unwrap();
    late.release();
    let answer = waiting.await.unwrap();
    assert!(matches!(answer, Replaced::Conflict(_)), "the other change came first: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn the_activity_of_whoever_has_moved_is_noted_also_while_a_part_of_the_old_store_is_away() {
    let stores = Stores::new();
    let faulty = Arc::new(FaultyStore::new(stores.old.clone()));
    let node = MovingStore::new(faulty.clone(), stores.new.clone());
    assert_eq!(node.begin(at(0)).await.unwrap(), Beginning::Begun { since: at(0) });
    let mut fixtures = Fixtures::new(20);
    let (alice, bob) = (fixtures.signed_in("alice"), fixtures.signed_in("bob"));
    file(&node, &alice).await;
    stores.issued(&bob).await;
    faulty.lose([bob.digest]);
    let touches = [alice.digest, bob.digest].map(|digest| Touch { digest, seen_at: at(15) });
    let error = node.touch(&touches, at(15)).await.unwrap_err();
    let noted = error.noted().expect("hers is noted");
    assert!(error.is_of_a_part() && noted.missed == [bob.digest].into());
    assert_eq!((noted.report.touched, noted.report.ignored), (1, 0));
    assert_eq!(live(&*stores.new, alice.digest).await.last_seen_at, at(15));
}

#[tokio::test]
async fn whoever_reads_a_session_on_its_way_brings_it_home() {
    let stores = Stores::new();
    let alice = Fixtures::new(8).signed_in("alice");
    stores.issued(&alice).await;
    let (node, behind) = (stores.moving().await, stores.node());
    let arriving = stores.new.hold(Verb::Import, Moment::Before);
    let carried = carry(&node);
    arriving.reached().await;
    for reader in [&behind, &node] {
        assert_eq!(live(&**reader, alice.digest).await.record, alice.live().record, "unchanged");
    }
    arriving.release();
    carried.await.unwrap();
    assert_eq!(live(&*stores.new, alice.digest).await, alice.live(), "filed once");
}

#[tokio::test]
async fn a_move_that_stopped_anywhere_is_finished_by_the_next_pass() {
    for (verb, in_new) in [(Verb::Rekey, false), (Verb::Import, true), (Verb::End, false)] {
        for moment in [Moment::Before, Moment::After] {
            let stores = Stores::new();
            let alice = Fixtures::new(9).signed_in("alice");
            stores.issued(&alice).await;
            let node = stores.moving().await;
            let store = if in_new { &stores.new } else { &stores.old };
            let held = store.hold(verb, moment);
            let carried = carry(&node);
            held.reached().await;
            carried.abort();
            assert!(carried.await.unwrap_err().is_cancelled());
            drop(held);
            pass(&node).await.unwrap();
            assert!(pass(&node).await.unwrap().is_settled());
            assert_eq!(live(&*stores.new, alice.digest).await, alice.live(), "{verb} {moment:?}");
            let left = stores.old.count(at(20)).await.unwrap();
            assert_eq!(left.signed_in, 0, "{verb} {moment:?}: nothing is counted or reported there any more");
        }
    }
}

#[tokio::test]
async fn an_exchanged_token_stays_dead_and_the_silence_of_a_moved_session_is_its_own() {
    let stores = Stores::new();
    let mut fixtures = Fixtures::new(10);
    let alice = fixtures.signed_in("alice");
    stores.issued(&alice).await;
    let node = stores.moving().await;
    let next = fixtures.next_digest(&alice);
    let rotation = RekeyRequest {
        old: alice.digest,
        new: next,
        version: alice.live().version,
        record: &alice.record,
        now: at(500),
    };
    assert!(matches!(node.rekey(rotation).await.unwrap(), Rekeyed::Done(_)), "moved by the change itself");
    assert!(matches!(node.get(alice.digest, at(510)).await.unwrap(), Lookup::Retired(_)));
    node.touch(&[Touch { digest: next, seen_at: at(1_200) }], at(1_200)).await.unwrap();
    // Long after the old store heard of it for the last time.
    for store in [&node, &stores.moving().await] {
        assert!(matches!(store.get(next, at(2_000)).await.unwrap(), Lookup::Live(_)));
    }
    // And when the old store has swept what it knew of the first token.
    let sweep =
        cloakroom_store::SweepRequest { now: at(100_000), limit: 1_000, lease: std::time::Duration::ZERO };
    stores.old.sweep(sweep).await.unwrap();
    stores.new.sweep(sweep).await.unwrap();
    assert_eq!(
        node.get(alice.digest, at(100)).await.unwrap(),
        Lookup::Unknown,
        "not even for a clock that is far behind"
    );
}

#[tokio::test]
async fn who_comes_to_move_a_session_when_its_old_digest_is_forgotten_finds_it_where_it_is() {
    let stores = Stores::new();
    let (long, retention) = (std::time::Duration::from_secs(1_000), cloakroom_conformance::RETENTION);
    let alice =
        Fixtures::new(19).signed_in("alice").with_idle_timeout(long).with_absolute_at(at(0).plus(long));
    stores.issued(&alice).await;
    let (node, other) = (stores.moving().await, stores.moving().await);
    let now = at(0).plus(retention).plus(std::time::Duration::from_secs(1));
    let late = stores.old.hold(Verb::Rekey, Moment::Before);
    let settling = tokio::spawn({
        let digest = alice.digest;
        async move { other.settle(digest, now).await.unwrap() }
    });
    late.reached().await;
    assert!(matches!(node.settle(alice.digest, now).await.unwrap(), Lookup::Live(_)));
    // She was silent for longer than an exchanged token is kept.
    let sweep = cloakroom_store::SweepRequest { now, limit: 100, lease: std::time::Duration::ZERO };
    assert_eq!(stores.old.sweep(sweep).await.unwrap().removed, 1);
    late.release();
    assert!(matches!(settling.await.unwrap(), Lookup::Live(_)), "she would be signed out");
}

#[tokio::test]
async fn silence_is_not_interrupted_by_moving() {
    let stores = Stores::new();
    let alice = Fixtures::new(11).signed_in("alice");
    stores.issued(&alice).await;
    let node = stores.moving().await;
    // `pass` moves at 20; the session was last seen at 0 and may be silent for 1000.
    pass(&node).await.unwrap();
    assert!(matches!(node.get(alice.digest, at(999)).await.unwrap(), Lookup::Live(_)));
    assert!(is_ended(&node.get(alice.digest, at(1_000)).await.unwrap(), EndReason::IdleTimeout));
}

#[tokio::test]
async fn a_session_that_stopped_half_way_is_not_ended_by_the_silence_of_what_is_left() {
    let stores = Stores::new();
    let alice = Fixtures::new(15).signed_in("alice");
    stores.issued(&alice).await;
    let node = stores.moving().await;
    let last_step = stores.old.hold(Verb::End, Moment::Before);
    let carried = carry(&node);
    last_step.reached().await;
    carried.abort();
    assert!(carried.await.unwrap_err().is_cancelled());
    drop(last_step);
    node.touch(&[Touch { digest: alice.digest, seen_at: at(900) }], at(900)).await.unwrap();
    assert!(matches!(node.get(alice.digest, at(1_500)).await.unwrap(), Lookup::Live(_)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_not_noticed_yet_finds_what_has_left_all_the_same() {
    let stores = Stores::new();
    let alice = Fixtures::new(16).signed_in("alice");
    stores.issued(&alice).await;
    let behind = stores.node();
    live(&*behind, alice.digest).await;
    pass(&*stores.moving().await).await.unwrap();
    live(&*behind, alice.digest).await;
}

#[tokio::test(start_paused = true)]
async fn one_move_after_another_begins_when_it_is_begun_and_no_earlier() {
    let mut fixtures = Fixtures::new(17);
    let first = Stores::new();
    let alice = fixtures.signed_in("alice");
    first.issued(&alice).await;
    pass(&*first.moving().await).await.unwrap();
    // From the store that was new to a third one: its servers serve the second until that move begins.
    let second = Stores { old: first.new.clone(), new: Stores::new().new };
    let (node, bob) = (second.node(), fixtures.signed_in("bob"));
    file(&*node, &bob).await;
    assert_eq!(second.new.get(bob.digest, at(20)).await.unwrap(), Lookup::Unknown);
    pass(&*second.moving().await).await.unwrap();
    for filing in [&alice, &bob] {
        live(&*second.new, filing.digest).await;
    }
}

#[tokio::test]
async fn sessions_do_not_move_back_to_where_they_are_known_as_gone() {
    let there = Stores::new();
    let alice = Fixtures::new(18).signed_in("alice");
    there.issued(&alice).await;
    pass(&*there.moving().await).await.unwrap();
    let back = Stores { old: there.new.clone(), new: there.old.clone() };
    assert_eq!(back.node().begin(at(20)).await.unwrap(), Beginning::TargetWasLeft);
    // Nor where somebody forces it: they stay where they are, alive, and that is told.
    let node = back.node();
    for _ in 0..2 {
        let done = pass(&node).await.unwrap();
        assert_eq!((done.sessions, done.kept_out), (0, 1), "{done:?}");
    }
    live(&*back.old, alice.digest).await;
}

#[tokio::test]
async fn the_limit_holds_across_both_stores() {
    for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse] {
        let stores = Stores::new();
        let mut fixtures = Fixtures::new(12);
        let limit = Some(SessionLimit { max: NonZeroU32::new(3).unwrap(), on_limit });
        let before: Vec<_> = (0..3).map(|age| fixtures.signed_in("alice").issued_at(at(age))).collect();
        for filing in &before {
            stores.issued(filing).await;
        }
        let node = stores.moving().await;
        // One of the three has moved already.
        assert!(matches!(write(&*node, before[1].digest, &before[1].live(), b"1").await, Replaced::Done(_)));
        let mut ended = Vec::new();
        let mut refused = 0;
        for _ in 0..5 {
            let filing = fixtures.signed_in("alice").issued_at(at(10));
            let request = InsertRequest {
                record: &filing.record,
                digest: filing.digest,
                limit,
                replaces: None,
                now: at(20),
            };
            match node.insert(request).await.unwrap() {
                Inserted::Done { ended: now } => ended.extend(now.into_iter().map(|ended| ended.session)),
                Inserted::LimitReached => refused += 1,
                Inserted::AlreadyExists => panic!("drawn at random"),
            }
            let mut filter = ListFilter::default();
            filter.principal = alice_id();
            assert_eq!(node.list(&ListQuery::new(filter), at(20)).await.unwrap().items.len(), 3);
        }
        if on_limit == OnLimit::Refuse {
            assert_eq!((ended.len(), refused), (0, 5));
        } else {
            assert_eq!((ended.len(), refused), (5, 0));
            assert_eq!(ended[0], before[0].id(), "the oldest, which is in the old store");
            assert_eq!(ended[1], before[1].id(), "the next, which is in the new one");
        }
    }

    fn alice_id() -> Option<cloakroom_core::PrincipalId> {
        Some(cloakroom_conformance::principal_id("alice"))
    }
}

#[tokio::test]
async fn a_list_shows_each_session_once_whichever_store_it_is_in() {
    let stores = Stores::new();
    let mut fixtures = Fixtures::new(13);
    let all: Vec<_> = (0..9).map(|age| fixtures.signed_in("alice").issued_at(at(age / 2))).collect();
    for filing in &all {
        stores.issued(filing).await;
    }
    let node = stores.moving().await;
    for filing in all.iter().step_by(2) {
        assert!(matches!(write(&*node, filing.digest, &filing.live(), b"1").await, Replaced::Done(_)));
    }
    end(&*node, &all[2], EndReason::SignedOut).await.unwrap();
    end(&*node, &all[3], EndReason::SignedOut).await.unwrap();
    for (state, expected) in [(StateFilter::Active, 7), (StateFilter::Ended, 2), (StateFilter::Any, 9)] {
        let mut filter = ListFilter::default();
        filter.principal = Some(cloakroom_conformance::principal_id("alice"));
        filter.state = state;
        let mut query = ListQuery::new(filter).with_limit(2.try_into().unwrap());
        let mut seen = Vec::new();
        loop {
            let page = node.list(&query, at(20)).await.unwrap();
            seen.extend(page.items.iter().map(cloakroom_store::ListItem::cursor));
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        assert!(seen.is_sorted_by(|a, b| a > b), "from the latest to the first, each once: {seen:?}");
        assert_eq!(seen.len(), expected, "{state:?}");
    }
}

#[tokio::test]
async fn a_seal_that_somebody_wrote_into_their_own_session_leads_nowhere() {
    let stores = Stores::new();
    let mut fixtures = Fixtures::new(14);
    let victim = fixtures.digest(fixtures.clone().signed_in("mallory").digest.route());
    let mallory = fixtures.signed_in("mallory").with_attribute("cloakroom.sealed", victim.to_bytes());
    stores.issued(&mallory).await;
    let node = stores.moving().await;
    pass(&node).await.unwrap();
    assert_eq!(
        node.get(victim, at(20)).await.unwrap(),
        Lookup::Unknown,
        "no session under a digest of their choice"
    );
    live(&*stores.new, mallory.digest).await;
    // Even a session that somebody managed to file under a sealed digest would only be found by its own.
    let planted = Filed { digest: sealed(victim), entry: Entry::Live(fixtures.signed_in("mallory").live()) };
    stores.old.import(&planted, at(20)).await.unwrap();
    assert_eq!(node.get(victim, at(20)).await.unwrap(), Lookup::Unknown);
}
