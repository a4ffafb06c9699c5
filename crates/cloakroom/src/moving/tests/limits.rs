//! How many sessions somebody may have while they move, and what becomes of a sign-in that is one too many.

use std::num::NonZeroU32;
use std::sync::Arc;

use cloakroom_conformance::{Filing, Fixtures, GatedStore, Moment, UnlistedStore, at};
use cloakroom_core::{OnLimit, SessionId, SessionLimit};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{
    Applied, ErrorKind, InsertRequest, Inserted, Lookup, Replaced, Store, StoreError, Verb,
};

use super::super::{Beginning, MovingStore};
use super::{Stores, live, pass, write};

/// Somebody who signs in where so many sessions are allowed.
#[derive(Clone, Copy)]
struct SignIn {
    limit: SessionLimit,
    replaces: Option<SessionId>,
}

impl SignIn {
    fn within(max: u32, on_limit: OnLimit) -> Self {
        Self { limit: SessionLimit { max: NonZeroU32::new(max).unwrap(), on_limit }, replaces: None }
    }

    fn instead_of(self, filing: &Filing) -> Self {
        Self { replaces: Some(filing.id()), ..self }
    }

    async fn at(self, node: &MovingStore, filing: &Filing) -> Result<Inserted, StoreError> {
        let Self { limit, replaces } = self;
        let (record, digest) = (&filing.record, filing.digest);
        node.insert(InsertRequest { record, digest, limit: Some(limit), replaces, now: at(20) }).await
    }

    fn spawned(
        self,
        node: &Arc<MovingStore>,
        filing: &Filing,
    ) -> tokio::task::JoinHandle<Result<Inserted, StoreError>> {
        let (node, filing) = (Arc::clone(node), filing.clone());
        tokio::spawn(async move { self.at(&node, &filing).await })
    }
}

fn ended(answer: Result<Inserted, StoreError>) -> Vec<SessionId> {
    match answer.unwrap() {
        Inserted::Done { ended } => ended.into_iter().map(|ended| ended.session).collect(),
        other => panic!("expected a new session, found {other:?}"),
    }
}

async fn alive(store: &dyn Store, filings: &[&Filing]) -> Vec<SessionId> {
    let mut alive = Vec::new();
    for filing in filings {
        if let Lookup::Live(live) = store.get(filing.digest, at(20)).await.unwrap() {
            alive.push(live.record.id);
        }
    }
    alive
}

fn late(node: Arc<MovingStore>) -> Arc<MovingStore> {
    node.stage.forget();
    node
}

#[tokio::test(start_paused = true)]
async fn a_late_sign_in_that_is_refused_has_ended_nothing() {
    for has_moved in [false, true] {
        let stores = Stores::new();
        let mut fixtures = Fixtures::new(51);
        let [before, first, second, third] = [0; 4].map(|_| fixtures.signed_in("alice"));
        stores.issued(&before).await;
        let (late, node) = (late(stores.node()), stores.moving().await);
        for filing in [&first, &second] {
            assert!(ended(SignIn::within(3, OnLimit::Refuse).at(&node, filing).await).is_empty());
        }
        if has_moved {
            pass(&node).await.unwrap();
        }
        // Fewer are allowed from now on: the other two are as many.
        let refused = SignIn::within(2, OnLimit::Refuse).instead_of(&before).at(&late, &third).await;
        assert_eq!(refused.unwrap(), Inserted::LimitReached);
        let everybody = [&before, &first, &second, &third];
        let expected = [before.id(), first.id(), second.id()];
        assert_eq!(alive(&*node, &everybody).await, expected, "has moved: {has_moved}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_let_in_instead_of_another_session_is_not_put_out_for_the_limit() {
    let stores = Stores::new();
    let mut fixtures = Fixtures::new(52);
    let [before, elsewhere, late_too, instead] = [0; 4].map(|_| fixtures.signed_in("alice"));
    stores.issued(&before).await;
    let [one, other] = [0; 2].map(|_| late(stores.node()));
    let two = SignIn::within(2, OnLimit::Refuse);
    // Both are on their way to the old store when moving begins, and it lets both in: one of them instead of a session.
    let replacing = stores.old.hold(Verb::Insert, Moment::Before);
    let replacement = two.instead_of(&before).spawned(&one, &instead);
    replacing.reached().await;
    let answered = stores.old.hold(Verb::Insert, Moment::After);
    let refused = two.spawned(&other, &late_too);
    answered.reached().await;
    let node = stores.moving().await;
    let roomy = SignIn::within(3, OnLimit::Refuse);
    assert!(ended(roomy.at(&node, &elsewhere).await).is_empty());
    replacing.release();
    assert_eq!(ended(replacement.await.unwrap()), [before.id()], "what ended is told");
    answered.release();
    assert_eq!(refused.await.unwrap().unwrap(), Inserted::LimitReached);
    let everybody = [&before, &elsewhere, &late_too, &instead];
    assert_eq!(alive(&*node, &everybody).await, [elsewhere.id(), instead.id()]);
}

/// Sessions move to a store that cannot say what it has.
struct Unlisted {
    old: Arc<GatedStore>,
    new: Arc<dyn Store>,
}

impl Unlisted {
    fn new() -> Self {
        let old = Arc::new(GatedStore::new(Arc::new(MemoryStore::default())));
        Self { old, new: Arc::new(UnlistedStore::new(Arc::new(MemoryStore::default()))) }
    }

    fn node(&self) -> Arc<MovingStore> {
        Arc::new(MovingStore::new(self.old.clone(), self.new.clone()))
    }

    async fn moving(&self) -> Arc<MovingStore> {
        let node = self.node();
        assert!(matches!(node.begin(at(0)).await.unwrap(), Beginning::Begun { .. }));
        node
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_on_the_way_to_a_store_that_cannot_list() {
    for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse] {
        let stores = Unlisted::new();
        let mut fixtures = Fixtures::new(53);
        let [first, second, third, fourth] =
            [1, 2, 3, 4].map(|age| fixtures.signed_in("alice").issued_at(at(age)));
        let three = SignIn::within(3, on_limit);
        let before = stores.node();
        for filing in [&first, &second] {
            assert!(ended(three.at(&before, filing).await).is_empty());
        }
        let node = stores.moving().await;
        // One has moved already.
        assert!(matches!(write(&*node, first.digest, &first.live(), b"1").await, Replaced::Done(_)));
        assert!(ended(three.at(&node, &third).await).is_empty(), "{on_limit:?}");
        let answer = three.at(&node, &fourth).await;
        let everybody = [&first, &second, &third, &fourth];
        if on_limit == OnLimit::Refuse {
            assert_eq!(answer.unwrap(), Inserted::LimitReached);
            assert_eq!(alive(&*node, &everybody).await, [first.id(), second.id(), third.id()]);
        } else {
            assert_eq!(ended(answer), [first.id()], "{on_limit:?}");
            assert_eq!(alive(&*node, &everybody).await, [second.id(), third.id(), fourth.id()]);
        }
        pass(&node).await.unwrap();
        assert_eq!(alive(&*stores.new, &everybody).await.len(), 3, "{on_limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_sign_in_on_the_way_to_a_store_that_cannot_list_is_never_one_too_many() {
    for on_limit in [OnLimit::EndOldest, OnLimit::Refuse] {
        let stores = Unlisted::new();
        let mut fixtures = Fixtures::new(54);
        let [first, on_its_way, later] = [0; 3].map(|_| fixtures.signed_in("alice"));
        let one = SignIn::within(1, on_limit);
        let (behind, hold) = (stores.node(), stores.old.hold(Verb::Insert, Moment::Before));
        let signing_in = one.spawned(&behind, &on_its_way);
        hold.reached().await;
        let node = stores.moving().await;
        assert!(ended(one.at(&node, &first).await).is_empty());
        hold.release();
        // Nobody can count what is in the new store: whoever comes again is filed there.
        let error = signing_in.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
        let everybody = [&first, &on_its_way, &later];
        assert_eq!(alive(&*node, &everybody).await, [first.id()], "{on_limit:?}");
        live(&*stores.new, first.digest).await;
        // A server that has not asked again looks where it matters.
        let answer = one.at(&late(behind), &later).await;
        if on_limit == OnLimit::Refuse {
            assert_eq!(answer.unwrap(), Inserted::LimitReached);
        } else {
            assert_eq!(ended(answer), [first.id()]);
        }
        assert_eq!(alive(&*node, &everybody).await.len(), 1, "{on_limit:?}");
    }
}
