//! `watch`: whatever changes is told, whoever changes it, before the proof that follows it.

mod always;
mod ear;
mod quiet;

use std::sync::Arc;

use cloakroom_core::EndReason::{Compromised, PasswordChanged, SignedOut};
use cloakroom_core::{OnLimit, TokenDigest};
use cloakroom_store::{Inserted, Lookup, Rekeyed, Replaced, Selector, Version};
use tokio::task::JoinSet;

use self::ear::{PATIENCE, Watch};
use super::cancel::abandon;
use super::limit::limit;
use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, T0, at, principal_id};
use crate::harness::Corruption;
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("watch", |claims| claims.watch;
    a_changed_record_is_told_under_its_digest,
    an_exchanged_token_is_told_and_changes_after_that_under_the_new_one,
    a_session_that_ends_is_told,
    a_session_that_time_had_ended_for_whoever_ends_it_is_told,
    every_session_of_a_principal_that_ends_is_told,
    all_of_many_sessions_that_end_at_once_are_told,
    an_end_of_everything_is_told,
    an_end_of_what_was_issued_before_an_instant_is_told,
    a_session_that_a_sign_in_replaces_is_told,
    quiet::activity_is_not_told,
    quiet::whoever_looks_or_signs_in_says_nothing_of_others,
    quiet::an_end_says_nothing_of_others,
    news_come_also_where_nobody_asks_for_a_proof,
    whoever_looks_after_the_news_finds_what_they_told,
    two_who_watch_are_both_told_and_one_that_leaves_takes_nobody_along,
    proofs_that_nobody_waits_for_harm_no_others,
    many_proofs_at_once_are_all_answered,
    always::whatever_was_not_told_is_as_it_was,
    always::whatever_was_acknowledged_is_told_by_the_next_proof_however_many_write,
);

pub(crate) const LIMITED: &[Case] = cases!("watch", |claims| claims.watch && claims.limits;
    whoever_goes_for_the_limit_is_told,
);

pub(crate) const DURABLE: &[Case] = cases!("watch", |claims| claims.watch && claims.durable;
    after_a_restart_whoever_watches_anew_is_told,
    a_damaged_record_keeps_no_news_back,
);

/// What a case is given: an empty store, who watches it, and a handle through which things are done.
struct Scene {
    watch: Watch,
    store: Subject,
    fixtures: Fixtures,
}

/// Checks with changes through the handle that is watched, and with changes through another one, where there can be one.
async fn both_ways(context: &Context, check: impl AsyncFn(Scene)) {
    let here = context.elsewhere();
    let store = here.open().await;
    check(Scene { watch: Watch::on(&store).await, store: store.clone(), fixtures: Fixtures::new(1) }).await;
    if store.capabilities().shared {
        let elsewhere = context.elsewhere();
        let watched = elsewhere.open().await;
        let watch = Watch::on(&watched).await;
        check(Scene { watch, store: elsewhere.open().await, fixtures: Fixtures::new(2) }).await;
    }
}

impl Scene {
    /// Sessions of several parts, filed and settled.
    async fn crowd(&mut self) -> [Filing; 4] {
        let fixtures = &mut self.fixtures;
        let filings = [
            fixtures.signed_in("alice"),
            fixtures.signed_in("bob"),
            fixtures.anonymous(),
            fixtures.anonymous(),
        ];
        for filing in &filings {
            self.store.file(filing).await;
        }
        self.watch.prove().await;
        filings
    }

    /// Many sessions, filed at once and settled.
    async fn many(&mut self, count: usize, make: impl Fn(&mut Fixtures) -> Filing) -> Vec<TokenDigest> {
        let mut arrivals = JoinSet::new();
        for _ in 0..count {
            let (store, filing) = (self.store.clone(), make(&mut self.fixtures));
            arrivals.spawn(async move {
                store.file(&filing).await;
                filing.digest
            });
        }
        let digests = arrivals.join_all().await;
        self.watch.prove().await;
        digests
    }

    /// Some sessions of one principal, filed and settled.
    async fn own<const N: usize>(&mut self) -> [Filing; N] {
        let filings = std::array::from_fn(|_| self.fixtures.signed_in("alice"));
        for filing in &filings {
            self.store.file(filing).await;
        }
        self.watch.prove().await;
        filings
    }
}

fn digests<const N: usize>(filings: [&Filing; N]) -> [TokenDigest; N] {
    filings.map(|filing| filing.digest)
}

async fn a_changed_record_is_told_under_its_digest(context: &Context) {
    both_ways(context, async |mut scene| {
        for filing in scene.crowd().await {
            for (version, text) in [(1, "a hat"), (2, "two")] {
                let changed = filing.clone().with_attribute("cart", text.as_bytes());
                let version = Version::from_u64(version);
                let change = scene.store.change(filing.digest, version, &changed.record, at(1));
                let answer = scene.watch.is_told(&[filing.digest], change).await;
                assert_eq!(answer, Replaced::Done(version.next()));
            }
        }
    })
    .await;
}

async fn an_exchanged_token_is_told_and_changes_after_that_under_the_new_one(context: &Context) {
    both_ways(context, async |mut scene| {
        for filing in scene.crowd().await {
            let next = filing.rotated(scene.fixtures.next_digest(&filing), at(1));
            let exchange = scene.store.exchange(filing.digest, Version::FIRST, &next, at(1));
            let answer = scene.watch.is_told(&[filing.digest], exchange).await;
            assert_eq!(answer, Rekeyed::Done(Version::from_u64(2)));
            let change = scene.store.change(next.digest, Version::from_u64(2), &next.record, at(1));
            let answer = scene.watch.is_told(&[next.digest], change).await;
            assert_eq!(answer, Replaced::Done(Version::from_u64(3)));
            scene.watch.is_told(&[next.digest], scene.store.finish_one(filing.id(), SignedOut, at(1))).await;
        }
    })
    .await;
}

async fn a_session_that_ends_is_told(context: &Context) {
    both_ways(context, async |mut scene| {
        for filing in scene.crowd().await {
            let end = scene.store.finish_one(filing.id(), SignedOut, at(1));
            assert_eq!(scene.watch.is_told(&[filing.digest], end).await.ended.len(), 1);
        }
    })
    .await;
}

/// By the clock of whoever keeps a copy it may live.
async fn a_session_that_time_had_ended_for_whoever_ends_it_is_told(context: &Context) {
    both_ways(context, async |mut scene| {
        let [alice, bob, ..] = scene.crowd().await;
        scene.watch.is_told(&[alice.digest], scene.store.finish_one(alice.id(), SignedOut, at(5_000))).await;
        let all_of_bob = scene.store.finish_all_of(principal_id("bob"), SignedOut, at(5_000));
        scene.watch.is_told(&[bob.digest], all_of_bob).await;
    })
    .await;
}

async fn every_session_of_a_principal_that_ends_is_told(context: &Context) {
    both_ways(context, async |mut scene| {
        let [kept, one, two, three] = scene.own().await;
        let except = Selector::Principal { principal: principal_id("alice"), except: Some(kept.id()) };
        let end = scene.store.finish(&except, PasswordChanged, at(1));
        let ending = scene.watch.is_told(&digests([&one, &two, &three]), end).await;
        assert_eq!(ending.ended.len(), 3);
        let rest = scene.store.finish_all_of(principal_id("alice"), PasswordChanged, at(1));
        assert_eq!(scene.watch.is_told(&[kept.digest], rest).await.ended.len(), 1);
    })
    .await;
}

/// However little room there is in whatever news come in.
async fn all_of_many_sessions_that_end_at_once_are_told(context: &Context) {
    both_ways(context, async |mut scene| {
        let all = scene.many(400, |fixtures| fixtures.signed_in("alice")).await;
        let end = scene.store.finish_all_of(principal_id("alice"), PasswordChanged, at(1));
        assert_eq!(scene.watch.is_told(&all, end).await.ended.len(), all.len());
    })
    .await;
}

/// In whatever part it is, on whichever server.
async fn an_end_of_everything_is_told(context: &Context) {
    both_ways(context, async |mut scene| {
        for _ in 0..2 {
            let mut all = scene.many(64, Fixtures::anonymous).await;
            all.extend(scene.crowd().await.iter().map(|filing| filing.digest));
            let end = scene.store.finish(&Selector::All, Compromised, at(1));
            scene.watch.is_told(&all, end).await;
        }
    })
    .await;
}

async fn an_end_of_what_was_issued_before_an_instant_is_told(context: &Context) {
    both_ways(context, async |mut scene| {
        let [a, b, c, d] = scene.crowd().await;
        let before = Selector::IssuedBefore(at(1));
        scene
            .watch
            .is_told(&digests([&a, &b, &c, &d]), scene.store.finish(&before, Compromised, at(2)))
            .await;
        let late = scene.fixtures.signed_in("carol").issued_at(at(10));
        scene.store.file(&late).await;
        scene.watch.prove().await;
        let before = Selector::IssuedBefore(at(11));
        scene.watch.is_told(&[late.digest], scene.store.finish(&before, Compromised, at(12))).await;
    })
    .await;
}

async fn a_session_that_a_sign_in_replaces_is_told(context: &Context) {
    both_ways(context, async |mut scene| {
        let [old] = scene.own().await;
        let new = scene.fixtures.signed_in("alice");
        let sign_in = scene.store.try_file(&new, None, Some(old.id()), at(1));
        let answer = scene.watch.is_told(&[old.digest], sign_in).await;
        assert!(matches!(answer, Inserted::Done { ended } if ended.len() == 1));
    })
    .await;
}

async fn whoever_goes_for_the_limit_is_told(context: &Context) {
    both_ways(context, async |mut scene| {
        for on_limit in [OnLimit::EndOldest, OnLimit::EndIdlest] {
            let [one, two, three] = scene.own().await;
            let new = scene.fixtures.signed_in("alice").issued_at(at(1));
            let sign_in = scene.store.try_file(&new, limit(1, on_limit), None, at(1));
            let answer = scene.watch.is_told(&digests([&one, &two, &three]), sign_in).await;
            assert!(matches!(answer, Inserted::Done { ended } if ended.len() >= 3));
        }
    })
    .await;
}

/// Open streams end by the news, whoever asks for a proof and when.
async fn news_come_also_where_nobody_asks_for_a_proof(context: &Context) {
    both_ways(context, async |mut scene| {
        for filing in scene.crowd().await {
            let since = scene.watch.ear.now();
            scene.store.finish_one(filing.id(), SignedOut, at(1)).await;
            let heard = tokio::time::timeout(PATIENCE, scene.watch.ear.hears(filing.digest, since)).await;
            assert!(heard.is_ok(), "news come by themselves");
        }
    })
    .await;
}

/// A copy that is taken after the news, and trusted for that, must not be of what was before.
async fn whoever_looks_after_the_news_finds_what_they_told(context: &Context) {
    let rounds = context.effort().races / 500;
    both_ways(context, async |scene| {
        let Scene { watch, store, mut fixtures } = scene;
        for round in 0..rounds {
            let filing = fixtures.signed_in("alice");
            store.file(&filing).await;
            watch.prove().await;
            let since = watch.ear.now();
            let look = {
                let (ear, store, digest) = (Arc::clone(&watch.ear), store.clone(), filing.digest);
                tokio::spawn(async move {
                    ear.hears(digest, since).await;
                    store.look_up(digest, at(1)).await
                })
            };
            if round % 2 == 0 {
                store.finish_one(filing.id(), SignedOut, at(1)).await;
            } else {
                let next = filing.rotated(fixtures.next_digest(&filing), at(1));
                store.exchange(filing.digest, Version::FIRST, &next, at(1)).await;
            }
            let found = tokio::time::timeout(PATIENCE, look).await.expect("news come").expect("no panic");
            assert!(!matches!(found, Lookup::Live(_)), "told before it was so: {found:?}");
        }
    })
    .await;
}

async fn two_who_watch_are_both_told_and_one_that_leaves_takes_nobody_along(context: &Context) {
    both_ways(context, async |mut scene| {
        // From the handle through which things are done.
        let other = Watch::on(&scene.store).await;
        let third = Watch::on(&scene.store).await;
        let [one, two, ..] = scene.crowd().await;
        let (watch, ear) = (&scene.watch, Arc::clone(&other.ear));
        let [first, second] = [[one.digest], [two.digest]];
        let end = watch.is_told(&first, scene.store.finish_one(one.id(), SignedOut, at(1)));
        third.is_told(&first, other.is_told(&first, end)).await;
        drop(other);
        let left_at = ear.now();
        let end = watch.is_told(&second, scene.store.finish_one(two.id(), SignedOut, at(1)));
        third.is_told(&second, end).await;
        assert!(!ear.knows(two.digest, left_at), "who left is not told");
    })
    .await;
}

async fn proofs_that_nobody_waits_for_harm_no_others(context: &Context) {
    both_ways(context, async |mut scene| {
        for filing in scene.crowd().await {
            let end = async {
                for steps in 0..8 {
                    abandon(scene.watch.feed.prove(), steps).await;
                }
                scene.store.finish_one(filing.id(), SignedOut, at(1)).await;
                for steps in 0..8 {
                    abandon(scene.watch.feed.prove(), steps).await;
                }
            };
            scene.watch.is_told(&[filing.digest], end).await;
        }
    })
    .await;
}

async fn many_proofs_at_once_are_all_answered(context: &Context) {
    both_ways(context, async |mut scene| {
        let [one, ..] = scene.crowd().await;
        let Scene { watch, store, .. } = scene;
        let since = watch.ear.now();
        let watch = Arc::new(watch);
        store.finish_one(one.id(), SignedOut, at(1)).await;
        let mut proofs = JoinSet::new();
        for _ in 0..32 {
            let watch = Arc::clone(&watch);
            proofs.spawn(async move {
                watch.prove().await;
                watch.ear.knows(one.digest, since)
            });
        }
        assert_eq!(proofs.join_all().await, [true; 32], "each is answered after the news");
    })
    .await;
}

async fn after_a_restart_whoever_watches_anew_is_told(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    drop(Watch::on(&store).await);
    let store = context.reopen(store).await;
    let watch = Watch::on(&store).await;
    watch.is_told(&[filing.digest], store.finish_one(filing.id(), SignedOut, at(1))).await;
}

async fn a_damaged_record_keeps_no_news_back(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [damaged, sound] = [fixtures.signed_in("alice"), fixtures.signed_in("alice")];
    store.file(&damaged).await;
    store.file(&sound).await;
    let watch = Watch::on(&store).await;
    assert_eq!(context.corrupt(damaged.digest).await, Corruption::Done);
    watch.is_told(&[sound.digest], store.finish_all_of(principal_id("alice"), SignedOut, T0)).await;
}
