//! Many add while others read: nobody who follows overlooks anything.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloakroom_core::Timestamp;
use cloakroom_store::{MOST_ENTRIES, Place, RevocationEntry};

use crate::case::cases;
use crate::fixtures::Seeded;
use crate::lists::ends::Ends;
use crate::lists::subject::{List, Numbered, place_of};
use crate::lists::{Case, Context};

pub(super) const CASES: &[Case] = cases!("race", |_| true;
    whoever_follows_while_many_add_reads_every_entry_exactly_once,
    a_batch_is_read_whole_or_not_at_all_while_others_are_added,
    what_was_acknowledged_is_found_at_once_while_many_add,
);

/// The rule that numbers rise in the order of visibility. A list that hands numbers out first and makes entries visible
/// later (a sequence, an AUTO_INCREMENT) shows number 8 while 7 is on its way; who has read 8 never sees 7.
async fn whoever_follows_while_many_add_reads_every_entry_exactly_once(context: &Context) {
    let lists = context.two().await;
    let crowd = Crowd::of(&lists);
    let mut readers = Vec::new();
    for seed in 0..4_usize {
        readers.push(tokio::spawn(crowd.follow(lists[seed % 2].clone(), seed)));
    }
    let added = crowd.add().await;
    let mut histories = Vec::new();
    for reader in readers {
        histories.push(reader.await.expect("a reader reads"));
    }
    let everything = lists[0].everything().await;
    let found: HashSet<u64> = everything.iter().map(|(_, entry)| entry.nonce).collect();
    assert_eq!((found, everything.len()), (added.clone(), added.len()), "everything that was added is there");
    for history in histories {
        assert_eq!(history.len(), everything.len(), "who followed has read as many");
        assert!(history == everything, "and the same in the same order");
    }
}

async fn a_batch_is_read_whole_or_not_at_all_while_others_are_added(context: &Context) {
    let lists = context.two().await;
    let crowd = Crowd::of(&lists);
    let watching = tokio::spawn({
        let (crowd, list) = (crowd.clone(), lists[1].clone());
        async move {
            let mut place = Place::START;
            while !crowd.is_done() {
                let (page, more) =
                    list.look(place, MOST_ENTRIES).await.expect("a place that was handed out is there");
                // A page that no limit cut ends where a batch ends.
                let mut batches: Vec<&[Numbered]> =
                    page.chunk_by(|(_, one), (_, next)| one.at == next.at).collect();
                if more {
                    batches.pop();
                }
                for batch in &batches {
                    assert_eq!(batch.len(), size_of(batch[0].1.at), "torn, or with others within");
                }
                let whole: usize = batches.iter().map(|batch| batch.len()).sum();
                if whole > 0 {
                    place = place_of(&page[whole - 1]);
                }
                tokio::task::yield_now().await;
            }
        }
    });
    crowd.add().await;
    watching.await.expect("a batch is never torn");
}

async fn what_was_acknowledged_is_found_at_once_while_many_add(context: &Context) {
    let lists = context.two().await;
    let crowd = Crowd::of(&lists);
    let asking = tokio::spawn({
        let (crowd, [one, other]) = (crowd.clone(), lists.clone());
        async move {
            let (mut ends, mut place) = (Ends::new(1 << 40), Place::START);
            while !crowd.is_done() {
                let entry = ends.next_entry();
                one.write(std::slice::from_ref(&entry)).await;
                let news = other.follow(place, 1_000).await;
                assert!(news.iter().any(|(_, found)| *found == entry), "acknowledged, and not there");
                place = news.last().map_or(place, place_of);
            }
        }
    });
    crowd.add().await;
    asking.await.expect("what was acknowledged is found");
}

/// Many who add at once, through two handles.
#[derive(Clone)]
struct Crowd {
    lists: [List; 2],
    at_work: Arc<AtomicUsize>,
}

impl Crowd {
    fn of(lists: &[List; 2]) -> Self {
        Self { lists: lists.clone(), at_work: Arc::new(AtomicUsize::new(ADDERS)) }
    }

    fn is_done(&self) -> bool {
        self.at_work.load(Ordering::SeqCst) == 0
    }

    /// Has all of them add all they have; the nonces of everything.
    async fn add(&self) -> HashSet<u64> {
        let adders: Vec<_> = (0..ADDERS).map(|adder| tokio::spawn(self.clone().one(adder))).collect();
        let mut added = HashSet::new();
        for adder in adders {
            added.extend(adder.await.expect("an adder adds"));
        }
        added
    }

    async fn one(self, adder: usize) -> Vec<u64> {
        let seed = u64::try_from(adder).unwrap_or(0) + 100;
        let (mut ends, mut added) = (Ends::new(seed), Vec::new());
        for round in 0..ROUNDS {
            // The instant tells whose batch it is.
            let mark = Timestamp::from_millis(i64::try_from(round * ADDERS + adder).unwrap_or(0));
            let batch =
                ends.some(size_of(mark)).into_iter().map(|entry| RevocationEntry { at: mark, ..entry });
            let batch: Vec<RevocationEntry> = batch.collect();
            self.lists[adder % 2].write(&batch).await;
            added.extend(batch.iter().map(|entry| entry.nonce));
        }
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        added
    }

    /// Reads on and on by pages of different sizes until nobody adds any more, and then to the end.
    fn follow(&self, list: List, seed: usize) -> impl Future<Output = Vec<Numbered>> + Send + 'static {
        let (crowd, mut random) = (self.clone(), Seeded::new(u64::try_from(seed).unwrap_or(0)));
        async move {
            let (mut history, mut place) = (Vec::new(), Place::START);
            loop {
                let was_done = crowd.is_done();
                // Some keep up with those who add, and so are there when numbers appear; some go by small pages.
                let small = usize::try_from(random.below(400)).unwrap_or(0) + 1;
                let limit = if seed < 2 { MOST_ENTRIES } else { small };
                let (page, more) =
                    list.look(place, limit).await.expect("a place that was handed out is there");
                place = page.last().map_or(place, place_of);
                history.extend(page);
                if was_done && !more {
                    return history;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

const ADDERS: usize = 64;
const ROUNDS: usize = 4;

/// How large the batch with this mark is. One of thirty-two who add takes long: its numbers would be given out first, and
/// visible last, by a list that does not keep them apart.
fn size_of(mark: Timestamp) -> usize {
    if mark.as_millis() % 32 == 0 { LARGE } else { SMALL }
}

const SMALL: usize = 3;
/// With 500, a list on PostgreSQL whose numbers came from a sequence was found in none of four runs; with this, in both of two.
const LARGE: usize = 3_000;
