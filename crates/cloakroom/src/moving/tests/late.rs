//! Servers that have not noticed that moving has begun: whatever they do in the old store meanwhile.
//!
//! [`Stage::forget`](super::super::mark::Stage::forget) makes one of any server at any time, as a call does that was on its way
//! for long.

use std::num::NonZeroU32;
use std::sync::Arc;

use cloakroom_conformance::{Fault, FaultyStore, Filing, Fixtures, GatedStore, Moment, at, principal_id};
use cloakroom_core::{OnLimit, SessionId, SessionLimit};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{
    Applied, ErrorKind, InsertRequest, Inserted, ListFilter, ListQuery, Lookup, RekeyRequest, Rekeyed,
    Replaced, Store, StoreError, Touch, Verb,
};

use super::super::{Beginning, MovingStore};
use super::{Stores, file, live, pass, write};

impl Stores {
    /// A server that asked a moment before moving began.
    fn late(&self) -> Arc<MovingStore> {
        let node = self.node();
        node.stage.forget();
        node
    }
}

async fn sign_in(
    node: &MovingStore,
    filing: &Filing,
    limit: Option<SessionLimit>,
    replaces: Option<SessionId>,
) -> Result<Inserted, StoreError> {
    let request =
        InsertRequest { record: &filing.record, digest: filing.digest, limit, replaces, now: at(20) };
    node.insert(request).await
}

fn signing_in(
    node: &Arc<MovingStore>,
    filing: &Filing,
) -> tokio::task::JoinHandle<Result<Inserted, StoreError>> {
    let (node, filing) = (Arc::clone(node), filing.clone());
    tokio::spawn(async move { sign_in(&node, &filing, None, None).await })
}

fn ended(answer: Result<Inserted, StoreError>) -> Vec<SessionId> {
    match answer.unwrap() {
        Inserted::Done { ended } => ended.into_iter().map(|ended| ended.session).collect(),
        other => panic!("expected a new session, found {other:?}"),
    }
}

async fn is_dead(store: &dyn Store, filing: &Filing) -> bool {
    !matches!(store.get(filing.digest, at(20)).await.unwrap(), Lookup::Live(_))
}

async fn signed_in(store: &dyn Store) -> u64 {
    store.count(at(20)).await.unwrap().signed_in
}

/// Lets everything that was spawned go on until it waits.
async fn others_wait() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_sign_in_replaces_is_dead_wherever_it_has_moved() {
    let stores = Stores::new();
    let mut fixtures = Fixtures::new(31);
    let (before, after) = (fixtures.signed_in("alice"), fixtures.signed_in("alice"));
    stores.issued(&before).await;
    let (late, node) = (stores.late(), stores.moving().await);
    // Its first change brings it to the new store.
    assert!(matches!(write(&*node, before.digest, &before.live(), b"1").await, Replaced::Done(_)));
    assert_eq!(ended(sign_in(&late, &after, None, Some(before.id())).await), [before.id()]);
    let everywhere: [&dyn Store; 3] = [&*late, &*node, &*stores.new];
    for store in everywhere {
        assert!(is_dead(store, &before).await);
        live(store, after.digest).await;
    }
}

#[tokio::test]
async fn a_session_that_moves_while_a_sign_in_replaces_it_is_dead_in_both() {
    let stores = Stores::new();
    let mut fixtures = Fixtures::new(32);
    let (before, after) = (fixtures.signed_in("alice"), fixtures.signed_in("alice"));
    stores.issued(&before).await;
    let (node, mover) = (stores.moving().await, stores.moving().await);
    // The newcomer is filed in the new store, and the other one is about to end in the old store, where it was.
    let ending = stores.old.hold(Verb::End, Moment::Before);
    let signing_in = tokio::spawn({
        let (node, after, replaced) = (Arc::clone(&node), after.clone(), before.id());
        async move { sign_in(&node, &after, None, Some(replaced)).await }
    });
    ending.reached().await;
    pass(&mover).await.unwrap();
    live(&*stores.new, before.digest).await;
    ending.release();
    assert_eq!(ended(signing_in.await.unwrap()), [before.id()]);
    assert!(is_dead(&*node, &before).await && is_dead(&*stores.new, &before).await);
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_on_its_way_to_the_old_store_when_everything_was_proved_to_have_moved_is_in_the_new_one() {
    for moment in [Moment::Before, Moment::After] {
        let stores = Stores::new();
        let alice = Fixtures::new(33).signed_in("alice");
        let behind = stores.node();
        let held = stores.old.hold(Verb::Insert, moment);
        let signing_in = signing_in(&behind, &alice);
        held.reached().await;
        let mover = stores.moving().await;
        pass(&mover).await.unwrap();
        assert!(pass(&mover).await.unwrap().is_settled());
        held.release();
        assert!(ended(signing_in.await.unwrap()).is_empty());
        assert_eq!(live(&*stores.new, alice.digest).await, alice.live(), "{moment:?}");
        assert_eq!(signed_in(&*stores.old).await, 0, "{moment:?}");
        assert!(pass(&mover).await.unwrap().is_settled(), "{moment:?}: nothing came later");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_exchanged_between_a_page_and_its_move_is_not_missed() {
    let stores = Stores::new();
    let mut fixtures = Fixtures::new(34);
    let alice = fixtures.signed_in("alice");
    stores.issued(&alice).await;
    let (late, mover) = (stores.late(), stores.moving().await);
    let page = stores.old.hold(Verb::Export, Moment::After);
    let passing = tokio::spawn({
        let mover = Arc::clone(&mover);
        async move { pass(&mover).await.unwrap() }
    });
    page.reached().await;
    let next = fixtures.next_digest(&alice);
    let exchange = RekeyRequest {
        old: alice.digest,
        new: next,
        version: alice.live().version,
        record: &alice.record,
        now: at(20),
    };
    let Rekeyed::Done(version) = late.rekey(exchange).await.unwrap() else { panic!("it was there") };
    page.release();
    // The page had the session under its first digest alone: this pass has nothing to do.
    assert!(passing.await.unwrap().is_settled());
    assert_eq!(live(&*stores.new, next).await.version, version, "what was answered holds there");
    assert!(is_dead(&*mover, &alice).await, "an exchanged token is dead");
}

#[tokio::test(start_paused = true)]
async fn activity_that_a_late_server_tells_reaches_a_session_that_has_moved() {
    let stores = Stores::new();
    let alice = Fixtures::new(35).signed_in("alice");
    stores.issued(&alice).await;
    let (late, mover) = (stores.late(), stores.moving().await);
    pass(&mover).await.unwrap();
    let touches = [Touch { digest: alice.digest, seen_at: at(900) }];
    let report = late.touch(&touches, at(900)).await.unwrap();
    assert_eq!((report.touched, report.ignored), (1, 0));
    assert!(matches!(stores.new.get(alice.digest, at(1_500)).await.unwrap(), Lookup::Live(_)));
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_for_a_late_sign_in_too() {
    let two = |on_limit| Some(SessionLimit { max: NonZeroU32::new(2).unwrap(), on_limit });
    for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse] {
        let stores = Stores::new();
        let mut fixtures = Fixtures::new(36);
        let (late, node) = (stores.late(), stores.moving().await);
        let [first, second, third] = [1, 2, 3].map(|age| fixtures.signed_in("alice").issued_at(at(age)));
        for filing in [&first, &second] {
            assert!(ended(sign_in(&node, filing, two(on_limit), None).await).is_empty());
        }
        // The old store, which has none of them, would let it in.
        let answer = sign_in(&late, &third, two(on_limit), None).await;
        let dead = if on_limit == OnLimit::Refuse {
            assert_eq!(answer.unwrap(), Inserted::LimitReached);
            &third
        } else {
            assert_eq!(ended(answer), [first.id()]);
            &first
        };
        let mut filter = ListFilter::default();
        filter.principal = Some(principal_id("alice"));
        assert_eq!(node.list(&ListQuery::new(filter), at(20)).await.unwrap().items.len(), 2, "{on_limit:?}");
        assert!(is_dead(&*node, dead).await && is_dead(&*stores.new, dead).await, "{on_limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_the_question_is_on_its_way_waits_for_the_answer() {
    let stores = Stores::new();
    let mut fixtures = Fixtures::new(37);
    let _mover = stores.moving().await;
    let restarted = stores.node();
    let held = stores.old.hold(Verb::Get, Moment::Before);
    let first = signing_in(&restarted, &fixtures.signed_in("alice"));
    held.reached().await;
    let second = signing_in(&restarted, &fixtures.signed_in("bob"));
    others_wait().await;
    assert!(!first.is_finished() && !second.is_finished());
    // Whoever asked goes away: the next in line asks.
    first.abort();
    drop(held);
    assert!(ended(second.await.unwrap()).is_empty());
    assert_eq!((signed_in(&*stores.old).await, signed_in(&*stores.new).await), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn not_knowing_is_no_no() {
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let old = Arc::new(FaultyStore::new(inner));
    let new: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mover = MovingStore::new(old.clone(), new.clone());
    assert!(matches!(mover.begin(at(0)).await.unwrap(), Beginning::Begun { .. }));
    // The new store has lost its mark, and the old one cannot be asked.
    let new: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let restarted = MovingStore::new(old.clone(), new.clone());
    let mut fixtures = Fixtures::new(39);
    let (alice, bob) = (fixtures.signed_in("alice"), fixtures.signed_in("bob"));
    old.script(Verb::Get, Fault::FailBefore);
    let error = sign_in(&restarted, &alice, None, None).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::No));
    assert_eq!(signed_in(&*old).await, 0);
    // The next one asks again.
    assert!(ended(sign_in(&restarted, &bob, None, None).await).is_empty());
    assert_eq!((signed_in(&*old).await, signed_in(&*new).await), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_late_sign_in_that_cannot_look_afterwards_is_not_told_as_done() {
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let old = Arc::new(FaultyStore::new(inner));
    let new: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let node = MovingStore::new(old.clone(), new);
    node.stage.forget();
    old.script(Verb::Get, Fault::FailBefore);
    let alice = Fixtures::new(40).signed_in("alice");
    let error = sign_in(&node, &alice, None, None).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
}

#[tokio::test(start_paused = true)]
async fn until_moving_begins_a_new_store_that_is_away_keeps_nobody_from_signing_in() {
    let old: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let new = Arc::new(FaultyStore::new(inner));
    new.go_down(ErrorKind::Unavailable);
    let node = MovingStore::new(old.clone(), new);
    file(&node, &Fixtures::new(41).signed_in("alice")).await;
    assert_eq!(signed_in(&*old).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_is_not_moved_into_itself_whatever_it_is_called() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let called = || Arc::new(GatedStore::new(Arc::clone(&store)));
    let both = MovingStore::new(called(), called());
    let alice = Fixtures::new(42).signed_in("alice");
    file(&*store, &alice).await;
    for _ in 0..2 {
        assert_eq!(both.begin(at(20)).await.unwrap(), Beginning::SameStore);
    }
    live(&both, alice.digest).await;
    // Nothing was filed that would speak against a real move, into it or away from it.
    let before = MovingStore::new(Arc::new(MemoryStore::default()), called());
    assert!(matches!(before.begin(at(20)).await.unwrap(), Beginning::Begun { .. }));
    let target: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let away = MovingStore::new(called(), Arc::clone(&target));
    assert!(matches!(away.begin(at(20)).await.unwrap(), Beginning::Begun { .. }));
    let done = pass(&away).await.unwrap();
    assert_eq!((done.sessions, done.tombstones), (1, 0), "{done:?}");
    live(&*target, alice.digest).await;
}
