//! What is kept of a request while its handler runs.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, OriginalUri};
use cloakroom::{Device, Presenter};
use cloakroom_http::{Client, Scheme, TrustedProxies};
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

/// What is known of a request once its handler has it: enough to style a refusal, nothing secret.
#[derive(Clone, Debug)]
pub struct RequestFacts {
    method: Method,
    uri: Uri,
    client: Client,
    user_agent: Option<HeaderValue>,
    fetch: Fetch,
}

/// For what a browser sends a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fetch {
    /// To show what comes back as a page.
    Page,
    /// For a page that is shown already: a script, a picture, a form sent by script.
    Resource,
    /// It does not say: an old browser, or none; and whether it would like a page best.
    Unsaid { page: bool },
}

impl RequestFacts {
    pub(crate) fn of<B>(request: &Request<B>, proxies: &TrustedProxies) -> Self {
        let headers = request.headers();
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
        Self {
            method: request.method().clone(),
            uri: uri.clone(),
            client: Client::of(headers, peer, Scheme::default(), proxies),
            user_agent: headers.get(USER_AGENT).cloned(),
            fetch: Fetch::of(headers),
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The target as the client sent it, whatever routers were nested.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Who sent it.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client
    }

    /// Whether a browser will show the answer to somebody as a page: a redirect is then understood.
    #[must_use]
    pub fn wants_page(&self) -> bool {
        matches!(self.fetch, Fetch::Page | Fetch::Unsaid { page: true })
    }

    /// The path and query to come back to after a detour, where coming back means to look at a page again.
    #[must_use]
    pub fn return_address(&self) -> Option<&str> {
        let again = self.wants_page() && matches!(self.method, Method::GET | Method::HEAD);
        again.then(|| self.uri.path_and_query().map(http::uri::PathAndQuery::as_str))?
    }

    /// Whether the token may be exchanged without the handler's asking: not while a page is loading its parts, since
    /// those would come with the old one.
    pub(crate) fn allows_rotation(&self) -> bool {
        matches!(self.fetch, Fetch::Page | Fetch::Unsaid { .. })
    }

    /// The `User-Agent` field, as it came.
    #[must_use]
    pub fn user_agent(&self) -> Option<&HeaderValue> {
        self.user_agent.as_ref()
    }
}

impl Presenter for RequestFacts {
    fn device(&self) -> Device {
        self.client.device_with_agent(self.user_agent())
    }
}

impl Fetch {
    fn of(headers: &HeaderMap) -> Self {
        match headers.get(&SEC_FETCH_MODE).map(HeaderValue::as_bytes) {
            Some(b"navigate") => Self::Page,
            Some(_) => Self::Resource,
            None => Self::Unsaid { page: prefers_html(headers) },
        }
    }
}

/// As a name: a text would be parsed into one at each request.
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whether HTML is named before any other type, as browsers do and programs don't.
fn prefers_html(headers: &HeaderMap) -> bool {
    let first = headers
        .get(ACCEPT)
        .and_then(|value| value.as_bytes().split(|byte| matches!(byte, b',' | b';')).next());
    first.is_some_and(|first| first.trim_ascii().eq_ignore_ascii_case(b"text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(method: &str, headers: &[(&str, &str)]) -> RequestFacts {
        let request = Request::builder().method(method).uri("/a?b=c");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        RequestFacts::of(&request.body(()).unwrap(), &TrustedProxies::none())
    }

    #[test]
    fn a_page_is_wanted_where_the_browser_says_so_or_asks_for_html_first() {
        for (headers, page) in [
            (&[("sec-fetch-mode", "navigate")][..], true),
            (&[("sec-fetch-mode", "cors"), ("accept", "text/html")], false),
            (&[("accept", "text/html,application/xhtml+xml")], true),
            (&[("accept", "application/json, text/html")], false),
            (&[("accept", "*/*")], false),
            (&[], false),
        ] {
            assert_eq!(facts("GET", headers).wants_page(), page, "{headers:?}");
        }
    }

    #[test]
    fn only_a_page_that_was_looked_at_is_come_back_to() {
        let navigate = [("sec-fetch-mode", "navigate")];
        assert_eq!(facts("GET", &navigate).return_address(), Some("/a?b=c"));
        assert_eq!(facts("POST", &navigate).return_address(), None);
        assert_eq!(facts("GET", &[]).return_address(), None);
    }

    #[test]
    fn parts_of_a_page_never_exchange_the_token() {
        assert!(facts("GET", &[("sec-fetch-mode", "navigate")]).allows_rotation());
        assert!(facts("GET", &[]).allows_rotation());
        assert!(!facts("GET", &[("sec-fetch-mode", "no-cors")]).allows_rotation());
    }
}
