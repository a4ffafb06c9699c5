//! Signing in and out, and proving identity again.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use cloakroom::{AuthLevel, Method, Persistence, Principal};
use cloakroom_axum::{Rejection, ReturnPolicy, ReturnTo, Session, SignIn, SignedIn};
use serde::Deserialize;

use crate::Shop;
use crate::goods::CART;
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
    #[serde(default)]
    name: String,
    password: String,
    #[serde(default)]
    remember: bool,
    #[serde(default)]
    return_to: String,
}

pub(crate) async fn sign_in(
    State(shop): State<Shop>,
    visitor: Visitor,
    session: Session,
    Form(form): Form<Credentials>,
) -> Result<Response, Rejection> {
    let return_to = way_back(&form.return_to);
    let Some(customer) = shop.customers.check(&form.name, form.password).await else {
        let page = pages::SignIn { visitor, return_to, notice: Some("The name or the password is wrong.") };
        return Ok((StatusCode::UNAUTHORIZED, pages::page(&page)).into_response());
    };
    // Another session with another token. Of what the visitor had before, the cart comes along and nothing else.
    let persistence = if form.remember { Persistence::Remembered } else { Persistence::Browser };
    let sign_in = SignIn::new(Principal::new(customer), AuthLevel::One, Method::password());
    session.sign_in(sign_in.persistence(persistence).carrying(&CART)).await?;
    Ok(Redirect::to(return_to.as_str()).into_response())
}

pub(crate) async fn sign_out(session: Session) -> Result<Redirect, Rejection> {
    session.sign_out().await?;
    Ok(Redirect::to("/"))
}

pub(crate) async fn confirm_form(_: SignedIn, visitor: Visitor, Query(asked): Query<Asked>) -> Response {
    pages::page(&pages::Confirm { visitor, return_to: way_back(&asked.return_to), notice: None })
}

pub(crate) async fn confirm(
    State(shop): State<Shop>,
    SignedIn(signed_in): SignedIn,
    visitor: Visitor,
    session: Session,
    Form(form): Form<Credentials>,
) -> Result<Response, Rejection> {
    let return_to = way_back(&form.return_to);
    let name = signed_in.principal().map_or("", |principal| principal.id().as_str());
    if shop.customers.check(name, form.password).await.is_none() {
        let page = pages::Confirm { visitor, return_to, notice: Some("The password is wrong.") };
        return Ok((StatusCode::UNAUTHORIZED, pages::page(&page)).into_response());
    }
    session.reauthenticate(AuthLevel::One, Method::password()).await?;
    Ok(Redirect::to(return_to.as_str()).into_response())
}

/// Only into the shop itself: whoever made the link could otherwise send people anywhere.
fn way_back(address: &str) -> ReturnTo {
    ReturnPolicy::own_paths().check(address).unwrap_or_else(|_| ReturnTo::start())
}

fn why_ended(reason: &str) -> Option<&'static str> {
    match reason {
        "" => None,
        "idle_timeout" | "absolute_timeout" => {
            Some("You were signed out after a while. Sign in again to go on.")
        }
        "session_limit" => Some("You signed in on another device, so this one was signed out."),
        _ => Some("You were signed out. Sign in again to go on."),
    }
}
