//! Sessions over HTTP, without a server: what is decided from a request's head, and what is written into a response's.
//!
//! Pure functions over the `http` crate's types. Nothing here reads a clock, draws a random number, waits, or knows a
//! framework; `cloakroom-axum` and `cloakroom-server` are the two that act on what is decided here.
//!
//! | question | answered by |
//! |---|---|
//! | which token does this request present? | [`find_token`] |
//! | did a page of ours send it? | [`OriginGuard`] |
//! | did a form of ours send it? | [`csrf`] |
//! | from which device and address did it come? | [`Client`], [`TrustedProxies`] |
//! | how is the token handed out, and taken back? | [`CookiePolicy`] |
//! | where may the browser be sent back to? | [`ReturnPolicy`] |
//! | how is a refusal written? | [`Problem`] |
//!
//! # Sources
//! RFC 6265bis (cookies), RFC 9110 (HTTP), RFC 6750 (bearer tokens), RFC 7239 (`Forwarded`), RFC 9457 (problem
//! details), W3C Fetch Metadata, OWASP ASVS 5.0 (ids such as 3.3.1).

pub mod csrf;
pub mod response;

mod client;
mod cookie;
mod credential;
mod head;
mod origin;
mod problem;
mod return_to;

pub use client::{Client, ForwardingHeader, MalformedNetwork, Scheme, TrustedProxies, device_label};
pub use cookie::{CookiePolicy, CookiePolicyBuilder, CookiePolicyError, CookieWeakness, SameSite};
pub use credential::{Carrier, Found, OtherBearer, Refusal, find_token, service_key, uri_carries_token};
pub use head::Head;
pub use origin::{CrossSite, Demand, MalformedOrigin, Origin, OriginGuard};
pub use problem::{Problem, ProblemCode};
pub use return_to::{RefusedReturn, ReturnPolicy, ReturnTo};
