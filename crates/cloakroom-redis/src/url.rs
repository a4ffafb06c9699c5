//! Addresses as people write them.

use std::time::Duration;

use crate::options::{
    Credentials, DEFAULT_DEADLINE, DEFAULT_PATIENCE, DEFAULT_PREFIX, Host, RedisOptions, Servers, Tls,
};

/// A URL names no Redis: what is wrong, and what to do. Never repeats the part with the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}: {remedy}")]
pub struct UrlError {
    cause: String,
    remedy: &'static str,
}

impl UrlError {
    pub(crate) fn new(cause: impl Into<String>, remedy: &'static str) -> Self {
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
pub(crate) fn parse(url: &str) -> Result<RedisOptions, UrlError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(UrlError::new("the store's URL has no scheme", SHAPES));
    };
    let (kind, is_tls) = kind(scheme)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.contains('@') || query.contains('@') {
        // It is the password that was cut in two, and it must not be repeated.
        return Err(UrlError::new(
            "an @ behind the hosts",
            "write %2F for / and %3F for ? in a password, %40 for @ elsewhere",
        ));
    }
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (credentials(user)?, hosts),
        None => (Credentials::default(), authority),
    };
    let default_port = if kind == Kind::Sentinel { SENTINEL_PORT } else { SERVER_PORT };
    let hosts = (1..).zip(hosts.split(',')).map(|(position, text)| host(position, text, default_port));
    let hosts: Result<Vec<Host>, UrlError> = hosts.collect();
    let hosts = hosts?;
    let (servers, database) = match kind {
        Kind::Standalone if hosts.len() > 1 => {
            return Err(UrlError::new(
                "several servers in the URL of a single one",
                "write redis+sentinel:// or redis+cluster://",
            ));
        }
        Kind::Standalone => (Servers::Standalone, database(path)?),
        Kind::Sentinel => {
            let (name, path) = path.split_once('/').unwrap_or((path, ""));
            if name.is_empty() {
                return Err(UrlError::new("the name of the primary is missing", SHAPES));
            }
            (Servers::Sentinel(decoded(name)?), database(path)?)
        }
        Kind::Cluster if !path.is_empty() => {
            return Err(UrlError::new(
                "a Cluster has one database only",
                "leave out what follows the hosts' slash",
            ));
        }
        Kind::Cluster => (Servers::Cluster, 0),
    };
    let options = RedisOptions {
        servers,
        hosts,
        credentials,
        sentinel_credentials: Credentials::default(),
        database,
        tls: is_tls.then(Tls::default),
        prefix: DEFAULT_PREFIX.to_owned(),
        deadline: DEFAULT_DEADLINE,
        replicas: None,
    };
    with_query(options, query)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Standalone,
    Sentinel,
    Cluster,
}

fn kind(scheme: &str) -> Result<(Kind, bool), UrlError> {
    let (name, kind) = match scheme.split_once('+') {
        None => (scheme, Kind::Standalone),
        Some((name, "sentinel")) => (name, Kind::Sentinel),
        Some((name, "cluster")) => (name, Kind::Cluster),
        Some(_) => ("", Kind::Standalone),
    };
    match name {
        "redis" | "valkey" => Ok((kind, false)),
        "rediss" | "valkeys" => Ok((kind, true)),
        _ => Err(UrlError::new(format!("{scheme:?} is no scheme of Redis"), SHAPES)),
    }
}

fn credentials(text: &str) -> Result<Credentials, UrlError> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(decoded(password)?)),
        None => (text, None),
    };
    let user = Some(decoded(user)?).filter(|user| !user.is_empty());
    Ok(Credentials { user, password })
}

fn host(position: usize, text: &str, default_port: u16) -> Result<Host, UrlError> {
    // Where somebody forgot the @, what stands here is a password.
    let malformed = || UrlError::new(format!("host {position} of the URL is no host"), SHAPES);
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']').ok_or_else(malformed)?;
            (name, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Ok(default_port), |port| port.parse().map_err(|_| malformed()))?;
    if name.is_empty() { Err(malformed()) } else { Ok(Host { name: name.to_owned(), port }) }
}

fn database(path: &str) -> Result<i64, UrlError> {
    if path.is_empty() {
        return Ok(0);
    }
    let number = path.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| {
        UrlError::new("what follows the hosts is no number of a database", "write a number such as /0")
    })
}

fn with_query(mut options: RedisOptions, query: &str) -> Result<RedisOptions, UrlError> {
    let (mut wait, mut patience) = (0, None);
    let (mut certificate, mut key) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value)?;
        match name {
            "prefix" => options = options.with_prefix(value)?,
            "deadline" => options.deadline = duration(name, &value)?,
            "wait_replicas" => wait = number(name, &value)?,
            "wait_timeout" => patience = Some(duration(name, &value)?),
            "ca_file" if options.tls.is_some() => options = options.with_ca_file(value),
            "cert_file" if options.tls.is_some() => certificate = Some(value),
            "key_file" if options.tls.is_some() => key = Some(value),
            "ca_file" | "cert_file" | "key_file" => {
                return Err(UrlError::new(format!("{name} without TLS"), "write rediss instead of redis"));
            }
            "sentinel_user" => options.sentinel_credentials.user = Some(value),
            "sentinel_password" => options.sentinel_credentials.password = Some(value),
            _ => return Err(UrlError::new("what follows the ? has a name that is no option", OPTIONS)),
        }
    }
    options = match (certificate, key) {
        (Some(certificate), Some(key)) => options.with_certificate(certificate, key),
        (None, None) => options,
        _ => return Err(UrlError::new("half a certificate", "give both cert_file and key_file")),
    };
    let patience = patience.unwrap_or_else(|| DEFAULT_PATIENCE.min(options.deadline / 2));
    if wait > 0 && patience >= options.deadline {
        return Err(UrlError::new("wait_timeout is not shorter than the deadline", "give the deadline more"));
    }
    Ok(options.with_replicas(wait, patience))
}

fn number(name: &str, value: &str) -> Result<u32, UrlError> {
    value
        .parse()
        .map_err(|_| UrlError::new(format!("{name} is {value:?}"), "write a number such as wait_replicas=1"))
}

/// Milliseconds or seconds: `500ms`, `2s`.
fn duration(name: &str, value: &str) -> Result<Duration, UrlError> {
    let parsed = match value.strip_suffix("ms") {
        Some(millis) => millis.parse().ok().map(Duration::from_millis),
        None => value.strip_suffix('s').and_then(|secs| secs.parse().ok()).map(Duration::from_secs),
    };
    parsed
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| UrlError::new(format!("{name} is {value:?}"), "write a duration such as 2s or 500ms"))
}

/// The text with `%XX` replaced.
fn decoded(text: &str) -> Result<String, UrlError> {
    let malformed =
        || UrlError::new("a percent sign in the URL that begins no encoded byte", "write %25 for it");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = if *first == b'%' {
            let (digits, after) = after.split_at_checked(2).ok_or_else(malformed)?;
            let digits = std::str::from_utf8(digits).map_err(|_| malformed())?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| malformed())?);
            after
        } else {
            bytes.push(*first);
            after
        };
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;
const SHAPES: &str = "write redis://host:6379, redis+sentinel://a:26379,b:26379/name or redis+cluster://a:6379,b:6379 \
     (rediss for TLS)";
const OPTIONS: &str = "known are prefix, deadline, wait_replicas, wait_timeout, ca_file, cert_file, key_file, \
     sentinel_user and sentinel_password";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_is_read() {
        let options =
            parse("rediss://shop:p%40ss@redis.example:7000/3?prefix=a:b&deadline=500ms&ca_file=/ca.pem")
                .unwrap();
        assert_eq!(options.servers, Servers::Standalone);
        assert_eq!(options.hosts, [Host { name: "redis.example".to_owned(), port: 7000 }]);
        assert_eq!(options.credentials.user.as_deref(), Some("shop"));
        assert_eq!(options.credentials.password.as_deref(), Some("p@ss"));
        assert_eq!((options.database, options.prefix()), (3, "a:b"));
        assert_eq!(options.deadline(), Duration::from_millis(500));
        assert_eq!(options.tls.unwrap().ca_file.as_deref(), Some(std::path::Path::new("/ca.pem")));

        let options = parse("valkey+sentinel://:pw@a,b:1,[::1]:2/mymaster/1?wait_replicas=2").unwrap();
        assert_eq!(options.servers, Servers::Sentinel("mymaster".to_owned()));
        assert_eq!(
            options.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["a:26379", "b:1", "[::1]:2"]
        );
        assert_eq!(options.credentials.user, None);
        assert_eq!((options.database, options.replicas.unwrap().count), (1, 2));

        let options = parse("redis+cluster://a,b:7001").unwrap();
        assert_eq!((options.servers, options.hosts.len()), (Servers::Cluster, 2));
    }

    #[test]
    fn a_malformed_address_is_refused_with_its_cause_and_what_to_do() {
        for (url, cause) in [
            ("redis", "no scheme"),
            ("mysql://a", "no scheme of Redis"),
            ("redis+ring://a", "no scheme of Redis"),
            ("redis://", "no host"),
            ("redis://a:b", "no host"),
            ("redis://a,b", "several servers"),
            ("redis://a/x", "no number of a database"),
            ("redis+sentinel://a", "name of the primary"),
            ("redis+cluster://a/1", "one database"),
            ("redis://a?prefix={x}", "prefix"),
            ("redis://a?deadline=2", "deadline"),
            ("redis://a?ca_file=x", "without TLS"),
            ("rediss://a?key_file=x", "half a certificate"),
            ("redis://a?wait_replicas=1&wait_timeout=3s", "deadline"),
            ("redis://a?pool=3", "no option"),
            ("redis://u:%zz@a", "percent"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.cause().contains(cause), "{url}: {error}");
            assert!(!error.remedy().is_empty());
        }
    }

    #[test]
    fn a_password_is_in_no_text() {
        // Nor where it was taken for something else, because a mark was forgotten.
        for url in [
            "redis://hunter2:x",
            "redis://a/hunter2",
            "redis://a?hunter2",
            "redis://u:hunter2",
            "redis://u:hunter2/x@a",
            "redis://u?hunter2@a",
        ] {
            assert!(!parse(url).unwrap_err().to_string().contains("hunter2"), "{url}");
        }
        for url in ["redis://u:hunter2@a", "redis+sentinel://u:hunter2@a/m?sentinel_password=hunter2"] {
            assert!(!format!("{:?}", parse(url).unwrap()).contains("hunter2"));
        }
        for url in
            ["redis://u:hunter2@", "redis://u:hunter2@a/x", "redis://u:hunter2%@a", "mysql://u:hunter2@a"]
        {
            assert!(!parse(url).unwrap_err().to_string().contains("hunter2"), "{url}");
        }
    }
}
