//! A store that fails, by plan or by seed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, Feed, InsertRequest, Inserted, ListPage, ListQuery, Lookup,
    Observer, PartlyNoted, Parts, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Store, StoreFuture,
    SweepRequest, Swept, Touch, TouchReport, Verb,
};
use cloakroom_store::{ErrorKind, StoreError};

use super::intercept;
use crate::fixtures::Seeded;

/// A store that fails, by plan or by seed: for tests of what the engine makes of it.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Arc<Planned>,
    answers: Mutex<HashMap<TokenDigest, Lookup>>,
}

/// A way to fail.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// The store cannot be reached: [`ErrorKind::Unavailable`], nothing has changed.
    FailBefore,
    /// The store does what it was asked, but its answer is lost: [`ErrorKind::Timeout`], may have been applied.
    FailAfterApply,
    /// The store answers after others had their turn.
    Delay,
    /// The store is asked twice and the caller hears the first answer: a request that the network, or a client library
    /// that retries, delivered again.
    Duplicate,
    /// `get` answers once more what it answered for this digest the last time: a replica that lags. Where there is no
    /// such answer, and on other verbs, nothing happens.
    StaleRead,
}

impl Fault {
    /// Every way to fail.
    pub const ALL: [Self; 5] =
        [Self::FailBefore, Self::FailAfterApply, Self::Delay, Self::Duplicate, Self::StaleRead];
}

/// The faults that are to come, of a store called so.
#[derive(Debug)]
struct Planned {
    name: &'static str,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    script: VecDeque<(Verb, Fault)>,
    random: Option<Random>,
    down: Option<Down>,
    lost: HashSet<TokenDigest>,
}

/// What every call meets.
#[derive(Clone, Copy, Debug)]
struct Down {
    kind: ErrorKind,
    is_of_a_part: bool,
}

#[derive(Debug)]
struct Random {
    source: Seeded,
    faults: Vec<Fault>,
    per_mille: u16,
}

impl FaultyStore {
    /// Passes everything on until told otherwise.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        let plan = Arc::new(Planned { name: inner.name(), plan: Mutex::default() });
        Self { inner, plan, answers: Mutex::default() }
    }

    /// Lets about `per_mille` of 1000 calls suffer one of `faults`, always the same ones for the same seed and order
    /// of calls.
    #[must_use]
    pub fn seeded(inner: Arc<dyn Store>, seed: u64, faults: &[Fault], per_mille: u16) -> Self {
        let store = Self::new(inner);
        store.plan.lock().random =
            Some(Random { source: Seeded::new(seed), faults: faults.to_vec(), per_mille });
        store
    }

    /// The next call of `verb` suffers `fault`; called again, the one after it. A proof of a feed is a call of
    /// [`Verb::Watch`].
    pub fn script(&self, verb: Verb, fault: Fault) {
        self.plan.lock().script.push_back((verb, fault));
    }

    /// From now on every call fails with `kind` and changes nothing.
    pub fn go_down(&self, kind: ErrorKind) {
        self.plan.lock().down = Some(Down { kind, is_of_a_part: false });
    }

    /// The same as calls meet it that concern a part of the store which is away.
    pub fn lose_a_part(&self, kind: ErrorKind) {
        self.plan.lock().down = Some(Down { kind, is_of_a_part: true });
    }

    /// From now on the part of the store that keeps these sessions is away, as whoever looks for them or notes their activity
    /// finds: others' activity is noted.
    pub fn lose(&self, sessions: impl IntoIterator<Item = TokenDigest>) {
        self.plan.lock().lost.extend(sessions);
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        *self.plan.lock() = Plan::default();
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<TokenDigest, Lookup>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claims(&self) -> Capabilities {
        self.inner.capabilities()
    }

    /// A store of which a part is away has parts.
    fn is_in_parts(&self) -> bool {
        let is_lossy = {
            let plan = self.plan.lock();
            !plan.lost.is_empty() || plan.down.is_some_and(|down| down.is_of_a_part)
        };
        is_lossy || self.inner.has_parts()
    }

    fn around<'a, T: Send + Unpin + 'a>(
        &'a self,
        verb: Verb,
        call: impl Fn() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        self.plan.suffer(self.plan.next(verb), verb, call)
    }

    fn around_get<'a>(
        &'a self,
        digest: TokenDigest,
        call: impl Fn() -> StoreFuture<'a, Lookup> + Send + 'a,
    ) -> StoreFuture<'a, Lookup> {
        let next = if self.plan.lock().lost.contains(&digest) {
            Next::Down(Down { kind: ErrorKind::Unavailable, is_of_a_part: true })
        } else {
            self.plan.next(Verb::Get)
        };
        if let Next::Suffer(Fault::StaleRead, _) = next
            && let Some(stale) = self.answers().get(&digest)
        {
            return StoreFuture::ready(Ok(stale.clone()));
        }
        let answer = self.plan.suffer(next, Verb::Get, call);
        StoreFuture::waiting(async move {
            let answer = answer.await?;
            self.answers().insert(digest, answer.clone());
            Ok(answer)
        })
    }

    fn around_touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        let lost = self.plan.lock().lost.clone();
        let (away, there): (Vec<Touch>, Vec<Touch>) =
            touches.iter().partition(|touch| lost.contains(&touch.digest));
        if away.is_empty() {
            return self.around(Verb::Touch, move || self.inner.touch(touches, now));
        }
        StoreFuture::waiting(async move {
            let report = self.inner.touch(&there, now).await?;
            let missed = away.iter().map(|touch| touch.digest).collect();
            let error = StoreError::new(ErrorKind::Unavailable, self.plan.name, Verb::Touch).of_a_part(true);
            Err(error.maybe_applied().partly_noted(PartlyNoted { report, missed }))
        })
    }

    fn around_watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        let watch = self.around(Verb::Watch, move || self.inner.watch(Arc::clone(&observer)));
        StoreFuture::waiting(async move {
            let feed: Box<dyn Feed> =
                Box::new(FaultyFeed { inner: watch.await?, plan: Arc::clone(&self.plan) });
            Ok(feed)
        })
    }
}

intercept!(FaultyStore, |store, touches, now| store.around_touch(touches, now));

#[derive(Debug)]
struct FaultyFeed {
    inner: Box<dyn Feed>,
    plan: Arc<Planned>,
}

impl Feed for FaultyFeed {
    fn prove(&self) -> StoreFuture<'_, Parts> {
        self.plan.suffer(self.plan.next(Verb::Watch), Verb::Watch, || self.inner.prove())
    }
}

impl Planned {
    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, verb: Verb) -> Next {
        let plan = &mut *self.lock();
        if let Some(down) = plan.down {
            return Next::Down(down);
        }
        if let Some(position) = plan.script.iter().position(|(planned, _)| *planned == verb) {
            return plan.script.remove(position).map_or(Next::Pass, |(_, fault)| Next::Suffer(fault, 1));
        }
        let Some(Random { source, faults, per_mille }) = &mut plan.random else { return Next::Pass };
        if source.below(1000) >= u64::from(*per_mille) {
            return Next::Pass;
        }
        let choices = u64::try_from(faults.len()).unwrap_or(u64::MAX);
        let choice = usize::try_from(source.below(choices)).unwrap_or(usize::MAX);
        let turns = 1 + source.below(MOST_TURNS);
        faults.get(choice).map_or(Next::Pass, |fault| Next::Suffer(*fault, turns))
    }

    fn suffer<'a, T: Send + Unpin + 'a>(
        &self,
        next: Next,
        verb: Verb,
        call: impl Fn() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        let error = |kind| StoreError::new(kind, self.name, verb);
        match next {
            Next::Pass | Next::Suffer(Fault::StaleRead, _) => call(),
            Next::Down(Down { kind, is_of_a_part }) => {
                StoreFuture::ready(Err(error(kind).of_a_part(is_of_a_part)))
            }
            Next::Suffer(Fault::FailBefore, _) => StoreFuture::ready(Err(error(ErrorKind::Unavailable))),
            Next::Suffer(Fault::FailAfterApply, _) => {
                let lost = error(ErrorKind::Timeout).maybe_applied();
                StoreFuture::waiting(async move { call().await.and(Err(lost)) })
            }
            Next::Suffer(Fault::Delay, turns) => StoreFuture::waiting(async move {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                call().await
            }),
            Next::Suffer(Fault::Duplicate, _) => StoreFuture::waiting(async move {
                let heard = call().await;
                // Whatever the second one answers, nobody hears it.
                drop(call().await);
                heard
            }),
        }
    }
}

#[derive(Clone, Copy)]
enum Next {
    Pass,
    Down(Down),
    Suffer(Fault, u64),
}

/// Most turns a delayed call lets others have.
const MOST_TURNS: u64 = 16;
