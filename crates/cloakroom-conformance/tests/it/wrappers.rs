//! The stores around a store do what they say.

use std::sync::{Arc, Mutex};

use cloakroom_conformance::{
    CountingStore, Fault, FaultyStore, Filing, Fixtures, GatedStore, Harness, Moment, SwitchedStore, T0, at,
};
use cloakroom_core::EndReason::SignedOut;
use cloakroom_store::{
    Applied, Capabilities, EndRequest, Ending, ErrorKind, Feed, InsertRequest, Inserted, Lookup, News,
    Observer, Parts, ReplaceRequest, Replaced, Selector, Store, Verb, Version,
};
use tokio::task::JoinHandle;

use crate::reference::{Clearing, ReferenceHarness};

async fn reference() -> Arc<dyn Store> {
    let harness = ReferenceHarness { defect: None, claims: Capabilities::ALL, clearing: Clearing::BySweep };
    harness.open(&harness.place()).await
}

fn filing() -> Filing {
    Fixtures::new(1).signed_in("alice")
}

fn insertion(filing: &Filing) -> InsertRequest<'_> {
    InsertRequest { record: &filing.record, digest: filing.digest, limit: None, replaces: None, now: T0 }
}

fn replacement(filing: &Filing) -> ReplaceRequest<'_> {
    ReplaceRequest { digest: filing.digest, version: Version::FIRST, record: &filing.record, now: T0 }
}

async fn end(store: &dyn Store, filing: &Filing) -> Ending {
    let selector = Selector::One(filing.id());
    store.end(EndRequest { selector: &selector, reason: SignedOut, now: at(1) }).await.unwrap()
}

#[tokio::test]
async fn a_counting_store_tells_every_call_in_order() {
    let (store, filing) = (CountingStore::new(reference().await), filing());
    store.insert(insertion(&filing)).await.unwrap();
    store.get(filing.digest, T0).await.unwrap();
    store.get(filing.digest, T0).await.unwrap();
    assert_eq!(store.calls(), [Verb::Insert, Verb::Get, Verb::Get]);
    assert_eq!((store.count(Verb::Get), store.count(Verb::End)), (2, 0));
    assert_eq!(store.take().len(), 3);
    assert_eq!(store.calls(), []);
}

#[tokio::test]
async fn a_fault_before_changes_nothing_and_says_so() {
    let (store, filing) = (FaultyStore::new(reference().await), filing());
    store.script(Verb::Insert, Fault::FailBefore);
    let error = store.insert(insertion(&filing)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.applied(), error.verb()),
        (ErrorKind::Unavailable, Applied::No, Verb::Insert)
    );
    assert_eq!(store.get(filing.digest, T0).await.unwrap(), Lookup::Unknown);
    assert_eq!(
        store.insert(insertion(&filing)).await.unwrap(),
        Inserted::Done { ended: vec![] },
        "once only"
    );
}

#[tokio::test]
async fn a_fault_after_is_applied_and_says_that_it_may_be() {
    let (store, filing) = (FaultyStore::new(reference().await), filing());
    store.script(Verb::Insert, Fault::FailAfterApply);
    let error = store.insert(insertion(&filing)).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
    assert_eq!(store.get(filing.digest, T0).await.unwrap(), Lookup::Live(filing.live()));
}

#[tokio::test]
async fn a_duplicate_is_applied_twice_and_the_first_answer_is_heard() {
    let counting = Arc::new(CountingStore::new(reference().await));
    let (store, filing) = (FaultyStore::new(counting.clone()), filing());
    store.script(Verb::Insert, Fault::Duplicate);
    assert_eq!(store.insert(insertion(&filing)).await.unwrap(), Inserted::Done { ended: vec![] });
    assert_eq!(counting.count(Verb::Insert), 2);
}

#[tokio::test]
async fn a_stale_read_answers_what_it_answered_before() {
    let (store, filing) = (FaultyStore::new(reference().await), filing());
    store.insert(insertion(&filing)).await.unwrap();
    let before = store.get(filing.digest, T0).await.unwrap();
    end(&store, &filing).await;
    store.script(Verb::Get, Fault::StaleRead);
    assert_eq!(store.get(filing.digest, at(1)).await.unwrap(), before);
    assert!(matches!(store.get(filing.digest, at(1)).await.unwrap(), Lookup::Ended(_)));
}

#[tokio::test]
async fn a_store_that_is_down_fails_everything_until_it_is_healed() {
    let (store, filing) = (FaultyStore::new(reference().await), filing());
    store.go_down(ErrorKind::ReadOnly);
    assert_eq!(store.insert(insertion(&filing)).await.unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(store.get(filing.digest, T0).await.unwrap_err().kind(), ErrorKind::ReadOnly);
    store.heal();
    assert_eq!(store.get(filing.digest, T0).await.unwrap(), Lookup::Unknown);
}

#[tokio::test]
async fn the_faults_of_a_seed_are_always_the_same_and_about_as_many_as_asked_for() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let store = FaultyStore::seeded(reference().await, 7, &[Fault::FailBefore, Fault::Delay], 200);
        let mut failed = Vec::new();
        for call in 0..1_000 {
            if store.ping().await.is_err() {
                failed.push(call);
            }
        }
        runs.push(failed);
    }
    assert_eq!(runs[0], runs[1]);
    assert!((50..=150).contains(&runs[0].len()), "half of 200 in 1000: {}", runs[0].len());
}

#[tokio::test]
async fn a_gated_store_lets_a_test_decide_who_is_first() {
    for (moment, expected) in [(Moment::Before, false), (Moment::After, true)] {
        let (store, filing) = (Arc::new(GatedStore::new(reference().await)), filing());
        store.insert(insertion(&filing)).await.unwrap();
        let gate = store.hold(Verb::Replace, moment);
        let slow = {
            let (store, filing) = (Arc::clone(&store), filing.clone());
            tokio::spawn(async move { store.replace(replacement(&filing)).await.unwrap() })
        };
        gate.reached().await;
        assert_eq!(end(&*store, &filing).await.ended.len(), 1);
        gate.release();
        let answer = slow.await.unwrap();
        assert_eq!(matches!(answer, Replaced::Done(_)), expected, "{moment:?}: {answer:?}");
    }
}

/// What it was told, as text.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn told(&self, news: News<'_>) {
        let text = match news {
            News::Changed(digests) => format!("{} changed", digests.len()),
            other => format!("{other:?}"),
        };
        self.0.lock().expect("nobody panics here").push(text);
    }
}

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics here"))
    }
}

/// A proof on its way.
fn proof(feed: &Arc<Box<dyn Feed>>) -> JoinHandle<Result<Parts, ErrorKind>> {
    let feed = Arc::clone(feed);
    tokio::spawn(async move { feed.prove().await.map_err(|error| error.kind()) })
}

/// Whether it is not answered however often others have their turn.
async fn waits(proof: &JoinHandle<Result<Parts, ErrorKind>>) -> bool {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    !proof.is_finished()
}

#[tokio::test]
async fn a_switched_feed_holds_news_and_the_proofs_behind_them_and_tells_all_in_order() {
    let (store, told) = (SwitchedStore::new(reference().await), Arc::new(Told::default()));
    let feed = Arc::new(store.watch(told.clone()).await.unwrap());
    let [one, other] = [1, 2].map(|seed| Fixtures::new(seed).signed_in("alice"));
    store.insert(insertion(&one)).await.unwrap();
    store.insert(insertion(&other)).await.unwrap();
    store.hold_news();
    end(&store, &one).await;
    store.tell(News::Anything(Parts::one(7)));
    let waiting = proof(&feed);
    assert!(waits(&waiting).await);
    assert_eq!(told.take(), [""; 0]);
    store.let_through();
    assert_eq!(waiting.await.unwrap(), Ok(Parts::ALL));
    assert_eq!(told.take(), ["1 changed", "Anything(Parts([7]))"]);
    store.hold_proofs();
    let waiting = proof(&feed);
    end(&store, &other).await;
    assert_eq!(told.take(), ["1 changed"]);
    assert!(waits(&waiting).await);
    store.let_through();
    assert_eq!(waiting.await.unwrap(), Ok(Parts::ALL));
    assert_eq!(store.proofs(), 2);
}

#[tokio::test]
async fn a_switched_feed_that_is_cut_loses_news_and_proofs_and_says_so_when_it_is_back() {
    let (store, told) = (SwitchedStore::new(reference().await), Arc::new(Told::default()));
    let feed = Arc::new(store.watch(told.clone()).await.unwrap());
    let filing = filing();
    store.insert(insertion(&filing)).await.unwrap();
    store.hold_proofs();
    let waiting = proof(&feed);
    assert!(waits(&waiting).await);
    store.cut();
    assert_eq!(
        waiting.await.unwrap(),
        Err(ErrorKind::Unavailable),
        "a proof does not outlive what it proves"
    );
    end(&store, &filing).await;
    assert_eq!(feed.prove().await.unwrap_err().verb(), Verb::Watch);
    assert_eq!(told.take(), [""; 0]);
    store.mend();
    assert_eq!(told.take(), ["Anything(Parts(all))"]);
    store.prove_only(Parts::one(3));
    assert_eq!(feed.prove().await.unwrap(), Parts::one(3));
    drop(feed);
    store.cut();
    store.mend();
    assert_eq!(told.take(), [""; 0], "nobody watches any more");
}

#[tokio::test]
async fn proofs_are_held_fail_and_are_counted_as_calls_of_watch() {
    let told = Arc::new(Told::default());
    let gated = GatedStore::new(reference().await);
    let feed = Arc::new(gated.watch(told.clone()).await.unwrap());
    let gate = gated.hold(Verb::Watch, Moment::After);
    let waiting = proof(&feed);
    gate.reached().await;
    assert!(waits(&waiting).await);
    gate.release();
    assert_eq!(waiting.await.unwrap(), Ok(Parts::ALL));

    let faulty = FaultyStore::new(reference().await);
    let feed = faulty.watch(told.clone()).await.unwrap();
    faulty.script(Verb::Watch, Fault::FailBefore);
    assert_eq!(feed.prove().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(feed.prove().await.unwrap(), Parts::ALL);

    let counting = CountingStore::new(reference().await);
    let feed = counting.watch(told).await.unwrap();
    assert_eq!((counting.take(), counting.proofs()), (vec![Verb::Watch], 0));
    feed.prove().await.unwrap();
    assert_eq!((counting.take(), counting.proofs()), (vec![], 1));
}
