//! Events around sessions, in OWASP's logging vocabulary: a log line, a metric, and an event of the audit log each.

use cloakroom::Actor;
use cloakroom_audit::{Draft, names};
use cloakroom_core::{Device, PrincipalId, SessionId};

use super::App;

/// What became of an attempt to sign in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SignInOutcome {
    Success,
    Refused,
    Limited,
    SessionLimit,
    Unavailable,
}

impl SignInOutcome {
    const ALL: [Self; 5] =
        [Self::Success, Self::Refused, Self::Limited, Self::SessionLimit, Self::Unavailable];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::SessionLimit => "session_limit",
            Self::Unavailable => "unavailable",
        }
    }

    /// Its event, and why where it has a reason.
    const fn event(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Success => (names::SIGN_IN_SUCCESS, None),
            Self::Refused => (names::SIGN_IN_FAIL, Some("invalid_credentials")),
            Self::Limited => (names::SIGN_IN_FAIL_MAX, Some("too_many_attempts")),
            // That the limit was reached is the engine's event.
            Self::SessionLimit => (names::SIGN_IN_FAIL, Some("session_limit")),
            Self::Unavailable => (names::SIGN_IN_UNAVAILABLE, None),
        }
    }
}

/// Who tried to prove identity, as far as it is known.
///
/// # Security
/// `account` is the name of an account that exists, never what was typed: people type passwords into the wrong field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) account: Option<&'a PrincipalId>,
    pub(super) session: Option<SessionId>,
    pub(super) device: &'a Device,
}

impl App {
    /// An attempt to sign in.
    pub(super) fn sign_in_tried(&self, outcome: SignInOutcome, attempt: Attempt<'_>) {
        metrics::counter!(SIGN_INS, "outcome" => outcome.as_str()).increment(1);
        let account = attempt.account.map(masked);
        let from = attempt.device.ip().map(tracing::field::display);
        let (event, reason) = outcome.event();
        match outcome {
            SignInOutcome::Success => tracing::info!(event, account, from, "signed in"),
            SignInOutcome::Refused => tracing::warn!(event, from, "sign-in refused"),
            SignInOutcome::Limited => tracing::warn!(event, from, "too many attempts"),
            SignInOutcome::SessionLimit => tracing::warn!(event, account, from, "session limit"),
            SignInOutcome::Unavailable => tracing::error!(event, from, "sign-in unavailable"),
        }
        self.audit.note(self.event(event, reason, attempt));
    }

    /// A proof of identity inside of a session was not accepted.
    pub(super) fn proof_refused(&self, reason: &'static str, attempt: Attempt<'_>) {
        let account = attempt.account.map(masked);
        tracing::warn!(event = names::SIGN_IN_FAIL, account, reason, "identity not proven");
        self.audit
            .note(self.event(names::SIGN_IN_FAIL, Some(reason), attempt).with("during", "reauthentication"));
    }

    /// A password was changed.
    pub(super) fn password_changed(&self, attempt: Attempt<'_>) {
        let account = attempt.account.map(masked);
        tracing::info!(event = names::PASSWORD_CHANGE, account, "password changed");
        self.audit.note(self.event(names::PASSWORD_CHANGE, None, attempt));
    }

    /// A password was not changed since the present one was not proven.
    pub(super) fn password_change_refused(&self, reason: &'static str, attempt: Attempt<'_>) {
        let account = attempt.account.map(masked);
        tracing::warn!(event = names::PASSWORD_CHANGE_FAIL, account, reason, "password not changed");
        self.audit.note(self.event(names::PASSWORD_CHANGE_FAIL, Some(reason), attempt));
    }

    /// The first administrator was created.
    pub(super) fn administrator_created(&self, account: &PrincipalId, device: &Device) {
        tracing::warn!(
            event = names::USER_CREATED,
            account = masked(account),
            "the first administrator was created"
        );
        let attempt = Attempt { account: Some(account), session: None, device };
        let draft = self.event(names::USER_CREATED, None, attempt).with("roles", vec!["admin"]);
        self.audit.note(draft.with("by", "setup"));
    }

    fn event(&self, event: &'static str, reason: Option<&'static str>, attempt: Attempt<'_>) -> Draft {
        let Attempt { account, session, device } = attempt;
        let mut draft = Draft::new(event, self.sessions.now())
            .by(Actor::User(account.cloned()))
            .about(account.cloned())
            .from_device(Some(device.clone()));
        if let Some(session) = session {
            draft = draft.of_session(session);
        }
        match reason {
            Some(reason) => draft.because(reason),
            None => draft,
        }
    }
}

/// Describes the metric of sign-ins. Its series are there from the start: the first of a kind is seen as an increase.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!(SIGN_INS, "Attempts to sign in with a password, by outcome");
    for outcome in SignInOutcome::ALL {
        metrics::counter!(SIGN_INS, "outcome" => outcome.as_str()).increment(0);
    }
}

fn masked(account: &PrincipalId) -> String {
    account.as_str().chars().take(2).chain(['…']).collect()
}

const SIGN_INS: &str = "cloakroom_sign_ins_total";
