//! What changes something goes on to its end, and is not acknowledged before its events last.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cloakroom_audit::OnFull;
use http::StatusCode;
use tracing::Instrument as _;

use super::App;
use super::admin::AUDIT_UNAVAILABLE;
use super::refusal::Refusal;

/// Runs a request that may change something in a task of its own: a client that leaves does not stop it halfway, with a
/// session ended or issued and no event of it. What runs so is bounded by what was begun; the server waits for it when it
/// stops.
pub(super) async fn complete(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let running = app.running.subscribe();
    let work = async move {
        let response = next.run(request).await;
        drop(running);
        response
    };
    match tokio::spawn(work.in_current_span()).await {
        Ok(response) => response,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down: nobody gets an answer any more.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Lets a request begin only where its events find room, if the configuration says so (`[audit] on_full`); and holds the
/// answer to one that may change something until the events it caused last. A request that caused none waits for nothing.
///
/// Where the log cannot be written, the answer goes out after five seconds, and its events wait on; with
/// `on_full = "block"` it is `audit_unavailable` instead, though what was asked for is done.
pub(super) async fn witness(State(app): State<App>, request: Request, next: Next) -> Response {
    if !is_for_machines(request.uri().path())
        && let Err(error) = app.audit.room().await
    {
        tracing::error!(event = "audit_unavailable", %error, "the audit log's queue is full: a request was turned away");
        return unavailable("the audit log cannot be written, so nothing was done", Done::No);
    }
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (response, lasting) = app.audit.witness(next.run(request)).await;
    match lasting {
        Err(error) if app.audit.on_full() == OnFull::Block => {
            tracing::error!(event = "audit_unavailable", %error, "what was done could not be recorded");
            unavailable("it was done, but could not be recorded yet", Done::Yes)
        }
        _ => response,
    }
}

#[derive(Clone, Copy)]
enum Done {
    Yes,
    No,
}

fn unavailable(detail: &str, done: Done) -> Response {
    let refusal = Refusal::new(AUDIT_UNAVAILABLE).detail(detail).retry_after(RETRY_AFTER_SECONDS);
    refusal.member("done", matches!(done, Done::Yes)).into_response()
}

/// What has to answer whatever else does not: it touches no session.
fn is_for_machines(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics") || path.starts_with("/assets/")
}

const RETRY_AFTER_SECONDS: u64 = 2;
