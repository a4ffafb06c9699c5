//! Bodies arrive within their size and time, or not at all.

use std::time::Duration;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cloakroom_http::ProblemCode;
use http::StatusCode;
use tokio::time::timeout;

use super::BODY_MAX_BYTES;
use super::extract::{MALFORMED, TOO_LARGE};
use super::refusal::Refusal;

/// Reads the body before its handler runs: one that is too large, or comes too slowly, holds no connection for long.
pub(super) async fn read_in_time(request: Request, next: Next) -> Response {
    let size = request.body().size_hint();
    if size.exact() == Some(0) {
        return next.run(request).await;
    }
    // A size that was announced is believed where it is too large.
    let max = u64::try_from(BODY_MAX_BYTES).unwrap_or(u64::MAX);
    if size.lower() > max {
        return Refusal::new(TOO_LARGE).into_response();
    }
    let (parts, body) = request.into_parts();
    match timeout(BODY_TIMEOUT, to_bytes(body, BODY_MAX_BYTES)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(error)) if is_too_large(&error) => Refusal::new(TOO_LARGE).into_response(),
        Ok(Err(_)) => Refusal::new(MALFORMED).detail("the body could not be read").into_response(),
        Err(_) => Refusal::new(TOO_SLOW).into_response(),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    std::error::Error::source(error)
        .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}

/// A client has this long for a body: forms and attributes fit into a few packets.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

const TOO_SLOW: ProblemCode =
    ProblemCode::new("body_too_slow", StatusCode::REQUEST_TIMEOUT, "The body took too long");
