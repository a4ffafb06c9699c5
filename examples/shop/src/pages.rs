//! The pages.

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use cloakroom_axum::{Rejection, ReturnTo, Session};

use crate::goods::{Article, CART, Line, Price};

/// What every page says in its head line: who is here, and how much is in the cart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visitor {
    pub(crate) name: Option<String>,
    pub(crate) pieces: u32,
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let session = Session::from_request_parts(parts, state).await?;
        let name = session.principal().await?.map(|principal| principal.id().as_str().to_owned());
        Ok(Self { name, pieces: session.get(&CART).await?.unwrap_or_default().pieces() })
    }
}

#[derive(Template)]
#[template(path = "shelf.html")]
pub(crate) struct Shelf<'a> {
    pub(crate) visitor: Visitor,
    pub(crate) shelf: &'a [Article],
    pub(crate) lines: Vec<Line>,
    pub(crate) total: Price,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignIn<'a> {
    pub(crate) visitor: Visitor,
    pub(crate) return_to: ReturnTo,
    pub(crate) notice: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "confirm.html")]
pub(crate) struct Confirm<'a> {
    pub(crate) visitor: Visitor,
    pub(crate) return_to: ReturnTo,
    pub(crate) notice: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "checkout.html")]
pub(crate) struct Checkout {
    pub(crate) visitor: Visitor,
    pub(crate) lines: Vec<Line>,
    pub(crate) total: Price,
    pub(crate) csrf_token: String,
}

#[derive(Template)]
#[template(path = "thanks.html")]
pub(crate) struct Thanks {
    pub(crate) visitor: Visitor,
    pub(crate) number: u64,
    pub(crate) total: Price,
}

#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct Account {
    pub(crate) visitor: Visitor,
    pub(crate) devices: Vec<Device>,
}

/// A session, as its user may recognise it.
pub(crate) struct Device {
    pub(crate) label: String,
    pub(crate) address: String,
    pub(crate) last_seen: String,
    pub(crate) current: bool,
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
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

const STYLE: &str = include_str!("../templates/style.css");
