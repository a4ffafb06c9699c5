//! Pages for people. They work without script; script improves them.

pub(super) mod account;
pub(super) mod console;
pub(super) mod entrance;
mod farewell;
mod history;
pub(super) mod reauthenticate;
pub(super) mod setup;
mod view;

use askama::Template;
use axum::response::{IntoResponse as _, Response};
use cloakroom::ActiveSession;
use cloakroom_axum::{Rejection, Session};
use cloakroom_http::{Problem, ProblemCode};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};

use self::view::{Ending, Link, Page, User};
use super::App;
use super::context::Context;
use super::refusal::{Refusal, UNSUPPORTED_BY_STORE};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: Page<'a>,
    heading: &'a str,
    status: u16,
    code: &'a str,
    text: String,
    request_id: Option<&'a str>,
    action: Link,
}

/// A refusal as a page.
pub(super) fn error(app: &App, context: &Context, problem: &Problem) -> Response {
    let code = problem.code();
    let status = code.status();
    let page = ErrorPage {
        page: Page::new(app, context),
        heading: code.title(),
        status: status.as_u16(),
        code: code.as_str(),
        text: sentence(code).to_owned(),
        request_id: Some(&context.id),
        action: match status {
            StatusCode::UNAUTHORIZED => Link { href: "/sign-in", label: "Sign in" },
            _ => Link { href: "/", label: "Back to the start" },
        },
    };
    render_with(status, &page)
}

/// Renders a page.
fn render(page: &impl Template) -> Response {
    render_with(StatusCode::OK, page)
}

fn render_with(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            Refusal::new(ProblemCode::INTERNAL).into_response()
        }
    }
}

/// Sends the browser to another page, to be asked for with GET.
fn see_other(address: &str) -> Response {
    match HeaderValue::from_str(address) {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(_) => (StatusCode::SEE_OTHER, [(LOCATION, "/")]).into_response(),
    }
}

/// The address of a page that is told something.
fn address(path: &str, pairs: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// What pages for people who are signed in show of them.
async fn user(session: &Session, active: &ActiveSession) -> Result<User, Rejection> {
    let csrf = session.csrf_token().await?.ok_or(Rejection::Missing)?;
    let name = active.principal().ok_or(Rejection::Missing)?.id().to_string();
    let console = console::staff_duty(active).is_some();
    Ok(User { name, csrf: csrf.as_str().to_owned(), console, ending: Ending::of(active) })
}

fn sentence(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::FORBIDDEN => "Your account does not have the right to see or do this.",
        ProblemCode::CROSS_SITE => {
            "The request did not come from a page of this site, or the page was too old. Go back, reload the page and try again."
        }
        ProblemCode::CONFLICTING_CREDENTIALS => {
            "Your browser sent more than one session cookie. Delete the cookies of this site and sign in again."
        }
        ProblemCode::SESSION_CHANGED => {
            "Something else changed at the same moment, so nothing was done. Try again."
        }
        ProblemCode::SESSION_LIMIT => {
            "You are signed in on as many devices as allowed. Sign out on one of them first."
        }
        ProblemCode::STORE_UNAVAILABLE => {
            "We cannot look up sessions at the moment. You are not signed out; try again shortly."
        }
        UNSUPPORTED_BY_STORE => {
            "Where this server keeps its sessions, this cannot be done. Nothing was changed."
        }
        ProblemCode::TOO_MANY_ATTEMPTS => "There were too many attempts. Wait a little, then try again.",
        _ => match code.status() {
            StatusCode::UNAUTHORIZED => "You are not signed in, or no longer.",
            StatusCode::NOT_FOUND => "There is nothing at this address. It may have moved, or been mistyped.",
            StatusCode::METHOD_NOT_ALLOWED => "This page cannot be used like this.",
            StatusCode::PAYLOAD_TOO_LARGE => "What was sent is too large.",
            StatusCode::TOO_MANY_REQUESTS => {
                "This was done too often just now. Wait a minute, then try again."
            }
            StatusCode::SERVICE_UNAVAILABLE => "This is not available at the moment. Try again shortly.",
            StatusCode::FORBIDDEN => "This was refused.",
            StatusCode::BAD_REQUEST
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::UNSUPPORTED_MEDIA_TYPE => "The request could not be understood.",
            _ => "Something went wrong on our side. It has been written down; try again.",
        },
    }
}
