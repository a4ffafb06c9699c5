//! Open streams end with their session.
//!
//! A WebSocket, a stream of events or a long download passes the door once and stays. So that "sign out everywhere" also
//! means what is already inside, each stream registers with the engine and is told when its session ends, anywhere.
//!
//! # How it is known that a session lives
//! A session with open streams is *proven* while its part is covered by the store's feed, it was looked up since the
//! part became covered, and nothing was told of it since. News make it *suspect*: it is looked up again. A part that is
//! not covered, or whose last proof is older than the recheck interval, has its sessions looked up once in each interval,
//! each at its own moment. A session that nothing has proven for longer than a stream's patience is given up: the store
//! could not be asked.
//!
//! Nothing is lost in between: a stream is registered first and looked up then; a look-up that began before the last
//! news does not count as an answer to them; a token's successor is registered before the store is asked to exchange it.
//!
//! # Who does it
//! The registry is plain data under one short lock. News are written into it where they arrive. One task per engine, for
//! as long as any stream is open, looks sessions up, sixteen at a time, and sleeps until the next instant that matters.
//! It looks at the wall clock at least once a second, since that may be set.

mod coverage;
mod driver;
mod duty;
mod effects;
mod entry;
mod look;
mod news;
mod policy;
mod registry;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloakroom_core::{SessionId, TokenDigest, Tombstone};
use cloakroom_store::{Ended, News, Parts, Scope};
use metrics::Gauge;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ActiveSession;
use crate::system::timer_now;
use entry::Key;
use registry::Registry;

pub(crate) use coverage::Asked;
pub(crate) use effects::describe;
pub use policy::StreamPolicy;
pub use watch::{SessionWatch, StreamEnd};

/// The open streams of an engine. Knows neither the store nor the engine.
#[derive(Debug)]
pub(crate) struct Streams {
    policy: StreamPolicy,
    registry: Mutex<Registry>,
    /// How many are open. Counted before one is registered, so that news which come upon zero came before its look-up.
    open: AtomicUsize,
    /// There is something to do for the task that serves the registry.
    work: Notify,
    shown: Gauge,
}

impl Streams {
    pub(crate) fn new(policy: StreamPolicy) -> Arc<Self> {
        Arc::new(Self {
            policy,
            registry: Mutex::new(Registry::new(policy)),
            open: AtomicUsize::new(0),
            work: Notify::new(),
            shown: metrics::gauge!(effects::OPEN),
        })
    }

    /// Takes the store's news.
    ///
    /// # Cost
    /// None while no stream is open; else a short lock, and a look into a table for each digest.
    pub(crate) fn told(&self, news: News<'_>) {
        match news {
            News::Changed(_) if self.is_quiet() => {}
            News::Changed(digests) => {
                for some in digests.chunks(TOLD_AT_A_TIME) {
                    self.with(|registry| registry.changed(some));
                }
            }
            News::Anything(parts) => self.with(|registry| registry.gap(parts)),
            // What cannot be read may be anything.
            _ => self.with(|registry| registry.gap(Parts::ALL)),
        }
    }

    /// To be called before the feed is asked for a proof; [`proven`](Self::proven) takes it when that has answered.
    pub(crate) fn asked(&self) -> Asked {
        self.with(|registry| registry.coverage.asked(timer_now()))
    }

    /// The feed has proven these parts.
    pub(crate) fn proven(&self, asked: Asked, parts: Parts) {
        self.with(|registry| registry.proven(asked, parts));
    }

    /// The store has acknowledged to this engine that it ended this session.
    pub(crate) fn over(&self, ended: &Ended) {
        if self.is_quiet() {
            return;
        }
        let tombstone = Tombstone {
            session: ended.session,
            principal: ended.principal.clone(),
            ended_at: ended.at,
            reason: ended.reason,
        };
        self.with(|registry| registry.over(ended.session, StreamEnd::Ended(tombstone)));
    }

    /// The list of ends has entries of these scopes: sealed sessions that they may cover are looked at again.
    pub(crate) fn listed<'a>(&self, scopes: impl Iterator<Item = &'a Scope>) {
        if self.is_quiet() {
            return;
        }
        self.with(|registry| scopes.for_each(|scope| registry.listed(scope)));
    }

    /// Ends all streams as unproven: their sessions may not be what they were taken for.
    pub(crate) fn give_up_all(&self) {
        if !self.is_quiet() {
            self.with(Registry::give_up_all);
        }
    }

    /// A request brought this state of a sealed session.
    pub(crate) fn seen(&self, session: &ActiveSession) {
        if !self.is_quiet() {
            self.with(|registry| registry.seen(session));
        }
    }

    /// The state of a sealed session that was last seen here, while a stream of it is open.
    fn last_seen(&self, session: SessionId) -> Option<ActiveSession> {
        self.with(|registry| registry.sessions.get(&session)?.sealed.clone())
    }

    /// A session's token is about to be exchanged by this engine. To be called before the store is asked;
    /// [`Exchange::done`] when it has answered that it did.
    pub(crate) fn exchanging(
        self: &Arc<Self>,
        session: SessionId,
        old: TokenDigest,
        new: TokenDigest,
    ) -> Exchange {
        if !self.is_quiet() {
            self.with(|registry| registry.exchanging(session, old, new, timer_now()));
        }
        Exchange { streams: Arc::clone(self), session, new }
    }

    /// Whether no stream is open.
    pub(crate) fn is_quiet(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0
    }

    fn open(&self, session: &ActiveSession) -> Key {
        self.count_one();
        self.with(|registry| registry.register(session, timer_now()))
    }

    fn open_beside(&self, key: Key) -> Key {
        self.count_one();
        self.with(|registry| registry.register_beside(key))
    }

    fn close(&self, key: Key) {
        self.with(|registry| registry.unregister(key));
        self.open.fetch_sub(1, Ordering::SeqCst);
        self.shown.decrement(1.0);
    }

    fn count_one(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.shown.increment(1.0);
    }

    /// Works on the registry under its lock, and carries out what follows from that after releasing it.
    fn with<T>(&self, work: impl FnOnce(&mut Registry) -> T) -> T {
        let (answer, effects) = {
            let mut registry = self.registry.lock();
            let answer = work(&mut registry);
            (answer, std::mem::take(&mut registry.effects))
        };
        if effects.work {
            self.work.notify_one();
        }
        effects.wake_and_tell();
        answer
    }
}

/// An exchange of a token that is under way. Dropped without [`done`](Self::done), nobody knows what became of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    streams: Arc<Streams>,
    session: SessionId,
    new: TokenDigest,
}

impl Exchange {
    /// The store has exchanged the token: this is the session now.
    pub(crate) fn done(self, session: &ActiveSession) {
        if !self.streams.is_quiet() {
            self.streams.with(|registry| registry.exchanged(session));
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.streams.is_quiet() {
            self.streams.with(|registry| registry.not_exchanged(self.session, self.new));
        }
    }
}

/// News taken under one lock, so that whoever opens or closes a stream need not wait for all of a large end.
const TOLD_AT_A_TIME: usize = 64;
