//! Believing what proxies say about the client, and nobody else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use http::header::{FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::Scheme;

/// The networks of proxies that are believed, and the header field they write. None by default.
///
/// ```
/// use cloakroom_http::TrustedProxies;
///
/// let proxies = TrustedProxies::parse(["10.0.0.0/8", "192.0.2.7"])?;
/// assert!(proxies.contains("10.1.2.3".parse().unwrap()));
/// # Ok::<(), cloakroom_http::MalformedNetwork>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrustedProxies {
    networks: Box<[IpNet]>,
    header: ForwardingHeader,
}

/// The header field in which proxies write for whom they ask. Only the one chosen is read: a proxy that writes one
/// passes the other on as the client wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the scheme.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl TrustedProxies {
    /// Nobody is believed.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Proxies in these networks.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { networks: networks.into_iter().collect(), header: ForwardingHeader::default() }
    }

    /// Proxies in these networks (`10.0.0.0/8`, `fd00::/8`) or at these addresses.
    ///
    /// # Errors
    /// [`MalformedNetwork`] for the first text that is neither.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, MalformedNetwork> {
        let network = |text: &str| {
            let parsed = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            parsed.ok_or_else(|| MalformedNetwork { text: text.to_owned() })
        };
        Ok(Self::new(texts.into_iter().map(network).collect::<Result<Vec<_>, _>>()?))
    }

    /// The same, reading this header field.
    #[must_use]
    pub fn reading(self, header: ForwardingHeader) -> Self {
        Self { header, ..self }
    }

    /// Whether a proxy at `address` is believed.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The client behind `peer`, and the scheme it used where a trusted proxy says so.
    pub(super) fn follow(&self, headers: &HeaderMap, peer: IpAddr) -> (IpAddr, Option<Scheme>) {
        if !self.contains(peer) {
            return (peer, None);
        }
        match self.header {
            ForwardingHeader::XForwardedFor => {
                let hops = listed(headers, &X_FORWARDED_FOR)
                    .map(|text| Hop { address: address(text), scheme: None });
                (self.walk(peer, hops).0, forwarded_proto(headers))
            }
            ForwardingHeader::Forwarded => {
                let hops = headers.get_all(FORWARDED).iter().rev().flat_map(|line| {
                    let hops = line.to_str().ok().and_then(elements).unwrap_or_else(|| vec![Hop::UNKNOWN]);
                    hops.into_iter().rev()
                });
                self.walk(peer, hops)
            }
        }
    }

    /// From `peer` towards the client, for as long as there is a next hop and the present one is believed.
    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Hop>) -> (IpAddr, Option<Scheme>) {
        let (mut client, mut scheme) = (peer, None);
        for hop in hops.take(HOPS_MAX) {
            scheme = weaker(scheme, hop.scheme);
            let Some(address) = hop.address else { break };
            client = address.to_canonical();
            if !self.contains(client) {
                break;
            }
        }
        (client, scheme)
    }
}

/// A text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no network; expected something like 10.0.0.0/8 or 192.0.2.7")]
pub struct MalformedNetwork {
    text: String,
}

/// Where a proxy says a request came from, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Hop {
    address: Option<IpAddr>,
    scheme: Option<Scheme>,
}

impl Hop {
    const UNKNOWN: Self = Self { address: None, scheme: None };
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Longest chain of proxies followed.
const HOPS_MAX: usize = 32;

/// The members of a list field, the last one first, as text where they are.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
    let members = |line: &'a HeaderValue| line.as_bytes().rsplit(|byte| *byte == b',');
    let text = |member: &'a [u8]| std::str::from_utf8(member).ok().map(str::trim);
    headers.get_all(name).iter().rev().flat_map(members).map(text)
}

/// What all proxies say together: HTTPS only where none of them says otherwise, so that nobody can pretend to it.
fn forwarded_proto(headers: &HeaderMap) -> Option<Scheme> {
    listed(headers, &X_FORWARDED_PROTO)
        .take(HOPS_MAX)
        .fold(None, |said, member| weaker(said, Some(member.map_or(Scheme::Http, proto))))
}

fn proto(text: &str) -> Scheme {
    if text.eq_ignore_ascii_case("https") { Scheme::Https } else { Scheme::Http }
}

fn weaker(one: Option<Scheme>, other: Option<Scheme>) -> Option<Scheme> {
    match (one, other) {
        (Some(Scheme::Http), _) | (_, Some(Scheme::Http)) => Some(Scheme::Http),
        (one, other) => one.or(other),
    }
}

/// An address as proxies write it: bare, in brackets, with or without a port.
fn address(text: Option<&str>) -> Option<IpAddr> {
    let text = text?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let bare =
        text.parse::<Ipv4Addr>().map(IpAddr::from).or_else(|_| text.parse::<Ipv6Addr>().map(IpAddr::from));
    bare.ok().or_else(|| bracketed().map(IpAddr::from)).or_else(|| {
        let with_port = text.parse::<SocketAddrV4>().map(SocketAddr::from);
        let with_port = with_port.or_else(|_| text.parse::<SocketAddrV6>().map(SocketAddr::from));
        with_port.ok().map(|address| address.ip())
    })
}

/// The elements of a `Forwarded` field (RFC 7239 §4), first one first; `None` where it does not follow the grammar to
/// its end, so that an open quotation mark of the client's never swallows what a proxy wrote after it.
fn elements(line: &str) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    let mut rest = line;
    loop {
        let (hop, tail) = element(rest)?;
        hops.push(hop);
        match tail.strip_prefix(',') {
            Some(next) => rest = next,
            None => return tail.is_empty().then_some(hops),
        }
    }
}

/// One element, and what follows it.
fn element(text: &str) -> Option<(Hop, &str)> {
    let mut hop = Hop::UNKNOWN;
    let mut rest = text.trim_start_matches([' ', '\t']);
    loop {
        let (name, tail) = rest.split_once('=')?;
        let (value, tail) = value(tail)?;
        if name.eq_ignore_ascii_case("for") {
            hop.address = address(Some(value));
        } else if name.eq_ignore_ascii_case("proto") {
            hop.scheme = Some(proto(value));
        } else if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        match tail.strip_prefix(';') {
            Some(next) => rest = next,
            None => return Some((hop, tail.trim_start_matches([' ', '\t']))),
        }
    }
}

/// A token or a quoted string without escapes (no address needs one), and what follows it.
fn value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, tail) = quoted.split_once('"')?;
        return (!value.contains('\\')).then_some((value, tail));
    }
    let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
    let (value, tail) = text.split_at_checked(end)?;
    (!value.is_empty()).then_some((value, tail))
}

/// `tchar` of RFC 9110 §5.6.2, and the colon that some proxies write without quotes.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    fn client(header: ForwardingHeader, peer: &str, lines: &[(HeaderName, &str)]) -> (String, Scheme) {
        let proxies = TrustedProxies::parse(["10.0.0.0/8", "fd00::/8"]).unwrap().reading(header);
        let headers: HeaderMap =
            lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        let client = Client::of(&headers, Some(peer.parse().unwrap()), Scheme::Http, &proxies);
        (client.ip().unwrap().to_string(), client.scheme())
    }

    #[test]
    fn addresses_are_followed_only_through_proxies_that_are_trusted() {
        for (peer, lines, expected) in [
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.9, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.9,"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
            ("::ffff:203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("fd00::1", &["203.0.113.9, [fd00::2]"], "203.0.113.9"),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (X_FORWARDED_FOR, *line)).collect();
            assert_eq!(client(ForwardingHeader::XForwardedFor, peer, &lines).0, expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn the_forwarded_field_is_read_to_the_end_of_its_grammar_or_not_at_all() {
        for (lines, expected) in [
            (&["for=203.0.113.9"][..], "203.0.113.9"),
            (&["For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1"], "2001:db8::1"),
            (&["for=198.51.100.1, for=203.0.113.9, for=10.0.0.2"], "203.0.113.9"),
            (&["for=198.51.100.1", "for=203.0.113.9;proto=http"], "203.0.113.9"),
            (&["for=_hidden"], "10.0.0.1"),
            (&["for=unknown, for=10.0.0.2"], "10.0.0.2"),
            (&["proto=https"], "10.0.0.1"),
            // What the client wrote tries to swallow the proxy's own element.
            (&["for=\"198.51.100.1, for=203.0.113.9"], "10.0.0.1"),
            (&["for=198.51.100.1;x=\", for=\"[2001:db8::1]\""], "10.0.0.1"),
            (&["for=198.51.100.1;x=\"\\\", for=203.0.113.9"], "10.0.0.1"),
            (&["for=\"198.51.100.1", "for=203.0.113.9"], "203.0.113.9"),
            (&["for=203.0.113.9 junk"], "10.0.0.1"),
            (&["=203.0.113.9"], "10.0.0.1"),
            (&["for="], "10.0.0.1"),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (FORWARDED, *line)).collect();
            assert_eq!(client(ForwardingHeader::Forwarded, "10.0.0.1", &lines).0, expected, "{lines:?}");
        }
    }

    #[test]
    fn the_field_that_was_not_chosen_is_not_read() {
        let both = [(FORWARDED, "for=198.51.100.1;proto=https"), (X_FORWARDED_FOR, "203.0.113.9")];
        assert_eq!(
            client(ForwardingHeader::XForwardedFor, "10.0.0.1", &both),
            ("203.0.113.9".into(), Scheme::Http)
        );
        assert_eq!(
            client(ForwardingHeader::Forwarded, "10.0.0.1", &both),
            ("198.51.100.1".into(), Scheme::Https)
        );
    }

    #[test]
    fn https_is_believed_only_of_trusted_proxies_that_agree() {
        for (peer, lines, expected) in [
            ("10.0.0.1", &["https"][..], Scheme::Https),
            ("10.0.0.1", &["HTTPS"], Scheme::Https),
            ("203.0.113.9", &["https"], Scheme::Http),
            ("10.0.0.1", &["http"], Scheme::Http),
            ("10.0.0.1", &["https, http"], Scheme::Http),
            ("10.0.0.1", &["http, https"], Scheme::Http),
            ("10.0.0.1", &["https", "http"], Scheme::Http),
            ("10.0.0.1", &["https, https"], Scheme::Https),
            ("10.0.0.1", &["wss"], Scheme::Http),
            ("10.0.0.1", &[], Scheme::Http),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (X_FORWARDED_PROTO, *line)).collect();
            assert_eq!(client(ForwardingHeader::XForwardedFor, peer, &lines).1, expected, "{peer} {lines:?}");
        }
        let over_tls = Client::of(&HeaderMap::new(), None, Scheme::Https, &TrustedProxies::none());
        assert_eq!((over_tls.ip(), over_tls.scheme()), (None, Scheme::Https));
    }

    #[test]
    fn a_chain_is_followed_no_further_than_its_limit() {
        let line = vec!["10.0.0.2"; 1_000].join(", ");
        let lines = [(X_FORWARDED_FOR, format!("203.0.113.9, {line}"))];
        let lines: Vec<_> = lines.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
        assert_eq!(client(ForwardingHeader::XForwardedFor, "10.0.0.1", &lines).0, "10.0.0.2");
    }

    #[test]
    fn a_text_that_is_no_network_is_named() {
        let error = TrustedProxies::parse(["10.0.0.0/8", "proxy.internal"]).unwrap_err();
        assert!(error.to_string().contains("proxy.internal"));
    }
}
