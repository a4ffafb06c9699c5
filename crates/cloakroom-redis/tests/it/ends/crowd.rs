//! Many who add and read while something happens to the servers: what was acknowledged before a read was begun is in what it
//! answers, or it answers an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cloakroom_conformance::Ends;
use cloakroom_redis::RedisRevocations;
use cloakroom_store::{RevocationEntry, RevocationList as _};
use tokio::task::JoinSet;

use super::{Copy, open, until};

/// Many add to the successor of a server, to which `replace` answers a handle, and read by a handle from before, while the old
/// one, which `wake` has speak, believes that it was never replaced: what they read is right or an error.
pub(super) async fn check_replaced(
    url: &str,
    replicas: usize,
    replace: impl AsyncFnOnce() -> RedisRevocations,
    wake: impl FnOnce(),
) {
    let durable = open(&format!("{url}?wait_replicas={replicas}")).await;
    let reader = Arc::new(open(url).await);
    let before = Ends::new(1).some(20);
    durable.add(&before).await.unwrap();
    assert_eq!(Copy::of(&reader).await.known, before);
    let writer = Arc::new(replace().await);
    let crowd = Crowd::start(&writer, &reader);
    wake();
    crowd.goes_on(200).await;
    let acknowledged = crowd.finish().await;
    let known = Copy::of(&reader).await.known;
    for entry in acknowledged.iter().chain(&before) {
        assert!(known.contains(entry), "it was acknowledged: {entry:?}");
    }
}

/// Adders, each with readers of their own to ask after every add.
struct Crowd {
    tasks: JoinSet<Vec<RevocationEntry>>,
    is_over: Arc<AtomicBool>,
    confirmed: Arc<AtomicUsize>,
}

impl Crowd {
    /// Adds through one handle and reads through the other, each with a place.
    fn start(writer: &Arc<RedisRevocations>, reader: &Arc<RedisRevocations>) -> Self {
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
    async fn goes_on(&self, times: usize) {
        let enough = self.confirmed.load(Ordering::Acquire) + times;
        until("they go on", async || {
            assert!(!self.tasks.is_empty(), "they are at it");
            self.confirmed.load(Ordering::Acquire) >= enough
        })
        .await;
    }

    /// What was acknowledged, by all of them.
    async fn finish(mut self) -> Vec<RevocationEntry> {
        self.is_over.store(true, Ordering::Release);
        let mut all = Vec::new();
        while let Some(acknowledged) = self.tasks.join_next().await {
            all.append(&mut acknowledged.unwrap());
        }
        all
    }
}
