//! Signing in and out.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use cloakroom::{Actor, AuthLevel, EndReason, Method, Principal, Revocation, Selector};
use cloakroom_axum::{CurrentPrincipal, Rejection, ReturnPolicy, ReturnTo, Session, SignIn};
use serde::Deserialize;

use crate::Node;
use crate::pages::{self, Visitor};

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    return_to: String,
    #[serde(default)]
    ended: String,
}

pub(crate) async fn form(visitor: Visitor, Query(asked): Query<Asked>) -> Response {
    let notice = why_ended(&asked.ended);
    pages::page(&pages::SignIn { visitor, return_to: way_back(&asked.return_to), notice })
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: String,
    password: String,
    #[serde(default)]
    return_to: String,
}

pub(crate) async fn sign_in(
    State(node): State<Node>,
    visitor: Visitor,
    session: Session,
    Form(form): Form<Credentials>,
) -> Result<Response, Rejection> {
    let return_to = way_back(&form.return_to);
    let Some(person) = node.people.check(&form.name, form.password).await else {
        let page = pages::SignIn { visitor, return_to, notice: Some("The name or the password is wrong.") };
        return Ok((StatusCode::UNAUTHORIZED, pages::page(&page)).into_response());
    };
    session.sign_in(SignIn::new(Principal::new(person), AuthLevel::One, Method::password())).await?;
    Ok(Redirect::to(return_to.as_str()).into_response())
}

pub(crate) async fn sign_out(session: Session) -> Result<Redirect, Rejection> {
    session.sign_out().await?;
    Ok(Redirect::to("/sign-in"))
}

/// Ends every session of whoever asks, this one too; with them every socket and every stream of events, on every node.
pub(crate) async fn sign_out_everywhere(
    CurrentPrincipal(person): CurrentPrincipal,
    session: Session,
) -> Result<Redirect, Rejection> {
    let principal = person.id().clone();
    let everywhere = Selector::Principal { principal: principal.clone(), except: None };
    let by_themselves = Revocation::new(EndReason::RevokedByUser, Actor::User(Some(principal)));
    session.sessions().revoke(&everywhere, by_themselves).await?;
    // Ended by now; this makes the browser forget its token.
    session.sign_out().await?;
    Ok(Redirect::to("/sign-in?ended=revoked_by_user"))
}

/// Only into the chat itself: whoever made the link could otherwise send people anywhere.
fn way_back(address: &str) -> ReturnTo {
    ReturnPolicy::own_paths().check(address).unwrap_or_else(|_| ReturnTo::start())
}

fn why_ended(reason: &str) -> Option<&'static str> {
    match reason {
        "" => None,
        "idle_timeout" | "absolute_timeout" => {
            Some("You were signed out after a while. Sign in again to go on.")
        }
        "revoked_by_user" => Some("You were signed out everywhere."),
        _ => Some("You were signed out. Sign in again to go on."),
    }
}
