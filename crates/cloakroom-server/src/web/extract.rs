//! Bodies, read strictly.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse as _, Response};
use cloakroom_http::ProblemCode;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::context::Context;
use super::refusal::Refusal;

/// A JSON body: with the right content type, within the size, and with no field that the call does not know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let is_json = request.headers().get(CONTENT_TYPE).is_some_and(|value| {
            let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
        });
        if !is_json {
            // A form of another site cannot send this type without asking first (ASVS 3.5.2).
            return Err(Refusal::new(WRONG_TYPE).detail("send application/json").into_response());
        }
        let body =
            Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(TOO_LARGE).into_response(),
                _ => Refusal::new(MALFORMED).detail("the body could not be read").into_response(),
            })?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Refusal::new(MALFORMED).detail(error.to_string()).into_response())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refusal::new(ProblemCode::INTERNAL))
    }
}

pub(super) const WRONG_TYPE: ProblemCode = ProblemCode::new(
    "unsupported_media_type",
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "The body has the wrong type",
);
pub(super) const TOO_LARGE: ProblemCode =
    ProblemCode::new("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large");
pub(super) const MALFORMED: ProblemCode =
    ProblemCode::new("malformed_request", StatusCode::BAD_REQUEST, "The request cannot be understood");
