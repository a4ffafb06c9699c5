//! Where browsers find the server.

use std::fmt;
use std::net::SocketAddr;

use cloakroom_http::{MalformedOrigin, Origin};
use url::{Host, Url};

/// The origin under which browsers reach the server: scheme, host and port, without a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicUrl {
    url: Url,
    origin: Origin,
}

impl PublicUrl {
    /// Reads a public URL.
    ///
    /// # Errors
    /// [`MalformedOrigin`]: another scheme than http and https, or more or less than an origin.
    pub fn parse(text: &str) -> Result<Self, MalformedOrigin> {
        let origin: Origin = text.parse()?;
        let url = Url::parse(origin.as_str()).expect("an origin is a URL");
        Ok(Self { url, origin })
    }

    /// Where a server on this machine is found that listens on `listen` and was told nothing else.
    #[must_use]
    pub fn local(listen: SocketAddr, tls: bool) -> Self {
        let scheme = if tls { "https" } else { "http" };
        let text = format!("{scheme}://localhost:{}", listen.port());
        Self::parse(&text).expect("a scheme, `localhost` and a port are an origin")
    }

    /// Scheme, host and port as a browser sends them in `Origin`, without a default port.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether browsers come over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.is_https()
    }

    /// The host, without port; IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The port, the scheme's own where none is written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// Whether the host is this machine as browsers define it (Secure Contexts §3.1), so that they keep a `Secure`
    /// cookie over plain http.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// This origin with `path`, which begins with a slash.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin_and_nothing_more() {
        for (text, origin) in [
            ("http://localhost:8080", "http://localhost:8080"),
            ("https://ID.Example.org:443/", "https://id.example.org"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().to_string(), origin);
        }
        for text in [
            "",
            "localhost:8080",
            "ftp://a",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u:p@a",
        ] {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_this_machine_is_local() {
        for (text, local) in [
            ("http://localhost", true),
            ("http://app.localhost:3000", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:80", true),
            ("http://localhost.example.org", false),
            ("http://notlocalhost", false),
            ("http://10.0.0.1", false),
            ("http://0.0.0.0", false),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().is_local(), local, "{text}");
        }
    }
}
