//! Events around sessions, in OWASP's logging vocabulary, and the metric of sign-ins.

use std::net::IpAddr;

use cloakroom_core::PrincipalId;

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
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::SessionLimit => "session_limit",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Counts and logs an attempt. Names that were typed are not logged: people type passwords into the wrong field.
pub(super) fn sign_in(outcome: SignInOutcome, account: Option<&PrincipalId>, from: Option<IpAddr>) {
    metrics::counter!(SIGN_INS, "outcome" => outcome.as_str()).increment(1);
    let account = account.map(masked);
    let from = from.map(tracing::field::display);
    match outcome {
        SignInOutcome::Success => tracing::info!(event = "authn_login_success", account, from, "signed in"),
        SignInOutcome::Refused => tracing::warn!(event = "authn_login_fail", from, "sign-in refused"),
        SignInOutcome::Limited => tracing::warn!(event = "authn_login_fail_max", from, "too many attempts"),
        SignInOutcome::SessionLimit => {
            tracing::warn!(event = "excess_sessions_exceeded", account, from, "session limit")
        }
        SignInOutcome::Unavailable => {
            tracing::error!(event = "authn_login_unavailable", from, "sign-in unavailable")
        }
    }
}

/// A password was changed.
pub(super) fn password_changed(account: &PrincipalId) {
    tracing::info!(event = "authn_password_change", account = masked(account), "password changed");
}

/// A password was not changed since the present one was wrong.
pub(super) fn password_change_refused(account: &PrincipalId) {
    tracing::warn!(event = "authn_password_change_fail", account = masked(account), "password not changed");
}

/// The first administrator was created.
pub(super) fn administrator_created(account: &PrincipalId) {
    tracing::warn!(event = "user_created", account = masked(account), "the first administrator was created");
}

/// Describes the metric of sign-ins.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!(SIGN_INS, "Attempts to sign in with a password, by outcome");
}

fn masked(account: &PrincipalId) -> String {
    account.as_str().chars().take(2).chain(['…']).collect()
}

const SIGN_INS: &str = "cloakroom_sign_ins_total";
