//! A node's way to the store: late, cut, and sometimes gone.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ErrorKind, ExportPage, ExportQuery, Feed, Filed, Imported,
    InsertRequest, Inserted, ListPage, ListQuery, Lookup, News, Observer, Parts, RekeyRequest, Rekeyed,
    ReplaceRequest, Replaced, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::chance::{Chance, Gate};
use crate::system::timer_now;

/// The store as one node reaches it: every answer takes its time, and so does all news, in order.
#[derive(Debug)]
pub(super) struct Wire {
    inner: Arc<dyn Store>,
    chance: Chance,
    gate: Gate,
    /// Calls fail; some of them after they were carried out.
    pub(super) is_down: Mutex<bool>,
    pub(super) link: Arc<Link>,
}

/// The way by which news comes.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    changed: Notify,
    chance: Chance,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(Instant, Item)>,
    /// Nothing enters any more, and nobody has noticed.
    is_cut: bool,
    /// It was noticed: the node has to be told.
    is_lost: bool,
    /// News is late by this much more.
    late: Duration,
    connection: u64,
}

#[derive(Debug)]
enum Item {
    Changed(Vec<TokenDigest>),
    Anything(Parts),
    Answer(oneshot::Sender<()>),
}

impl Wire {
    pub(super) fn new(inner: Arc<dyn Store>, chance: Chance, gate: Gate) -> Self {
        let link = Link { state: Mutex::default(), changed: Notify::new(), chance: chance.clone() };
        Self { inner, chance, gate, is_down: Mutex::new(false), link: Arc::new(link) }
    }

    /// Carries a call to the store and its answer back.
    async fn carry<T: Unpin>(&self, verb: Verb, call: StoreFuture<'_, T>) -> Result<T, StoreError> {
        sleep(self.chance.delay()).await;
        let is_down = *self.is_down.lock();
        if is_down && self.chance.one_in(2) {
            return Err(StoreError::new(ErrorKind::Unavailable, "wire", verb));
        }
        let answer = call.await;
        sleep(self.chance.delay()).await;
        if is_down || (*self.is_down.lock() && self.chance.one_in(2)) {
            return Err(StoreError::new(ErrorKind::Timeout, "wire", verb).maybe_applied());
        }
        answer
    }
}

impl Link {
    /// From now on nothing enters, until the feed notices.
    pub(super) fn cut(&self) {
        self.state.lock().is_cut = true;
    }

    /// The feed notices that it is cut.
    pub(super) fn notice(&self) {
        let mut state = self.state.lock();
        if state.is_cut {
            state.is_lost = true;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// From now on everything on it is late by `more`.
    pub(super) fn delay(&self, more: Duration) {
        self.state.lock().late = more;
    }

    fn push(&self, item: Item) {
        let mut state = self.state.lock();
        if state.is_cut {
            return;
        }
        let ready = timer_now() + self.chance.delay() + state.late;
        let ready = state.queue.back().map_or(ready, |(before, _)| ready.max(*before));
        state.queue.push_back((ready, item));
        drop(state);
        self.changed.notify_one();
    }

    fn connection(&self) -> u64 {
        self.state.lock().connection
    }
}

/// What the store tells goes on the link.
#[derive(Debug)]
struct Ear(Arc<Link>);

impl Observer for Ear {
    fn told(&self, news: News<'_>) {
        self.0.push(match news {
            News::Changed(digests) => Item::Changed(digests.to_vec()),
            News::Anything(parts) => Item::Anything(parts),
            _ => Item::Anything(Parts::ALL),
        });
    }
}

/// The node's end of the link.
struct Heard {
    _inner: Box<dyn Feed>,
    link: Arc<Link>,
    listening: tokio::task::JoinHandle<()>,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard").finish_non_exhaustive()
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Feed for Heard {
    fn prove(&self) -> StoreFuture<'_, Parts> {
        StoreFuture::waiting(async move {
            let connection = self.link.connection();
            sleep(self.link.chance.delay()).await;
            let (answer, answered) = oneshot::channel();
            let lost = || StoreError::new(ErrorKind::Unavailable, "wire", Verb::Watch);
            if self.link.connection() != connection {
                return Err(lost());
            }
            // On a link that is cut it is lost like all else: nobody answers before that is noticed.
            let (hold, held) = (self.link.state.lock().is_cut, std::future::pending::<()>());
            if hold {
                held.await;
            }
            self.link.push(Item::Answer(answer));
            answered.await.map_err(|_| lost())?;
            Ok(Parts::ALL)
        })
    }
}

/// Tells the node what arrives, in order; after a loss tells it so, and begins anew.
async fn listen(link: Arc<Link>, observer: Arc<dyn Observer>) {
    loop {
        let (lost, next) = {
            let state = link.state.lock();
            (state.is_lost, state.queue.front().map(|(ready, _)| *ready))
        };
        if lost {
            link.state.lock().queue.clear();
            observer.told(News::Anything(Parts::ALL));
            // What happens until it is connected again is told by nobody.
            sleep(link.chance.delay()).await;
            let mut state = link.state.lock();
            (state.is_cut, state.is_lost) = (false, false);
            state.connection += 1;
            continue;
        }
        match next {
            Some(ready) if ready <= timer_now() => {
                let item = link.state.lock().queue.pop_front();
                match item {
                    Some((_, Item::Changed(digests))) => observer.told(News::Changed(&digests)),
                    Some((_, Item::Anything(parts))) => observer.told(News::Anything(parts)),
                    Some((_, Item::Answer(answer))) => drop(answer.send(())),
                    None => {}
                }
            }
            Some(ready) => {
                tokio::select! {
                    biased;
                    () = sleep_until(ready) => {}
                    () = link.changed.notified() => {}
                }
            }
            None => link.changed.notified().await,
        }
    }
}

macro_rules! carried {
    ($($verb:ident($($name:ident: $type:ty),*) -> $answer:ty as $named:ident;)*) => {
        $(fn $verb<'a>(&'a self, $($name: $type),*) -> StoreFuture<'a, $answer> {
            StoreFuture::waiting(async move { self.carry(Verb::$named, self.inner.$verb($($name),*)).await })
        })*
    };
}

impl Store for Wire {
    fn name(&self) -> &'static str {
        "wire"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    carried! {
        insert(request: InsertRequest<'a>) -> Inserted as Insert;
        replace(request: ReplaceRequest<'a>) -> Replaced as Replace;
        rekey(request: RekeyRequest<'a>) -> Rekeyed as Rekey;
        touch(touches: &'a [Touch], now: Timestamp) -> TouchReport as Touch;
        end(request: EndRequest<'a>) -> Ending as End;
        list(query: &'a ListQuery, now: Timestamp) -> ListPage as List;
        export(query: &'a ExportQuery, now: Timestamp) -> ExportPage as Export;
        import(filed: &'a Filed, now: Timestamp) -> Imported as Import;
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        StoreFuture::waiting(async move { self.carry(Verb::Get, self.inner.get(digest, now)).await })
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        StoreFuture::waiting(async move { self.carry(Verb::Sweep, self.inner.sweep(request)).await })
    }

    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
        StoreFuture::waiting(async move { self.carry(Verb::Count, self.inner.count(now)).await })
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.inner.ping()
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        StoreFuture::waiting(async move {
            sleep(self.chance.delay()).await;
            {
                let mut state = self.link.state.lock();
                let connection = state.connection + 1;
                *state = State { connection, late: state.late, ..State::default() };
            }
            let inner = self.inner.watch(Arc::new(Ear(Arc::clone(&self.link)))).await?;
            let listening = tokio::spawn(self.gate.run(listen(Arc::clone(&self.link), observer)));
            let feed: Box<dyn Feed> =
                Box::new(Heard { _inner: inner, link: Arc::clone(&self.link), listening });
            Ok(feed)
        })
    }
}
