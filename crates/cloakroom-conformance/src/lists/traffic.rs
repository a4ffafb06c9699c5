//! Nodes that add to a list and one that follows it, while its server is harmed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloakroom_store::{Applied, MOST_ENTRIES, Place, Reading, RevocationEntry, RevocationList};
use tokio::task::JoinHandle;

use super::ends::Ends;
use super::subject::{List, Numbered, place_of};

/// Tasks that add to a list without end, whatever it answers, and one that reads on from where it was.
///
/// Has to be used inside a Tokio runtime.
#[derive(Debug)]
pub struct ListTraffic {
    said: Arc<Said>,
    adders: Vec<JoinHandle<()>>,
    follower: JoinHandle<(Vec<Numbered>, usize)>,
}

/// What the list has said of what was added.
#[derive(Debug, Default)]
struct Said {
    is_enough: AtomicBool,
    /// Nobody adds any more.
    is_over: AtomicBool,
    errors: AtomicUsize,
    acknowledged: Mutex<Vec<RevocationEntry>>,
    refused: Mutex<Vec<RevocationEntry>>,
}

impl ListTraffic {
    /// Begins: eight tasks add, each in batches of one to three.
    #[must_use]
    pub fn begin(list: &Arc<dyn RevocationList>) -> Self {
        let said = Arc::new(Said::default());
        let adders =
            (0..8).map(|seed| tokio::spawn(add(Arc::clone(list), Ends::new(seed), Arc::clone(&said))));
        let adders = adders.collect();
        let follower = tokio::spawn(follow(Arc::clone(list), Arc::clone(&said)));
        Self { said, adders, follower }
    }

    /// How many entries were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        held(&self.said.acknowledged).len()
    }

    /// How many adds have failed so far.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.said.errors.load(Ordering::SeqCst)
    }

    /// Returns once as many more entries have been acknowledged.
    ///
    /// # Panics
    /// Where nobody adds any more.
    pub async fn goes_on(&self, more: usize) {
        let enough = self.acknowledged() + more;
        while self.acknowledged() < enough {
            assert!(self.adders.iter().all(|adder| !adder.is_finished()), "they add whatever happens");
            tokio::time::sleep(BREATH).await;
        }
    }

    /// Ends it, and looks at what has become of `list`, which is well again:
    ///
    /// - everything that was acknowledged is there, once;
    /// - nothing is there of which was said that it had not been applied;
    /// - numbers rise, and batches are whole;
    /// - whoever followed has read all of it in this order, and was not told anything else in between.
    ///
    /// Answers how often the place of whoever followed was lost: never, but on a server that shows what it has not yet
    /// written to its disk, and then died.
    ///
    /// # Panics
    /// Where that is not so.
    pub async fn settles(self, list: &Arc<dyn RevocationList>) -> usize {
        self.said.is_enough.store(true, Ordering::SeqCst);
        for adder in self.adders {
            adder.await.expect("an adder adds");
        }
        self.said.is_over.store(true, Ordering::SeqCst);
        let (history, lost) = self.follower.await.expect("a follower follows");
        let everything = List::new(Arc::clone(list)).everything().await;
        let found: HashSet<u64> = everything.iter().map(|(_, entry)| entry.nonce).collect();
        assert_eq!(found.len(), everything.len(), "nothing is there twice");
        let missing =
            held(&self.said.acknowledged).iter().filter(|entry| !found.contains(&entry.nonce)).count();
        assert_eq!(missing, 0, "what was acknowledged is there");
        let surplus = held(&self.said.refused).iter().filter(|entry| found.contains(&entry.nonce)).count();
        assert_eq!(surplus, 0, "what was refused is not there");
        assert!(history == everything, "{} were read of {}", history.len(), everything.len());
        lost
    }
}

async fn add(list: Arc<dyn RevocationList>, mut ends: Ends, said: Arc<Said>) {
    for size in (1..=3).cycle() {
        if said.is_enough.load(Ordering::SeqCst) {
            return;
        }
        // Each time with nonces of its own.
        let batch = ends.some(size);
        match list.add(&batch).await {
            Ok(()) => held(&said.acknowledged).extend(batch),
            Err(error) => {
                said.errors.fetch_add(1, Ordering::SeqCst);
                if error.applied() == Applied::No {
                    held(&said.refused).extend(batch);
                }
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Reads on until everything is over and read; what was read, and how often the place was lost.
async fn follow(list: Arc<dyn RevocationList>, said: Arc<Said>) -> (Vec<Numbered>, usize) {
    let (mut history, mut place, mut lost, mut failures) = (Vec::new(), Place::START, 0, 0);
    loop {
        let was_over = said.is_over.load(Ordering::SeqCst);
        match list.read(place, MOST_ENTRIES).await {
            Ok(Reading::Entries { entries, more }) => {
                place = entries.last().map_or(place, place_of);
                let is_all = entries.is_empty() && !more;
                history.extend(entries);
                if was_over && is_all {
                    return (history, lost);
                }
            }
            Ok(Reading::Lost) => {
                lost += 1;
                (history, place) = (Vec::new(), Place::START);
            }
            Err(error) => {
                failures += 1;
                assert!(!was_over || failures < MOST_FAILURES, "it does not become well: {error:?}");
            }
        }
        tokio::time::sleep(BREATH).await;
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const BREATH: std::time::Duration = std::time::Duration::from_millis(2);
/// Much more than there are while a server is gone for some seconds.
const MOST_FAILURES: usize = 100_000;
