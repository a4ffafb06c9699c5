//! Rules for whole groups of routes.

use std::sync::Arc;

use cloakroom::{FreshnessDemand, Role};
use http::{Extensions, Request};
use tower::{Layer, Service};

use crate::{GuardService, Misuse, Rejection, Session};

/// Lets only requests of somebody who is signed in through.
///
/// ```
/// use axum::{Router, routing::get};
/// use cloakroom_axum::{require_role, require_signed_in};
///
/// let account: Router = Router::new().route("/account", get(|| async { "yours" })).layer(require_signed_in());
/// let admin: Router = Router::new().route("/admin", get(|| async { "theirs" })).layer(require_role("admin"));
/// ```
pub fn require_signed_in() -> RequireLayer {
    RequireLayer::new(Rule::SignedIn)
}

/// Lets only requests of somebody with the role of this name through.
///
/// # Panics
/// Where no role can have this name.
pub fn require_role(name: &str) -> RequireLayer {
    RequireLayer::new(Rule::Role(Role::new(name).expect("the name of a role")))
}

/// Lets only requests of somebody through who proved identity as `demand` asks (ASVS 7.5.1).
pub fn require_fresh(demand: FreshnessDemand) -> RequireLayer {
    RequireLayer::new(Rule::Fresh(demand))
}

/// Lets requests through as they are, but with the store's own word on their session instead of this node's memory: for
/// routes that must not be reached under a session that was ended elsewhere a moment ago.
///
/// # Cost
/// One round trip for each request with a token.
pub fn authoritative() -> RequireLayer {
    RequireLayer::new(Rule::Authoritative)
}

/// Marks requests as no activity: polling a route under it keeps no session alive.
///
/// It has to be reached before anything asks for the session.
#[must_use]
pub fn not_activity() -> NotActivityLayer {
    NotActivityLayer(())
}

/// A rule for a group of routes; made by [`require_signed_in`], [`require_role`], [`require_fresh`] and [`authoritative`].
#[derive(Clone, Debug)]
#[must_use = "put it around routes"]
pub struct RequireLayer {
    rule: Arc<Rule>,
}

#[derive(Debug)]
pub(crate) enum Rule {
    SignedIn,
    Role(Role),
    Fresh(FreshnessDemand),
    Authoritative,
}

impl Rule {
    pub(crate) async fn check(&self, extensions: &Extensions) -> Result<(), Rejection> {
        let session = extensions.get::<Session>().ok_or(Misuse::NoLayer)?;
        match self {
            Self::SignedIn => session.require_signed_in().await.map(drop),
            Self::Role(role) => session.require_role(role.as_str()).await.map(drop),
            Self::Fresh(demand) => session.require_fresh(demand).await.map(drop),
            Self::Authoritative => session.confirm().await.map(drop),
        }
    }
}

impl RequireLayer {
    fn new(rule: Rule) -> Self {
        Self { rule: Arc::new(rule) }
    }
}

impl<S> Layer<S> for RequireLayer {
    type Service = GuardService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GuardService::new(inner, Arc::clone(&self.rule))
    }
}

/// Marks requests as no activity; made by [`not_activity`].
#[derive(Clone, Debug)]
pub struct NotActivityLayer(());

impl<S> Layer<S> for NotActivityLayer {
    type Service = NotActivityService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        NotActivityService { inner }
    }
}

/// What [`NotActivityLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct NotActivityService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for NotActivityService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(session) = request.extensions().get::<Session>() {
            session.not_activity();
        }
        self.inner.call(request)
    }
}
