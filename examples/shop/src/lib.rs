//! A small shop on `cloakroom-axum`.
//!
//! | look here for | in |
//! |---|---|
//! | an anonymous cart that comes into being with its first item, and loses none to two tabs | [`cart`] |
//! | sign-in: a new session and token, the cart carried over by name, the way back checked | [`sign_in`] |
//! | a proof of identity that has to be fresh before checkout, and a form bound to its session | [`checkout`] |
//! | a user's own sessions, and ending all others | [`account`] |
//! | the layer, with pages instead of problem+json for browsers | [`app`] |

mod account;
mod cart;
mod checkout;
mod customers;
mod goods;
mod pages;
mod sign_in;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use cloakroom::Sessions;
use cloakroom_axum::{Origin, OriginGuard, Rejection, RequestFacts, SessionLayer};

pub use customers::{Customers, CustomersError};
pub use goods::{CART, Cart};

/// What all requests share.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    customers: Arc<Customers>,
    orders: Arc<AtomicU64>,
}

/// The shop, reached at `origin`.
pub fn app(sessions: Sessions, customers: Customers, origin: Origin) -> Router {
    let layer = SessionLayer::new(sessions)
        .origin_guard(OriginGuard::new([origin]))
        .sign_in_at("/sign-in")
        .reauthenticate_at("/confirm")
        .rejections(as_page);
    Router::new()
        .route("/", get(cart::shelf))
        .route("/cart", post(cart::change))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/confirm", get(sign_in::confirm_form).post(sign_in::confirm))
        .route("/checkout", get(checkout::review).post(checkout::order))
        .route("/account", get(account::sessions))
        .route("/account/end-others", post(account::end_others))
        .layer(layer)
        .route("/style.css", get(pages::style))
        .layer(map_response(harden))
        .with_state(Shop { customers: Arc::new(customers), orders: Arc::default() })
}

/// Refusals as pages for browsers, but for those that lead to the sign-in.
fn as_page(rejection: &Rejection, facts: &RequestFacts) -> Option<Response> {
    let leads_on = rejection.needs_sign_in() || matches!(rejection, Rejection::ReauthenticationRequired);
    if leads_on || !facts.wants_page() {
        return None;
    }
    let code = rejection.problem().code();
    Some((code.status(), pages::apology(code.title())).into_response())
}

/// Nothing but our own style and forms, in nobody's frame.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
