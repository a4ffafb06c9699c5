//! `/v1/session`: the session that asks.

use std::collections::BTreeMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom::{AttributeKey, Changes, SessionError};
use cloakroom_axum::{Rejection, Session};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::{LivesOnAnswer, SessionAnswer, Settling, object, renewed_answer, session_answer, settling};
use crate::web::App;
use crate::web::extract::{Json, MALFORMED};
use crate::web::refusal::Refusal;

/// How to look.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Look {
    /// `false`: look without extending the session.
    #[serde(default = "yes")]
    touch: bool,
}

/// The session that asks.
#[utoipa::path(get, path = "/v1/session", tag = "session", params(Look), responses(
    (status = 200, description = "It is active", body = SessionAnswer),
    (status = 401, description = "`session_missing`, `session_unknown`, or `session_ended` with `end_reason` and `ended_at`"),
    (status = 503, description = "`store_unavailable`: nobody knows; nothing was signed out")))]
pub(in crate::web) async fn show(
    session: Session,
    look: Result<Query<Look>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Ok(Query(look)) = look else {
        return Err(Refusal::new(MALFORMED).detail("the only parameter is touch=true or touch=false"));
    };
    if !look.touch {
        session.not_activity();
    }
    let active = session.require_signed_in().await?;
    Ok(session_answer(&active))
}

/// Signs out.
#[utoipa::path(delete, path = "/v1/session", tag = "session", params(Settling), responses(
    (status = 200, description = "The cookie is removed; sessions are sealed and no list says what was ended, so a copy of the token is good until its time is over", body = LivesOnAnswer),
    (status = 204, description = "The token is worthless from now on; with `settled=true`, on every server already"),
    (status = 400, description = "`malformed_request`"),
    (status = 401, description = "Why there is no session"),
    (status = 429, description = "`too_many_ends`, with `Retry-After`: sessions are sealed, all of this account ended within the last minute for want of room, and this one began since then; still signed in"),
    (status = 503, description = "`store_unavailable`: still signed in")))]
pub(in crate::web) async fn sign_out(
    State(app): State<App>,
    session: Session,
    query: Result<Query<Settling>, QueryRejection>,
) -> Result<Response, Refusal> {
    let settling = settling(query)?;
    session.require_unproven().await?;
    session.sign_out().await?;
    if !app.can_end() {
        return Ok(LivesOnAnswer::token().into_response());
    }
    settling.settle(&app).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Merges attributes: a value replaces, `null` removes, what is not named stays.
#[utoipa::path(patch, path = "/v1/session/attributes", tag = "session",
    request_body(content = BTreeMap<String, Value>, description = "Values by key; `null` removes"), responses(
    (status = 200, description = "The attributes now", body = BTreeMap<String, Value>),
    (status = 400, description = "`malformed_request`"),
    (status = 401, description = "Why there is no session"),
    (status = 413, description = "`attributes_too_large` with `bytes` and `max_bytes`; nothing was changed")))]
pub(in crate::web) async fn attributes(
    State(_): State<App>,
    session: Session,
    Json(patch): Json<BTreeMap<String, Value>>,
) -> Result<Response, Refusal> {
    session.require_signed_in().await?;
    let mut changes = Changes::new();
    for (key, value) in patch {
        let key =
            AttributeKey::new(&key).map_err(|error| Refusal::new(MALFORMED).detail(error.to_string()))?;
        changes = match value {
            Value::Null => changes.remove_key(key),
            value => {
                changes.put(key, &value).map_err(|error| Rejection::from(SessionError::Attribute(error)))?
            }
        };
    }
    session.change(changes).await?;
    session.save().await?;
    let active = session.require_signed_in().await?;
    Ok(axum::Json(object(&active).attributes).into_response())
}

/// Exchanges the token for another.
#[utoipa::path(post, path = "/v1/session/rotate", tag = "session", responses(
    (status = 200, description = "The old token is dead", body = SessionAnswer),
    (status = 401, description = "Why there is no session"),
    (status = 429, description = "`too_many_renewals`, with `Retry-After`: 20 at once, and then one a minute; `too_many_ends` where sessions are sealed and this account's share is full")))]
pub(in crate::web) async fn rotate(State(app): State<App>, session: Session) -> Result<Response, Refusal> {
    let active = session.require_signed_in().await?;
    app.admit_renewal(&active)?;
    session.rotate().await?;
    session.save().await?;
    renewed_answer(&session).await
}

const fn yes() -> bool {
    true
}
