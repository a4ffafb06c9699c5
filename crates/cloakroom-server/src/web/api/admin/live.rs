//! `GET /v1/admin/live`: the audit log as it grows, as server-sent events.

use std::convert::Infallible;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use cloakroom_axum::Session;
use futures_util::StreamExt as _;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{malformed, parameters, read};
use crate::web::App;
use crate::web::admin::LiveEvent;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};
use crate::wire::AuditEventObject;

/// From where on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct LiveRequest {
    /// The `seq` of the event seen last: what happened since comes first. `Last-Event-ID` says the same, and wins.
    #[param(value_type = Option<u64>)]
    after: Option<String>,
}

/// Follows the audit log. Each event of the stream is an event of the log, with its `seq` as id; `missed` says that more
/// happened than is told again; a comment, that the stream is still there. When the session ends, `session-ended` says
/// why, and the stream closes. It does not keep the session alive.
#[utoipa::path(get, path = "/v1/admin/live", tag = "admin", params(LiveRequest), responses(
    (status = 200, description = "Server-sent events", body = AuditEventObject, content_type = "text/event-stream"),
    (status = 400, description = "`malformed_request`"),
    (status = 429, description = "`too_many_streams`: 8 of one person, or 64 in all, are open")))]
pub(in crate::web) async fn follow(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    query: Result<Query<LiveRequest>, QueryRejection>,
) -> Result<Response, Refusal> {
    session.not_activity();
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let after = parameters(query, "after")?.after;
    let last = match headers.get("last-event-id").map(|value| value.to_str()) {
        None => after,
        Some(Ok("")) => after,
        Some(Ok(last)) => Some(last.to_owned()),
        Some(Err(_)) => return Err(malformed("Last-Event-ID is the seq of an event")),
    };
    let after = read(last.as_deref(), "after and Last-Event-ID are the seq of an event")?;
    let events = app.follow(&staff, after).await?.map(|event| Ok::<_, Infallible>(told(event)));
    let mut response = Sse::new(session.guard_events(events).await?).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn told(event: LiveEvent) -> Event {
    match event {
        LiveEvent::Recorded(event) => {
            let id = event.seq.to_string();
            let object = AuditEventObject::from(&*event);
            Event::default().id(id).json_data(object).unwrap_or_else(|error| {
                tracing::error!(%error, "an event could not be written as JSON");
                Event::default().event("missed").data("")
            })
        }
        // An empty event is dropped by browsers: it says something.
        LiveEvent::Missed => Event::default().event("missed").data("look anew"),
        LiveEvent::StillHere => Event::default().comment("still here"),
    }
}
