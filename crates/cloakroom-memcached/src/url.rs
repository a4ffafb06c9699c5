//! Addresses as people write them.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::options::{LONGEST_PREFIX, MOST_CONNECTIONS, MemcachedOptions, is_prefix};

/// A URL names no memcached servers: what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}: {remedy}")]
pub struct UrlError {
    cause: String,
    remedy: &'static str,
}

impl UrlError {
    fn new(cause: impl Into<String>, remedy: &'static str) -> Self {
        Self { cause: cause.into(), remedy }
    }

    /// What is wrong.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> &str {
        self.remedy
    }
}

/// Reads a URL.
pub(crate) fn parse(url: &str) -> Result<MemcachedOptions, UrlError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(UrlError::new("the store's URL has no scheme", SHAPE));
    };
    if !scheme.eq_ignore_ascii_case("memcached") {
        return Err(UrlError::new(format!("the scheme `{}` is not memcached", scheme.escape_debug()), SHAPE));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let hosts = rest.strip_suffix('/').unwrap_or(rest);
    if hosts.contains('@') {
        return Err(UrlError::new(
            "memcached knows no users and passwords",
            "leave out what stands before the @",
        ));
    }
    if hosts.contains('/') {
        return Err(UrlError::new(
            "memcached has no databases",
            "leave out what follows the hosts; use ?prefix=",
        ));
    }
    let servers: Result<Vec<String>, UrlError> =
        (1..).zip(hosts.split(',')).map(|(number, text)| server(number, text)).collect();
    let mut options = MemcachedOptions::new(servers?);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value)?;
        options = match name {
            "prefix" if is_prefix(&value) => options.with_prefix(value),
            "prefix" => return Err(UrlError::new("the prefix cannot stand in front of a key", PREFIX)),
            "connections" => options.with_connections(connections(&value)?),
            "deadline" => options.with_deadline(deadline(&value)?),
            other => {
                let cause = format!("the store's URL has the unknown option `{}`", other.escape_debug());
                return Err(UrlError::new(cause, "known are prefix, connections and deadline"));
            }
        };
    }
    match options.fault() {
        None => Ok(options),
        Some(fault) => Err(UrlError::new(format!("the store's URL has {fault}"), "name every server once")),
    }
}

/// `host`, `host:port`, `[address]` or `[address]:port`, with its port. What is wrong with it is said by its number: the
/// text may be a password that somebody put there.
fn server(number: usize, text: &str) -> Result<String, UrlError> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (format!("[{address}]"), None),
        Some((address, rest)) => (format!("[{address}]"), Some(rest.strip_prefix(':').unwrap_or("-"))),
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = host.starts_with('[');
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || (is_address && ":%".contains(c));
    if bare.is_empty() || !bare.chars().all(fits) {
        return Err(UrlError::new(format!("server {number} of the store's URL is no server"), SHAPE));
    }
    let port: u16 = match port {
        None => PORT,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().unwrap_or(0),
        Some(_) => 0,
    };
    if port == 0 {
        return Err(UrlError::new(
            format!("server {number} of the store's URL has no port between 1 and 65535"),
            SHAPE,
        ));
    }
    Ok(format!("{}:{port}", host.to_ascii_lowercase()))
}

fn connections(value: &str) -> Result<NonZeroUsize, UrlError> {
    let number = value.parse().ok().filter(|number| *number <= MOST_CONNECTIONS);
    number.ok_or_else(|| UrlError::new("`connections` is no number from 1 to 16", "write connections=2"))
}

/// `500ms` or `2s`.
fn deadline(value: &str) -> Result<Duration, UrlError> {
    let number = |text: &str| text.parse::<u64>().ok();
    let duration = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
        (Some(text), _) => number(text).map(Duration::from_millis),
        (None, Some(text)) => number(text).map(Duration::from_secs),
        (None, None) => None,
    };
    let fits = |deadline: &Duration| (SHORTEST_DEADLINE..=LONGEST_DEADLINE).contains(deadline);
    duration.filter(fits).ok_or_else(|| {
        UrlError::new("`deadline` is no time from 50ms to 60s", "write deadline=2s or deadline=500ms")
    })
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String, UrlError> {
    let malformed =
        || UrlError::new("the store's URL has a malformed percent sign", "write %25 for a percent sign");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit().ok_or_else(malformed)?, digit().ok_or_else(malformed)?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| malformed())?);
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

const PORT: u16 = 11_211;
const SHAPE: &str = "write memcached://host1:11211,host2,host3?prefix=shop:";
const PREFIX: &str = "use at most 64 visible ASCII characters";
const _: () = assert!(LONGEST_PREFIX == 64, "the sentence above says so");
const SHORTEST_DEADLINE: Duration = Duration::from_millis(50);
const LONGEST_DEADLINE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_servers_and_options() {
        let options =
            parse("memcached://A,b:1,[::1],[fe80::1]:11212/?prefix=shop%3A&connections=4&deadline=500ms")
                .unwrap();
        assert_eq!(options.servers, ["a:11211", "b:1", "[::1]:11211", "[fe80::1]:11212"]);
        assert_eq!((options.prefix.as_str(), options.connections.get()), ("shop:", 4));
        assert_eq!(options.deadline, Duration::from_millis(500));
        let plain = parse("memcached://localhost").unwrap();
        assert_eq!((plain.prefix.as_str(), plain.deadline), ("cloakroom:", Duration::from_secs(2)));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_with_a_remedy() {
        for (url, cause) in [
            ("localhost", "no scheme"),
            ("redis://localhost", "not memcached"),
            ("memcached://", "no server"),
            ("memcached://a,,b", "no server"),
            ("memcached://a:0", "no port"),
            ("memcached://a:x", "no port"),
            ("memcached://a:65536", "no port"),
            ("memcached://[::1]x", "no port"),
            ("memcached://a b", "no server"),
            ("memcached://u:p@a", "users"),
            ("memcached://a/0", "databases"),
            ("memcached://a,A:11211", "twice"),
            ("memcached://a?prefix=a%20b", "prefix"),
            ("memcached://a?prefix=%zz", "percent"),
            ("memcached://a?connections=0", "connections"),
            ("memcached://a?connections=17", "connections"),
            ("memcached://a?deadline=2", "deadline"),
            ("memcached://a?deadline=49ms", "deadline"),
            ("memcached://a?deadline=61s", "deadline"),
            ("memcached://a?ttl=5", "unknown option `ttl`"),
        ] {
            let error = parse(url).expect_err(url);
            assert!(error.cause().contains(cause), "{url}: {error}");
            assert!(!error.remedy().is_empty());
        }
        for url in [
            "memcached://a,hunter2:x",
            "memcached://hunter2@a",
            "memcached://hunter2!",
            "memcached://a/hunter2",
        ] {
            let error = parse(url).expect_err(url);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let longest = format!("memcached://a?prefix={}", "p".repeat(64));
        assert!(parse(&longest).is_ok());
        assert!(parse(&format!("{longest}p")).is_err());
    }
}
