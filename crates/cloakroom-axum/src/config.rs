//! What a layer was told, and what follows from it for a request's head.

use std::fmt;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use cloakroom::{Event, EventKind, Presenter as _, Random, Sessions};
use cloakroom_http::{
    Carrier, CookiePolicy, Demand, Found, Head, OriginGuard, TrustedProxies, find_token, uri_carries_token,
};
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, Request, StatusCode};

use crate::overtaken::Overtaken;
use crate::{Inspector, Rejection, RequestFacts};

type Restyle = dyn Fn(&Rejection, &RequestFacts) -> Option<Response> + Send + Sync;

/// Everything a [`SessionLayer`](crate::SessionLayer) was told.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) sessions: Sessions,
    pub(crate) cookie: CookiePolicy,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) guard: Option<OriginGuard>,
    pub(crate) proxies: TrustedProxies,
    pub(crate) sign_in_page: Option<Box<str>>,
    pub(crate) reauthentication_page: Option<Box<str>>,
    pub(crate) restyle: Option<Arc<Restyle>>,
    pub(crate) inspector: Option<Arc<dyn Inspector>>,
    pub(crate) overtaken: Arc<Overtaken>,
}

impl Config {
    /// Looks at a request's head: who is it, and may it go on?
    ///
    /// # Cost
    /// No store access; no heap allocation but for events, and for the text of a sealed token.
    pub(crate) fn admit<B>(&self, request: &Request<B>, facts: &RequestFacts) -> Result<Found, Rejection> {
        let found = find_token(request.headers(), &self.cookie);
        if uri_carries_token(request.uri()) {
            self.report(EventKind::TokenInUrl, facts);
        }
        if let Found::Refused(_) = found {
            self.report(EventKind::ConflictingTokens, facts);
        }
        let demand = match found {
            Found::Cookie(_) | Found::Refused(_) | Found::Malformed(Carrier::Cookie) => {
                Demand::CookieAuthenticated
            }
            Found::Nothing => Demand::SignIn,
            Found::Bearer(_) | Found::Malformed(Carrier::Bearer) | Found::Other(_) => Demand::Explicit,
        };
        match self.guard.as_ref().map_or(Ok(()), |guard| guard.check(Head::from(request), demand)) {
            Ok(()) => Ok(found),
            Err(why) => {
                self.report(EventKind::CrossSiteBlocked, facts);
                Err(Rejection::CrossSite(why))
            }
        }
    }

    /// The response in which the application, or else the browser, wants to be told of `rejection`; `None` for the
    /// problem as it is.
    pub(crate) fn restyled(&self, rejection: &Rejection, facts: &RequestFacts) -> Option<Response> {
        let own = self.restyle.as_ref().and_then(|restyle| restyle(rejection, facts));
        own.or_else(|| {
            let page = match rejection {
                Rejection::ReauthenticationRequired => self.reauthentication_page.as_deref(),
                rejection if rejection.needs_sign_in() => self.sign_in_page.as_deref(),
                _ => None,
            };
            detour(page.filter(|_| facts.wants_page())?, rejection, facts)
        })
    }

    fn report(&self, kind: EventKind, facts: &RequestFacts) {
        self.sessions.report(&Event::new(kind, self.sessions.now()).from_device(Some(facts.device())));
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("sessions", &self.sessions)
            .field("cookie", &self.cookie)
            .field("guard", &self.guard)
            .field("proxies", &self.proxies)
            .field("sign_in_page", &self.sign_in_page)
            .field("reauthentication_page", &self.reauthentication_page)
            .field("inspector", &self.inspector)
            .finish_non_exhaustive()
    }
}

/// A redirect to `page`, which is told where to come back to, and why the session ended.
fn detour(page: &str, rejection: &Rejection, facts: &RequestFacts) -> Option<Response> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    // An address with a token in it is not repeated: it would stand in the next address, and in the browser's history.
    if let Some(address) = facts.return_address().filter(|_| !uri_carries_token(facts.uri())) {
        query.append_pair("return_to", address);
    }
    if let Some(reason) = rejection.end_reason() {
        query.append_pair("ended", reason.as_str());
    }
    let query = query.finish();
    let separator = if page.contains('?') { '&' } else { '?' };
    let location = if query.is_empty() { page.to_owned() } else { format!("{page}{separator}{query}") };
    let headers = [
        (LOCATION, HeaderValue::try_from(location).ok()?),
        // What is said here depends on a session that the next request may have.
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Some((StatusCode::SEE_OTHER, headers).into_response())
}
