//! A store whose feed a test holds, cuts and mends.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ErrorKind, Feed, InsertRequest, Inserted, ListPage, ListQuery,
    Lookup, News, Observer, Parts, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Store, StoreError,
    StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};
use tokio::sync::Notify;

use super::intercept;

/// A store whose feed a test holds, cuts and mends; everything else passes.
///
/// All feeds of the store go through one switch. What the switch does keeps the contract of [`Feed`], whatever a test does
/// with it: an engine that trusts a copy for too long behind it has a defect of its own.
///
/// ```
/// # use std::sync::Arc;
/// # use cloakroom_conformance::SwitchedStore;
/// # use cloakroom_store::Store;
/// # async fn example(inner: Arc<dyn Store>) {
/// let store = Arc::new(SwitchedStore::new(inner));
/// // … give the store to an engine, let it prove …
/// store.hold_news();
/// // … end a session through another handle: the engine is not told, and no proof is answered …
/// store.let_through();
/// // … now it is told, and proofs are answered after that …
/// store.cut();
/// // … proofs fail, nothing is told …
/// store.mend();
/// // … anything may have happened, says the feed; then it goes on …
/// # }
/// ```
#[derive(Debug)]
pub struct SwitchedStore {
    inner: Arc<dyn Store>,
    claims: Capabilities,
    switch: Arc<Switch>,
}

impl SwitchedStore {
    /// Lets everything through until told otherwise.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { claims: inner.capabilities(), inner, switch: Arc::default() }
    }

    /// The same, claiming this instead of what the store does: a store in memory that says it is shared is treated as a
    /// shared one.
    #[must_use]
    pub fn claiming(self, claims: Capabilities) -> Self {
        Self { claims, ..self }
    }

    /// From now on news are kept back, and so is the answer to every proof, which comes behind them on the same way: a slow
    /// line.
    pub fn hold_news(&self) {
        self.switch.state().news = Line::Held;
    }

    /// From now on proofs are not answered; news come: a line that is slow in one direction.
    pub fn hold_proofs(&self) {
        self.switch.state().proofs = Line::Held;
    }

    /// Tells what was kept back, in its order, and then answers the proofs that wait.
    pub fn let_through(&self) {
        let state = &mut *self.switch.state();
        let kept = std::mem::take(&mut state.kept);
        kept.iter().for_each(|Kept { to, news }| to.told(news.as_news()));
        (state.news, state.proofs) = (Line::Open, Line::Open);
        self.switch.changed.notify_waiters();
    }

    /// Loses the feed: what was kept back and whatever is told from now on is lost, proofs fail, also those that wait.
    pub fn cut(&self) {
        let state = &mut *self.switch.state();
        state.kept.clear();
        (state.news, state.proofs) = (Line::Cut, Line::Open);
        state.cuts += 1;
        self.switch.changed.notify_waiters();
    }

    /// Ends a [`cut`](Self::cut): tells everybody that anything may have happened, then lets everything through.
    pub fn mend(&self) {
        let state = &mut *self.switch.state();
        state.watching().iter().for_each(|watch| watch.observer.told(News::Anything(Parts::ALL)));
        (state.news, state.proofs) = (Line::Open, Line::Open);
        self.switch.changed.notify_waiters();
    }

    /// From now on no more than these parts are proven: some servers of a cluster do not answer.
    pub fn prove_only(&self, parts: Parts) {
        self.switch.state().unproven = Parts::ALL.without(parts);
    }

    /// Tells everybody this, as if the store had.
    pub fn tell(&self, news: News<'_>) {
        let state = &mut *self.switch.state();
        state.watching().iter().for_each(|watch| state.pass(&watch.observer, news));
    }

    /// How many proofs were asked for so far.
    #[must_use]
    pub fn proofs(&self) -> usize {
        self.switch.state().asked
    }

    fn claims(&self) -> Capabilities {
        self.claims
    }

    fn is_in_parts(&self) -> bool {
        self.inner.has_parts()
    }

    fn around<'a, T>(&'a self, _: Verb, call: impl Fn() -> StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        call()
    }

    fn around_get<'a>(
        &'a self,
        _: TokenDigest,
        call: impl Fn() -> StoreFuture<'a, Lookup>,
    ) -> StoreFuture<'a, Lookup> {
        call()
    }

    fn around_watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        StoreFuture::waiting(async move {
            let name = self.inner.name();
            let switch = Arc::clone(&self.switch);
            let through = Arc::new(Through { switch: Arc::clone(&switch), observer });
            switch.state().watches.push(Arc::downgrade(&through));
            let inner = self.inner.watch(through).await?;
            let feed: Box<dyn Feed> = Box::new(SwitchedFeed { inner, switch, name });
            Ok(feed)
        })
    }
}

intercept!(SwitchedStore);

/// What becomes of what comes along.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Line {
    #[default]
    Open,
    Held,
    Cut,
}

#[derive(Default)]
struct Switch {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    news: Line,
    proofs: Line,
    kept: Vec<Kept>,
    /// Those who watch; their store holds them.
    watches: Vec<Weak<Through>>,
    unproven: Parts,
    asked: usize,
    /// How often the feed was lost.
    cuts: usize,
}

struct Kept {
    to: Arc<dyn Observer>,
    news: OwnedNews,
}

enum OwnedNews {
    Changed(Vec<TokenDigest>),
    Anything(Parts),
}

impl OwnedNews {
    fn new(news: News<'_>) -> Self {
        match news {
            News::Changed(digests) => Self::Changed(digests.to_vec()),
            News::Anything(parts) => Self::Anything(parts),
            _ => Self::Anything(Parts::ALL),
        }
    }

    fn as_news(&self) -> News<'_> {
        match self {
            Self::Changed(digests) => News::Changed(digests),
            Self::Anything(parts) => News::Anything(*parts),
        }
    }
}

impl State {
    fn pass(&mut self, to: &Arc<dyn Observer>, news: News<'_>) {
        match self.news {
            Line::Open => to.told(news),
            Line::Held => self.kept.push(Kept { to: Arc::clone(to), news: OwnedNews::new(news) }),
            Line::Cut => {}
        }
    }

    fn watching(&mut self) -> Vec<Arc<Through>> {
        self.watches.retain(|watch| watch.strong_count() > 0);
        self.watches.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Switch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing is held; whether the feed has been there all the time since it was lost for the `cuts`th time.
    async fn is_through(&self, cuts: usize) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let state = self.state();
                if state.news == Line::Cut || state.cuts != cuts {
                    return false;
                }
                if state.news == Line::Open && state.proofs == Line::Open {
                    return true;
                }
            }
            changed.await;
        }
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Switch(..)")
    }
}

/// An observer behind the switch.
#[derive(Debug)]
struct Through {
    switch: Arc<Switch>,
    observer: Arc<dyn Observer>,
}

impl Observer for Through {
    fn told(&self, news: News<'_>) {
        self.switch.state().pass(&self.observer, news);
    }
}

#[derive(Debug)]
struct SwitchedFeed {
    inner: Box<dyn Feed>,
    switch: Arc<Switch>,
    name: &'static str,
}

impl Feed for SwitchedFeed {
    fn prove(&self) -> StoreFuture<'_, Parts> {
        let cuts = {
            let state = &mut *self.switch.state();
            state.asked += 1;
            state.cuts
        };
        StoreFuture::waiting(async move {
            let proven = self.inner.prove().await?;
            if self.switch.is_through(cuts).await {
                Ok(proven.without(self.switch.state().unproven))
            } else {
                Err(StoreError::new(ErrorKind::Unavailable, self.name, Verb::Watch))
            }
        })
    }
}
