//! Did a page of ours send this request?

use std::fmt;
use std::str::FromStr;

use http::header::{COOKIE, HeaderName, ORIGIN, UPGRADE};
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

use crate::Head;

/// A web origin: scheme, host and port, in the one form browsers write it.
///
/// ```
/// use cloakroom_http::Origin;
///
/// let origin: Origin = "HTTPS://Shop.Example:443/".parse()?;
/// assert_eq!(origin.as_str(), "https://shop.example");
/// # Ok::<(), cloakroom_http::MalformedOrigin>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin(Box<str>);

impl Origin {
    /// `scheme://host`, and `:port` where it is not the scheme's own; lower case, international names in ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is reached over HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = MalformedOrigin;

    /// Reads an origin from configuration: `https` or `http`, a host, perhaps a port, perhaps a final `/`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || MalformedOrigin { text: text.to_owned() };
        let url = Url::parse(text).map_err(|_| malformed())?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && !text.contains('@')
            && matches!(url.scheme(), "https" | "http")
            && url.host_str().is_some_and(|host| !host.ends_with('.'));
        if bare { Ok(Self(url.origin().ascii_serialization().into())) } else { Err(malformed()) }
    }
}

/// A text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no origin; expected something like https://shop.example or http://localhost:8080")]
pub struct MalformedOrigin {
    text: String,
}

/// What has to be proved of a request before it may change something.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Demand {
    /// Its authority came with a cookie, which browsers attach to whatever another site makes them send.
    CookieAuthenticated,
    /// It has no authority yet and may get some: a sign-in, a set-up. Otherwise another site could sign its visitors
    /// in under an account of its own (ASVS 7.6.2). A client that is no browser, so that it has neither `Origin` nor
    /// `Sec-Fetch-Site` nor any cookie, passes.
    SignIn,
    /// Its authority came as a bearer token or another credential that no browser attaches by itself.
    Explicit,
}

/// Refuses requests that another site made the browser send (CSRF; ASVS 3.5.1, 3.5.3, 4.4.2).
///
/// A request passes by the first rule that speaks of it:
/// 1. `GET`, `HEAD` and `OPTIONS` pass: they change nothing. A WebSocket handshake is a `GET` that does.
/// 2. [`Demand::Explicit`] passes.
/// 3. Two fields of `Sec-Fetch-Site` or of `Origin` are refused.
/// 4. `Sec-Fetch-Site: same-origin` passes, and so does `none` (the user's own doing) outside of handshakes.
/// 5. `same-site` and `cross-site` pass from exactly a trusted origin and are refused from any other.
/// 6. Without `Sec-Fetch-Site`, or with a value nobody knows, `Origin` must be exactly the public origin or a trusted
///    one, byte by byte, in the form browsers write it. `null`, lists, user information, capital letters, final dots
///    and other ports are no such thing.
/// 7. With neither: refused; but see [`Demand::SignIn`].
///
/// # Security
/// Nothing of the request is parsed as an address, so nothing in it can be misread as one. Sub-domains are other
/// origins: `same-site` alone proves nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OriginGuard {
    public: Public,
    trusted: Box<[Origin]>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Public {
    Known(Box<[Origin]>),
    /// Whatever `Host` says.
    FromHost,
}

impl OriginGuard {
    /// A guard of an application that is reached at `public`.
    #[must_use]
    pub fn new(public: impl IntoIterator<Item = Origin>) -> Self {
        Self { public: Public::Known(public.into_iter().collect()), trusted: Box::default() }
    }

    /// A guard of an application that was not told where it is reached, and takes `Host` for it: `https`, or `http`
    /// for the local machine.
    ///
    /// Behind a proxy that rewrites `Host`, rule 6 then refuses the few browsers without `Sec-Fetch-Site`.
    #[must_use]
    pub fn from_host() -> Self {
        Self { public: Public::FromHost, trusted: Box::default() }
    }

    /// The same, trusting pages of these other origins to send requests too.
    ///
    /// # Security
    /// Whoever controls such a page acts for every user who visits it.
    #[must_use]
    pub fn trusting(self, origins: impl IntoIterator<Item = Origin>) -> Self {
        Self { trusted: self.trusted.into_iter().chain(origins).collect(), ..self }
    }

    /// Whether `request` may go on.
    ///
    /// # Errors
    /// [`CrossSite`]: answer 403 and change nothing.
    ///
    /// # Cost
    /// No heap allocation.
    pub fn check(&self, request: Head<'_>, demand: Demand) -> Result<(), CrossSite> {
        let handshake = is_handshake(request);
        let safe = matches!(*request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if (safe && !handshake) || demand == Demand::Explicit {
            return Ok(());
        }
        let site = single(request.headers, &SEC_FETCH_SITE)?.map(HeaderValue::as_bytes);
        let origin = single(request.headers, &ORIGIN)?.map(HeaderValue::as_bytes);
        match (site, origin) {
            (Some(b"same-origin"), _) => Ok(()),
            (Some(b"none"), _) if !handshake => Ok(()),
            (Some(b"same-site" | b"cross-site"), Some(origin)) if self.is_trusted(origin) => Ok(()),
            (Some(b"same-site"), _) => Err(CrossSite::SameSite),
            (Some(b"cross-site"), _) => Err(CrossSite::OtherSite),
            (_, Some(origin)) if self.is_trusted(origin) || self.is_public(origin, request) => Ok(()),
            (_, Some(b"null")) => Err(CrossSite::OpaqueOrigin),
            (_, Some(_)) => Err(CrossSite::OtherOrigin),
            (None, None) if demand == Demand::SignIn && !request.headers.contains_key(COOKIE) => Ok(()),
            (_, None) => Err(CrossSite::NoProof),
        }
    }

    fn is_trusted(&self, origin: &[u8]) -> bool {
        self.trusted.iter().any(|trusted| trusted.as_str().as_bytes() == origin)
    }

    fn is_public(&self, origin: &[u8], request: Head<'_>) -> bool {
        match &self.public {
            Public::Known(origins) => origins.iter().any(|public| public.as_str().as_bytes() == origin),
            Public::FromHost => request.host().is_some_and(|host| is_origin_of_host(origin, host)),
        }
    }
}

/// Why a request is taken for another site's; its `Display` is for logs and for developers of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CrossSite {
    /// The browser says that a page of another origin of the same site sent it.
    #[error("a page of another origin of the same site sent the request")]
    SameSite,
    /// The browser says that a page of another site sent it.
    #[error("a page of another site sent the request")]
    OtherSite,
    /// `Origin` is neither the public origin nor a trusted one.
    #[error("Origin is neither the public origin nor a trusted one")]
    OtherOrigin,
    /// `Origin` is `null`: a sandboxed page, a file, or a redirect across origins.
    #[error("Origin is null")]
    OpaqueOrigin,
    /// Neither `Sec-Fetch-Site` nor `Origin` says where it came from.
    #[error("neither Sec-Fetch-Site nor Origin says where the request came from")]
    NoProof,
    /// One of these fields came twice.
    #[error("Sec-Fetch-Site or Origin came more than once")]
    Ambiguous,
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const WEBSOCKET: &[u8] = b"websocket";

/// The only value of the field `name`.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, CrossSite> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line),
        (_, Some(_)) => Err(CrossSite::Ambiguous),
    }
}

/// A `GET` that asks to become a WebSocket (RFC 6455 §4.1). Over HTTP/2 that is a `CONNECT`, which is not safe anyway.
fn is_handshake(request: Head<'_>) -> bool {
    *request.method == Method::GET
        && request.headers.get_all(UPGRADE).iter().any(|line| {
            let mut protocols = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            protocols.any(|protocol| {
                protocol.get(..WEBSOCKET.len()).is_some_and(|name| name.eq_ignore_ascii_case(WEBSOCKET))
            })
        })
}

/// Whether `origin` is the one a browser writes for a page of `host`, without taking either apart.
fn is_origin_of_host(origin: &[u8], host: &str) -> bool {
    let lower = host.bytes().all(|byte| !byte.is_ascii_uppercase());
    let of = |scheme: &[u8], own_port: &str| {
        // A browser leaves the scheme's own port out; a client may have written it into `Host`.
        let host = host.strip_suffix(own_port).unwrap_or(host);
        origin.strip_prefix(scheme).is_some_and(|rest| rest == host.as_bytes())
    };
    lower && (of(b"https://", ":443") || (is_local(host) && of(b"http://", ":80")))
}

/// Names that never leave this machine: a page on them is as trustworthy as one over HTTPS (W3C Secure Contexts §3.1).
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]") || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn an_origin_has_one_form() {
        for (text, form) in [
            ("https://shop.example", Some("https://shop.example")),
            ("HTTPS://Shop.Example:443/", Some("https://shop.example")),
            ("https://shop.example:8443", Some("https://shop.example:8443")),
            ("http://localhost:80", Some("http://localhost")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("https://bücher.example", Some("https://xn--bcher-kva.example")),
            ("https://user@shop.example", None),
            ("https://@shop.example", None),
            ("https://shop.example.", None),
            ("https://shop.example/a", None),
            ("https://shop.example?a", None),
            ("https://shop.example#", None),
            ("ftp://shop.example", None),
            ("shop.example", None),
            ("null", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Origin>().ok().as_ref().map(Origin::as_str), form, "{text}");
        }
    }

    fn host_guard(host: &str, origin: &str) -> bool {
        let request = Request::post("/").header("host", host).header("origin", origin).body(()).unwrap();
        OriginGuard::from_host().check(Head::from(&request), Demand::CookieAuthenticated).is_ok()
    }

    #[test]
    fn a_guard_that_was_not_told_its_origin_takes_the_host_for_it() {
        for (host, origin, passes) in [
            ("shop.example", "https://shop.example", true),
            ("shop.example:443", "https://shop.example", true),
            ("shop.example:8443", "https://shop.example:8443", true),
            ("shop.example:8443", "https://shop.example", false),
            ("shop.example", "http://shop.example", false),
            ("shop.example", "https://evil.example", false),
            ("shop.example", "https://shop.example.evil.example", false),
            ("shop.example", "https://evil@shop.example", false),
            ("shop.example", "null", false),
            ("localhost:8080", "http://localhost:8080", true),
            ("localhost:80", "http://localhost", true),
            ("app.localhost:8080", "http://app.localhost:8080", true),
            ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("localhost.evil.example", "http://localhost.evil.example", false),
            ("localhost:x", "http://localhost:x", false),
        ] {
            assert_eq!(host_guard(host, origin), passes, "{host} {origin}");
        }
    }
}
