//! What a decision may look at.

use http::{HeaderMap, Method, Request, Uri, request};

/// The head of a request: everything but its body.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target; over HTTP/2 the only place of the host.
    pub uri: &'a Uri,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    /// The host the client asked for, port included: `Host`, or the authority of the target where there is no `Host`.
    ///
    /// `None` where there is neither, where there are several, or where they name different hosts.
    #[must_use]
    pub fn host(&self) -> Option<&'a str> {
        let authority = self.uri.authority().map(http::uri::Authority::as_str);
        let mut lines = self.headers.get_all(http::header::HOST).iter();
        let host = match (lines.next(), lines.next()) {
            (None, _) => None,
            (Some(line), None) => Some(line.to_str().ok()?),
            (Some(_), Some(_)) => return None,
        };
        match (host, authority) {
            (Some(host), Some(authority)) => host.eq_ignore_ascii_case(authority).then_some(host),
            (host, authority) => host.or(authority),
        }
    }
}

impl<'a, B> From<&'a Request<B>> for Head<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self { method: request.method(), uri: request.uri(), headers: request.headers() }
    }
}

impl<'a> From<&'a request::Parts> for Head<'a> {
    fn from(parts: &'a request::Parts) -> Self {
        Self { method: &parts.method, uri: &parts.uri, headers: &parts.headers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_known_only_where_the_request_names_exactly_one() {
        for (uri, hosts, expected) in [
            ("/", &["a.example"][..], Some("a.example")),
            ("/", &[], None),
            ("/", &["a.example", "a.example"], None),
            ("https://a.example/", &[], Some("a.example")),
            ("https://a.example:8443/", &["A.example:8443"], Some("A.example:8443")),
            ("https://a.example/", &["b.example"], None),
        ] {
            let request = hosts.iter().fold(Request::get(uri), |request, host| request.header("host", *host));
            assert_eq!(Head::from(&request.body(()).unwrap()).host(), expected, "{uri} {hosts:?}");
        }
    }
}
