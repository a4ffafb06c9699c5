//! The audit log, taken away whole or in part.

use std::num::NonZeroU16;

use cloakroom_audit::{AuditError, AuditEvent, AuditQuery, names};
use futures_util::{Stream, stream};

use super::act::unreadable;
use crate::web::App;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

impl App {
    /// Every event that `query` finds, the latest first, in batches as they are read; `filter` says in the log what was
    /// asked for. That staff takes them away is recorded, and lasts, before the first one leaves.
    ///
    /// A log that fails on the way ends the stream with an error: what was sent is then known to be incomplete.
    ///
    /// # Errors
    /// Forbidden; `audit_unavailable`.
    pub(in crate::web) async fn export_audit(
        &self,
        staff: &Staff,
        query: AuditQuery,
        filter: String,
    ) -> Result<impl Stream<Item = Result<Vec<AuditEvent>, AuditError>> + Send + use<>, Refusal> {
        staff.demand(self, Right::SeeAll)?;
        let taken = staff.draft(names::SENSITIVE_READ, self.sessions.now());
        let taken = taken.with("what", "audit_export").with("filter", filter);
        self.audit.write(taken).await.map_err(|error| unreadable(&error))?;
        let mut first = query;
        first.limit = BATCH;
        let log = self.audit.clone();
        Ok(stream::try_unfold(Some(first), move |query| {
            let log = log.clone();
            async move {
                let Some(mut query) = query else { return Ok(None) };
                let page = log.page(&query).await?;
                let is_last = page.next.is_none();
                query.before = page.next;
                Ok(Some((page.events, (!is_last).then_some(query))))
            }
        }))
    }
}

/// Events read at once: a few hundred kilobytes at most.
const BATCH: NonZeroU16 = NonZeroU16::new(500).expect("not zero");
