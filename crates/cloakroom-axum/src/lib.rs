//! Sessions for axum: one layer, and extractors that say in a handler's signature who may call it.
//!
//! ```
//! use axum::{Router, response::Redirect, routing::{get, post}};
//! use cloakroom::{Attribute, AuthLevel, Method, Principal, PrincipalId, Sessions};
//! use cloakroom_axum::{Rejection, Session, SessionLayer, SignIn, SignedIn};
//! use cloakroom_memory::MemoryStore;
//!
//! const CART: Attribute<Vec<String>> = Attribute::new("cart");
//!
//! // Anybody: an anonymous session comes into being with the first thing to keep.
//! async fn add(session: Session) -> Result<&'static str, Rejection> {
//!     session.update(&CART, |cart| cart.push("umbrella".into())).await?;
//!     Ok("in the cart")
//! }
//!
//! // After the password was checked: a new session, a new token; the cart comes along.
//! async fn sign_in(session: Session) -> Result<Redirect, Rejection> {
//!     let alice = Principal::new(PrincipalId::new("alice").unwrap());
//!     session.sign_in(SignIn::new(alice, AuthLevel::One, Method::password()).carrying(&CART)).await?;
//!     Ok(Redirect::to("/account"))
//! }
//!
//! // Only somebody who is signed in gets here; everybody else is told so.
//! async fn account(SignedIn(session): SignedIn) -> String {
//!     format!("hello, {}", session.principal().map_or("", |principal| principal.id().as_str()))
//! }
//!
//! let sessions = Sessions::builder(MemoryStore::default()).build()?;
//! let app: Router = Router::new()
//!     .route("/cart", post(add))
//!     .route("/sign-in", post(sign_in))
//!     .route("/account", get(account))
//!     .layer(SessionLayer::new(sessions));
//! # Ok::<(), cloakroom::PolicyError>(())
//! ```
//!
//! # What the layer does
//! 1. It finds the token, in the cookie or as bearer, and looks nothing up. A request whose handler never asks for its
//!    session costs the store nothing; one with a malformed token never does.
//! 2. It refuses what another site made the browser send ([`OriginGuard`]), before any handler runs.
//! 3. The first question of a handler reads the session, once. Changes are made on a copy.
//! 4. When the handler has answered, and before the first byte leaves, all changes are written in one step: a changed
//!    token together with changed attributes. If that fails, so does the response: nobody is told that something was
//!    saved which was not. What the handler answered, a 500 included, makes no difference to what it changed.
//! 5. `Set-Cookie` appears where the token changed, a removal where the session is over for good; never where a sibling
//!    request may just have been given another token, and never because a store did not answer. `Vary` appears where
//!    the session was read; `Cache-Control: no-store` where a cookie goes out, unless the handler chose one that keeps the
//!    response from caches which serve others.
//!
//! # Stolen sessions
//! [`SessionLayer::inspector`] has each request judged whose session is found active: it goes on, or has to prove identity
//! again, or the session ends. See [`Inspector`].
//!
//! # Refusals
//! Every refusal is a [`Rejection`]. By default it is `application/problem+json` with a stable code, or, where
//! [`SessionLayer::sign_in_at`] names the page and a browser asks for one, a redirect to it.
//! [`SessionLayer::rejections`] restyles all of them in one place.
//!
//! # Sealed sessions
//! Over an engine whose sessions travel in their tokens ([`Sessions::sealed`](cloakroom::Sessions::sealed)) handlers stay as
//! they are. What differs:
//! 1. What the session holds is what the cookie holds, so a change is another cookie. So is an activity, once per touch
//!    interval, and a key that is going out of use: then any response of a handler that asked for its session may bring one.
//!    Not one that its handler lets shared caches keep, where nothing but the activity would be told.
//! 2. A client without cookies has to take the token from each answer that brings one, whatever the route: from the field
//!    `X-Cloakroom-Token`, which counts before anything in the body. It is sent to nobody else, and never by an engine with
//!    a store. [`Session::bearer_token`] is the same token, and has to be the handler's last question.
//! 3. A cookie that would be larger than browsers keep is not sent: the response is
//!    [`Rejection::CookieTooLarge`] (413), and the client keeps the cookie it had.
//! 4. CSRF tokens and open streams belong to what stays the same while a token is sealed anew, and dies when it is rotated.
//! 5. **Parallel requests.** Each carries the state it was sent with, and of several answers the last to arrive stays in
//!    the client: of two changes at once one is lost, unnoticed. Do not keep in a sealed session what two requests of one
//!    page change. An answer that says no more than "the client was here" never undoes a change: it leaves its cookie out
//!    where this node changed, exchanged or ended the session meanwhile, or in the ten seconds before; what *another* node
//!    changed at that moment it cannot know, and there an exchange or an end is caught by the revocation list only. Each
//!    change that matters more than this belongs into a database, or the session into a store.
//! 6. Without a revocation list nothing can be ended but by its client: [`Session::sign_out`] removes the cookie and
//!    succeeds, a copy of the cookie lives on. The same holds for what an [`Inspector`] ends, and for the token from before a
//!    [`rotation`](Session::rotate).
//! 7. A token that does not open (another key, another application, changed) is a token that nobody knows: the cookie is
//!    removed. Two applications on one host need two cookie names.
//!
//! # Open streams
//! A WebSocket or a stream of events passes the door once and stays. Guard it, and it ends with its session, wherever
//! that ends: [`Session::guard_events`] for server-sent events, `Session::guard_socket` (Cargo feature `ws`) for
//! WebSockets, [`Session::watch`] for anything else.

mod config;
mod extract;
mod inspect;
mod layer;
mod overtaken;
mod rejection;
mod request;
mod require;
mod service;
mod session;
mod streams;

pub use extract::{CsrfForm, CurrentPrincipal, Fresh, FreshnessRule, HasRole, RoleName, SignedIn};
pub use inspect::{Inspection, Inspector};
pub use layer::SessionLayer;
pub use rejection::{Misuse, Rejection};
pub use request::RequestFacts;
pub use require::{
    NotActivityLayer, NotActivityService, RequireLayer, authoritative, not_activity, require_fresh,
    require_role, require_signed_in,
};
pub use service::{GuardService, ResponseFuture, SessionService};
pub use session::{Session, SignIn};
pub use streams::GuardedEvents;
#[cfg(feature = "ws")]
pub use streams::SessionSocket;

pub use cloakroom::{SessionWatch, StreamEnd};
pub use cloakroom_http::{
    CookiePolicy, Origin, OriginGuard, ReturnPolicy, ReturnTo, SameSite, TrustedProxies,
};
