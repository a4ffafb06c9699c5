//! Whatever is done, in whatever order: what was not told has not changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloakroom_core::EndReason::{Compromised, SignedOut};
use cloakroom_core::{OnLimit, SessionId, Timestamp, TokenDigest};
use cloakroom_store::{Inserted, Lookup, Rekeyed, Replaced, Selector};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::ear::{Moment, Watch};
use crate::case::Context;
use crate::cases::limit::limit;
use crate::fixtures::{Filing, Fixtures, IDLE, Seeded, at, principal_id};
use crate::subject::Subject;

/// The use of a feed: a copy of which nothing was told, as of a proof, is what the store has.
pub(super) async fn whatever_was_not_told_is_as_it_was(context: &Context) {
    for seed in 0..u64::from(context.effort().sequences.div_ceil(16)) {
        let somewhere = context.elsewhere();
        let mut stores = vec![somewhere.open().await];
        if stores.iter().all(|store| store.capabilities().shared) {
            stores.push(somewhere.open().await);
        }
        let watch = Watch::on(stores.first().expect("one is watched")).await;
        let mut copies = Copies { watch, kept: BTreeMap::new() };
        let mut crowd = Crowd::new(seed);
        for step in 0..STEPS {
            let now = at(step);
            let which = crowd.random.below(2);
            let store = stores.iter().cycle().nth(usize::try_from(which).expect("small")).expect("endless");
            crowd.act(store, now).await;
            match crowd.random.below(4) {
                0 => copies.check(store, now, seed).await,
                1 | 2 => copies.take(store, &crowd.digests, now).await,
                _ => {}
            }
        }
        copies.check(stores.last().expect("one is there"), at(STEPS), seed).await;
    }
}

/// Calls in a sequence: all in less than an idle timeout.
const STEPS: i64 = 120;

/// What a near cache would keep.
struct Copies {
    watch: Watch,
    kept: BTreeMap<TokenDigest, (Moment, Lookup)>,
}

impl Copies {
    /// Takes copies of what there is, but of which there is one.
    async fn take(&mut self, store: &Subject, digests: &[TokenDigest], now: Timestamp) {
        for digest in digests {
            if !self.kept.contains_key(digest) {
                let before = self.watch.ear.now();
                self.kept.insert(*digest, (before, store.look_up(*digest, now).await));
            }
        }
    }

    /// After a proof, forgets what was told and compares the rest.
    async fn check(&mut self, store: &Subject, now: Timestamp, seed: u64) {
        self.watch.prove().await;
        self.kept.retain(|digest, (taken, _)| !self.watch.ear.knows(*digest, *taken));
        for (digest, (_, copy)) in &self.kept {
            let found = store.look_up(*digest, now).await;
            let is_same = match (copy, &found) {
                (Lookup::Live(copy), Lookup::Live(found)) => {
                    (&copy.record, copy.version) == (&found.record, found.version)
                }
                // Which of several ends of everything it was is not promised.
                (Lookup::Ended(_), Lookup::Ended(_)) => true,
                // Whatever only adds need not be told.
                (Lookup::Unknown, _) => true,
                (copy, found) => copy == found,
            };
            assert!(is_same, "sequence {seed}: {digest:?} was {copy:?}, is {found:?}, and nobody said so");
        }
    }
}

/// Sessions, and what is done with them.
struct Crowd {
    random: Seeded,
    fixtures: Fixtures,
    filed: Vec<(Filing, Option<&'static str>)>,
    digests: Vec<TokenDigest>,
}

impl Crowd {
    fn new(seed: u64) -> Self {
        let random = Seeded::new(seed.wrapping_mul(31) + 7);
        Self { random, fixtures: Fixtures::new(seed), filed: Vec::new(), digests: Vec::new() }
    }

    async fn act(&mut self, store: &Subject, now: Timestamp) {
        let choice = self.random.below(64);
        let Some(one) = self.some() else { return self.sign_in(store, now).await };
        match choice {
            0..20 => self.sign_in(store, now).await,
            20..30 => self.change(store, one, now).await,
            30..38 => self.exchange(store, one, now).await,
            38..48 => drop(store.finish_one(self.id(one), SignedOut, now).await),
            48..52 => self.end_of_principal(store, now).await,
            52..60 => {
                let touches: Vec<_> = self.digests.iter().map(|digest| (*digest, now)).collect();
                store.note(&touches, now).await;
            }
            60..62 => {
                let before = now.minus(std::time::Duration::from_millis(self.random.below(40)));
                drop(store.finish(&Selector::IssuedBefore(before), Compromised, now).await);
            }
            62 => drop(store.finish(&Selector::All, Compromised, now).await),
            _ => drop(store.sweep_round(now, 100).await),
        }
    }

    /// Files a session, perhaps in the place of others.
    async fn sign_in(&mut self, store: &Subject, now: Timestamp) {
        let name = match self.random.below(4) {
            0 => Some("alice"),
            1 => Some("bob"),
            2 => Some("carol"),
            _ => None,
        };
        let filing = match name {
            Some(name) => self.fixtures.signed_in(name),
            None => self.fixtures.anonymous(),
        };
        let filing = filing.issued_at(now).with_idle_timeout(IDLE);
        let replaces = match self.random.below(3) {
            0 => self.some_of(name).map(|one| self.id(one)),
            _ => None,
        };
        let bound = match self.random.below(3) {
            0 if store.capabilities().limits => {
                let on_limit = [OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse];
                let turn = usize::try_from(self.random.below(3)).expect("small");
                limit(2, on_limit.into_iter().cycle().nth(turn).expect("endless"))
            }
            _ => None,
        };
        if matches!(store.try_file(&filing, bound, replaces, now).await, Inserted::Done { .. }) {
            self.digests.push(filing.digest);
            self.filed.push((filing, name));
        }
    }

    async fn change(&mut self, store: &Subject, one: usize, now: Timestamp) {
        let text = self.random.next_u64().to_string();
        let Some((filing, _)) = self.filed.get_mut(one) else { return };
        let Lookup::Live(live) = store.look_up(filing.digest, now).await else { return };
        let changed = filing.clone().with_attribute("cart", text.as_bytes());
        if matches!(store.change(filing.digest, live.version, &changed.record, now).await, Replaced::Done(_))
        {
            *filing = changed;
        }
    }

    async fn exchange(&mut self, store: &Subject, one: usize, now: Timestamp) {
        let Some((filing, _)) = self.filed.get_mut(one) else { return };
        let Lookup::Live(live) = store.look_up(filing.digest, now).await else { return };
        let next = filing.rotated(self.fixtures.next_digest(filing), now);
        if matches!(store.exchange(filing.digest, live.version, &next, now).await, Rekeyed::Done(_)) {
            self.digests.push(next.digest);
            *filing = next;
        }
    }

    async fn end_of_principal(&mut self, store: &Subject, now: Timestamp) {
        let names = ["alice", "bob", "carol"];
        let turn = usize::try_from(self.random.below(3)).expect("small");
        let name = names.into_iter().cycle().nth(turn).expect("endless");
        let except = self.some_of(Some(name)).map(|one| self.id(one));
        let except = except.filter(|_| self.random.below(2) == 0);
        let selector = Selector::Principal { principal: principal_id(name), except };
        store.finish(&selector, SignedOut, now).await;
    }

    /// Any of the sessions filed so far; rather one of the last.
    fn some(&mut self) -> Option<usize> {
        let count = self.filed.len();
        let back =
            usize::try_from(self.random.below(u64::try_from(count.min(12)).expect("few"))).expect("few");
        count.checked_sub(1 + back)
    }

    fn some_of(&mut self, name: Option<&str>) -> Option<usize> {
        let some = self.some()?;
        let is_own = |one: &usize| self.filed.get(*one).is_some_and(|(_, own)| own.is_some() && *own == name);
        (0..=some).rev().find(is_own)
    }

    fn id(&self, one: usize) -> SessionId {
        self.filed.get(one).expect("it was chosen from these").0.id()
    }
}

/// Many write at once, through every handle, and ask for proofs in between.
pub(super) async fn whatever_was_acknowledged_is_told_by_the_next_proof_however_many_write(
    context: &Context,
) {
    let mut stores = vec![context.open().await];
    if stores.iter().all(|store| store.capabilities().shared) {
        stores.push(context.open().await);
    }
    let watch = Arc::new(Watch::slow_on(stores.first().expect("one is watched")).await);
    let rounds = context.effort().races.div_ceil(150);
    let start = Arc::new(Barrier::new(WRITERS));
    let mut writers = JoinSet::new();
    for (seed, store) in (0..).zip(stores.into_iter().cycle().take(WRITERS)) {
        let (watch, start) = (Arc::clone(&watch), Arc::clone(&start));
        writers.spawn(async move {
            start.wait().await;
            Writer::new(seed, store, watch).write(rounds).await;
        });
    }
    writers.join_all().await;
    watch.ear.had_one_thing_at_a_time();
}

const WRITERS: usize = 6;

/// One of many who change something of their own, and want to have it told.
struct Writer {
    random: Seeded,
    fixtures: Fixtures,
    store: Subject,
    watch: Arc<Watch>,
    /// What was acknowledged and not proven yet, and since when it may have been told.
    unproven: Vec<(TokenDigest, Moment)>,
}

impl Writer {
    fn new(seed: u64, store: Subject, watch: Arc<Watch>) -> Self {
        let (random, fixtures) = (Seeded::new(seed + 1), Fixtures::new(seed + 100));
        Self { random, fixtures, store, watch, unproven: Vec::new() }
    }

    async fn write(mut self, rounds: u32) {
        for _ in 0..rounds {
            let mut filing = self.fixtures.signed_in("alice");
            let mut version = cloakroom_store::Version::FIRST;
            self.store.file(&filing).await;
            for _ in 0..self.random.below(3) {
                let since = self.watch.ear.now();
                let before = filing.digest;
                if self.random.below(2) == 0 {
                    let text = self.random.next_u64().to_string();
                    filing = filing.with_attribute("cart", text.as_bytes());
                    let answer = self.store.change(filing.digest, version, &filing.record, at(1)).await;
                    assert!(matches!(answer, Replaced::Done(_)), "{answer:?}");
                } else {
                    filing = filing.rotated(self.fixtures.next_digest(&filing), at(1));
                    let answer = self.store.exchange(before, version, &filing, at(1)).await;
                    assert!(matches!(answer, Rekeyed::Done(_)), "{answer:?}");
                }
                version = version.next();
                self.unproven.push((before, since));
                self.perhaps_prove().await;
            }
            let since = self.watch.ear.now();
            assert_eq!(self.store.finish_one(filing.id(), SignedOut, at(1)).await.ended.len(), 1);
            self.unproven.push((filing.digest, since));
            self.perhaps_prove().await;
        }
        self.prove().await;
    }

    async fn perhaps_prove(&mut self) {
        if self.random.below(4) == 0 {
            self.prove().await;
        }
    }

    async fn prove(&mut self) {
        self.watch.prove().await;
        for (digest, since) in self.unproven.drain(..) {
            assert!(self.watch.ear.knows(digest, since), "acknowledged, proven, and not told: {digest:?}");
        }
    }
}
