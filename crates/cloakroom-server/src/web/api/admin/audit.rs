//! `GET /v1/admin/audit`: what happened.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom::PrincipalId;
use cloakroom_audit::AuditQuery;
use cloakroom_axum::Session;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sessions::text;
use super::{malformed, parameters, read, read_limit};
use crate::web::App;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};
use crate::wire::AuditEventObject;

/// Which events. All conditions have to be met.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct AuditRequest {
    /// About this principal, or done by it.
    principal: Option<String>,
    /// About this session: `ses_…`.
    session: Option<String>,
    /// Of this kind; with a `*` at its end, of every kind that begins so.
    event: Option<String>,
    /// Done by whoever has this id: a principal's, or the name of a service's key.
    actor: Option<String>,
    /// For this reason: the reason of an end, the code of a refusal.
    reason: Option<String>,
    /// At or after this instant.
    since: Option<String>,
    /// Before this instant.
    until: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Most events on a page: 1 to 200; 50 where it is not given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// Events, the latest first.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct AuditAnswer {
    events: Vec<AuditEventObject>,
    /// Pass it back as `cursor`; `null` where everything was looked at. A page may have fewer events than asked for, or
    /// none, and still lead on.
    next_cursor: Option<String>,
}

impl AuditRequest {
    fn read(&self) -> Result<AuditQuery, Refusal> {
        let mut query = AuditQuery::latest();
        query.principal = match &self.principal {
            None => None,
            Some(id) => Some(PrincipalId::new(id).map_err(|error| malformed(error.to_string()))?),
        };
        query.session = read(self.session.as_deref(), "session is an id, ses_…")?;
        query.event = self.event.clone();
        if query.event.as_ref().is_some_and(|event| !is_event(event)) {
            return Err(malformed(
                "event is a name such as session_revoked, or the beginning of one with a *",
            ));
        }
        query.actor = text("actor", self.actor.as_deref())?;
        query.reason = text("reason", self.reason.as_deref())?;
        let instant = |name: &str, given: &Option<String>| {
            read(given.as_deref(), &format!("{name} is an instant such as 2026-03-01T09:30:00Z"))
        };
        query.since = instant("since", &self.since)?;
        query.until = instant("until", &self.until)?;
        query.before = read(self.cursor.as_deref(), "cursor is the next_cursor of the page before")?;
        query.limit = read_limit(self.limit.as_deref())?.unwrap_or(query.limit);
        Ok(query)
    }
}

fn is_event(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    text.len() <= EVENT_MAX_BYTES
        && !text.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Shows what happened.
#[utoipa::path(get, path = "/v1/admin/audit", tag = "admin", params(AuditRequest), responses(
    (status = 200, description = "Events, the latest first", body = AuditAnswer),
    (status = 400, description = "`malformed_request`: says which parameter, and what it may be")))]
pub(in crate::web) async fn list(
    State(app): State<App>,
    session: Session,
    query: Result<Query<AuditRequest>, QueryRejection>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let query =
        parameters(query, "principal, session, event, actor, reason, since, until, cursor and limit")?
            .read()?;
    let page = app.audit_page(&staff, &query).await?;
    let answer = AuditAnswer {
        events: page.events.iter().map(AuditEventObject::from).collect(),
        next_cursor: page.next.map(|seq| seq.to_string()),
    };
    Ok(axum::Json(answer).into_response())
}

/// Longer than any name of an event.
const EVENT_MAX_BYTES: usize = 64;
