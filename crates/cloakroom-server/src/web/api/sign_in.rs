//! `POST /v1/sign-in`, `POST /v1/reauthenticate`, `POST /v1/password`.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use cloakroom::{AuthLevel, Method, Persistence};
use cloakroom_axum::Session;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{LivesOnAnswer, SessionAnswer, renewed_answer};
use crate::ended::Ended;
use crate::web::App;
use crate::web::context::Context;
use crate::web::door::{Credentials, PasswordChange, TokenCarrier};
use crate::web::extract::Json;
use crate::web::refusal::{Refusal, WEAK_PASSWORD};

/// Who wants to sign in, and how the client keeps the token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct SignInRequest {
    username: String,
    #[schema(value_type = String, format = Password)]
    password: Zeroizing<String>,
    /// Keep the session when the browser is closed, as far as the policy allows.
    #[serde(default)]
    remember: bool,
    #[serde(default)]
    mode: Mode,
}

/// How the client keeps its token.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// In its cookie.
    #[default]
    Cookie,
    /// By itself; the answer has it.
    Bearer,
}

/// Proof of identity inside a session.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct ReauthenticateRequest {
    #[schema(value_type = String, format = Password)]
    password: Zeroizing<String>,
}

/// A change of password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct PasswordRequest {
    #[schema(value_type = String, format = Password)]
    current: Zeroizing<String>,
    #[schema(value_type = String, format = Password)]
    new: Zeroizing<String>,
}

/// Signs in: the cookie, or with `"mode": "bearer"` the token.
#[utoipa::path(post, path = "/v1/sign-in", tag = "session", request_body = SignInRequest, responses(
    (status = 200, description = "Signed in", body = SessionAnswer),
    (status = 401, description = "`invalid_credentials`"),
    (status = 409, description = "`session_limit`: the policy refuses one more session"),
    (status = 429, description = "`too_many_attempts`, with `Retry-After`"),
    (status = 503, description = "`busy`, `store_unavailable` or `accounts_unavailable`, with `Retry-After`")))]
pub(in crate::web) async fn sign_in(
    State(app): State<App>,
    context: Context,
    session: Session,
    Json(request): Json<SignInRequest>,
) -> Result<Response, Refusal> {
    let carrier = match request.mode {
        Mode::Cookie => TokenCarrier::Cookie,
        Mode::Bearer => TokenCarrier::Bearer,
    };
    let persistence = if request.remember { Persistence::Remembered } else { Persistence::Browser };
    let SignInRequest { username, password, .. } = request;
    app.sign_in(&session, &context, Credentials { username, password, persistence, carrier }).await?;
    renewed_answer(&session).await
}

/// Proves identity again: the session gets another token and is fresh.
#[utoipa::path(post, path = "/v1/reauthenticate", tag = "session", request_body = ReauthenticateRequest, responses(
    (status = 200, description = "Proved; the old token is dead", body = SessionAnswer),
    (status = 401, description = "`invalid_credentials`, or why there is no session"),
    (status = 429, description = "`too_many_attempts` or `too_many_renewals`, with `Retry-After`")))]
pub(in crate::web) async fn reauthenticate(
    State(app): State<App>,
    context: Context,
    session: Session,
    Json(request): Json<ReauthenticateRequest>,
) -> Result<Response, Refusal> {
    app.reauthenticate(&session, &context, request.password).await?;
    renewed_answer(&session).await
}

/// Changes the password, and ends every other session of its owner. A browser's session gets another token.
#[utoipa::path(post, path = "/v1/password", tag = "session", request_body = PasswordRequest, responses(
    (status = 200, description = "Changed; sessions are sealed and no list says what was ended, so the other sessions go on", body = LivesOnAnswer),
    (status = 204, description = "Changed; every other session has ended"),
    (status = 401, description = "`invalid_credentials`: the current password is wrong; or why there is no session"),
    (status = 403, description = "`reauthentication_required`"),
    (status = 422, description = "`weak_password`: the rules refuse the new one"),
    (status = 429, description = "`too_many_attempts` or `too_many_renewals`, with `Retry-After`")))]
pub(in crate::web) async fn password(
    State(app): State<App>,
    context: Context,
    session: Session,
    Json(request): Json<PasswordRequest>,
) -> Result<Response, Refusal> {
    let ended = match app.change_password(&session, &context, request.current, request.new).await? {
        PasswordChange::Weak(why) => return Err(Refusal::new(WEAK_PASSWORD).detail(why)),
        PasswordChange::Changed(ended) => ended,
    };
    // The answer has no body to bring a bearer its new token in, so its token stays.
    if session.bearer_token().await?.is_none() {
        session.reauthenticate(AuthLevel::One, Method::password()).await?;
    }
    if ended == Ended::LiveOn {
        return Ok(LivesOnAnswer::others().into_response());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
