//! Appending.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Tried, all, append, at, full, same, told};
use crate::{AuditStore, Batch, Draft, Follower, Head, WriterId};

pub(super) async fn numbered(store: Arc<dyn AuditStore>) -> Tried {
    let first = append(&*store, 1, vec![Draft::new("a", at(0)), Draft::new("b", at(1))]).await?;
    let second = append(&*store, 2, vec![Draft::new("c", at(2))]).await?;
    let rows = [first, second].concat();
    same("the events appended", rows.iter().map(|row| row.event.as_str()).collect(), vec!["a", "b", "c"])?;
    follow(Head::START, &rows)?;
    same("the events read", all(&*store).await?, rows)
}

pub(super) async fn every_field(store: Arc<dyn AuditStore>) -> Tried {
    let empty = Draft::new("x", at(0));
    let rows = append(&*store, 1, vec![full("Zoë  O'Hara")?, empty]).await?;
    let read = all(&*store).await?;
    same("what is read", &read, &rows)?;
    let full = read.first().ok_or("nothing is read")?;
    same("the hash of what is read", full.computed_hash(), full.hash)?;
    same("the principal", full.principal.as_deref(), Some("Zoë  O'Hara"))?;
    let empty = read.get(1).ok_or("one event is read")?;
    same("what was left out", (&empty.principal, &empty.session, &empty.ip), (&None, &None, &None))
}

pub(super) async fn twice(store: Arc<dyn AuditStore>) -> Tried {
    let drafts = || vec![Draft::new("a", at(0)), Draft::new("b", at(1))];
    let first = append(&*store, 1, drafts()).await?;
    let again = append(&*store, 1, drafts()).await?;
    same("the answer to the second time", again, first.clone())?;
    same("the events", all(&*store).await?.len(), 2)?;
    let next = append(&*store, 2, vec![Draft::new("c", at(2))]).await?;
    same("the batch after it", next.first().map(|row| row.seq), Some(3))?;
    // Another process may have the same numbers.
    let batch = Batch {
        writer: WriterId::from_random([8; WriterId::LENGTH]),
        number: 1,
        at: at(3),
        drafts: vec![Draft::new("d", at(3))],
    };
    let other = told(store.append(Arc::new(batch)).await)?;
    same("another writer's batch", other.first().map(|row| row.seq), Some(4))
}

pub(super) async fn together(store: Arc<dyn AuditStore>) -> Tried {
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            let writer = WriterId::from_random([writer; WriterId::LENGTH]);
            let mut seqs = Vec::new();
            for number in 1..=BATCHES {
                let drafts = vec![Draft::new("a", at(0)).with("n", number), Draft::new("b", at(0))];
                let batch = Arc::new(Batch { writer, number, at: at(0), drafts });
                seqs.extend(told(store.append(batch).await)?.iter().map(|row| row.seq));
            }
            Tried::Ok(seqs)
        }));
    }
    let mut seqs = BTreeSet::new();
    for writer in writers {
        seqs.extend(writer.await.map_err(|error| error.to_string())??);
    }
    let expected = u64::from(WRITERS) * BATCHES * 2;
    same("the numbers given out", seqs, (1..=expected).collect())?;
    follow(Head::START, &all(&*store).await?)
}

pub(super) async fn head(store: Arc<dyn AuditStore>) -> Tried {
    same("the head of an empty log", told(store.head().await)?, Head::START)?;
    let rows = append(&*store, 1, vec![Draft::new("a", at(0)), Draft::new("b", at(0))]).await?;
    let last = rows.last().ok_or("nothing was appended")?;
    same("the head", told(store.head().await)?, last.head())
}

/// Checks that `rows` are a chain behind `head`.
pub(super) fn follow(head: Head, rows: &[crate::AuditRow]) -> Tried {
    let mut follower = Follower::from(head);
    rows.iter().try_for_each(|row| follower.check(row)).map_err(|broken| broken.to_string())
}

const WRITERS: u8 = 6;
const BATCHES: u64 = 12;
