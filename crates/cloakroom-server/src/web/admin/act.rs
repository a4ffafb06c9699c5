//! How staff acts: the log knows of it before anything happens, and of what came of it before anybody is told.

use cloakroom::{PrincipalId, SessionId};
use cloakroom_audit::{AuditError, Draft, names};
use cloakroom_http::ProblemCode;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::Value;

use super::Why;
use crate::web::App;
use crate::web::refusal::Refusal;
use crate::web::staff::Staff;

/// What staff is about to do.
#[derive(Clone, Debug)]
pub(super) struct Act {
    /// Its name in the log: `end_sessions`, `disable_account`.
    name: &'static str,
    principal: Option<PrincipalId>,
    session: Option<SessionId>,
    why: Option<Why>,
    detail: Vec<(&'static str, Value)>,
}

impl Act {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, principal: None, session: None, why: None, detail: Vec::new() }
    }

    pub(super) fn about(self, principal: Option<PrincipalId>) -> Self {
        Self { principal, ..self }
    }

    pub(super) fn of_session(self, session: SessionId) -> Self {
        Self { session: Some(session), ..self }
    }

    pub(super) fn because(self, why: Why) -> Self {
        Self { why: Some(why), ..self }
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.detail.push((key, value.into()));
        self
    }

    /// The event of one phase.
    fn event(&self, draft: Draft, phase: &'static str) -> Draft {
        let mut draft = draft.about(self.principal.clone()).with("act", self.name).with("phase", phase);
        if let Some(session) = self.session {
            draft = draft.of_session(session);
        }
        if let Some(Why { reason, note }) = &self.why {
            draft = draft.because(reason.as_str());
            if let Some(note) = note {
                draft = draft.with("note", note.as_str());
            }
        }
        self.detail.iter().fold(draft, |draft, (key, value)| draft.with(key, value.clone()))
    }
}

/// What an act has done so far, as the log will tell it, whether it succeeds or not.
#[derive(Debug, Default)]
pub(super) struct Done {
    told: Mutex<Vec<(&'static str, Value)>>,
    also: Mutex<Vec<Draft>>,
}

impl Done {
    /// The log will say this of the act.
    pub(super) fn say(&self, key: &'static str, value: impl Into<Value>) {
        self.told.lock().push((key, value.into()));
    }

    /// The log will have this event too, before the one that says that the act is done.
    pub(super) fn event(&self, draft: Draft) {
        self.also.lock().push(draft);
    }
}

impl App {
    /// Does `work` as an act of `staff`.
    ///
    /// 1. That it begins is written to the audit log, and lasts. Where it cannot be, nothing is done.
    /// 2. It is done.
    /// 3. What it did is written (`done`, or `failed` with what was done until then), and lasts.
    /// 4. Only then it is acknowledged.
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
        let begun = self.audit.write(act.event(draft(), "begun")).await;
        let begun = begun.map_err(|error| unwritable(&error, Outcome::NothingDone))?;
        let result = work.await;
        for also in done.also.lock().drain(..) {
            self.audit.note(also);
        }
        let phase = if result.is_ok() { "done" } else { "failed" };
        let mut event = act.event(draft(), phase).with("begun", begun.seq);
        for (key, value) in done.told.lock().drain(..) {
            event = event.with(key, value);
        }
        if let Err(refusal) = &result {
            event = event.with("error", refusal.code().as_str());
        }
        tracing::warn!(
            event = names::AUTHZ_ADMIN,
            act = act.name,
            phase,
            duty = staff.duty.role(),
            "staff acted"
        );
        match self.audit.write(event.clone()).await {
            Ok(_) => result,
            Err(error) => {
                // Once the log can be written again it says so: twice, where the first attempt lasts after all.
                self.audit.note(event);
                // What failed is told as it failed: nothing is acknowledged.
                result.and_then(|_| Err(unwritable(&error, Outcome::Done)))
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    NothingDone,
    Done,
}

fn unwritable(error: &AuditError, outcome: Outcome) -> Refusal {
    let cause = std::error::Error::source(error);
    tracing::error!(event = "audit_unavailable", %error, cause, "an act of staff could not be recorded");
    let (done, detail) = match outcome {
        Outcome::NothingDone => (false, "the audit log cannot be written, so nothing was done"),
        Outcome::Done => (true, "it was done and its beginning is recorded, but its outcome could not be"),
    };
    Refusal::new(AUDIT_UNAVAILABLE).detail(detail).member("done", done).retry_after(RETRY_AFTER_SECONDS)
}

/// The log could not be read: what is logged of it, and what is answered where it was asked for.
pub(super) fn unreadable(error: &AuditError) -> Refusal {
    let cause = std::error::Error::source(error);
    tracing::error!(event = "audit_unavailable", %error, cause, "the audit log cannot be read");
    Refusal::new(AUDIT_UNAVAILABLE).retry_after(RETRY_AFTER_SECONDS)
}

/// The audit log cannot be read or written.
const AUDIT_UNAVAILABLE: ProblemCode = ProblemCode::new(
    "audit_unavailable",
    StatusCode::SERVICE_UNAVAILABLE,
    "The audit log is not available at the moment",
);
pub(super) const RETRY_AFTER_SECONDS: u64 = 2;
