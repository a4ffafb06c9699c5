//! From which device and address a request came.

mod label;
mod proxies;

use std::net::IpAddr;

use cloakroom_core::Device;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};

pub use label::device_label;
pub use proxies::{ForwardingHeader, MalformedNetwork, TrustedProxies};

/// Who is at the other end, past the proxies that are trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    ip: Option<IpAddr>,
    scheme: Scheme,
}

/// How a request travelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Scheme {
    /// In clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl Client {
    /// The client of a request that came over a connection from `peer` with `scheme`.
    ///
    /// What proxies say is heard only where `peer` is one of `proxies`, from the right to the left, as long as each
    /// address is one of `proxies` too: what a client wrote itself is never reached (ASVS 4.1.3, 15.3.4).
    #[must_use]
    pub fn of(headers: &HeaderMap, peer: Option<IpAddr>, scheme: Scheme, proxies: &TrustedProxies) -> Self {
        let Some(peer) = peer else { return Self { ip: None, scheme } };
        let (ip, forwarded) = proxies.follow(headers, peer.to_canonical());
        Self { ip: Some(ip), scheme: forwarded.unwrap_or(scheme) }
    }

    /// Its address, an IPv4 one in IPv6's clothes as IPv4; `None` where the connection has none (a Unix socket).
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// Whether its request was encrypted all the way to the first proxy.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What a session issued now is remembered to have been issued to.
    #[must_use]
    pub fn device(&self, headers: &HeaderMap) -> Device {
        self.device_with_agent(headers.get(USER_AGENT))
    }

    /// The same, where only the `User-Agent` field was kept of the request.
    ///
    /// # Cost
    /// Naming the device takes microseconds: for when a session is issued, not for each request.
    #[must_use]
    pub fn device_with_agent(&self, user_agent: Option<&HeaderValue>) -> Device {
        let agent = user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let device = match agent {
            Some(agent) => Device::new().with_user_agent(&agent).with_label(&device_label(&agent)),
            None => Device::new().with_label(&device_label("")),
        };
        match self.ip {
            Some(ip) => device.with_ip(ip),
            None => device,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_what_the_headers_say_cut_and_cleaned() {
        let client = Client { ip: Some(IpAddr::from([192, 0, 2, 1])), scheme: Scheme::Https };
        let mut headers = HeaderMap::new();
        assert_eq!(client.device(&headers).label(), Some("Unknown browser"));
        assert_eq!(client.device(&headers).user_agent(), None);
        headers.insert(USER_AGENT, HeaderValue::from_bytes(b"curl/8.5\xff\tx").unwrap());
        let device = client.device(&headers);
        assert_eq!(device.label(), Some("curl"));
        assert_eq!(device.user_agent(), Some("curl/8.5\u{fffd} x"));
        assert_eq!(device.ip(), client.ip());
    }
}
