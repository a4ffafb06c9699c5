//! What changes something goes on to its end, and is not acknowledged before its events last.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cloakroom_audit::{AuditLog, OnFull};
use http::StatusCode;
use tokio::sync::watch;
use tracing::Instrument as _;

use super::admin::AUDIT_UNAVAILABLE;
use super::refusal::Refusal;

/// Runs a request that may change something in a task of its own: a client that leaves does not stop it halfway, with a
/// session ended or issued and no event of it. What runs so is bounded by what was begun; the server waits for it when it
/// stops.
pub(super) async fn complete(
    State(running): State<watch::Sender<()>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let running = running.subscribe();
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
/// Where the log cannot be written, the answer goes out all the same, and its events wait on; with `on_full = "block"` it
/// is `audit_unavailable` after five seconds instead, though what was asked for is done.
pub(super) async fn witness(State(audit): State<AuditLog>, request: Request, next: Next) -> Response {
    if !is_for_machines(request.uri().path())
        && let Err(error) = audit.room().await
    {
        tracing::error!(event = "audit_unavailable", %error, "the audit log's queue is full: a request was turned away");
        return unavailable("the audit log cannot be written, so nothing was done", Done::No);
    }
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (response, lasting) = audit.witness(next.run(request)).await;
    match lasting {
        Err(error) if audit.on_full() == OnFull::Block => {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::{get, post};
    use cloakroom_audit::{AuditOptions, Draft, MemoryAudit};
    use cloakroom_core::Timestamp;
    use tokio::sync::Notify;
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    fn ask(method: &str, path: &str) -> Request {
        Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_request_that_changes_something_ends_though_nobody_waits_for_it() {
        let running = watch::Sender::new(());
        let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (done, mut is_done) = watch::channel(false);
        let handler = {
            let (began, go_on) = (Arc::clone(&began), Arc::clone(&go_on));
            async move || {
                began.notify_one();
                go_on.notified().await;
                done.send_replace(true);
            }
        };
        let router = Router::new().route("/", post(handler));
        let router = router.layer(from_fn_with_state(running.clone(), complete));
        let request = tokio::spawn(router.oneshot(ask("POST", "/")));
        began.notified().await;
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled(), "the client is gone");
        go_on.notify_one();
        tokio::time::timeout(Duration::from_secs(20), is_done.wait_for(|done| *done)).await.unwrap().unwrap();
        tokio::time::timeout(Duration::from_secs(20), running.closed())
            .await
            .expect("the server knows that it is done");
    }

    #[tokio::test]
    async fn a_panic_is_answered_as_before() {
        let running = watch::Sender::new(());
        let broken = post(async || -> &'static str { panic!("a defect") });
        for outside in [true, false] {
            let router = Router::new().route("/", broken.clone());
            let router = if outside {
                router.layer(from_fn_with_state(running.clone(), complete)).layer(CatchPanicLayer::new())
            } else {
                router.layer(CatchPanicLayer::new()).layer(from_fn_with_state(running.clone(), complete))
            };
            let response = router.oneshot(ask("POST", "/")).await.unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert_eq!(running.receiver_count(), 0);
    }

    /// A log that nobody writes, with one event too many in its queue.
    fn full(on_full: OnFull) -> AuditLog {
        let mut options = AuditOptions::default();
        (options.queue, options.on_full, options.wait) = (1, on_full, Duration::from_secs(2));
        let log = AuditLog::with_options(Arc::new(MemoryAudit::default()), options);
        log.note(Draft::new("a", Timestamp::EPOCH));
        log
    }

    fn behind(log: &AuditLog) -> Router {
        let noting = log.clone();
        let act = post(async move || noting.note(Draft::new("b", Timestamp::EPOCH)));
        let routes = Router::new().route("/", act.get(async || ())).route("/livez", get(async || ()));
        routes.layer(from_fn_with_state(log.clone(), witness))
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_turns_new_requests_away_where_it_is_said_so() {
        let log = full(OnFull::Block);
        for method in ["GET", "POST"] {
            let refused = behind(&log).oneshot(ask(method, "/")).await.unwrap();
            assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{method}");
            assert_eq!(refused.headers()["retry-after"], "2");
        }
        assert_eq!(behind(&log).oneshot(ask("GET", "/livez")).await.unwrap().status(), StatusCode::OK);
        let counting = full(OnFull::Count);
        assert_eq!(behind(&counting).oneshot(ask("POST", "/")).await.unwrap().status(), StatusCode::OK);
        assert_eq!(counting.health().dropped, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_held_until_its_events_last() {
        let log = AuditLog::new(Arc::new(MemoryAudit::default()));
        let answer = tokio::spawn(behind(&log).oneshot(ask("POST", "/")));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!answer.is_finished(), "its event does not last yet");
        let writing = log.clone();
        let writer = tokio::spawn(async move { writing.run(std::future::pending()).await });
        assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
        assert!(log.health().last.is_some());
        writer.abort();
    }
}
