//! Proving identity again before something that matters.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use cloakroom::{ActiveSession, Authentication};
use cloakroom_axum::{CsrfForm, Session};
use cloakroom_http::ProblemCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::view::{Notice, Page, User, When};
use super::{render, render_with, see_other, user};
use crate::web::App;
use crate::web::context::Context;
use crate::web::door::TOO_MANY_RENEWALS;
use crate::web::refusal::Refusal;

#[derive(Template)]
#[template(path = "reauthenticate.html")]
struct ReauthenticatePage<'a> {
    page: Page<'a>,
    user: User,
    notice: Option<Notice>,
    return_to: Option<String>,
    proved: When,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Arrival {
    return_to: Option<String>,
}

#[derive(Deserialize)]
pub(in crate::web) struct Proof {
    password: Zeroizing<String>,
    return_to: Option<String>,
}

pub(in crate::web) async fn show(
    State(app): State<App>,
    context: Context,
    session: Session,
    Query(arrival): Query<Arrival>,
) -> Result<Response, cloakroom_axum::Rejection> {
    let active = session.require_unproven().await?;
    let user = user(&session, &active).await?;
    Ok(render(&app.reauthenticate_page(&context, user, &active, None, arrival.return_to)))
}

pub(in crate::web) async fn prove(
    State(app): State<App>,
    context: Context,
    session: Session,
    CsrfForm(proof): CsrfForm<Proof>,
) -> Result<Response, Refusal> {
    let Err(refusal) = app.reauthenticate(&session, &context, proof.password).await else {
        return Ok(see_other(app.destination(proof.return_to.as_deref()).as_str()));
    };
    let text = match refusal.code() {
        ProblemCode::INVALID_CREDENTIALS => "The password is wrong.",
        ProblemCode::TOO_MANY_ATTEMPTS | TOO_MANY_RENEWALS => {
            "There were too many attempts. Wait a little, then try again."
        }
        _ => return Err(refusal),
    };
    let active = session.require_unproven().await?;
    let user = user(&session, &active).await?;
    let notice = Notice::bad(refusal.code().as_str(), text);
    let page = app.reauthenticate_page(&context, user, &active, Some(notice), proof.return_to);
    Ok(render_with(refusal.code().status(), &page))
}

impl App {
    fn reauthenticate_page<'a>(
        &self,
        context: &'a Context,
        user: User,
        active: &ActiveSession,
        notice: Option<Notice>,
        return_to: Option<String>,
    ) -> ReauthenticatePage<'a> {
        let now = self.sessions.now();
        let proved = active.authentication().map_or(active.created_at(), Authentication::authenticated_at);
        ReauthenticatePage {
            page: Page::new(self, context),
            user,
            notice,
            return_to: return_to.filter(|address| self.returns.check(address).is_ok()),
            proved: When::new(proved, now),
        }
    }
}
