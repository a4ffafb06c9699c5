//! How staff and operators act: the log knows of it before anything happens, and of what came of it before anybody is
//! told.

use cloakroom::{Actor, PrincipalId, SessionId, Timestamp};
use cloakroom_audit::{AuditError, AuditLog, Draft, names};
use parking_lot::Mutex;
use serde_json::Value;

/// What somebody is about to do.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// Its name in the log: `end_sessions`, `disable_account`.
    name: &'static str,
    principal: Option<PrincipalId>,
    session: Option<SessionId>,
    reason: Option<&'static str>,
    detail: Vec<(&'static str, Value)>,
}

impl Act {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, principal: None, session: None, reason: None, detail: Vec::new() }
    }

    pub(crate) fn about(self, principal: Option<PrincipalId>) -> Self {
        Self { principal, ..self }
    }

    pub(crate) fn of_session(self, session: SessionId) -> Self {
        Self { session: Some(session), ..self }
    }

    pub(crate) fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.detail.push((key, value.into()));
        self
    }

    /// The event of one phase.
    fn event(&self, draft: Draft, phase: &'static str) -> Draft {
        let mut draft = draft.about(self.principal.clone()).with("act", self.name).with("phase", phase);
        if let Some(session) = self.session {
            draft = draft.of_session(session);
        }
        if let Some(reason) = self.reason {
            draft = draft.because(reason);
        }
        self.detail.iter().fold(draft, |draft, (key, value)| draft.with(key, value.clone()))
    }
}

/// What an act has done so far, as the log will tell it, whether it succeeds or not.
#[derive(Debug, Default)]
pub(crate) struct Done {
    told: Mutex<Vec<(&'static str, Value)>>,
    also: Mutex<Vec<Draft>>,
}

impl Done {
    /// The log will say this of the act.
    pub(crate) fn say(&self, key: &'static str, value: impl Into<Value>) {
        self.told.lock().push((key, value.into()));
    }

    /// The log will have this event too, before the one that says that the act is done.
    pub(crate) fn event(&self, draft: Draft) {
        self.also.lock().push(draft);
    }
}

/// Why an act is not acknowledged.
#[derive(Debug)]
pub(crate) enum Unacknowledged<E> {
    /// That it begins could not be recorded. Nothing was done.
    NotBegun(AuditError),
    /// It failed.
    Failed(E),
    /// It was done, which could not be recorded. Its beginning is.
    NotRecorded(AuditError),
}

/// Does `work` as an act.
///
/// 1. That it begins is written to the log, and lasts. Where it cannot be, nothing is done.
/// 2. It is done.
/// 3. What it did is written (`done`, or `failed` with what was done until then), and lasts.
/// 4. Only then it is acknowledged.
///
/// `draft` is an event of whoever acts, at an instant; `code` a failure's word in the log.
///
/// # Errors
/// [`Unacknowledged`].
pub(crate) async fn perform<T, E>(
    log: &AuditLog,
    act: &Act,
    done: &Done,
    draft: impl Fn() -> Draft,
    code: impl Fn(&E) -> &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Unacknowledged<E>> {
    let begun = log.write(act.event(draft(), "begun")).await.map_err(Unacknowledged::NotBegun)?;
    let result = work.await;
    for also in done.also.lock().drain(..) {
        log.note(also);
    }
    let phase = if result.is_ok() { "done" } else { "failed" };
    let mut event = act.event(draft(), phase).with("begun", begun.seq);
    for (key, value) in done.told.lock().drain(..) {
        event = event.with(key, value);
    }
    if let Err(error) = &result {
        event = event.with("error", code(error));
    }
    tracing::warn!(event = names::AUTHZ_ADMIN, act = act.name, phase, "an administrative act");
    match (log.write(event.clone()).await, result) {
        (Ok(_), result) => result.map_err(Unacknowledged::Failed),
        (Err(error), result) => {
            // Once the log can be written again it says so: twice, where the first attempt lasts after all.
            log.note(event);
            // What failed is told as it failed: nothing is acknowledged.
            result.map_err(Unacknowledged::Failed)?;
            Err(Unacknowledged::NotRecorded(error))
        }
    }
}

/// An event by whoever is at the command line.
pub(crate) fn operators(event: &'static str, at: Timestamp) -> Draft {
    Draft::new(event, at).by(Actor::Operator)
}
