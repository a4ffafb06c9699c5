//! The audit log, taken away whole or in part.

use std::num::NonZeroU16;
use std::pin::Pin;
use std::time::Duration;

use cloakroom::{SessionWatch, StreamEnd};
use cloakroom_audit::{AuditError, AuditEvent, AuditLog, AuditQuery, names};
use cloakroom_http::ProblemCode;
use futures_util::{Stream, stream};
use http::StatusCode;

use super::act::{RETRY_AFTER_SECONDS, unwritable};
use super::places::Place;
use crate::web::App;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

/// Why what was taken away is not all of it.
#[derive(Debug, thiserror::Error)]
pub(in crate::web) enum CutOff {
    /// The log cannot be read any more.
    #[error("the audit log could not be read")]
    Unreadable(#[from] AuditError),
    /// Whoever takes it is signed in no longer.
    #[error("the session ended: {}", .0.as_str())]
    SessionEnded(StreamEnd),
    /// The server stops.
    #[error("the server stops")]
    Stopping,
    /// It is more than is handed out at once.
    #[error("more than {MAX_EVENTS} events, or {} seconds", LONGEST.as_secs())]
    TooMuch,
}

/// An export under way.
struct Export {
    log: AuditLog,
    /// What to read next; `None` once everything was.
    next: Option<AuditQuery>,
    /// Events that may still leave.
    left: usize,
    deadline: Pin<Box<dyn Future<Output = ()> + Send>>,
    session: SessionWatch,
    place: Place,
}

impl App {
    /// Every event that `query` finds, the latest first, in batches as they are read; `filter` says in the log what was
    /// asked for. That staff takes them away is recorded, and lasts, before the first one leaves.
    ///
    /// It ends with an error, so that what was sent is known to be incomplete, where the log fails on the way, where `session`
    /// ends, and after a million events or a quarter of an hour.
    ///
    /// # Errors
    /// Forbidden; `audit_unavailable`; `too_many_exports`.
    pub(in crate::web) async fn export_audit(
        &self,
        staff: &Staff,
        session: SessionWatch,
        query: AuditQuery,
        filter: String,
    ) -> Result<impl Stream<Item = Result<Vec<AuditEvent>, CutOff>> + Send + use<>, Refusal> {
        staff.demand(self, Right::SeeAll)?;
        let Some(place) = self.exports.enter(&staff.id) else {
            return Err(Refusal::new(TOO_MANY_EXPORTS).retry_after(RETRY_AFTER_SECONDS));
        };
        let taken = staff.draft(names::SENSITIVE_READ, self.sessions.now());
        let taken = taken.with("what", "audit_export").with("filter", filter);
        self.audit.write(taken).await.map_err(|error| unwritable(&error))?;
        let mut first = query;
        first.limit = BATCH;
        let (log, deadline) = (self.audit.clone(), Box::pin(tokio::time::sleep(LONGEST)));
        let export = Export { log, next: Some(first), left: MAX_EVENTS, deadline, session, place };
        Ok(stream::try_unfold(export, Export::next))
    }
}

impl Export {
    async fn next(mut self) -> Result<Option<(Vec<AuditEvent>, Self)>, CutOff> {
        let Some(mut query) = self.next.take() else { return Ok(None) };
        let cut_off = tokio::select! {
            biased;
            end = &mut self.session => CutOff::SessionEnded(end),
            () = self.place.closed() => CutOff::Stopping,
            () = &mut self.deadline => CutOff::TooMuch,
            page = self.log.page(&query) => {
                let page = page?;
                match self.left.checked_sub(page.events.len()) {
                    None => CutOff::TooMuch,
                    Some(left) => {
                        self.left = left;
                        let is_last = page.next.is_none();
                        query.before = page.next;
                        self.next = (!is_last).then_some(query);
                        return Ok(Some((page.events, self)));
                    }
                }
            }
        };
        tracing::warn!(event = "audit_export_cut_off", why = %cut_off, "not all of the log was taken away");
        Err(cut_off)
    }
}

/// Events read at once: a few hundred kilobytes at most.
const BATCH: NonZeroU16 = NonZeroU16::new(500).expect("not zero");
/// Most events of one export: some hundreds of megabytes. For more there is the command line, and the filter.
const MAX_EVENTS: usize = 1_000_000;
/// How long an export may take: whoever reads it slowly holds a place.
const LONGEST: Duration = Duration::from_secs(15 * 60);
const TOO_MANY_EXPORTS: ProblemCode = ProblemCode::new(
    "too_many_exports",
    StatusCode::TOO_MANY_REQUESTS,
    "As many exports are under way as allowed",
);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloakroom::{Issue, IssueOutcome, PrincipalId, Sessions};
    use cloakroom_audit::{Draft, MemoryAudit};
    use cloakroom_memory::MemoryStore;
    use futures_util::TryStreamExt as _;

    use super::super::places::OpenStreams;
    use super::*;

    #[derive(Clone, Copy)]
    enum TakesTooLong {
        No,
        Yes,
    }

    /// An export of a log with 1 200 events, of which `left` may leave.
    async fn export(left: usize, takes_too_long: TakesTooLong) -> Result<usize, CutOff> {
        let log = AuditLog::new(Arc::new(MemoryAudit::default()));
        for _ in 0..1_200 {
            log.note(Draft::new("a", cloakroom::Timestamp::EPOCH));
        }
        log.run(async {}).await;
        let sessions = Sessions::builder(MemoryStore::default()).build().unwrap();
        let issued = sessions.issue(Issue::anonymous()).await.unwrap();
        let IssueOutcome::Issued(issued) = issued else { panic!("refused: {issued:?}") };
        let mut query = AuditQuery::latest();
        query.limit = BATCH;
        let export = Export {
            log,
            next: Some(query),
            left,
            deadline: match takes_too_long {
                TakesTooLong::No => Box::pin(std::future::pending()),
                TakesTooLong::Yes => Box::pin(std::future::ready(())),
            },
            session: sessions.watch_session(&issued.session),
            place: OpenStreams::of_exports().enter(&PrincipalId::new("ada").unwrap()).unwrap(),
        };
        let pages: Vec<_> = stream::try_unfold(export, Export::next).try_collect().await?;
        Ok(pages.iter().map(Vec::len).sum())
    }

    #[tokio::test]
    async fn an_export_is_whole_or_ends_with_an_error() {
        use TakesTooLong::{No, Yes};
        for (left, takes_too_long, whole) in [(1_200, No, true), (1_199, No, false), (1_200, Yes, false)] {
            let taken = export(left, takes_too_long).await;
            match taken {
                Ok(count) => assert_eq!((count, whole), (1_200, true)),
                Err(why) => assert!(matches!(why, CutOff::TooMuch) && !whole, "{left}: {why}"),
            }
        }
    }
}
