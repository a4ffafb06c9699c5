use std::collections::BTreeSet;

use crate::suite::CASES;
use crate::{
    Along, AuditFuture, AuditRow, AuditStore, Batch, Checkpoint, Count, Head, MemoryAudit, Period, Prune,
    Sample, Seal, Span, SqliteAudit, Walk,
};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_passes_the_suite() {
    assert_eq!(failures(|| Arc::new(MemoryAudit::default())).await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let mut next = 0;
    let failures = failures(|| {
        next += 1;
        let path = dir.path().join(format!("{next}.db"));
        std::fs::write(&path, "").unwrap();
        Arc::new(SqliteAudit::open(&path).unwrap())
    });
    assert_eq!(failures.await, BTreeSet::new());
}

/// Each of these mistakes is one that a backend could make, and is found by the case beside it. On one thread: where a task
/// gives way another goes on for certain, so that what only a race shows is shown each time.
#[tokio::test]
async fn the_suite_finds_every_sabotage() {
    for (sabotage, found_by) in [
        (Sabotage::AppendsTwice, "a_batch_handed_in_twice_is_appended_once"),
        (Sabotage::ReadsTheHeadFirst, "writers_at_the_same_time_make_one_chain"),
        (Sabotage::CutsText, "every_field_comes_back_as_it_was_written"),
        (Sabotage::FoldsCase, "a_walk_follows_its_index_and_no_other_text"),
        (Sabotage::IgnoresTheLimit, "a_walk_keeps_to_its_span_order_and_limit"),
        (Sabotage::CountsEvents, "counts_equal_the_log"),
        (Sabotage::KeepsEverySeal, "the_latest_seals_of_each_key_are_kept"),
        (Sabotage::PrunesBlindly, "a_prune_behind_another_prune_does_nothing"),
        (Sabotage::ForgetsNothing, "what_is_forgotten_is_what_is_older"),
        (Sabotage::StartsAnew, "everything_can_be_pruned_and_the_chain_goes_on"),
    ] {
        let broken =
            || Sabotaged { inner: MemoryAudit::default(), sabotage, seals: parking_lot::Mutex::default() };
        let failures = failures(|| Arc::new(broken())).await;
        assert!(failures.contains(found_by), "{sabotage:?} was found by {failures:?}");
    }
}

async fn failures(mut store: impl FnMut() -> Arc<dyn AuditStore>) -> BTreeSet<&'static str> {
    let mut failures = BTreeSet::new();
    for case in CASES {
        if let Err(why) = (case.run)(store()).await {
            println!("{}: {why:.200}", case.name);
            failures.insert(case.name);
        }
    }
    failures
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sabotage {
    AppendsTwice,
    ReadsTheHeadFirst,
    CutsText,
    FoldsCase,
    IgnoresTheLimit,
    CountsEvents,
    KeepsEverySeal,
    PrunesBlindly,
    ForgetsNothing,
    StartsAnew,
}

#[derive(Debug)]
struct Sabotaged {
    inner: MemoryAudit,
    sabotage: Sabotage,
    seals: parking_lot::Mutex<Vec<Seal>>,
}

impl Sabotaged {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }
}

impl AuditStore for Sabotaged {
    fn append(&self, batch: Arc<Batch>) -> AuditFuture<'_, Vec<AuditRow>> {
        Box::pin(async move {
            if self.is(Sabotage::ReadsTheHeadFirst) {
                let head = self.inner.head().await?;
                tokio::task::yield_now().await;
                let rows = AuditRow::chain(head, &batch.drafts);
                self.inner.append(batch).await?;
                return Ok(rows);
            }
            let mut rows = self.inner.append(Arc::clone(&batch)).await?;
            if self.is(Sabotage::AppendsTwice) && batch.number == 1 {
                let again = Batch { number: u64::MAX, ..(*batch).clone() };
                self.inner.append(Arc::new(again)).await?;
            }
            if self.is(Sabotage::StartsAnew)
                && rows.first().is_some_and(|row| row.event == crate::names::PRUNED)
            {
                rows = AuditRow::chain(Head::START, &batch.drafts);
            }
            Ok(rows)
        })
    }

    fn walk(&self, walk: Walk) -> AuditFuture<'_, Vec<AuditRow>> {
        Box::pin(async move {
            let mut looser = walk.clone();
            if self.is(Sabotage::IgnoresTheLimit) {
                looser.limit = NonZeroU16::MAX;
            }
            if self.is(Sabotage::FoldsCase) {
                looser.along = Along::Log;
                looser.limit = NonZeroU16::MAX;
            }
            let mut rows = self.inner.walk(looser).await?;
            if let (true, Along::Principal(name)) = (self.is(Sabotage::FoldsCase), &walk.along) {
                let folded =
                    |row: &AuditRow| row.principal.as_ref().map(|principal| principal.to_lowercase());
                rows.retain(|row| folded(row) == Some(name.to_lowercase()));
            }
            if self.is(Sabotage::CutsText) {
                for row in &mut rows {
                    row.user_agent = row.user_agent.take().map(|text| text.chars().take(20).collect());
                }
            }
            Ok(rows)
        })
    }

    fn head(&self) -> AuditFuture<'_, Head> {
        self.inner.head()
    }

    fn span(&self, period: Period) -> AuditFuture<'_, Span> {
        self.inner.span(period)
    }

    fn counts(&self, since: Timestamp) -> AuditFuture<'_, Vec<Count>> {
        Box::pin(async move {
            let mut counts = self.inner.counts(since).await?;
            if self.is(Sabotage::CountsEvents) {
                counts.iter_mut().for_each(|count| count.count = count.count.min(2));
            }
            Ok(counts)
        })
    }

    fn put_samples(&self, samples: Vec<Sample>) -> AuditFuture<'_, ()> {
        self.inner.put_samples(samples)
    }

    fn samples(&self, series: String, since: Timestamp) -> AuditFuture<'_, Vec<Sample>> {
        self.inner.samples(series, since)
    }

    fn put_seal(&self, seal: Seal) -> AuditFuture<'_, ()> {
        self.seals.lock().push(seal.clone());
        self.inner.put_seal(seal)
    }

    fn seals(&self) -> AuditFuture<'_, Vec<Seal>> {
        if self.is(Sabotage::KeepsEverySeal) {
            let all = self.seals.lock().clone();
            return Box::pin(async { Ok(all) });
        }
        self.inner.seals()
    }

    fn checkpoint(&self) -> AuditFuture<'_, Option<Checkpoint>> {
        self.inner.checkpoint()
    }

    fn prune(&self, prune: Arc<Prune>) -> AuditFuture<'_, Option<Vec<AuditRow>>> {
        Box::pin(async move {
            let mut prune = (*prune).clone();
            if self.is(Sabotage::PrunesBlindly) {
                prune.follows = self.inner.checkpoint().await?.map(|checkpoint| checkpoint.through);
            }
            let rows = self.inner.prune(Arc::new(prune.clone())).await?;
            if self.is(Sabotage::StartsAnew) {
                return Ok(rows.map(|_| AuditRow::chain(Head::START, &prune.batch.drafts)));
            }
            Ok(rows)
        })
    }

    fn forget(&self, before: Timestamp) -> AuditFuture<'_, ()> {
        if self.is(Sabotage::ForgetsNothing) {
            return Box::pin(async { Ok(()) });
        }
        self.inner.forget(before)
    }
}
