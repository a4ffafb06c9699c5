//! All servers, and one call to them.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_core::{Route, Timestamp};
use futures_util::future::join_all;
use tokio::sync::{Mutex, MutexGuard};

use crate::client::{Link, Server};
use crate::error::Problem;
use crate::layout::keys::Keys;
use crate::options::MemcachedOptions;
use crate::place::Place;
use crate::recent::Recent;
use crate::ring::{Ring, mix, seed};
use crate::stake::Stake;
use crate::verb::{Passes, Settling};

/// All servers.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) keys: Keys,
    pub(crate) settling: Settling,
    pub(crate) passes: Passes,
    pub(crate) recent: Recent,
    turns: Vec<Mutex<()>>,
    filings: AtomicU64,
    ring: Ring,
    list: Vec<Server>,
    /// How long a server may be silent, about.
    pub(crate) patience: Duration,
    /// The number of this handle among all on the servers: who holds the sweeping lease.
    pub(crate) handle: u64,
}

/// One call, made at an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) servers: &'a Arc<Servers>,
    pub(crate) stake: &'a Stake,
    pub(crate) now: Timestamp,
}

impl Servers {
    /// Starts to connect to all of them.
    pub(crate) fn start(options: &MemcachedOptions, handle: u64) -> Self {
        let start = |name: &String| {
            Server::start(name, options.connections, options.patience(), mix(handle ^ seed(name)))
        };
        Self {
            keys: Keys::new(&options.prefix),
            settling: Settling::default(),
            passes: Passes::default(),
            recent: Recent::default(),
            filings: AtomicU64::new(0),
            turns: (0..TURNS.get()).map(|_| Mutex::new(())).collect(),
            ring: Ring::new(options.servers.iter().map(String::as_str)),
            list: options.servers.iter().map(start).collect(),
            patience: options.patience(),
            handle,
        }
    }

    /// A number that no other filing has: not another one of this handle, nor one of another handle.
    pub(crate) fn filer(&self) -> u64 {
        mix(self.handle ^ mix(self.filings.fetch_add(1, Ordering::Relaxed))).max(1)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether any of them can be asked, as far as is known.
    pub(crate) fn is_any_up(&self) -> bool {
        self.list.iter().any(Server::is_up)
    }

    /// Positions of the servers in the order in which `route` prefers them: its home, then the rest.
    pub(crate) fn order(&self, route: Route) -> (usize, Vec<usize>) {
        let mut order = self.ring.order(route).into_iter();
        (order.next().unwrap_or(0), order.collect())
    }

    /// The server at `position`, to be asked about `route`.
    pub(crate) async fn place(&self, position: usize, route: Route) -> Result<Place<'_>, Problem> {
        let server = self.list.get(position).ok_or(Problem::Closed)?;
        Ok(Place::new(server.link(route).await?, &self.keys, route))
    }

    /// A turn at a ledger: those of one process that want to change it queue up here instead of undoing each other's
    /// attempts over there. Nothing depends on it. Nobody takes a turn while holding one.
    pub(crate) async fn turn(&self, position: usize, route: Route) -> Option<MutexGuard<'_, ()>> {
        let server = u64::try_from(position).unwrap_or(u64::MAX);
        let number = mix(mix(server) ^ u64::from(route.as_u16())) % TURNS;
        match usize::try_from(number).ok().and_then(|number| self.turns.get(number)) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    /// Waits until every server has answered or is known to be away; an error where all are.
    pub(crate) async fn wait_for_any(&self) -> Result<(), Problem> {
        let links = join_all(self.list.iter().map(|server| server.link(Route::from_bytes([0, 0])))).await;
        at_least_one(links).map(|_: Vec<Arc<Link>>| ())
    }

    /// Asks every server the same thing at the same time.
    pub(crate) async fn all<'a, T, F>(&'a self, ask: impl Fn(usize) -> F) -> Vec<Result<T, Problem>>
    where
        F: Future<Output = Result<T, Problem>> + 'a,
    {
        join_all((0..self.list.len()).map(ask)).await
    }
}

/// The answers there were; an error where there was none.
pub(crate) fn at_least_one<T>(answers: Vec<Result<T, Problem>>) -> Result<Vec<T>, Problem> {
    let mut failure = None;
    let mut good = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            Ok(answer) => good.push(answer),
            Err(problem) => failure = Some(problem),
        }
    }
    match failure {
        Some(problem) if good.is_empty() => Err(problem),
        _ => Ok(good),
    }
}

/// Queues: so many that two ledgers that are changed at the same time seldom share one.
const TURNS: NonZeroU64 = NonZeroU64::new(1_024).expect("not zero");
