//! The shelf and the cart: no sign-in needed.

use axum::Form;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use cloakroom_axum::{Rejection, Session};
use serde::Deserialize;

use crate::goods::{Article, CART, SHELF};
use crate::pages::{self, Visitor};

pub(crate) async fn shelf(visitor: Visitor, session: Session) -> Result<Response, Rejection> {
    let cart = session.get(&CART).await?.unwrap_or_default();
    Ok(pages::page(&pages::Shelf { visitor, shelf: &SHELF, lines: cart.lines(), total: cart.total() }))
}

#[derive(Deserialize)]
pub(crate) struct Change {
    article: String,
    #[serde(default)]
    put_back: bool,
}

pub(crate) async fn change(session: Session, Form(change): Form<Change>) -> Result<Response, Rejection> {
    let Some(article) = Article::find(&change.article) else {
        return Ok((StatusCode::NOT_FOUND, pages::apology("There is no such article")).into_response());
    };
    // The closure runs again where another tab changed the cart in between: neither tab loses anything.
    session
        .update(&CART, move |cart| if change.put_back { cart.put_back(article) } else { cart.add(article) })
        .await?;
    Ok(Redirect::to("/").into_response())
}
