//! The words of the log beyond those of the engine's own events ([`EventKind::name`](cloakroom::EventKind::name)).
//! OWASP's logging vocabulary where it has one.

/// Somebody signed in.
pub const SIGN_IN_SUCCESS: &str = "authn_login_success";
/// A sign-in was refused: wrong password, no such account, disabled.
pub const SIGN_IN_FAIL: &str = "authn_login_fail";
/// A sign-in was refused unseen: too many attempts.
pub const SIGN_IN_FAIL_MAX: &str = "authn_login_fail_max";
/// A sign-in could not be decided.
pub const SIGN_IN_UNAVAILABLE: &str = "authn_login_unavailable";
/// A password was changed.
pub const PASSWORD_CHANGE: &str = "authn_password_change";
/// A password was not changed: the present one was wrong.
pub const PASSWORD_CHANGE_FAIL: &str = "authn_password_change_fail";
/// Somebody asked for what their role does not allow.
pub const AUTHZ_FAIL: &str = "authz_fail";
/// Roles of an account were changed.
pub const AUTHZ_CHANGE: &str = "authz_change";
/// An administrative act: `detail.act` says which, `detail.phase` whether it begins or is done.
pub const AUTHZ_ADMIN: &str = "authz_admin";
/// An account was added.
pub const USER_CREATED: &str = "user_created";
/// An account was changed: disabled, enabled.
pub const USER_UPDATED: &str = "user_updated";
/// Somebody looked at another's session or events.
pub const SENSITIVE_READ: &str = "sensitive_read";
/// Input that no page or client of ours sends.
pub const INPUT_VALIDATION_FAIL: &str = "input_validation_fail";
/// A signal of a session in other hands: `detail.signal` says which, `detail.grade` what was done.
pub const SIGNAL: &str = "session_signal";
/// The server started.
pub const STARTUP: &str = "sys_startup";
/// The server stopped.
pub const SHUTDOWN: &str = "sys_shutdown";
/// Events were dropped since the queue was full: `detail.count`.
pub const DROPPED: &str = "audit_events_dropped";
/// Old events were removed: `detail.through` is the last of them.
pub const PRUNED: &str = "audit_pruned";
/// Events were removed before their time, since there were too many: `detail.through` is the last of them, `detail.age_seconds`
/// how long it was kept.
pub const PRUNED_EARLY: &str = "audit_pruned_early";

/// Every name of the log.
pub const ALL: [&str; 36] = [
    SIGN_IN_SUCCESS,
    SIGN_IN_FAIL,
    SIGN_IN_FAIL_MAX,
    SIGN_IN_UNAVAILABLE,
    PASSWORD_CHANGE,
    PASSWORD_CHANGE_FAIL,
    "authn_token_reuse",
    AUTHZ_FAIL,
    AUTHZ_CHANGE,
    AUTHZ_ADMIN,
    "excess_sessions_exceeded",
    INPUT_VALIDATION_FAIL,
    "malicious_extraneous",
    "malicious_csrf",
    SENSITIVE_READ,
    "session_created",
    "session_renewed",
    "session_reauthenticated",
    "session_expired",
    "session_logout",
    "session_revoked",
    "session_use_after_expire",
    "session_old_state",
    "session_unknown_token",
    "session_unreadable_record",
    "session_store_failed",
    "session_resurrection_blocked",
    "session_token_in_url",
    SIGNAL,
    STARTUP,
    SHUTDOWN,
    USER_CREATED,
    USER_UPDATED,
    DROPPED,
    PRUNED,
    PRUNED_EARLY,
];

/// Whether events of this name can be in the log; with a `*` at its end, whether any can whose name begins so.
#[must_use]
pub fn is_known(event: &str) -> bool {
    match event.strip_suffix('*') {
        Some(beginning) => ALL.iter().any(|name| name.starts_with(beginning)),
        None => ALL.contains(&event),
    }
}

/// How much an event asks for attention, by the levels of OWASP's vocabulary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// What is to be expected.
    Info,
    /// What should be looked at.
    Warn,
    /// What should be looked at now.
    Critical,
}

impl Severity {
    /// The word in OWASP's table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Critical => "CRITICAL",
        }
    }

    /// The number in syslog (RFC 5424 §6.2.1).
    #[must_use]
    pub const fn as_syslog(self) -> u8 {
        match self {
            Self::Info => 6,
            Self::Warn => 4,
            Self::Critical => 2,
        }
    }
}

/// The severity of an event of this name.
#[must_use]
pub fn severity(event: &str) -> Severity {
    match event {
        PASSWORD_CHANGE_FAIL
        | AUTHZ_FAIL
        | "authn_token_reuse"
        | "session_use_after_expire"
        | "malicious_extraneous"
        | PRUNED_EARLY => Severity::Critical,
        SIGN_IN_SUCCESS | PASSWORD_CHANGE => Severity::Info,
        "session_created"
        | "session_renewed"
        | "session_reauthenticated"
        | "session_expired"
        | "session_logout"
        | "session_revoked"
        | "session_old_state"
        | "session_resurrection_blocked"
        | PRUNED => Severity::Info,
        _ => Severity::Warn,
    }
}

/// Whether strangers, or a broken client, can cause events of this name at will: repeats of them are summed up.
#[must_use]
pub fn is_noise(event: &str) -> bool {
    NOISE.contains(&event)
}

/// Whether repeats of it tell nothing new: the same person looked at the same once more. They are summed up as noise is, but
/// each first of them is an event, however many there are.
#[must_use]
pub fn is_repetitive(event: &str) -> bool {
    event == SENSITIVE_READ
}

const NOISE: [&str; 13] = [
    "session_unknown_token",
    "session_use_after_expire",
    "authn_token_reuse",
    "session_old_state",
    "session_unreadable_record",
    "session_store_failed",
    "malicious_extraneous",
    "session_token_in_url",
    "malicious_csrf",
    SIGN_IN_FAIL_MAX,
    SIGN_IN_UNAVAILABLE,
    AUTHZ_FAIL,
    INPUT_VALIDATION_FAIL,
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use cloakroom::EventKind;
    use cloakroom_core::EndReason;

    use super::*;

    /// Kinds of events, but for ends.
    const KINDS: [EventKind; 13] = [
        EventKind::Issued,
        EventKind::Rotated,
        EventKind::Reauthenticated,
        EventKind::RetiredTokenUsed,
        EventKind::OldStateUsed,
        EventKind::UnknownToken,
        EventKind::LimitReached,
        EventKind::UnreadableRecord,
        EventKind::StoreFailed,
        EventKind::ResurrectionBlocked,
        EventKind::ConflictingTokens,
        EventKind::TokenInUrl,
        EventKind::CrossSiteBlocked,
    ];

    /// Every name of the log, with its severity: in OWASP's logging vocabulary where that has one (its table is the first
    /// part), else in its manner.
    #[test]
    fn every_name_is_owasps_where_it_has_one_with_its_severity() {
        use Severity::{Critical, Info, Warn};
        let of_owasp = [
            (SIGN_IN_SUCCESS, Info),
            (SIGN_IN_FAIL, Warn),
            (SIGN_IN_FAIL_MAX, Warn),
            (PASSWORD_CHANGE, Info),
            (PASSWORD_CHANGE_FAIL, Critical),
            ("authn_token_reuse", Critical),
            (AUTHZ_FAIL, Critical),
            (AUTHZ_CHANGE, Warn),
            (AUTHZ_ADMIN, Warn),
            ("excess_sessions_exceeded", Warn),
            (INPUT_VALIDATION_FAIL, Warn),
            ("malicious_extraneous", Critical),
            ("malicious_csrf", Warn),
            (SENSITIVE_READ, Warn),
            ("session_created", Info),
            ("session_renewed", Info),
            ("session_expired", Info),
            ("session_logout", Info),
            ("session_use_after_expire", Critical),
            (STARTUP, Warn),
            (SHUTDOWN, Warn),
            (USER_CREATED, Warn),
            (USER_UPDATED, Warn),
        ];
        let ours = [
            (SIGN_IN_UNAVAILABLE, Warn),
            ("session_reauthenticated", Info),
            ("session_revoked", Info),
            ("session_old_state", Info),
            ("session_unknown_token", Warn),
            ("session_unreadable_record", Warn),
            ("session_store_failed", Warn),
            ("session_resurrection_blocked", Info),
            ("session_token_in_url", Warn),
            (SIGNAL, Warn),
            (DROPPED, Warn),
            (PRUNED, Info),
            (PRUNED_EARLY, Critical),
        ];
        let table: BTreeMap<&str, Severity> = of_owasp.into_iter().chain(ours).collect();
        for (name, expected) in &table {
            assert_eq!(severity(name), *expected, "{name}");
        }
        assert_eq!(ALL.into_iter().collect::<BTreeSet<_>>(), table.keys().copied().collect());
        let ends = EndReason::ALL
            .into_iter()
            .flat_map(|reason| [EventKind::Ended(reason), EventKind::UsedAfterEnd(reason)]);
        for kind in KINDS.into_iter().chain(ends) {
            assert!(table.contains_key(kind.name()), "{} is not in the table", kind.name());
        }
        for noise in NOISE {
            assert!(table.contains_key(noise), "{noise} is no name");
        }
    }
}
