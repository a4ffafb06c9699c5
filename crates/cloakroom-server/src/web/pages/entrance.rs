//! Coming and going.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom::{EndReason, Persistence};
use cloakroom_axum::{CsrfForm, Rejection, Session};
use cloakroom_http::{ProblemCode, ReturnTo, Scheme};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::farewell::farewell;
use super::view::{Notice, Page, User, amount};
use super::{address, render, render_with, see_other, user};
use crate::web::App;
use crate::web::context::Context;
use crate::web::door::{Credentials, TokenCarrier};
use crate::web::refusal::Refusal;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    page: Page<'a>,
    notice: Option<Notice>,
    return_to: Option<String>,
    username: String,
    remember_offered: bool,
    remembered_for: Option<String>,
}

#[derive(Template)]
#[template(path = "cookie_refused.html")]
struct CookieRefusedPage<'a> {
    page: Page<'a>,
    better_address: Option<String>,
}

#[derive(Template)]
#[template(path = "sign_out.html")]
struct SignOutPage<'a> {
    page: Page<'a>,
    user: User,
}

/// What brings people to sign-in.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Arrival {
    return_to: Option<String>,
    ended: Option<String>,
    notice: Option<String>,
}

#[derive(Deserialize)]
pub(in crate::web) struct SignInForm {
    username: String,
    password: Zeroizing<String>,
    remember: Option<String>,
    return_to: Option<String>,
}

/// Leads on: to set-up where nobody can sign in yet, else to the account or to sign-in.
pub(in crate::web) async fn start(State(app): State<App>, session: Session) -> Result<Response, Refusal> {
    if app.accounts.count().await? == 0 {
        return Ok(see_other("/setup"));
    }
    let signed_in = session.principal().await?.is_some();
    Ok(see_other(if signed_in { "/account" } else { "/sign-in" }))
}

pub(in crate::web) async fn show_sign_in(
    State(app): State<App>,
    context: Context,
    session: Session,
    Query(arrival): Query<Arrival>,
) -> Result<Response, Refusal> {
    let ended = match session.require_signed_in().await {
        Ok(_) => return Ok(see_other(app.destination(arrival.return_to.as_deref()).as_str())),
        // Whoever comes here by themselves, with the cookie of a session that is over.
        Err(rejection) if rejection.needs_sign_in() => rejection.end_reason(),
        Err(rejection) => return Err(rejection.into()),
    };
    let told = arrival.ended.and_then(|reason| reason.parse::<EndReason>().ok());
    let notice = told.or(ended).and_then(|reason| farewell(reason, &app.config.policy));
    let notice = notice.or_else(|| arrival.notice.as_deref().and_then(Notice::named));
    Ok(render(&app.sign_in_page(&context, notice, arrival.return_to, String::new())))
}

pub(in crate::web) async fn sign_in(
    State(app): State<App>,
    context: Context,
    session: Session,
    Form(form): Form<SignInForm>,
) -> Result<Response, Refusal> {
    let persistence = if form.remember.is_some() { Persistence::Remembered } else { Persistence::Browser };
    let credentials = Credentials {
        username: form.username.clone(),
        password: form.password,
        persistence,
        carrier: TokenCarrier::Cookie,
    };
    let Err(refusal) = app.sign_in(&session, &context, credentials).await else {
        let back = app.destination(form.return_to.as_deref());
        return Ok(see_other(&address("/sign-in/done", &[("return_to", back.as_str())])));
    };
    let text = match refusal.code() {
        ProblemCode::INVALID_CREDENTIALS => "The name or the password is wrong.",
        ProblemCode::TOO_MANY_ATTEMPTS => "There were too many attempts. Wait a little, then try again.",
        ProblemCode::SESSION_LIMIT => {
            "You are signed in on as many devices as allowed. Sign out on one of them, then try again."
        }
        _ => return Err(refusal),
    };
    let status = refusal.code().status();
    let notice = Notice::bad(refusal.code().as_str(), text);
    let page = app.sign_in_page(&context, Some(notice), form.return_to, form.username);
    let mut response = render_with(status, &page);
    if let Some(wait) = refusal.into_response().headers().get(http::header::RETRY_AFTER) {
        response.headers_mut().insert(http::header::RETRY_AFTER, wait.clone());
    }
    Ok(response)
}

/// Where the browser is sent right after a sign-in: does it have the cookie?
pub(in crate::web) async fn signed_in(
    State(app): State<App>,
    context: Context,
    session: Session,
    Query(arrival): Query<Arrival>,
) -> Result<Response, Refusal> {
    if session.principal().await?.is_some() {
        return Ok(see_other(app.destination(arrival.return_to.as_deref()).as_str()));
    }
    let in_clear = context.client.scheme() == Scheme::Http;
    let better_address = in_clear.then(|| app.config.public_url.join("/sign-in"));
    Ok(render_with(
        StatusCode::BAD_REQUEST,
        &CookieRefusedPage { page: Page::new(&app, &context), better_address },
    ))
}

pub(in crate::web) async fn show_sign_out(
    State(app): State<App>,
    context: Context,
    session: Session,
) -> Result<Response, Rejection> {
    let active = session.require_unproven().await?;
    let user = user(&session, &active).await?;
    Ok(render(&SignOutPage { page: Page::new(&app, &context), user }))
}

#[derive(Deserialize)]
pub(in crate::web) struct Nothing {}

pub(in crate::web) async fn sign_out(
    State(app): State<App>,
    session: Session,
    _: CsrfForm<Nothing>,
) -> Result<Response, Rejection> {
    session.sign_out().await?;
    Ok(signed_out(&app))
}

/// Where people find themselves after signing out.
pub(super) fn signed_out(app: &App) -> Response {
    see_other(if app.can_end() { "/sign-in?notice=signed_out" } else { "/sign-in?notice=signed_out_here" })
}

/// A picture of nothing on the page that follows a session's end, whose head makes the browser forget the pages it kept:
/// "back" shows none of them, also where no script can see to that (ASVS 14.3.1, 4.0.3-3.3.1). Browsers that keep pages
/// in memory hear this from a part of a page, not from a redirect. `"cookies"` would reach sibling subdomains.
pub(in crate::web) async fn sweep() -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("image/svg+xml; charset=utf-8")),
        (HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\"")),
    ];
    (headers, r#"<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>"#).into_response()
}

impl App {
    /// Where to go after a sign-in: where one came from, if that may be trusted.
    pub(super) fn destination(&self, return_to: Option<&str>) -> ReturnTo {
        let wanted = return_to.and_then(|address| self.returns.check(address).ok());
        let account = || self.returns.check("/account").unwrap_or_else(|_| ReturnTo::start());
        wanted.filter(|address| !address.as_str().starts_with("/sign-")).unwrap_or_else(account)
    }

    fn sign_in_page<'a>(
        &self,
        context: &'a Context,
        notice: Option<Notice>,
        return_to: Option<String>,
        username: String,
    ) -> SignInPage<'a> {
        let remember_me = self.config.policy.remember_me();
        SignInPage {
            page: Page::new(self, context),
            notice,
            return_to: return_to.filter(|address| self.returns.check(address).is_ok()),
            username,
            remember_offered: remember_me.is_some(),
            remembered_for: remember_me.map(|timeouts| amount(timeouts.absolute.as_secs())),
        }
    }
}
