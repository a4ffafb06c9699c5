//! The first administrator, created through the one-time link.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::Response;
use cloakroom::Persistence;
use cloakroom_axum::Session;
use http::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::view::{Notice, Page};
use super::{render, render_with, see_other};
use crate::accounts::{AccountName, NewAccount, NewPassword, Password, Roles, SetupToken, SetupUsed};
use crate::web::App;
use crate::web::context::Context;
use crate::web::door::TokenCarrier;
use crate::web::refusal::Refusal;

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage<'a> {
    page: Page<'a>,
    notice: Option<Notice>,
    key: &'a str,
    username: &'a str,
    min_chars: usize,
    advised_chars: usize,
}

#[derive(Template)]
#[template(path = "setup_closed.html")]
struct SetupClosedPage<'a> {
    page: Page<'a>,
    key_given: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Link {
    key: Option<Zeroizing<String>>,
}

#[derive(Deserialize)]
pub(in crate::web) struct SetupForm {
    key: Zeroizing<String>,
    username: String,
    password: Zeroizing<String>,
}

pub(in crate::web) async fn show(
    State(app): State<App>,
    context: Context,
    Query(link): Query<Link>,
) -> Result<Response, Refusal> {
    if app.accounts.count().await? > 0 {
        return Ok(see_other("/sign-in"));
    }
    let key = link.key.unwrap_or_default();
    if !app.setup_is_open(&key).await? {
        return Ok(app.closed(&context, !key.is_empty()));
    }
    Ok(render(&app.setup_page(&context, None, &key, "")))
}

pub(in crate::web) async fn complete(
    State(app): State<App>,
    context: Context,
    session: Session,
    Form(form): Form<SetupForm>,
) -> Result<Response, Refusal> {
    // Hashing is for whoever has the link.
    let Some(token) = SetupToken::parse(&form.key) else { return Ok(app.closed(&context, true)) };
    if !app.setup_is_open(&form.key).await? {
        return Ok(app.closed(&context, true));
    }
    let again = |name: &'static str, text: String| {
        let page = app.setup_page(&context, Some(Notice::bad(name, text)), &form.key, &form.username);
        Ok(render_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
    };
    let name = match AccountName::new(&form.username) {
        Ok(name) => name,
        Err(error) => return again("bad_name", sentence(&error.to_string())),
    };
    let Ok(password) = Password::new(form.password.as_str()) else {
        return again("weak_password", "That password is too long.".to_owned());
    };
    let hash = match app.accounts.hash_new(name.as_str(), password).await? {
        NewPassword::Accepted { hash, .. } => hash,
        NewPassword::Refused(why) => return again("weak_password", sentence(&why.to_string())),
    };
    let roles = Roles::new(["admin"]).unwrap_or_default();
    let first = NewAccount { name, roles, hash };
    match app.accounts.complete_setup(&token, first, app.sessions.now()).await? {
        SetupUsed::Invalid => Ok(app.closed(&context, true)),
        SetupUsed::Created(account) => {
            app.administrator_created(account.name.id(), &session.device());
            let (persistence, carrier) = (Persistence::Browser, TokenCarrier::Cookie);
            app.start_session(&session, &account, persistence, carrier).await?;
            Ok(see_other("/sign-in/done"))
        }
    }
}

impl App {
    async fn setup_is_open(&self, key: &str) -> Result<bool, Refusal> {
        let Some(token) = SetupToken::parse(key) else { return Ok(false) };
        Ok(self.accounts.setup_is_open(&token, self.sessions.now()).await?)
    }

    fn closed(&self, context: &Context, key_given: bool) -> Response {
        let status = if key_given { StatusCode::FORBIDDEN } else { StatusCode::OK };
        render_with(status, &SetupClosedPage { page: Page::new(self, context), key_given })
    }

    fn setup_page<'a>(
        &self,
        context: &'a Context,
        notice: Option<Notice>,
        key: &'a str,
        username: &'a str,
    ) -> SetupPage<'a> {
        SetupPage {
            page: Page::new(self, context),
            notice,
            key,
            username,
            min_chars: Password::MIN_CHARS,
            advised_chars: Password::ADVISED_CHARS,
        }
    }
}

/// An error's text as a sentence.
pub(in crate::web) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
