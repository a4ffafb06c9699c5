//! Callers that stop waiting: a call happens whole or not at all, whether anybody hears of it or not.

use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use cloakroom_core::EndReason::{Replaced as ReplacedBySignIn, SignedOut};
use cloakroom_store::{Lookup, Version};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("cancel", |_| true;
    an_insert_that_nobody_waits_for_happens_whole_or_not_at_all,
    a_change_that_nobody_waits_for_happens_whole_or_not_at_all,
    an_exchange_that_nobody_waits_for_happens_whole_or_not_at_all,
    an_end_that_nobody_waits_for_happens_whole_or_not_at_all,
);

/// How far a call gets before its caller goes away: a number of polls.
const STEPS: std::ops::Range<usize> = 0..6;

/// Polls `call` this often and drops it. The store may still be doing what it had been asked.
pub(crate) async fn abandon<T>(call: impl Future<Output = T>, steps: usize) {
    let mut call = pin!(call);
    for _ in 0..steps {
        let step = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        if step.is_ready() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

/// What `look` finds once that is something whole. Two looks are no snapshot, and a call may happen between them; but
/// what stays in pieces is in pieces.
async fn whole<T: Debug>(mut look: impl AsyncFnMut() -> T, is_whole: impl Fn(&T) -> bool) -> T {
    let mut found = look().await;
    let looking = async {
        while !is_whole(&found) {
            tokio::task::yield_now().await;
            found = look().await;
        }
    };
    let patience = tokio::time::timeout(PATIENCE, looking).await;
    assert!(patience.is_ok(), "whole or not at all: {found:?}");
    found
}

/// Longer than any call is under way.
const PATIENCE: Duration = Duration::from_secs(2);

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
        abandon(store.try_file(&new, None, Some(old.id()), T0), steps).await;
        let before = (Lookup::Live(old.live()), Lookup::Unknown);
        let after = (Lookup::Ended(old.tombstone(ReplacedBySignIn, T0)), Lookup::Live(new.live()));
        let look = async || (store.look_up(old.digest, T0).await, store.look_up(new.digest, T0).await);
        whole(look, |found| *found == before || *found == after).await;
    }
}

async fn a_change_that_nobody_waits_for_happens_whole_or_not_at_all(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for steps in STEPS {
        let filing = filed(&store, &mut fixtures).await;
        let changed = filing.clone().with_attribute("cart", *b"a hat");
        abandon(store.change(filing.digest, Version::FIRST, &changed.record, T0), steps).await;
        let mut after = changed.live();
        after.version = Version::from_u64(2);
        let (before, after) = (Lookup::Live(filing.live()), Lookup::Live(after));
        let look = async || store.look_up(filing.digest, T0).await;
        whole(look, |found| *found == before || *found == after).await;
    }
}

async fn an_exchange_that_nobody_waits_for_happens_whole_or_not_at_all(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for steps in STEPS {
        let filing = filed(&store, &mut fixtures).await;
        let next = filing.rotated(fixtures.next_digest(&filing), at(1));
        abandon(store.exchange(filing.digest, Version::FIRST, &next, at(1)), steps).await;
        let look =
            async || (store.look_up(filing.digest, at(1)).await, store.look_up(next.digest, at(1)).await);
        whole(look, |found| {
            matches!(found, (Lookup::Live(_), Lookup::Unknown) | (Lookup::Retired(_), Lookup::Live(_)))
        })
        .await;
    }
}

async fn an_end_that_nobody_waits_for_happens_whole_or_not_at_all(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for steps in STEPS {
        let filing = filed(&store, &mut fixtures).await;
        abandon(store.finish_one(filing.id(), SignedOut, at(1)), steps).await;
        let (alive, over) = (Lookup::Live(filing.live()), Lookup::Ended(filing.tombstone(SignedOut, at(1))));
        let look = async || store.look_up(filing.digest, at(1)).await;
        let found = whole(look, |found| *found == alive || *found == over).await;
        let again = store.finish_one(filing.id(), SignedOut, at(1)).await.ended;
        assert!(again.is_empty() || found == alive, "it is not reported where it was: {again:?}");
        assert_eq!(store.look_up(filing.digest, at(1)).await, over);
        assert_eq!(store.finish_one(filing.id(), SignedOut, at(1)).await.ended, [], "and not again");
    }
}
