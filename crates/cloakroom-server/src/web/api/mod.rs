//! The HTTP API: JSON in, JSON or `application/problem+json` out.

pub(super) mod session;
pub(super) mod sessions;
pub(super) mod sign_in;

use axum::response::{IntoResponse as _, Response};
use cloakroom::ActiveSession;
use cloakroom_axum::Session;
use serde::Serialize;
use utoipa::ToSchema;

use super::refusal::Refusal;
use crate::wire::SessionObject;

/// A session, and its token where the client presents it as bearer.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionAnswer {
    session: SessionObject,
    /// `cr1_…`: only where the token is new and the client has no cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// How many sessions ended.
#[derive(Serialize, ToSchema)]
pub(super) struct RevokedAnswer {
    revoked: u64,
}

/// Answers with a session that keeps its token.
fn session_answer(active: &ActiveSession) -> Response {
    axum::Json(SessionAnswer { session: object(active), token: None }).into_response()
}

/// Answers with a session that has another token: for a browser it is in the cookie, for others in the body.
async fn renewed_answer(session: &Session) -> Result<Response, Refusal> {
    let token = session.bearer_token().await?.map(|token| token.as_str().to_owned());
    let active = session.require_signed_in().await?;
    Ok(axum::Json(SessionAnswer { session: object(&active), token }).into_response())
}

fn object(active: &ActiveSession) -> SessionObject {
    SessionObject::live(active.record(), active.last_seen_at()).current()
}
