//! The HTTP API: JSON in, JSON or `application/problem+json` out.

pub(super) mod admin;
pub(super) mod session;
pub(super) mod sessions;
pub(super) mod sign_in;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use cloakroom::ActiveSession;
use cloakroom_axum::Session;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::admin::Revocations;
use super::extract::MALFORMED;
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
    /// `null` where sessions are sealed in their cookies: they ended, and nobody knows how many there were.
    revoked: Option<u64>,
    /// Whether every server is known to refuse them: always, where the call asked for `settled=true`. Otherwise they do
    /// within the lease (one second, unless configured), and normally within milliseconds.
    settled: bool,
}

impl From<Revocations> for RevokedAnswer {
    fn from(ended: Revocations) -> Self {
        Self { revoked: ended.revoked.count(), settled: ended.settled }
    }
}

/// Something that was done without ending what it should have ended: sessions are sealed in their cookies, and no list says
/// what was ended.
#[derive(Serialize, ToSchema)]
pub(super) struct LivesOnAnswer {
    /// Always `true`.
    sessions_live_on: bool,
    /// What that means, in a sentence.
    detail: &'static str,
}

impl LivesOnAnswer {
    /// After a sign-out.
    const fn token() -> Self {
        Self { sessions_live_on: true, detail: TOKEN_LIVES_ON }
    }

    /// After a change that should have ended others.
    const fn others() -> Self {
        Self { sessions_live_on: true, detail: OTHERS_LIVE_ON }
    }
}

impl IntoResponse for LivesOnAnswer {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}

/// Whether the answer waits until the end has reached every server.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Settling {
    /// `true`: the answer comes once every server is known to refuse what ended, when the lease has passed (one second, unless configured).
    #[serde(default)]
    settled: bool,
}

impl Settling {
    /// Waits, if that was asked for.
    async fn settle(self, app: &App) {
        if self.settled {
            app.sessions.settle().await;
        }
    }
}

/// What a query string was that could be read, or why not.
fn settling(query: Result<Query<Settling>, QueryRejection>) -> Result<Settling, Refusal> {
    let malformed = |_| Refusal::new(MALFORMED).detail("the only parameter is settled=true or settled=false");
    query.map(|Query(settling)| settling).map_err(malformed)
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

const TOKEN_LIVES_ON: &str =
    "forget the token: this server keeps no list of ends, so a copy of it is good until its time is over";
const OTHERS_LIVE_ON: &str = "the other sessions were not ended: this server keeps no list of ends, so they go on until \
                              their time is over";
