//! Callers that stop waiting: a call happens whole or not at all, whether anybody hears of it or not.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use cloakroom_core::EndReason::{Replaced as ReplacedBySignIn, SignedOut};
use cloakroom_store::{Lookup, Version};

use crate::case::{Applies, Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("cancel", Applies::Always;
    an_insert_that_nobody_waits_for_happens_whole_or_not_at_all,
    a_change_that_nobody_waits_for_happens_whole_or_not_at_all,
    an_exchange_that_nobody_waits_for_happens_whole_or_not_at_all,
    an_end_that_nobody_waits_for_happens_whole_or_not_at_all,
);

/// How far a call gets before its caller goes away: a number of polls.
const STEPS: std::ops::Range<usize> = 0..6;

/// Polls `call` this often and drops it, then waits until the store has done what it had been asked.
async fn abandon<T>(store: &Subject, call: impl Future<Output = T>, steps: usize, fixtures: &mut Fixtures) {
    {
        let mut call = pin!(call);
        for _ in 0..steps {
            let step = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            if step.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // Writes of one store are done in the order they came: when this one is acknowledged, that one is decided.
    store.file(&fixtures.anonymous()).await;
}

async fn filed(store: &Subject, fixtures: &mut Fixtures) -> Filing {
    let filing = fixtures.signed_in("alice");
    store.file(&filing).await;
    filing
}

async fn an_insert_that_nobody_waits_for_happens_whole_or_not_at_all(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for steps in STEPS {
        let old = filed(&store, &mut fixtures).await;
        let new = fixtures.signed_in("alice");
        abandon(&store, store.try_file(&new, None, Some(old.id()), T0), steps, &mut fixtures).await;
        let found = (store.look_up(old.digest, T0).await, store.look_up(new.digest, T0).await);
        let before = (Lookup::Live(old.live()), Lookup::Unknown);
        let after = (Lookup::Ended(old.tombstone(ReplacedBySignIn, T0)), Lookup::Live(new.live()));
        assert!(found == before || found == after, "after {steps} steps: {found:?}");
    }
}

async fn a_change_that_nobody_waits_for_happens_whole_or_not_at_all(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for steps in STEPS {
        let filing = filed(&store, &mut fixtures).await;
        let changed = filing.clone().with_attribute("cart", *b"a hat");
        let change = store.change(filing.digest, Version::FIRST, &changed.record, T0);
        abandon(&store, change, steps, &mut fixtures).await;
        let mut after = changed.live();
        after.version = Version::from_u64(2);
        let found = store.look_up(filing.digest, T0).await;
        let whole = found == Lookup::Live(filing.live()) || found == Lookup::Live(after);
        assert!(whole, "after {steps} steps: {found:?}");
    }
}

async fn an_exchange_that_nobody_waits_for_happens_whole_or_not_at_all(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for steps in STEPS {
        let filing = filed(&store, &mut fixtures).await;
        let next = filing.rotated(fixtures.next_digest(&filing), at(1));
        let exchange = store.exchange(filing.digest, Version::FIRST, &next, at(1));
        abandon(&store, exchange, steps, &mut fixtures).await;
        match (store.look_up(filing.digest, at(1)).await, store.look_up(next.digest, at(1)).await) {
            (Lookup::Live(_), Lookup::Unknown) | (Lookup::Retired(_), Lookup::Live(_)) => {}
            found => panic!("after {steps} steps: {found:?}"),
        }
    }
}

async fn an_end_that_nobody_waits_for_happens_whole_or_not_at_all(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for steps in STEPS {
        let filing = filed(&store, &mut fixtures).await;
        abandon(&store, store.finish_one(filing.id(), SignedOut, at(1)), steps, &mut fixtures).await;
        let found = store.look_up(filing.digest, at(1)).await;
        let over = Lookup::Ended(filing.tombstone(SignedOut, at(1)));
        assert!(found == Lookup::Live(filing.live()) || found == over, "after {steps} steps: {found:?}");
        let again = store.finish_one(filing.id(), SignedOut, at(1)).await.ended;
        assert_eq!(again.is_empty(), found == over, "it is reported where it was not, and not where it was");
    }
}
