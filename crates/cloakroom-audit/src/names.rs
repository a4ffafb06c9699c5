//! The words of the log beyond those of the engine's own events ([`EventKind::name`](cloakroom::EventKind::name)).
//! OWASP's logging vocabulary where it has one.

/// Somebody signed in.
pub const LOGIN_SUCCESS: &str = "authn_login_success";
/// A sign-in was refused: wrong password, no such account, disabled.
pub const LOGIN_FAIL: &str = "authn_login_fail";
/// A sign-in was refused unseen: too many attempts.
pub const LOGIN_FAIL_MAX: &str = "authn_login_fail_max";
/// A sign-in could not be decided.
pub const LOGIN_UNAVAILABLE: &str = "authn_login_unavailable";
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
