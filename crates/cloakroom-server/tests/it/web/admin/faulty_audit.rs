//! An audit log that cannot be written when a test says so.

use std::sync::Arc;

use cloakroom::Timestamp;
use cloakroom_audit::{
    AuditError, AuditFuture, AuditRow, AuditStore, Batch, Checkpoint, Count, Draft, Head, MemoryAudit,
    Period, Prune, Sample, Seal, Span, Walk,
};
use parking_lot::Mutex;

/// A log in memory that refuses batches with an event of one phase of an act.
#[derive(Debug, Default)]
pub(super) struct FaultyAudit {
    log: MemoryAudit,
    refused: Mutex<Option<&'static str>>,
}

impl FaultyAudit {
    /// Refuses events of this phase, or this name, from now on; none, where there is none.
    pub(super) fn refuse(&self, phase: Option<&'static str>) {
        *self.refused.lock() = phase;
    }
}

impl AuditStore for FaultyAudit {
    fn append(&self, batch: Arc<Batch>) -> AuditFuture<'_, Vec<AuditRow>> {
        let refused = *self.refused.lock();
        let has_it = |word: &str| {
            let is_it =
                |draft: &Draft| draft.event == word || draft.detail.get("phase") == Some(&word.into());
            batch.drafts.iter().any(is_it)
        };
        if refused.is_some_and(has_it) {
            return Box::pin(async { Err(AuditError::new("append", "refused by the test")) });
        }
        self.log.append(batch)
    }

    fn walk(&self, walk: Walk) -> AuditFuture<'_, Vec<AuditRow>> {
        self.log.walk(walk)
    }

    fn head(&self) -> AuditFuture<'_, Head> {
        self.log.head()
    }

    fn span(&self, period: Period) -> AuditFuture<'_, Span> {
        self.log.span(period)
    }

    fn counts(&self, since: Timestamp) -> AuditFuture<'_, Vec<Count>> {
        self.log.counts(since)
    }

    fn put_samples(&self, samples: Vec<Sample>) -> AuditFuture<'_, ()> {
        self.log.put_samples(samples)
    }

    fn samples(&self, series: String, since: Timestamp) -> AuditFuture<'_, Vec<Sample>> {
        self.log.samples(series, since)
    }

    fn put_seal(&self, seal: Seal) -> AuditFuture<'_, ()> {
        self.log.put_seal(seal)
    }

    fn seals(&self) -> AuditFuture<'_, Vec<Seal>> {
        self.log.seals()
    }

    fn checkpoint(&self) -> AuditFuture<'_, Option<Checkpoint>> {
        self.log.checkpoint()
    }

    fn prune(&self, prune: Arc<Prune>) -> AuditFuture<'_, Option<Vec<AuditRow>>> {
        self.log.prune(prune)
    }

    fn forget(&self, before: Timestamp) -> AuditFuture<'_, ()> {
        self.log.forget(before)
    }
}
