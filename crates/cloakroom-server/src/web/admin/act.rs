//! Acts of staff.

use cloakroom_audit::{AuditError, names};
use cloakroom_http::ProblemCode;
use http::StatusCode;

use super::Why;
use crate::acts::{Act, Done, Unacknowledged, perform};
use crate::web::App;
use crate::web::refusal::Refusal;
use crate::web::staff::Staff;

impl Why {
    /// `act` for this reason.
    pub(super) fn of(&self, act: Act) -> Act {
        noted(act.because(self.reason.as_str()), self.note.as_deref())
    }
}

/// `act` with a note for those who read the log.
pub(super) fn noted(act: Act, note: Option<&str>) -> Act {
    note.into_iter().fold(act, |act, note| act.with("note", note))
}

impl App {
    /// Does `work` as an act of `staff`: [`perform`] says how.
    ///
    /// # Errors
    /// `audit_unavailable`: its member `done` says whether the act was done all the same. Else why `work` failed.
    pub(super) async fn act<T>(
        &self,
        staff: &Staff,
        act: Act,
        done: &Done,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let draft = || staff.draft(names::AUTHZ_ADMIN, self.sessions.now());
        let code = |refusal: &Refusal| refusal.code().as_str();
        perform(&self.audit, &act, done, draft, code, work).await.map_err(|why| match why {
            Unacknowledged::Failed(refusal) => refusal,
            Unacknowledged::NotBegun(error) => {
                let detail = "the audit log cannot be written, so nothing was done";
                unwritable(&error).detail(detail).member("done", false)
            }
            Unacknowledged::NotRecorded(error) => {
                let detail = "it was done and its beginning is recorded, but its outcome could not be";
                unwritable(&error).detail(detail).member("done", true)
            }
        })
    }
}

/// The log could not be written: what is logged of it, and what is answered.
pub(super) fn unwritable(error: &AuditError) -> Refusal {
    let cause = std::error::Error::source(error);
    tracing::error!(event = "audit_unavailable", %error, cause, "an act of staff could not be recorded");
    Refusal::new(AUDIT_UNAVAILABLE).retry_after(RETRY_AFTER_SECONDS)
}

/// The log could not be read: what is logged of it, and what is answered where it was asked for.
pub(super) fn unreadable(error: &AuditError) -> Refusal {
    let cause = std::error::Error::source(error);
    tracing::error!(event = "audit_unavailable", %error, cause, "the audit log cannot be read");
    Refusal::new(AUDIT_UNAVAILABLE).retry_after(RETRY_AFTER_SECONDS)
}

/// The audit log cannot be read or written.
pub(in crate::web) const AUDIT_UNAVAILABLE: ProblemCode = ProblemCode::new(
    "audit_unavailable",
    StatusCode::SERVICE_UNAVAILABLE,
    "The audit log is not available at the moment",
);
pub(super) const RETRY_AFTER_SECONDS: u64 = 2;
