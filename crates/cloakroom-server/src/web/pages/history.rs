//! What happened to an account lately, in the words of its owner.

use cloakroom::{ActiveSession, EndReason, PrincipalId, Timestamp};
use cloakroom_audit::{AuditEvent, AuditQuery, names};
use cloakroom_http::device_label;

use super::view::{Tone, When};
use crate::web::App;

/// One thing that happened.
pub(super) struct Happening {
    pub(super) when: When,
    pub(super) text: &'static str,
    /// From where: device and address.
    pub(super) place: Option<String>,
    /// Whether its owner should look twice.
    pub(super) tone: Tone,
}

impl App {
    /// The latest events of whoever is signed in; `None` where nobody can say at the moment: a page is not refused for it.
    pub(super) async fn recent_events(&self, active: &ActiveSession) -> Option<Vec<Happening>> {
        let owner = active.principal()?.id().clone();
        let mut query = AuditQuery::latest();
        query.principal = Some(owner.clone());
        match self.audit.page(&query).await {
            Ok(page) => Some(told(&page.events, &owner, self.sessions.now())),
            Err(error) => {
                tracing::warn!(%error, "recent events cannot be shown");
                None
            }
        }
    }
}

/// The events that concern their owner, as sentences. What an administrator did to others is theirs, not this owner's.
fn told(events: &[AuditEvent], owner: &PrincipalId, now: Timestamp) -> Vec<Happening> {
    let own = events.iter().filter(|event| event.principal.as_deref() == Some(owner.as_str()));
    own.filter_map(|event| happening(event, now)).take(SHOWN).collect()
}

fn happening(event: &AuditEvent, now: Timestamp) -> Option<Happening> {
    let reason = event.reason.as_deref().and_then(|reason| reason.parse().ok());
    let (text, tone) = match event.event.as_str() {
        names::SIGN_IN_SUCCESS => ("Signed in", Tone::Neutral),
        names::SIGN_IN_FAIL => ("A sign-in failed: wrong password", Tone::Bad),
        names::SIGN_IN_FAIL_MAX => ("A sign-in was refused: too many attempts", Tone::Bad),
        names::PASSWORD_CHANGE => ("The password was changed", Tone::Neutral),
        names::PASSWORD_CHANGE_FAIL => ("The password was not changed: the current one was wrong", Tone::Bad),
        names::AUTHZ_CHANGE => ("An administrator changed what this account may do", Tone::Neutral),
        names::SIGNAL => ("Something about a session looked unusual", Tone::Bad),
        "excess_sessions_exceeded" => ("A sign-in was refused: too many devices", Tone::Neutral),
        "authn_token_reuse" | "session_use_after_expire" => ("An ended session was used again", Tone::Bad),
        "session_reauthenticated" => ("The password was entered again to confirm", Tone::Neutral),
        "session_logout" => ("Signed out", Tone::Neutral),
        "session_revoked" => ended(reason?)?,
        _ => return None,
    };
    Some(Happening { when: When::new(event.at, now), text, place: place(event), tone })
}

fn ended(reason: EndReason) -> Option<(&'static str, Tone)> {
    Some(match reason {
        EndReason::RevokedByUser => ("A session was ended from another device", Tone::Neutral),
        EndReason::RevokedByAdmin => ("A session was ended by an administrator", Tone::Neutral),
        EndReason::RevokedByService => ("A session was ended by the application", Tone::Neutral),
        EndReason::SessionLimit => ("A session ended: too many devices at once", Tone::Neutral),
        EndReason::PasswordChanged => ("A session ended because the password changed", Tone::Neutral),
        EndReason::Compromised => ("A session was ended to protect the account", Tone::Bad),
        _ => return None,
    })
}

fn place(event: &AuditEvent) -> Option<String> {
    let label = event.user_agent.as_deref().map(|agent| device_label(agent).into_owned());
    match (label, event.ip.as_deref()) {
        (Some(label), Some(ip)) => Some(format!("{label}, {ip}")),
        (label, ip) => label.or_else(|| ip.map(str::to_owned)),
    }
}

/// Most events on the account page.
const SHOWN: usize = 10;
