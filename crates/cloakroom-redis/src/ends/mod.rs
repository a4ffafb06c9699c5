//! The list of ends of sessions that travel in their tokens.
//!
//! - [`verb`]: what its scripts are called with, what they answer, and who vouches for whoever answered.
//! - [`hint`]: the connection by which the server tells that the list has changed.

mod hint;
mod verb;

use std::sync::{Arc, OnceLock};

use cloakroom_core::Timestamp;
use cloakroom_store::{
    ListStanding, Place, Reading, RevocationEntry, RevocationList, StoreError, StoreFuture, Verb,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::NAME;
use crate::client::{Client, Progress};
use crate::facts::{Exposure, RedisFacts, facts};
use crate::greeting::greet_list;
use crate::options::RedisOptions;

pub(crate) use hint::is_told;
pub(crate) use verb::{ping, read};

/// A [`RevocationList`] in Redis or Valkey: one sorted set under `PREFIX:ends:list`.
///
/// Share it behind an [`Arc`]; several with the same prefix on the same servers, in whatever processes, are the same list.
///
/// # What is promised of a read
/// It is answered by a server that says that it is a primary, and at the same time, in the same round trip, whoever decides
/// that is asked: with sentinels, most of them say now that it is this one and well, and none that can be asked says that
/// it is another one; in a Cluster, most primaries say that the list's slot is there and its owner not failing. Otherwise
/// the read is an error. The same goes for what is added: on a server that was replaced it is an error after which it may
/// have been added. What remains where Redis itself has two minds, `docs/book/stores/redis.md` lists.
///
/// # What it may forget
/// What Redis forgets, it forgets as a whole, since it is one key: by eviction (`allkeys-*`), `FLUSHALL`, a restart without
/// a file. Its tail is forgotten by a fail-over to a replica that had not heard of it, a crash of the machine
/// (`appendfsync`), a restored backup. In every case the place of whoever had read what was forgotten is answered
/// [`Reading::Lost`], also after the list has grown past it: numbers go on by the server's clock and are not given twice,
/// and should one be, its nonce is another. [`RedisOptions::with_replicas`] makes what is added wait for replicas.
/// [`facts`](Self::facts) warn of what can be set up better.
///
/// # Cost
/// One script call for each verb. A read of nothing new takes some 10 µs of the server's time, beside one question to each
/// sentinel or primary where there are any. An entry takes some 350 bytes of the server's memory.
#[derive(Debug)]
pub struct RedisRevocations {
    client: Arc<Client>,
    exposure: Exposure,
    standing: ListStanding,
    /// Notified when the list may have changed.
    changed: Arc<Notify>,
    /// Begun by whoever asks first.
    listener: OnceLock<AbortHandle>,
}

impl RedisRevocations {
    /// Connects, and finds out whether the server that keeps the list is what the options say, and lets itself be asked what
    /// a list has to ask: the same address, user and rights as for [`RedisStore`](crate::RedisStore).
    ///
    /// # Errors
    /// As of [`RedisStore::connect`](crate::RedisStore::connect).
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn connect(options: RedisOptions) -> Result<Self, StoreError> {
        let client = Client::new(&options).map_err(|problem| problem.into_error(Verb::Open))?;
        let progress = Progress::default();
        let greeting = Box::pin(greet_list(&client, &progress));
        let standing = client.within(Verb::Open, &progress, greeting).await?;
        Ok(Self {
            client: Arc::new(client),
            exposure: Exposure::of(&options),
            standing,
            changed: Arc::default(),
            listener: OnceLock::new(),
        })
    }

    /// What the server that keeps the list says of itself; [`RedisFacts::warnings_of_list`] tells what to do about it.
    ///
    /// # Errors
    /// As of [`RedisStore::facts`](crate::RedisStore::facts).
    pub async fn facts(&self) -> Result<RedisFacts, StoreError> {
        let bucket = std::iter::once(self.client.layout.bucket_of_ends());
        let progress = Progress::default();
        self.client.within(Verb::Ping, &progress, facts(&self.client, self.exposure, bucket)).await
    }
}

/// A verb within the deadline.
macro_rules! within {
    ($list:expr, $verb:ident, |$client:ident, $progress:ident| $work:expr) => {{
        let $client = &$list.client;
        StoreFuture::waiting(async move {
            let progress = Progress::default();
            let $progress = &progress;
            $client.within(Verb::$verb, $progress, $work).await
        })
    }};
}

impl RevocationList for RedisRevocations {
    fn name(&self) -> &'static str {
        NAME
    }

    /// As the server was set up when this was connected: `durable` with an append-only file and no eviction policy that may
    /// choose the list, `tells` where the user may follow changes.
    fn standing(&self) -> ListStanding {
        self.standing
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        if entries.is_empty() {
            return StoreFuture::ready(Ok(()));
        }
        within!(self, End, |client, progress| verb::add(client, progress, entries))
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        within!(self, Watch, |client, progress| verb::read(client, progress, place, limit))
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        within!(self, Sweep, |client, progress| verb::prune(client, progress, now, limit))
    }

    /// Milliseconds after something was added or removed; also whenever the connection by which the server tells had to be
    /// made anew.
    fn changed(&self) -> StoreFuture<'_, ()> {
        if !self.standing.tells {
            return StoreFuture::waiting(std::future::pending());
        }
        // Before the listener is begun: what it finds out first is not missed.
        let changed = self.changed.notified();
        self.listener.get_or_init(|| {
            tokio::spawn(hint::listen(Arc::clone(&self.client), Arc::clone(&self.changed))).abort_handle()
        });
        StoreFuture::waiting(async move {
            changed.await;
            Ok(())
        })
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        within!(self, Ping, |client, progress| verb::ping(client, progress))
    }
}

impl Drop for RedisRevocations {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get() {
            listener.abort();
        }
    }
}
