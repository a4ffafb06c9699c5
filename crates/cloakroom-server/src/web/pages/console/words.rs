//! The words of the log, as people say them.

use cloakroom::EndReason;
use cloakroom_audit::names;

use super::rows::{self, Badge};

/// Why something happened, in words: an end reason, or a word of the log's that stands for itself.
pub(super) fn reason_words(reason: &str) -> String {
    match reason.parse::<EndReason>() {
        Ok(reason) => rows::reason_words(reason).to_owned(),
        Err(_) => spaced(reason),
    }
}

/// What happened, in words, and how worrying it is.
pub(super) fn event_words(event: &str) -> Badge {
    let (tone, text) = match event {
        "session_created" => ("good", "Session issued"),
        "session_renewed" => ("plain", "Token rotated"),
        "session_reauthenticated" => ("good", "Identity proven again"),
        "session_logout" => ("plain", "Signed out"),
        "session_expired" => ("plain", "Session expired"),
        "session_revoked" => ("warn", "Session ended"),
        "session_use_after_expire" => ("bad", "Ended token used"),
        "authn_token_reuse" => ("bad", "Retired token used"),
        "session_old_state" => ("plain", "Older state used"),
        "session_unknown_token" => ("warn", "Unknown token"),
        "excess_sessions_exceeded" => ("warn", "Session limit reached"),
        "session_unreadable_record" => ("bad", "Record unreadable"),
        "session_store_failed" => ("bad", "Store failed"),
        "session_resurrection_blocked" => ("bad", "Change of an ended session"),
        "malicious_extraneous" => ("bad", "Conflicting tokens"),
        "session_token_in_url" => ("warn", "Token in an address"),
        "malicious_csrf" => ("bad", "Cross-site request refused"),
        names::SIGN_IN_SUCCESS => ("good", "Signed in"),
        names::SIGN_IN_FAIL => ("warn", "Sign-in failed"),
        names::SIGN_IN_FAIL_MAX => ("bad", "Too many attempts"),
        names::SIGN_IN_UNAVAILABLE => ("bad", "Sign-in unavailable"),
        names::PASSWORD_CHANGE => ("plain", "Password changed"),
        names::PASSWORD_CHANGE_FAIL => ("warn", "Password change refused"),
        names::AUTHZ_FAIL => ("warn", "Not allowed"),
        names::AUTHZ_CHANGE => ("warn", "Roles changed"),
        names::AUTHZ_ADMIN => ("warn", "Staff acted"),
        names::USER_CREATED => ("plain", "Account added"),
        names::USER_UPDATED => ("plain", "Account changed"),
        names::SENSITIVE_READ => ("plain", "Staff looked"),
        names::INPUT_VALIDATION_FAIL => ("warn", "Unusual input"),
        names::SIGNAL => ("bad", "Signal"),
        names::STARTUP => ("plain", "Server started"),
        names::SHUTDOWN => ("plain", "Server stopped"),
        names::DROPPED => ("bad", "Events dropped"),
        names::PRUNED => ("plain", "Old events removed"),
        names::PRUNED_EARLY => ("bad", "Events removed before their time"),
        word => return Badge::new("plain", spaced(word)),
    };
    Badge::new(tone, text)
}

/// A word of the log without its underscores, with a capital.
fn spaced(word: &str) -> String {
    let mut characters = word.chars().map(|character| if character == '_' { ' ' } else { character });
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use cloakroom::EventKind;

    use super::*;

    #[test]
    fn a_reason_that_is_no_end_is_told_by_its_own_word() {
        assert_eq!(reason_words("idle_timeout"), rows::reason_words(EndReason::IdleTimeout));
        assert_eq!(reason_words("not_known_yet"), "Not known yet");
    }

    #[test]
    fn what_is_an_attack_or_a_fault_is_shown_as_such() {
        for kind in [
            EventKind::RetiredTokenUsed,
            EventKind::UsedAfterEnd(EndReason::SignedOut),
            EventKind::StoreFailed,
            EventKind::CrossSiteBlocked,
        ] {
            assert_eq!(event_words(kind.name()).tone, "bad", "{kind:?}");
        }
        assert_eq!(event_words("something_new"), Badge::new("plain", "Something new"));
    }
}
