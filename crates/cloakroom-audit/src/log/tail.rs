//! Following the log.

use std::time::Duration;

use tokio::sync::watch;

use super::AuditLog;
use crate::{AuditError, AuditEvent, AuditQuery};

/// Somebody who follows the log.
#[derive(Debug)]
pub struct Tail {
    log: AuditLog,
    after: u64,
    head: watch::Receiver<u64>,
}

impl Tail {
    pub(super) fn new(log: AuditLog, after: u64, head: watch::Receiver<u64>) -> Self {
        Self { log, after, head }
    }

    /// The events since the last call, the first of them first; waits for at least one, and returns at most 50.
    ///
    /// Events of this process come at once, those that another one wrote within a second. Safe to be cancelled: nothing
    /// is lost.
    ///
    /// # Errors
    /// [`AuditError`] where the log cannot be read; the next call tries again.
    pub async fn next(&mut self) -> Result<Vec<AuditEvent>, AuditError> {
        loop {
            let mut query = AuditQuery::latest();
            query.after = Some(self.after);
            self.head.mark_unchanged();
            let page = self.log.page(&query).await?;
            if let Some(last) = page.events.last() {
                self.after = last.seq;
                return Ok(page.events);
            }
            // The log holds the other end: it lives as long as this.
            let _ = tokio::time::timeout(POLL, self.head.changed()).await;
        }
    }

    /// The last event that was returned: where [`AuditLog::tail_after`] goes on.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.after
    }
}

/// How late an event of another process may come.
const POLL: Duration = Duration::from_millis(900);
