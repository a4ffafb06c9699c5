//! A log in memory, for tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cloakroom_core::Timestamp;
use parking_lot::Mutex;

use crate::row::minute_of;
use crate::store::SEALS_KEPT;
use crate::{
    Along, AuditError, AuditFuture, AuditRow, AuditStore, Batch, Checkpoint, Count, Head, Order, Period,
    Prune, Sample, Seal, Span, Walk, WriterId,
};

/// A log in memory. Forgotten with the process: for tests, and for trying things out.
#[derive(Debug, Default)]
pub struct MemoryAudit {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<u64, AuditRow>,
    counts: BTreeMap<(Timestamp, String, Option<String>), u64>,
    samples: BTreeMap<(String, Timestamp, String), f64>,
    seals: Vec<Seal>,
    checkpoint: Option<Checkpoint>,
    /// The last batch of each writer, with the numbers of its first and last event.
    writers: HashMap<WriterId, (u64, Timestamp, u64, u64)>,
}

impl State {
    fn head(&self) -> Head {
        let kept = self.rows.last_key_value().map(|(_, row)| row.head());
        kept.or_else(|| self.checkpoint.as_ref().map(Checkpoint::head)).unwrap_or(Head::START)
    }

    fn append(&mut self, batch: &Batch) -> Vec<AuditRow> {
        if let Some((number, _, first, last)) = self.writers.get(&batch.writer)
            && *number >= batch.number
        {
            return self.rows.range(first..=last).map(|(_, row)| row.clone()).collect();
        }
        let rows = AuditRow::chain(self.head(), &batch.drafts);
        for row in &rows {
            let key = (row.minute(), row.event.clone(), row.reason.clone());
            *self.counts.entry(key).or_default() += row.times();
            self.rows.insert(row.seq, row.clone());
        }
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            self.writers.insert(batch.writer, (batch.number, batch.at, first.seq, last.seq));
        }
        rows
    }

    fn walk(&self, walk: &Walk) -> Vec<AuditRow> {
        if walk.span.is_empty() {
            return Vec::new();
        }
        let range = self.rows.range(walk.span.after.saturating_add(1)..walk.span.before);
        let found = range.map(|(_, row)| row).filter(|row| lies_along(&walk.along, row));
        let limit = usize::from(walk.limit.get());
        match walk.order {
            Order::OldestFirst => found.take(limit).cloned().collect(),
            Order::LatestFirst => found.rev().take(limit).cloned().collect(),
        }
    }

    fn prune(&mut self, prune: &Prune) -> Option<Vec<AuditRow>> {
        if self.checkpoint.as_ref().map(|checkpoint| checkpoint.through) != prune.follows {
            return None;
        }
        let through = prune.checkpoint.through;
        self.rows.retain(|seq, _| *seq > through);
        self.seals.retain(|seal| seal.seq > through);
        self.checkpoint = Some(prune.checkpoint.clone());
        Some(self.append(&prune.batch))
    }
}

fn lies_along(along: &Along, row: &AuditRow) -> bool {
    let is = |field: &Option<String>, text: &String| field.as_ref() == Some(text);
    match along {
        Along::Log => true,
        Along::Principal(text) => is(&row.principal, text),
        Along::Actor(text) => is(&row.actor_id, text),
        Along::Session(text) => is(&row.session, text),
        Along::Event(text) => row.event == *text,
    }
}

impl MemoryAudit {
    /// Does something to the state, all at once.
    fn with<'a, T: Send + 'a>(&'a self, work: impl FnOnce(&mut State) -> T) -> AuditFuture<'a, T> {
        let done = work(&mut self.state.lock());
        Box::pin(async move { Ok::<T, AuditError>(done) })
    }
}

impl AuditStore for MemoryAudit {
    fn append(&self, batch: Arc<Batch>) -> AuditFuture<'_, Vec<AuditRow>> {
        self.with(|state| state.append(&batch))
    }

    fn walk(&self, walk: Walk) -> AuditFuture<'_, Vec<AuditRow>> {
        self.with(|state| state.walk(&walk))
    }

    fn head(&self) -> AuditFuture<'_, Head> {
        self.with(|state| state.head())
    }

    fn span(&self, period: Period) -> AuditFuture<'_, Span> {
        self.with(|state| {
            let lies = |row: &&AuditRow| {
                period.since.is_none_or(|since| row.minute() >= minute_of(since))
                    && period.until.is_none_or(|until| row.at < until)
            };
            let mut seqs = state.rows.values().filter(lies).map(|row| row.seq);
            let Some(first) = seqs.next() else { return Span::NONE };
            let last = seqs.next_back().unwrap_or(first);
            Span { after: first.saturating_sub(1), before: last.saturating_add(1) }
        })
    }

    fn counts(&self, since: Timestamp) -> AuditFuture<'_, Vec<Count>> {
        self.with(|state| {
            let since = state.counts.iter().filter(|((minute, _, _), _)| *minute >= minute_of(since));
            let count = |((at, event, reason), count): (&(Timestamp, String, Option<String>), &u64)| Count {
                at: *at,
                event: event.clone(),
                reason: reason.clone(),
                count: *count,
            };
            since.map(count).collect()
        })
    }

    fn put_samples(&self, samples: Vec<Sample>) -> AuditFuture<'_, ()> {
        self.with(|state| {
            for sample in samples {
                state.samples.insert((sample.series, minute_of(sample.at), sample.node), sample.value);
            }
        })
    }

    fn samples(&self, series: String, since: Timestamp) -> AuditFuture<'_, Vec<Sample>> {
        self.with(|state| {
            let all = state.samples.iter();
            let of_series = all.filter(|((of, at, _), _)| *of == series && *at >= minute_of(since));
            let sample = |((series, at, node), value): (&(String, Timestamp, String), &f64)| Sample {
                at: *at,
                node: node.clone(),
                series: series.clone(),
                value: *value,
            };
            of_series.map(sample).collect()
        })
    }

    fn put_seal(&self, seal: Seal) -> AuditFuture<'_, ()> {
        self.with(|state| {
            let key = seal.key.clone();
            state.seals.retain(|kept| kept.seq != seal.seq || kept.key != key);
            state.seals.push(seal);
            state.seals.sort_by(|a, b| (a.seq, &a.key).cmp(&(b.seq, &b.key)));
            let mut surplus =
                state.seals.iter().filter(|kept| kept.key == key).count().saturating_sub(SEALS_KEPT.into());
            state.seals.retain(|kept| {
                let is_surplus = kept.key == key && surplus > 0;
                surplus -= usize::from(is_surplus);
                !is_surplus
            });
        })
    }

    fn seals(&self) -> AuditFuture<'_, Vec<Seal>> {
        self.with(|state| state.seals.clone())
    }

    fn checkpoint(&self) -> AuditFuture<'_, Option<Checkpoint>> {
        self.with(|state| state.checkpoint.clone())
    }

    fn prune(&self, prune: Arc<Prune>) -> AuditFuture<'_, Option<Vec<AuditRow>>> {
        self.with(|state| state.prune(&prune))
    }

    fn forget(&self, before: Timestamp) -> AuditFuture<'_, ()> {
        self.with(|state| {
            state.counts.retain(|(minute, _, _), _| *minute >= minute_of(before));
            state.samples.retain(|(_, at, _), _| *at >= minute_of(before));
            state.writers.retain(|_, (_, at, _, _)| *at >= before);
        })
    }
}
