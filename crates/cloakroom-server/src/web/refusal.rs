//! Refusals: a problem for programs, a page for people.

use std::any::Any;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cloakroom::{Actor, Device};
use cloakroom_audit::{Draft, names};
use cloakroom_axum::{Rejection, RequestFacts};
use cloakroom_http::{Problem, ProblemCode};
use cloakroom_store::{ErrorKind, StoreError};
use http::StatusCode;

use super::App;
use super::context::{Context, Reader, is_api};
use super::extract::{MALFORMED, TOO_LARGE, WRONG_TYPE};
use super::pages;
use crate::accounts::{AccountError, AccountErrorKind};
use crate::ended::LIVE_ON;

/// A refusal: the server's own, or one that the session layer's questions ended in.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Boxed: refusals are the rare end of every `Result` here.
    problem: Box<Problem>,
    /// What the session layer said: it knows when a detour to sign-in helps.
    rejection: Option<Box<Rejection>>,
}

/// Marks a response as a refusal that may still become a page.
#[derive(Clone, Debug)]
struct Refused(Problem);

impl Refusal {
    pub(super) fn new(code: ProblemCode) -> Self {
        Self::from(Problem::new(code))
    }

    pub(super) fn detail(self, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(self.problem.with_detail(detail)), ..self }
    }

    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self { problem: Box::new(self.problem.with_retry_after(seconds)), ..self }
    }

    /// The same, with a further member for programs.
    pub(super) fn member(self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        Self { problem: Box::new(self.problem.with(name, value)), ..self }
    }

    /// What is wrong, in one sentence for whoever fills in a form.
    pub(super) fn sentence(&self) -> String {
        pages::setup::sentence(self.problem.detail().unwrap_or_else(|| self.problem.code().title()))
    }

    pub(super) fn not_found() -> Self {
        Self::new(NOT_FOUND)
    }

    /// What a list that could not be made is: a store may be unable to make any.
    pub(super) fn of_list(error: StoreError) -> Self {
        if error.kind() == ErrorKind::Unsupported {
            return Self::unlisted();
        }
        Self::from(Rejection::from(error))
    }

    /// Sessions cannot be listed here.
    pub(super) fn unlisted() -> Self {
        Self::new(UNSUPPORTED_BY_STORE).detail("the store of this server cannot list sessions")
    }

    /// What an end that did not come about is: where sessions are sealed without a list of ends, none does.
    pub(super) fn of_end(error: StoreError) -> Self {
        if error.kind() == ErrorKind::Unsupported {
            Self::cannot_end()
        } else {
            Rejection::from(error).into()
        }
    }

    /// A session that is named by its id, where nobody can tell whose that is.
    pub(super) fn whose() -> Self {
        let detail = "this server cannot look sessions up, so nobody can tell whose that one is; all of one person can be ended \
                      at once";
        Self::new(UNSUPPORTED_BY_STORE).detail(detail)
    }

    /// Nothing can be ended here.
    pub(super) fn cannot_end() -> Self {
        Self::new(UNSUPPORTED_BY_STORE).detail(LIVE_ON)
    }

    pub(super) fn code(&self) -> ProblemCode {
        self.problem.code()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Some(rejection) = self.rejection {
            return rejection.into_response();
        }
        let mut response = self.problem.to_response::<Body>();
        response.extensions_mut().insert(Refused(*self.problem));
        response
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        refusal.into_response()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), rejection: None }
    }
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        match error.kind() {
            AccountErrorKind::Overloaded => Self::new(BUSY).retry_after(RETRY_AFTER_SECONDS),
            AccountErrorKind::Busy
            | AccountErrorKind::Unavailable
            | AccountErrorKind::Full
            | AccountErrorKind::ReadOnly => {
                tracing::error!(%error, cause = std::error::Error::source(&error), "the accounts are unavailable");
                Self::new(ACCOUNTS_UNAVAILABLE).retry_after(RETRY_AFTER_SECONDS)
            }
            _ => {
                tracing::error!(%error, cause = std::error::Error::source(&error), "the accounts could not be used");
                Self::new(ProblemCode::INTERNAL)
            }
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self { problem: Box::new(rejection.problem()), rejection: Some(Box::new(rejection)) }
    }
}

/// What the session layer's refusals become: problems as they are for programs; for people, a detour to sign-in where
/// that helps, else a page.
pub(super) fn restyle(rejection: &Rejection, facts: &RequestFacts) -> Option<Response> {
    let helps = rejection.needs_sign_in() || matches!(rejection, Rejection::ReauthenticationRequired);
    if helps && facts.wants_page() && !is_api(facts.uri().path()) {
        return None;
    }
    Some(Refusal::from(rejection.problem()).into_response())
}

/// Turns refusals into pages where a person waits for one.
pub(super) async fn dress(State(app): State<App>, request: Request, next: Next) -> Response {
    let context = request.extensions().get::<Context>().cloned();
    let response = next.run(request).await;
    let response = if is_plain_complaint(&response) {
        // An extractor's own words: about a form, a query or a path that cannot be read.
        Refusal::new(MALFORMED).into_response()
    } else {
        response
    };
    let refused = response.extensions().get::<Refused>().cloned();
    if let (Some(Refused(problem)), Some(context)) = (&refused, &context)
        && context.reader == Reader::Caller
    {
        note_unreadable(&app, context, problem.code());
    }
    match (refused, context) {
        (Some(Refused(problem)), Some(context)) if context.reader == Reader::Person => {
            let (parts, _) = response.into_parts();
            let mut page = pages::error(&app, &context, &problem);
            // What the refusal said besides: Set-Cookie, Retry-After, Allow.
            for (name, value) in &parts.headers {
                if name != http::header::CONTENT_TYPE && name != http::header::CONTENT_LENGTH {
                    page.headers_mut().append(name, value.clone());
                }
            }
            page
        }
        _ => response,
    }
}

/// Remembers a call of the API that no client of ours makes: of the wrong type, too large, unreadable, with parameters or
/// fields that there are none of. What people type into forms is no such thing.
fn note_unreadable(app: &App, context: &Context, code: ProblemCode) {
    if !matches!(code, MALFORMED | TOO_LARGE | WRONG_TYPE) {
        return;
    }
    tracing::warn!(event = names::INPUT_VALIDATION_FAIL, code = code.as_str(), "a call could not be read");
    let device = context.client.ip().map(|ip| Device::new().with_ip(ip));
    let draft = Draft::new(names::INPUT_VALIDATION_FAIL, app.sessions.now()).by(Actor::User(None));
    app.audit.note(draft.from_device(device).because(code.as_str()));
}

fn is_plain_complaint(response: &Response) -> bool {
    let is_text = |value: &http::HeaderValue| value.as_bytes().starts_with(b"text/plain");
    response.status().is_client_error()
        && response.headers().get(http::header::CONTENT_TYPE).is_some_and(is_text)
}

/// Nothing is there.
pub(super) async fn not_found() -> Refusal {
    Refusal::not_found()
}

/// Something is there, but not for this method. The router adds `Allow`.
pub(super) async fn method_not_allowed(method: Method) -> Refusal {
    Refusal::new(METHOD_NOT_ALLOWED).detail(format!("{method} is not understood here"))
}

/// A defect of ours: the process lives, the client learns nothing (ASVS 16.5.1, 16.5.4).
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(event = "sys_crash", panic = text, "a handler panicked");
    Refusal::new(ProblemCode::INTERNAL).into_response()
}

const NOT_FOUND: ProblemCode = ProblemCode::new("not_found", StatusCode::NOT_FOUND, "There is nothing here");
const METHOD_NOT_ALLOWED: ProblemCode = ProblemCode::new(
    "method_not_allowed",
    StatusCode::METHOD_NOT_ALLOWED,
    "This method is not understood here",
);
/// Where sessions live cannot do this; another store could.
pub(super) const UNSUPPORTED_BY_STORE: ProblemCode = ProblemCode::new(
    "unsupported_by_store",
    StatusCode::NOT_IMPLEMENTED,
    "Where sessions live, this cannot be done",
);
/// The rules refuse a new password.
pub(super) const WEAK_PASSWORD: ProblemCode =
    ProblemCode::new("weak_password", StatusCode::UNPROCESSABLE_ENTITY, "This password is easy to guess");
const BUSY: ProblemCode = ProblemCode::new(
    "busy",
    StatusCode::SERVICE_UNAVAILABLE,
    "Too many passwords are being checked; try again",
);
const ACCOUNTS_UNAVAILABLE: ProblemCode = ProblemCode::new(
    "accounts_unavailable",
    StatusCode::SERVICE_UNAVAILABLE,
    "Accounts cannot be looked up at the moment",
);
const RETRY_AFTER_SECONDS: u64 = 2;
