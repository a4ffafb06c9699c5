//! Counts, samples, seals, and removing what is old.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloakroom_core::Timestamp;

use super::chain::follow;
use super::{NOON, Tried, WRITER, all, append, at, key, same, told};
use crate::{
    AuditRow, AuditStore, Batch, Checkpoint, Draft, Head, Prune, SEALS_KEPT, SEED_BYTES, Sample, Seal,
    SealingKey,
};

pub(super) async fn counts(store: Arc<dyn AuditStore>) -> Tried {
    let drafts = vec![Draft::new("a", at(0)), Draft::new("a", at(59)).because("r"), Draft::new("b", at(60))];
    append(&*store, 1, drafts).await?;
    let repeated = Draft::new("a", at(1)).with(crate::event::TIMES, 40);
    append(&*store, 2, vec![repeated.clone(), Draft::new("a", at(119))]).await?;
    // Handed in again: counted once all the same.
    append(&*store, 2, vec![repeated]).await?;
    let rows = all(&*store).await?;
    same("how often it happened", rows.iter().map(AuditRow::times).sum(), 44)?;
    for since in [NOON, at(30), at(60), at(120)] {
        let mut expected = BTreeMap::<(Timestamp, &str, Option<&str>), u64>::new();
        for row in rows.iter().filter(|row| row.minute() >= crate::row::minute_of(since)) {
            let key = (row.minute(), row.event.as_str(), row.reason.as_deref());
            *expected.entry(key).or_default() += row.times();
        }
        let counts = told(store.counts(since).await)?;
        let found = counts.iter().map(|c| ((c.at, c.event.as_str(), c.reason.as_deref()), c.count));
        same(
            &format!("the counts since {since}"),
            found.collect::<Vec<_>>(),
            expected.into_iter().collect(),
        )?;
    }
    Ok(())
}

pub(super) async fn samples(store: Arc<dyn AuditStore>) -> Tried {
    let sample = |seconds, node: &str, series: &str, value| Sample {
        at: at(seconds),
        node: node.to_owned(),
        series: series.to_owned(),
        value,
    };
    let first = vec![sample(0, "b", "x", 1.0), sample(0, "a", "x", 2.0), sample(0, "a", "y", 3.0)];
    told(store.put_samples(first).await)?;
    let later = vec![sample(60, "a", "x", 5.5), sample(0, "b", "x", 4.0)];
    told(store.put_samples(later).await)?;
    let found = told(store.samples("x".to_owned(), NOON).await)?;
    let expected = vec![sample(0, "a", "x", 2.0), sample(0, "b", "x", 4.0), sample(60, "a", "x", 5.5)];
    same("the samples", found, expected)?;
    let found = told(store.samples("x".to_owned(), at(60)).await)?;
    same("the later samples", found, vec![sample(60, "a", "x", 5.5)])
}

pub(super) async fn seals(store: Arc<dyn AuditStore>) -> Tried {
    let (ours, theirs) = (key()?, other_key()?);
    let head = |seq| Head { seq, hash: crate::ChainHash::over(&[&seq.to_be_bytes()]) };
    let beside = Seal::new(head(1), NOON, &theirs);
    told(store.put_seal(beside.clone()).await)?;
    let made = u64::from(SEALS_KEPT) + 3;
    for seq in 1..=made {
        told(store.put_seal(Seal::new(head(seq), at(seq), &ours)).await)?;
    }
    let mut expected: Vec<Seal> =
        (4..=made).map(|seq| Seal::new(head(seq), at(seq), &ours)).chain([beside]).collect();
    expected.sort_by(|a, b| (a.seq, &a.key).cmp(&(b.seq, &b.key)));
    same("the seals", told(store.seals().await)?, expected)
}

pub(super) async fn prune(store: Arc<dyn AuditStore>) -> Tried {
    let rows = five(&*store).await?;
    let key = key()?;
    for row in &rows {
        told(store.put_seal(Seal::new(row.head(), NOON, &key)).await)?;
    }
    let cut = rows.get(2).ok_or("fewer than three events")?;
    let checkpoint = Checkpoint::new(cut.head(), 3, at(9), &key);
    let told_of = told(store.prune(pruning(None, checkpoint.clone(), 2)).await)?;
    let told_of = told_of.ok_or("the prune was refused")?;
    same("the event that tells of it", told_of.iter().map(|row| row.seq).collect(), vec![6])?;
    let left = all(&*store).await?;
    same("the events left", left.iter().map(|row| row.seq).collect(), vec![4, 5, 6])?;
    follow(checkpoint.head(), &left)?;
    let seals = told(store.seals().await)?;
    same("the seals left", seals.iter().map(|seal| seal.seq).collect(), vec![4, 5])?;
    same("the checkpoint", told(store.checkpoint().await)?, Some(checkpoint))?;
    // Handed in again, since nobody knew what became of it.
    let next = append(&*store, 3, vec![Draft::new("f", at(10))]).await?;
    same("the event after it", next.first().map(|row| row.seq), Some(7))
}

pub(super) async fn stale_prune(store: Arc<dyn AuditStore>) -> Tried {
    let rows = five(&*store).await?;
    let key = key()?;
    let (first, later) = (rows.get(1).ok_or("no second event")?, rows.get(3).ok_or("no fourth event")?);
    let done = Checkpoint::new(first.head(), 2, at(9), &key);
    told(store.prune(pruning(None, done.clone(), 2)).await)?.ok_or("the prune was refused")?;
    let late = Checkpoint::new(later.head(), 4, at(9), &key);
    let refused = told(store.prune(pruning(None, late, 3)).await)?;
    same("the answer to a prune that does not know of the other", refused, None)?;
    let left = all(&*store).await?;
    same("the events left", left.iter().map(|row| row.seq).collect(), vec![3, 4, 5, 6])?;
    same("the checkpoint", told(store.checkpoint().await)?, Some(done))
}

pub(super) async fn prune_all(store: Arc<dyn AuditStore>) -> Tried {
    let rows = five(&*store).await?;
    let last = rows.last().ok_or("nothing was appended")?.head();
    let checkpoint = Checkpoint::new(last, 5, at(9), &key()?);
    let left = told(store.prune(pruning(None, checkpoint, 2)).await)?.ok_or("the prune was refused")?;
    follow(last, &left)?;
    same("the events left", all(&*store).await?, left.clone())?;
    same("the head", Some(told(store.head().await)?), left.last().map(AuditRow::head))
}

pub(super) async fn forget(store: Arc<dyn AuditStore>) -> Tried {
    append(&*store, 1, vec![Draft::new("a", at(0)), Draft::new("a", at(120))]).await?;
    let sample =
        |seconds| Sample { at: at(seconds), node: "n".to_owned(), series: "x".to_owned(), value: 1.0 };
    told(store.put_samples(vec![sample(0), sample(120)]).await)?;
    told(store.forget(at(60)).await)?;
    let counts = told(store.counts(NOON).await)?;
    same("the counts left", counts.iter().map(|count| count.at).collect(), vec![at(120)])?;
    let samples = told(store.samples("x".to_owned(), NOON).await)?;
    same("the samples left", samples, vec![sample(120)])?;
    same("the events, which it does not touch", all(&*store).await?.len(), 2)
}

async fn five(store: &dyn AuditStore) -> Tried<Vec<AuditRow>> {
    let drafts = ["a", "b", "c", "d", "e"].map(|event| Draft::new(event, NOON));
    append(store, 1, drafts.into()).await
}

fn pruning(follows: Option<u64>, checkpoint: Checkpoint, number: u64) -> Arc<Prune> {
    let drafts = vec![Draft::new(crate::names::PRUNED, at(9))];
    Arc::new(Prune { follows, checkpoint, batch: Batch { writer: WRITER, number, at: at(9), drafts } })
}

fn other_key() -> Tried<SealingKey> {
    SealingKey::from_seed(&[8; SEED_BYTES]).map_err(|error| error.to_string())
}
