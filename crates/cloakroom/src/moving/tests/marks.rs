//! By what servers know that moving has begun, and what they must not take for it.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_conformance::{
    CountingStore, FaultyStore, Filing, Fixtures, GatedStore, Moment, RETENTION, UnlistedStore, at,
};
use cloakroom_core::EndReason;
use cloakroom_memory::MemoryStore;
use cloakroom_store::{
    Applied, Entry, ErrorKind, ExportQuery, Filed, InsertRequest, Inserted, Lookup, RekeyRequest, Rekeyed,
    Store, StoreError, Verb,
};

use super::super::{Beginning, Carried, MovingStore};
use super::{Stores, end, file, live, pass};

impl Stores {
    /// Sessions leave a store that may forget what it is told.
    fn forgetful() -> Self {
        let unlisted = UnlistedStore::new(Arc::new(MemoryStore::default()));
        Self { old: Arc::new(GatedStore::new(Arc::new(unlisted))), ..Self::new() }
    }
}

fn late(node: Arc<MovingStore>) -> Arc<MovingStore> {
    node.stage.forget();
    node
}

async fn sign_in(node: &MovingStore, filing: &Filing) -> Result<Inserted, StoreError> {
    let (record, digest) = (&filing.record, filing.digest);
    node.insert(InsertRequest { record, digest, limit: None, replaces: None, now: at(20) }).await
}

fn done() -> Inserted {
    Inserted::Done { ended: Vec::new() }
}

#[tokio::test(start_paused = true)]
async fn a_new_store_that_was_the_target_of_another_move_begins_none() {
    for was_left_too in [false, true] {
        let earlier = Stores::new();
        let mut fixtures = Fixtures::new(61);
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| fixtures.signed_in(name));
        earlier.issued(&alice).await;
        pass(&*earlier.moving().await).await.unwrap();
        let third = Stores { old: earlier.new.clone(), new: Stores::new().new };
        if was_left_too {
            pass(&*third.moving().await).await.unwrap();
        }
        // Much later it is to be the target once more: every server knows both, and nobody has run the move.
        let again = Stores { old: Stores::new().old, new: earlier.new.clone() };
        again.issued(&bob).await;
        let node = again.node();
        file(&*node, &carol).await;
        live(&*again.old, carol.digest).await;
        assert_eq!(again.new.get(carol.digest, at(20)).await.unwrap(), Lookup::Unknown, "{was_left_too}");
        assert_eq!(node.begun_at(at(20)).await.unwrap(), None, "{was_left_too}");
        // Until somebody does.
        let begun = node.begin(at(30)).await.unwrap();
        if was_left_too {
            assert_eq!(begun, Beginning::TargetWasLeft);
        } else {
            assert_eq!(begun, Beginning::Begun { since: at(30) });
            pass(&node).await.unwrap();
            live(&*again.new, carol.digest).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_forgetful_store_does_not_take_the_mark_of_an_earlier_move_for_its_own_where_the_target_was_left() {
    let forgetful = || Arc::new(UnlistedStore::new(Arc::new(MemoryStore::default())));
    let target: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let first = MovingStore::new(forgetful(), target.clone());
    assert!(matches!(first.begin(at(0)).await.unwrap(), Beginning::Begun { .. }));
    // The old store has lost its mark: the one in the new store is enough.
    let alice = Fixtures::new(62).signed_in("alice");
    file(&MovingStore::new(forgetful(), target.clone()), &alice).await;
    live(&*target, alice.digest).await;
    // Then everybody moves on, and back there is no way.
    let onward = MovingStore::new(target.clone(), Arc::new(MemoryStore::default()));
    assert!(matches!(onward.begin(at(10)).await.unwrap(), Beginning::Begun { .. }));
    let (old, bob) = (forgetful(), Fixtures::new(63).signed_in("bob"));
    let back = MovingStore::new(old.clone(), target.clone());
    file(&back, &bob).await;
    live(&*old, bob.digest).await;
    assert_eq!(target.get(bob.digest, at(20)).await.unwrap(), Lookup::Unknown);
}

#[tokio::test(start_paused = true)]
async fn until_moving_begins_a_new_store_that_hangs_keeps_nobody_from_signing_in() {
    let stores = Stores::new();
    let held = stores.new.hold(Verb::Get, Moment::Before);
    let node = stores.node();
    let alice = Fixtures::new(64).signed_in("alice");
    // Time is paused, and goes on only where everybody waits.
    let signing_in = file(&*node, &alice);
    let filed = tokio::time::timeout(Duration::from_secs(60), signing_in).await;
    assert!(filed.is_ok(), "it waits for a store that hangs");
    drop(held);
    live(&*stores.old, alice.digest).await;
}

#[tokio::test(start_paused = true)]
async fn what_need_not_be_kept_any_more_is_not_moved_and_an_end_that_it_tells_of_still_counts() {
    let old: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let new = Arc::new(CountingStore::new(Arc::new(MemoryStore::default())));
    let both = MovingStore::new(old.clone(), new.clone());
    let mut fixtures = Fixtures::new(65);
    let [gone, rotated, arrived] = ["alice", "bob", "carol"].map(|name| fixtures.signed_in(name));
    for filing in [&gone, &rotated, &arrived] {
        file(&*old, filing).await;
    }
    end(&*old, &gone, EndReason::SignedOut).await.unwrap();
    end(&*old, &arrived, EndReason::RevokedByAdmin).await.unwrap();
    let next = fixtures.next_digest(&rotated);
    let exchange = RekeyRequest {
        old: rotated.digest,
        new: next,
        version: rotated.live().version,
        record: &rotated.record,
        now: at(20),
    };
    assert!(matches!(old.rekey(exchange).await.unwrap(), Rekeyed::Done(_)));
    assert!(matches!(both.begin(at(20)).await.unwrap(), Beginning::Begun { .. }));
    // Somebody had moved this one before it ended in the old store alone.
    let copy = Filed { digest: arrived.digest, entry: Entry::Live(arrived.live()) };
    new.import(&copy, at(20)).await.unwrap();
    new.take();
    let long_after = at(20).plus(RETENTION).plus(Duration::from_secs(60));
    let mut done = Carried::default();
    let mut query = ExportQuery::new(None, NonZeroU16::new(100).unwrap());
    loop {
        let page = both.carry(&query, long_after).await.unwrap();
        done = done.plus(page.done);
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert_eq!((done.tombstones, done.retired), (0, 0), "{done:?}");
    assert_eq!(new.count(Verb::Import), 0, "{done:?}");
    let copy = new.get(arrived.digest, at(21)).await.unwrap();
    assert!(!matches!(copy, Lookup::Live(_)), "it had ended by decision: {copy:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_old_store_nobody_can_know() {
    let earlier = Stores::new();
    let _moved = earlier.moving().await;
    let old = Arc::new(FaultyStore::new(earlier.old.clone()));
    let node = MovingStore::new(old.clone(), earlier.new.clone());
    old.go_down(ErrorKind::Unavailable);
    let alice = Fixtures::new(66).signed_in("alice");
    let error = sign_in(&node, &alice).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::No));
}

#[tokio::test(start_paused = true)]
async fn of_a_store_that_forgets_either_mark_is_enough_while_the_other_store_hangs() {
    for hangs_new in [true, false] {
        let stores = Stores::forgetful();
        let alice = Fixtures::new(38).signed_in("alice");
        let _mover = stores.moving().await;
        let hanging = if hangs_new { &stores.new } else { &stores.old };
        let held = hanging.hold(Verb::Get, Moment::Before);
        // Filing it asks neither again. Time is paused, and goes on only where everybody waits.
        let node = stores.node();
        let signing_in = sign_in(&node, &alice);
        let answer = tokio::time::timeout(Duration::from_secs(60), signing_in).await;
        assert_eq!(answer.expect("it waits for a store that hangs").unwrap(), done());
        drop(held);
        live(&*stores.new, alice.digest).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_knows_by_either_mark_finds_that_of_the_old_store_there() {
    let stores = Stores::forgetful();
    let alice = Fixtures::new(43).signed_in("alice");
    let (late, mover) = (late(stores.node()), stores.node());
    let second_mark = stores.new.hold(Verb::Import, Moment::Before);
    let beginning = tokio::spawn(async move { mover.begin(at(0)).await.unwrap() });
    second_mark.reached().await;
    // Whoever looks in the old store alone sees it, before anybody can see the other one.
    assert_eq!(sign_in(&late, &alice).await.unwrap(), done());
    live(&*stores.new, alice.digest).await;
    assert!(!matches!(stores.old.get(alice.digest, at(20)).await.unwrap(), Lookup::Live(_)));
    second_mark.release();
    assert!(matches!(beginning.await.unwrap(), Beginning::Begun { .. }));
}
