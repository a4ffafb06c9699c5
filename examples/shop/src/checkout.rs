//! Buying: only for somebody who has just proved who they are.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use cloakroom::FreshnessDemand;
use cloakroom_axum::{CsrfForm, Fresh, FreshnessRule, Rejection, Session};
use serde::Deserialize;

use crate::Shop;
use crate::goods::{CART, Cart};
use crate::pages::{self, Visitor};

/// Money is only spent by whoever proved their identity within five minutes.
pub(crate) struct ToSpend;

impl FreshnessRule for ToSpend {
    fn demand() -> FreshnessDemand {
        FreshnessDemand::within(Duration::from_secs(5 * 60))
    }
}

pub(crate) async fn review(
    _: Fresh<ToSpend>,
    visitor: Visitor,
    session: Session,
) -> Result<Response, Rejection> {
    let cart = session.get(&CART).await?.unwrap_or_default();
    if cart.pieces() == 0 {
        return Ok(Redirect::to("/").into_response());
    }
    let csrf_token = session.csrf_token().await?.map(|token| token.to_string()).unwrap_or_default();
    Ok(pages::page(&pages::Checkout { visitor, lines: cart.lines(), total: cart.total(), csrf_token }))
}

#[derive(Deserialize)]
pub(crate) struct Order {}

pub(crate) async fn order(
    State(shop): State<Shop>,
    _: Fresh<ToSpend>,
    session: Session,
    mut visitor: Visitor,
    CsrfForm(Order {}): CsrfForm<Order>,
) -> Result<Response, Rejection> {
    let cart = take_cart(&session).await?;
    if cart.pieces() == 0 {
        return Ok(Redirect::to("/").into_response());
    }
    let number = shop.orders.fetch_add(1, Ordering::Relaxed) + 1;
    visitor.pieces = 0;
    Ok(pages::page(&pages::Thanks { visitor, number, total: cart.total() }))
}

/// Takes the cart out of the session: of two requests at once, one gets it and the other an empty one.
///
/// It is written before the order is placed. If the store cannot say whether it was, there is no order: a cart to fill
/// again is better than goods that come twice.
async fn take_cart(session: &Session) -> Result<Cart, Rejection> {
    let taken = Arc::new(Mutex::new(Cart::default()));
    let sink = Arc::clone(&taken);
    // The last run of the closure is the one that takes effect.
    session
        .update(&CART, move |cart| {
            *sink.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(cart)
        })
        .await?;
    session.save().await?;
    let cart = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(cart)
}
