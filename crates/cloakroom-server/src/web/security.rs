//! Headers that every response carries, and the insistence on https.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cloakroom_http::{ProblemCode, Scheme, response};
use http::header::{
    CONTENT_SECURITY_POLICY, FORWARDED, HeaderName, LOCATION, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::context::{Context, is_api};
use super::refusal::Refusal;
use super::{App, Listener};

/// Adds the security headers to every response, errors included (ASVS 3.4.1 to 3.4.8, 14.3.2).
pub(super) async fn add_headers(State(app): State<App>, request: Request, next: Next) -> Response {
    let context = request.extensions().get::<Context>().cloned();
    let tls = request.extensions().get::<Listener>() == Some(&Listener::Tls);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let nonce = context.as_ref().map_or("", |context| &context.nonce);
    // A nonce is base64url: always a valid header value.
    if let Ok(policy) = HeaderValue::try_from(content_security_policy(nonce, &app.form_targets)) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    if tls || context.is_some_and(|context| context.client.scheme() == Scheme::Https) {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    response::no_store_unless_chosen(headers);
    response
}

/// Where the public address is https, sends pages there and refuses everything else that comes in clear (ASVS 4.1.2):
/// a program that sends secrets in clear has to notice.
pub(super) async fn insist_on_https(State(app): State<App>, request: Request, next: Next) -> Response {
    let in_clear = request
        .extensions()
        .get::<Context>()
        .is_some_and(|context| context.client.scheme() == Scheme::Http && app.config.public_url.is_https());
    let path = request.uri().path();
    if !in_clear || matches!(path, "/livez" | "/readyz" | "/metrics") {
        return next.run(request).await;
    }
    if says_https(request.headers()) {
        // Through somebody we do not know: a redirect would come back the same way, for ever.
        let proxy = request.extensions().get::<Context>().and_then(|context| context.client.ip());
        tracing::warn!(?proxy, "a proxy that is not in trust.proxies says that a request came through https");
        return Refusal::new(HTTPS_REQUIRED)
            .detail("if this came through your proxy over https, add the proxy's address to trust.proxies")
            .into_response();
    }
    if request.method().is_safe() && !is_api(path) {
        let path = request.uri().path_and_query().map(http::uri::PathAndQuery::as_str);
        // `*` names no page.
        let path = path.filter(|path| path.starts_with('/')).unwrap_or("/");
        let address = format!("{}{path}", app.config.public_url.origin());
        if let Ok(location) = HeaderValue::try_from(address) {
            return (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)], Body::empty()).into_response();
        }
    }
    Refusal::new(HTTPS_REQUIRED).detail("this address is served over https only").into_response()
}

/// Whether somebody on the way says that the client used https. Nobody has to be believed for an error message.
fn says_https(headers: &HeaderMap) -> bool {
    let contains =
        |value: &HeaderValue| value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("https"));
    headers.get_all("x-forwarded-proto").iter().chain(headers.get_all(FORWARDED)).any(contains)
}

/// Browsers hold the redirects that follow a form against `form-action` too: where people may be sent back to elsewhere
/// after a sign-in, that elsewhere is named.
fn content_security_policy(nonce: &str, form_targets: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'{form_targets}; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    )
}

const HTTPS_REQUIRED: ProblemCode = ProblemCode::new("https_required", StatusCode::FORBIDDEN, "Use https");

/// A year, with subdomains (ASVS 3.4.1).
const HSTS: &str = "max-age=31536000; includeSubDomains";

const FIXED: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
];
