//! The layer.

use std::sync::Arc;

use axum::response::Response;
use cloakroom::{OsRandom, Random, Sessions};
use cloakroom_http::{CookiePolicy, OriginGuard, TrustedProxies};
use tower::Layer;

use crate::config::Config;
use crate::overtaken::Overtaken;
use crate::{Inspector, Rejection, RequestFacts, SessionService};

/// Gives every request a [`Session`](crate::Session), and every response the cookie that belongs to it.
///
/// ```
/// use cloakroom::Sessions;
/// use cloakroom_axum::{CookiePolicy, OriginGuard, SameSite, SessionLayer};
/// use cloakroom_memory::MemoryStore;
///
/// let sessions = Sessions::builder(MemoryStore::default()).build()?;
/// let layer = SessionLayer::new(sessions)
///     .cookie(CookiePolicy::builder().named("__Host-shop").same_site(SameSite::Strict).build()?)
///     .origin_guard(OriginGuard::new(["https://shop.example".parse()?]))
///     .sign_in_at("/sign-in");
/// # let _: axum::Router = axum::Router::new().layer(layer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Put it inside layers that compress or log, and outside everything that asks for a session.
#[derive(Clone, Debug)]
#[must_use = "put it around a router or a service"]
pub struct SessionLayer {
    /// Shared with every service: a router that is not finished puts the layer around its handlers at each connection.
    config: Arc<Config>,
}

impl SessionLayer {
    /// A layer over `sessions`: the cookie `__Host-cloakroom`, the origin guard on, refusals as problem+json.
    pub fn new(sessions: Sessions) -> Self {
        Self {
            config: Arc::new(Config {
                sessions,
                cookie: CookiePolicy::default(),
                random: Arc::new(OsRandom),
                guard: Some(OriginGuard::from_host()),
                proxies: TrustedProxies::none(),
                sign_in_page: None,
                reauthentication_page: None,
                restyle: None,
                inspector: None,
                overtaken: Arc::new(Overtaken::new()),
            }),
        }
    }

    fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }

    /// The same with this cookie.
    pub fn cookie(mut self, cookie: CookiePolicy) -> Self {
        self.config_mut().cookie = cookie;
        self
    }

    /// The same, guarded by `guard`, which should know the public origin and the trusted ones.
    pub fn origin_guard(mut self, guard: OriginGuard) -> Self {
        self.config_mut().guard = Some(guard);
        self
    }

    /// The same without an origin guard.
    ///
    /// # Security
    /// Every site a user visits can then act in the user's name wherever the cookie's `SameSite` and CSRF tokens do
    /// not prevent it. To serve one endpoint that other sites may call, put it outside of the layer instead.
    pub fn dangerously_without_origin_guard(mut self) -> Self {
        self.config_mut().guard = None;
        self
    }

    /// The same, believing these proxies about the client's address.
    ///
    /// The address of the connection itself is known where the server was started with
    /// `into_make_service_with_connect_info::<SocketAddr>()`.
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.config_mut().proxies = proxies;
        self
    }

    /// The same, sending browsers that ask for a page nobody is signed in for to `page`, with `?return_to=` where they
    /// came from and `&ended=` why their session ended. Check `return_to` with
    /// [`ReturnPolicy`](crate::ReturnPolicy) before following it.
    pub fn sign_in_at(mut self, page: impl Into<Box<str>>) -> Self {
        self.config_mut().sign_in_page = Some(page.into());
        self
    }

    /// The same, sending browsers that ask for a page the proof of identity is too old for to `page`.
    pub fn reauthenticate_at(mut self, page: impl Into<Box<str>>) -> Self {
        self.config_mut().reauthentication_page = Some(page.into());
        self
    }

    /// The same, having `inspector` judge each request whose session is found active.
    pub fn inspector(mut self, inspector: impl Inspector) -> Self {
        self.config_mut().inspector = Some(Arc::new(inspector));
        self
    }

    /// The same, with refusals styled by `restyle`; where it answers `None`, as without it.
    ///
    /// It sees every [`Rejection`] that becomes a response: of extractors, of handlers that pass one on with `?`, of
    /// the layer itself.
    pub fn rejections<F>(mut self, restyle: F) -> Self
    where
        F: Fn(&Rejection, &RequestFacts) -> Option<Response> + Send + Sync + 'static,
    {
        self.config_mut().restyle = Some(Arc::new(restyle));
        self
    }

    /// The same, drawing the nonces of CSRF tokens from `random`. For tests.
    pub fn random(mut self, random: impl Random) -> Self {
        self.config_mut().random = Arc::new(random);
        self
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, Arc::clone(&self.config))
    }
}
