//! The list of ends: what it costs, what it survives, and that whatever a server forgets is said to whoever had read it.

mod access;
mod cluster;
mod cost;
mod crowd;
mod fault;
mod forget;
mod hint;
mod sentinel;

use std::time::Duration;

use cloakroom_redis::{RedisOptions, RedisRevocations};
use cloakroom_store::{Place, Reading, RevocationEntry, RevocationList as _, StoreError};

use super::{HASTE, PATIENCE};

/// The list at `url`.
async fn open(url: &str) -> RedisRevocations {
    RedisRevocations::connect(RedisOptions::from_url(url).unwrap()).await.unwrap()
}

/// The same for whoever is always answered in the end, however busy the machine and its disk are.
async fn open_patient(url: &str) -> RedisRevocations {
    RedisRevocations::connect(RedisOptions::from_url(url).unwrap().with_deadline(PATIENCE)).await.unwrap()
}

/// The same with a deadline short enough for a test to wait for.
async fn open_hasty(url: &str) -> RedisRevocations {
    RedisRevocations::connect(RedisOptions::from_url(url).unwrap().with_deadline(HASTE)).await.unwrap()
}

/// A node's copy: what it has read, and how far.
#[derive(Clone, Debug, Default)]
struct Copy {
    place: Place,
    known: Vec<RevocationEntry>,
    numbers: Vec<u64>,
}

impl Copy {
    /// Reads to the end; whether the place was one of the list's.
    async fn read(&mut self, list: &RedisRevocations) -> Result<bool, StoreError> {
        loop {
            match list.read(self.place, 100).await? {
                Reading::Lost => return Ok(false),
                Reading::Entries { entries, more } => {
                    for (number, entry) in entries {
                        assert!(number > self.place.number, "numbers rise");
                        self.place = Place { number, nonce: entry.nonce };
                        self.numbers.push(number);
                        self.known.push(entry);
                    }
                    if !more {
                        return Ok(true);
                    }
                }
            }
        }
    }

    async fn of(list: &RedisRevocations) -> Self {
        let mut copy = Self::default();
        assert!(copy.read(list).await.unwrap(), "nothing is lost before the beginning");
        copy
    }
}

/// Waits for what another server or task will do, for as long as a fail-over may take.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(30), async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    });
    patience.await.unwrap_or_else(|_| panic!("{what}"));
}
