//! `GET /v1/admin/principals/{principal}`: one person.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom_axum::Session;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sessions::{objects, read_cursor, read_state};
use super::{UserObject, parameters, read_limit};
use crate::web::App;
use crate::web::admin::PrincipalQuery;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Sight, Staff};
use crate::wire::{AuditEventObject, SessionObject};

/// Which of their sessions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct PrincipalRequest {
    /// `active` (where it is not given), `ended` or `any`.
    #[param(value_type = Option<String>, pattern = "^(active|ended|any)$")]
    state: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Most sessions on a page: 1 to 200; 50 where it is not given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// One principal.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct PrincipalAnswer {
    /// Its id, as its account spells it.
    principal: String,
    /// Its built-in account, where it has one.
    user: Option<UserObject>,
    /// Its sessions; `null` where sessions cannot be listed.
    sessions: Option<Vec<SessionObject>>,
    /// Pass it back as `cursor`; `null` where this was the last page.
    next_cursor: Option<String>,
    /// What happened to it and what it did, the latest first, at most 20 events; `null` while the audit log cannot be
    /// read.
    events: Option<Vec<AuditEventObject>>,
    /// Whether addresses are hidden from whoever asks.
    addresses_hidden: bool,
}

/// Shows one principal: account, sessions, events. By its exact name; the look is recorded.
#[utoipa::path(get, path = "/v1/admin/principals/{principal}", tag = "admin",
    params(("principal" = String, Path, description = "The whole id, percent-encoded"), PrincipalRequest), responses(
    (status = 200, description = "What is known of it", body = PrincipalAnswer),
    (status = 400, description = "`malformed_request`"),
    (status = 404, description = "`not_found`: no account, no session and no event has this name"),
    (status = 429, description = "`too_many_looks`, with `Retry-After`: support looks at 300 in a quarter of an hour")))]
pub(in crate::web) async fn show(
    State(app): State<App>,
    session: Session,
    Path(name): Path<String>,
    query: Result<Query<PrincipalRequest>, QueryRejection>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeOne).await?;
    let request = parameters(query, "state, cursor and limit")?;
    let query = PrincipalQuery {
        state: read_state(request.state.as_deref())?,
        after: read_cursor(request.cursor.as_deref())?,
        limit: read_limit(request.limit.as_deref())?,
    };
    let look = app.look_at_principal(&staff, &name, &query).await?;
    let answer = PrincipalAnswer {
        principal: look.id.to_string(),
        user: look.account.as_ref().map(UserObject::from),
        next_cursor: look.sessions.as_ref().and_then(|found| found.next).map(|cursor| cursor.to_string()),
        sessions: look.sessions.map(|found| objects(&staff, &found.items)),
        events: look.events.map(|page| page.events.iter().map(AuditEventObject::from).collect()),
        addresses_hidden: look.sight == Sight::NoAddresses,
    };
    Ok(axum::Json(answer).into_response())
}
