//! A small chat on `cloakroom-axum`, on as many nodes as wanted over one store.
//!
//! | look here for | in |
//! |---|---|
//! | a WebSocket that is closed with its session, wherever that ends | [`talk`] |
//! | server-sent events that end with their session | [`here`] |
//! | "sign out everywhere" | [`sign_in`] |
//! | the same without a record of any session: sealed in cookies, and ended by a list | [`sealed`] |
//! | what the pages do when they are told | `templates/ended.js`, `room.js`, `here.js` |

mod here;
mod pages;
mod people;
mod rooms;
mod sealed;
mod sign_in;
mod talk;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use cloakroom::Sessions;
use cloakroom_axum::{CookiePolicy, Origin, OriginGuard, Rejection, RequestFacts, SessionLayer};

pub use people::{People, PeopleError};
pub use rooms::{Rooms, Visit};
pub use sealed::sealed;

/// What all requests of a node share.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    people: Arc<People>,
    rooms: Arc<Rooms>,
    name: Arc<str>,
}

/// A node of the chat, reached at `origin`. Nodes with the same `rooms` hear each other; the sessions are in the store.
pub fn app(sessions: Sessions, people: Arc<People>, rooms: Arc<Rooms>, origin: Origin) -> Router {
    let node = Node { people, rooms, name: origin.as_str().into() };
    let layer = SessionLayer::new(sessions)
        .cookie(CookiePolicy::default())
        .origin_guard(OriginGuard::new([origin]))
        .sign_in_at("/sign-in")
        .rejections(as_page);
    Router::new()
        .route("/", get(Redirect::to("/rooms/lobby")))
        .route("/rooms/{room}", get(talk::page))
        .route("/talk/{room}", get(talk::talk))
        .route("/here", get(here::page))
        .route("/here/events", get(here::events))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/sign-out-everywhere", post(sign_in::sign_out_everywhere))
        .layer(layer)
        .route("/style.css", get(pages::style))
        .route("/ended.js", get(pages::ended_script))
        .route("/room.js", get(pages::room_script))
        .route("/here.js", get(pages::here_script))
        .layer(map_response(harden))
        .with_state(node)
}

/// Refusals as pages for browsers, but for those that lead to the sign-in.
fn as_page(rejection: &Rejection, facts: &RequestFacts) -> Option<Response> {
    if rejection.needs_sign_in() || !facts.wants_page() {
        return None;
    }
    let code = rejection.problem().code();
    Some((code.status(), pages::apology(code.title())).into_response())
}

/// Nothing but our own style, scripts and sockets, in nobody's frame.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
