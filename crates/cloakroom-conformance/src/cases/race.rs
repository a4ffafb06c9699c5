//! Calls at the same time: each happens whole, in some order, and no order revives what has ended.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use cloakroom_core::EndReason::{Compromised, IdleTimeout, RevokedByAdmin, SignedOut};
use cloakroom_core::{AttributeKey, SessionRecord, TokenDigest};
use cloakroom_store::{Lookup, Rekeyed, Replaced, Selector, Version};
use tokio::task::JoinSet;

use super::duel::{Write, sign_out_against};
use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at, principal_id};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("race", |_| true;
    of_many_changes_of_one_session_every_one_counts,
    a_sign_out_is_not_undone_by_a_change_at_the_same_time,
    a_sign_out_is_not_undone_by_activity_at_the_same_time,
    a_sign_out_is_not_undone_by_an_exchange_of_the_token_at_the_same_time,
    at_every_instant_exactly_one_token_of_an_exchange_is_live,
    of_many_ends_of_one_session_exactly_one_reports_it,
    what_a_sweep_reported_is_not_revived_by_activity_at_the_same_time,
    whoever_signed_in_before_everything_ended_is_out,
    whoever_signed_in_before_all_of_their_sessions_ended_is_out,
);

/// Counts to `turns`, each step in a task of its own, the tasks spread over `stores`.
pub(crate) async fn count_up(stores: &[Subject], filing: &Filing, turns: u64) {
    let mut racers = JoinSet::new();
    for (store, _) in stores.iter().cycle().zip(0..turns) {
        let (store, digest) = (store.clone(), filing.digest);
        racers.spawn(async move { count_one(&store, digest).await });
    }
    racers.join_all().await;
    for store in stores {
        let Lookup::Live(live) = store.look_up(filing.digest, T0).await else { panic!("the session lives") };
        assert_eq!(counter(&live.record), turns, "every change counts");
        assert_eq!(live.version, Version::from_u64(turns + 1), "each has a version of its own");
    }
}

async fn count_one(store: &Subject, digest: TokenDigest) {
    let Lookup::Live(mut current) = store.look_up(digest, T0).await else { panic!("the session lives") };
    loop {
        let mut record = (*current.record).clone();
        let next = counter(&record) + 1;
        let key = AttributeKey::new(COUNTER).expect("a key");
        record.attributes.encode(key, &next).expect("a number can be encoded");
        match store.change(digest, current.version, &record, T0).await {
            Replaced::Done(_) => return,
            Replaced::Conflict(newer) => current = newer,
            other => panic!("the session lives: {other:?}"),
        }
    }
}

fn counter(record: &SessionRecord) -> u64 {
    record.attributes.decode(COUNTER).expect("a number was encoded").unwrap_or(0)
}

const COUNTER: &str = "counter";

async fn of_many_changes_of_one_session_every_one_counts(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    count_up(&[store], &filing, 64).await;
}

async fn a_sign_out_is_not_undone_by_a_change_at_the_same_time(context: &Context) {
    let store = context.open().await;
    sign_out_against(context.effort().races / 3, [&store, &store], Write::Change).await;
}

async fn a_sign_out_is_not_undone_by_activity_at_the_same_time(context: &Context) {
    let store = context.open().await;
    sign_out_against(context.effort().races / 3, [&store, &store], Write::Activity).await;
}

async fn a_sign_out_is_not_undone_by_an_exchange_of_the_token_at_the_same_time(context: &Context) {
    let store = context.open().await;
    sign_out_against(context.effort().races / 3, [&store, &store], Write::Exchange).await;
}

pub(crate) async fn file_together(store: &Subject, filings: &[Filing]) {
    let mut calls = JoinSet::new();
    for filing in filings {
        let (store, filing) = (store.clone(), filing.clone());
        calls.spawn(async move { store.file(&filing).await });
    }
    calls.join_all().await;
}

async fn at_every_instant_exactly_one_token_of_an_exchange_is_live(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for _ in 0..context.effort().races.div_ceil(100) {
        let filing = fixtures.signed_in("alice");
        let next = filing.rotated(fixtures.next_digest(&filing), at(1));
        store.file(&filing).await;
        let over = Arc::new(AtomicBool::new(false));
        let watcher = Watcher { store: store.clone(), old: filing.digest, new: next.digest };
        let beside = tokio::spawn(watcher.clone().watch_until(Arc::clone(&over)));
        let exchange = pin!(store.exchange(filing.digest, Version::FIRST, &next, at(1)));
        let answer = watcher.watch_between_steps(exchange).await;
        over.store(true, Ordering::SeqCst);
        assert_eq!(answer, Rekeyed::Done(Version::from_u64(2)));
        beside.await.expect("exactly one token is live all the time");
        assert!(matches!(store.look_up(filing.digest, at(1)).await, Lookup::Retired(_)));
    }
}

/// Looks at both tokens of an exchange.
#[derive(Clone)]
struct Watcher {
    store: Subject,
    old: TokenDigest,
    new: TokenDigest,
}

impl Watcher {
    /// Looks from another thread: for stores that are done in one step.
    async fn watch_until(self, over: Arc<AtomicBool>) {
        while !over.load(Ordering::SeqCst) {
            self.look().await;
            tokio::task::yield_now().await;
        }
    }

    /// Looks wherever the exchange waits for something: for stores that take several steps.
    async fn watch_between_steps<T>(&self, mut exchange: Pin<&mut impl Future<Output = T>>) -> T {
        loop {
            let step = std::future::poll_fn(|context| Poll::Ready(exchange.as_mut().poll(context))).await;
            match step {
                Poll::Ready(answer) => return answer,
                Poll::Pending => self.look().await,
            }
        }
    }

    /// What was seen of one token limits what may be seen of the other afterwards.
    async fn look(&self) {
        if matches!(self.store.look_up(self.new, at(1)).await, Lookup::Live(_)) {
            let then = self.store.look_up(self.old, at(1)).await;
            assert!(
                matches!(then, Lookup::Retired(_)),
                "the new token lives, so the old one does not: {then:?}"
            );
        }
        match self.store.look_up(self.old, at(1)).await {
            Lookup::Live(_) => {}
            Lookup::Retired(_) => {
                let then = self.store.look_up(self.new, at(1)).await;
                assert!(
                    matches!(then, Lookup::Live(_)),
                    "the old token is dead, so the new one lives: {then:?}"
                );
            }
            other => panic!("the old token is live or retired: {other:?}"),
        }
    }
}

async fn of_many_ends_of_one_session_exactly_one_reports_it(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for _ in 0..10 {
        let filing = fixtures.signed_in("alice");
        store.file(&filing).await;
        let mut enders = JoinSet::new();
        for turn in 0..16 {
            let (store, id) = (store.clone(), filing.id());
            let reason = if turn % 2 == 0 { SignedOut } else { RevokedByAdmin };
            enders.spawn(async move { store.finish_one(id, reason, at(1)).await.ended });
        }
        let reports: Vec<_> = enders.join_all().await.into_iter().flatten().collect();
        let [report] = reports.as_slice() else { panic!("one report: {reports:?}") };
        let over = Lookup::Ended(filing.tombstone(report.reason, at(1)));
        assert_eq!(store.look_up(filing.digest, at(1)).await, over, "the one that was reported holds");
    }
}

async fn what_a_sweep_reported_is_not_revived_by_activity_at_the_same_time(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for _ in 0..context.effort().races.div_ceil(500) {
        let filings: Vec<Filing> = (0..4).map(|_| fixtures.signed_in("alice")).collect();
        file_together(&store, &filings).await;
        let batch: Vec<_> = filings.iter().map(|filing| (filing.digest, at(999))).collect();
        let toucher = {
            let store = store.clone();
            tokio::spawn(async move { store.note(&batch, at(999)).await })
        };
        let swept = store.sweep_up(at(1_000)).await;
        toucher.await.expect("touch answers");
        for filing in &filings {
            let reported = swept.iter().any(|ended| ended.session == filing.id());
            let expected = if reported {
                Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)))
            } else {
                Lookup::Live(filing.live_seen(at(999)))
            };
            assert_eq!(store.look_up(filing.digest, at(1_000)).await, expected);
            store.finish_one(filing.id(), SignedOut, at(1_000)).await;
        }
        store.sweep_up(at(100_000)).await;
    }
}

async fn whoever_signed_in_before_everything_ended_is_out(context: &Context) {
    let store = context.open().await;
    end_among_sign_ins([&store, &store], &Selector::All).await;
}

async fn whoever_signed_in_before_all_of_their_sessions_ended_is_out(context: &Context) {
    let store = context.open().await;
    let selector = Selector::Principal { principal: principal_id("alice"), except: None };
    end_among_sign_ins([&store, &store], &selector).await;
}

/// Sign-ins go on at one handle while they are ended at the other: those acknowledged before are out, those asked for
/// afterwards are in.
pub(crate) async fn end_among_sign_ins([ends, store]: [&Subject; 2], selector: &Selector) {
    let mut fixtures = Fixtures::new(1);
    for _ in 0..10 {
        let [before, during, after]: [Vec<Filing>; 3] =
            std::array::from_fn(|_| (0..16).map(|_| fixtures.signed_in("alice")).collect());
        file_together(store, &before).await;
        let signing_in = {
            let (store, during) = (store.clone(), during.clone());
            tokio::spawn(async move { file_together(&store, &during).await })
        };
        ends.finish(selector, Compromised, T0).await;
        file_together(store, &after).await;
        signing_in.await.expect("sign-ins answer");
        for filing in &before {
            let over = Lookup::Ended(filing.tombstone(Compromised, T0));
            assert_eq!(store.look_up(filing.digest, T0).await, over);
        }
        for filing in &after {
            assert_eq!(store.look_up(filing.digest, T0).await, Lookup::Live(filing.live()));
        }
        for filing in &during {
            let found = store.look_up(filing.digest, T0).await;
            let out = Lookup::Ended(filing.tombstone(Compromised, T0));
            assert!(found == Lookup::Live(filing.live()) || found == out, "in or out: {found:?}");
        }
    }
}
