//! Many who add and read while something happens to the servers: what was acknowledged before a read was begun is in what it
//! answers, or it answers an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cloakroom_conformance::Ends;
use cloakroom_redis::RedisRevocations;
use cloakroom_store::{RevocationEntry, RevocationList as _};
use tokio::task::JoinSet;

use super::{Copy, until};

/// Adders, each with readers of their own to ask after every add.
pub(super) struct Crowd {
    tasks: JoinSet<Vec<RevocationEntry>>,
    is_over: Arc<AtomicBool>,
    confirmed: Arc<AtomicUsize>,
}

impl Crowd {
    /// Adds through one handle and reads through the other, each with a place.
    pub(super) fn start(writer: &Arc<RedisRevocations>, reader: &Arc<RedisRevocations>) -> Self {
        let (is_over, confirmed) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        for seed in 0..4 {
            let (writer, reader) = (Arc::clone(writer), Arc::clone(reader));
            let (is_over, confirmed) = (Arc::clone(&is_over), Arc::clone(&confirmed));
            tasks.spawn(async move {
                let (mut ends, mut copy, mut acknowledged) =
                    (Ends::new(1 << 32 | seed), Copy::default(), Vec::new());
                while !is_over.load(Ordering::Acquire) {
                    let entry = ends.next_entry();
                    if writer.add(std::slice::from_ref(&entry)).await.is_err() {
                        continue;
                    }
                    acknowledged.push(entry);
                    match copy.read(&reader).await {
                        // Nobody knows anything.
                        Err(_) => continue,
                        Ok(true) => {}
                        Ok(false) => {
                            copy = Copy::default();
                            if copy.read(&reader).await.is_err() {
                                continue;
                            }
                        }
                    }
                    for entry in &acknowledged {
                        assert!(copy.known.contains(entry), "acknowledged before it was read: {entry:?}");
                    }
                    confirmed.fetch_add(1, Ordering::AcqRel);
                }
                acknowledged
            });
        }
        Self { tasks, is_over, confirmed }
    }

    /// Waits until this many more reads have found what was acknowledged.
    pub(super) async fn goes_on(&self, times: usize) {
        let enough = self.confirmed.load(Ordering::Acquire) + times;
        until("they go on", async || {
            assert!(!self.tasks.is_empty(), "they are at it");
            self.confirmed.load(Ordering::Acquire) >= enough
        })
        .await;
    }

    /// What was acknowledged, by all of them.
    pub(super) async fn finish(mut self) -> Vec<RevocationEntry> {
        self.is_over.store(true, Ordering::Release);
        let mut all = Vec::new();
        while let Some(acknowledged) = self.tasks.join_next().await {
            all.append(&mut acknowledged.unwrap());
        }
        all
    }
}
