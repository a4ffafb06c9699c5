//! The pages.

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use cloakroom_axum::{Rejection, ReturnTo, Session};

use crate::rooms::Room;

/// Who looks at the page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visitor {
    pub(crate) name: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let session = Session::from_request_parts(parts, state).await?;
        Ok(Self { name: session.principal().await?.map(|principal| principal.id().as_str().to_owned()) })
    }
}

#[derive(Template)]
#[template(path = "room.html")]
pub(crate) struct RoomPage<'a> {
    pub(crate) visitor: Visitor,
    pub(crate) rooms: &'a [Room],
    pub(crate) room: Room,
    pub(crate) node: &'a str,
}

#[derive(Template)]
#[template(path = "here.html")]
pub(crate) struct Here<'a> {
    pub(crate) visitor: Visitor,
    pub(crate) rooms: &'a [Room],
    pub(crate) node: &'a str,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignIn<'a> {
    pub(crate) visitor: Visitor,
    pub(crate) return_to: ReturnTo,
    pub(crate) notice: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "apology.html")]
struct Apology<'a> {
    visitor: Visitor,
    sentence: &'a str,
}

/// A page, kept by no cache: it shows what only its user should see, also after a sign-out and the back button.
pub(crate) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => ([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A page that says what is wrong.
pub(crate) fn apology(sentence: &str) -> Response {
    page(&Apology { visitor: Visitor::default(), sentence })
}

pub(crate) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../templates/style.css"))
}

pub(crate) async fn ended_script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, SCRIPT)], include_str!("../templates/ended.js"))
}

pub(crate) async fn room_script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, SCRIPT)], include_str!("../templates/room.js"))
}

pub(crate) async fn here_script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, SCRIPT)], include_str!("../templates/here.js"))
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
