//! Options from a URL.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use crate::options::{DEADLINES, PostgresOptions, TlsMode, UrlError};

pub(crate) fn parse(url: &str) -> Result<PostgresOptions, UrlError> {
    let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    if !known {
        return Err(UrlError::new("not a PostgreSQL URL", "begin it with postgres://"));
    }
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        // Nothing is quoted that is no key: an @, / or ? that was not escaped may have made it a part of the password.
        let key_value =
            pair.split_once('=').filter(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let (key, value) = key_value.ok_or_else(|| {
            UrlError::new(
                "what follows the ? is no list of options",
                "write key=value&key=value, and ? in a password as %3F",
            )
        })?;
        if OWN_KEYS.contains(&key) { own.push((key, decoded(key, value)?)) } else { theirs.push(pair) }
    }
    let places = one_host_each(place);
    let mut hosts = Vec::with_capacity(places.len());
    for one in &places {
        let mut config: Config = format!("{one}?{}", theirs.join("&")).parse().map_err(unreadable)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(UrlError::new("the URL names no host", "write postgres://user@host/database"));
        }
        if places.len() > 1 && !query.contains("target_session_attrs") {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        hosts.push(config);
    }
    let mut options = PostgresOptions::new(hosts);
    for (key, value) in own {
        options = apply(options, key, &value)?;
    }
    Ok(options)
}

/// A URL for each of the hosts in this one: who tries them one after the other can bound the time that each gets.
fn one_host_each(place: &str) -> Vec<String> {
    let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
    let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("/{p}")));
    // A password may contain an @ only as %40, but whoever forgets that is told by the parser, not here.
    let (user, hosts) =
        authority.rsplit_once('@').map_or((String::new(), authority), |(u, h)| (format!("{u}@"), h));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}")).collect()
}

fn apply(options: PostgresOptions, key: &str, value: &str) -> Result<PostgresOptions, UrlError> {
    match (key, value) {
        ("schema", schema) => options.with_schema(schema),
        ("deadline", text) => Ok(options.with_deadline(duration(text)?)),
        ("readers", text) => Ok(options.with_readers(number(key, text)?)),
        ("writers", text) => Ok(options.with_writers(number(key, text)?)),
        ("migrate", "on") => Ok(options),
        ("migrate", "off") => Ok(options.without_migration()),
        ("pooler", "transaction") => Ok(options.behind_transaction_pooler()),
        ("sslrootcert", path) => Ok(options.with_authorities(path)),
        ("sslmode", "disable") => Ok(options.with_tls(TlsMode::Disable)),
        ("sslmode", "prefer") => Ok(options.with_tls(TlsMode::Prefer)),
        ("sslmode", "require") => Ok(options.with_tls(TlsMode::Require)),
        ("sslmode", "verify-ca") => Ok(options.with_tls(TlsMode::VerifyCa)),
        ("sslmode", "verify-full") => Ok(options.with_tls(TlsMode::VerifyFull)),
        (key, value) => {
            let remedy = match key {
                "sslmode" => "use disable, prefer, require, verify-ca or verify-full",
                "pooler" => "use transaction, or leave it out",
                _ => "use on or off",
            };
            Err(UrlError::new(format!("{key} cannot be {value:?}"), remedy))
        }
    }
}

/// What tokio-postgres knows of the modes of TLS; who is at the other end is found out by the verifier.
pub(crate) fn ssl_mode(tls: TlsMode) -> SslMode {
    match tls {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
    }
}

fn unreadable(error: tokio_postgres::Error) -> UrlError {
    let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    UrlError::new(
        format!("the URL cannot be read: {cause}"),
        "write postgres://user:password@host:port/database?key=value, with %-escapes in user and password",
    )
}

fn duration(text: &str) -> Result<Duration, UrlError> {
    let (digits, millis) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').unwrap_or(""), 1_000),
    };
    let wrong = || {
        let cause = format!("{text:?} is no time from 20ms to 3600s");
        UrlError::new(cause, "write it like 1500ms or 2s")
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let duration = number.checked_mul(millis).map(Duration::from_millis);
    duration.filter(|duration| DEADLINES.contains(duration)).ok_or_else(wrong)
}

fn number(key: &str, text: &str) -> Result<NonZeroUsize, UrlError> {
    let number: Option<NonZeroUsize> = text.parse().ok();
    number
        .filter(|number| number.get() <= MOST_CONNECTIONS)
        .ok_or_else(|| UrlError::new(format!("{key} cannot be {text:?}"), "use a number from 1 to 1000"))
}

fn decoded(key: &str, value: &str) -> Result<String, UrlError> {
    let wrong = || UrlError::new(format!("the value of {key} has a broken escape"), "write % as %25");
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

const OWN_KEYS: [&str; 8] =
    ["schema", "deadline", "readers", "writers", "migrate", "pooler", "sslmode", "sslrootcert"];
/// More than a server takes; a typing mistake.
const MOST_CONNECTIONS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_everything() {
        let options = parse(
            "postgres://shop:s%3Acret@db1:5433,db2/shop?schema=web&deadline=500ms&readers=1&writers=20\
             &sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem&migrate=off&pooler=transaction&application_name=x",
        )
        .unwrap();
        assert_eq!(options.schema(), "web");
        assert_eq!(options.deadline(), Duration::from_millis(500));
        assert_eq!((options.readers.get(), options.writers.get()), (1, 20));
        assert_eq!(options.tls(), TlsMode::VerifyCa);
        assert_eq!(options.authorities(), Some(std::path::Path::new("/etc/ca.pem")));
        assert_eq!(options.place(), "db1:5433, db2:5432");
        for host in &options.hosts {
            assert_eq!(host.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
            assert_eq!(host.get_password(), Some(&b"s:cret"[..]));
            assert_eq!(host.get_dbname(), Some("shop"));
        }
    }

    #[test]
    fn the_way_to_another_computer_is_protected_unless_it_is_said_otherwise() {
        for (url, mode) in [
            ("postgres://db.example.org/x", TlsMode::VerifyFull),
            ("postgres://192.0.2.1/x", TlsMode::VerifyFull),
            ("postgres://localhost,db.example.org/x", TlsMode::VerifyFull),
            ("postgres://localhost/x", TlsMode::Disable),
            ("postgres://127.0.0.1/x", TlsMode::Disable),
            ("postgres://%2Frun%2Fpostgresql/x", TlsMode::Disable),
            ("postgres://db.example.org/x?sslmode=disable", TlsMode::Disable),
            ("postgres://127.0.0.1/x?sslmode=verify-full", TlsMode::VerifyFull),
        ] {
            assert_eq!(parse(url).unwrap().tls(), mode, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_remedy_and_without_the_password() {
        for (url, expected) in [
            ("mysql://u:hunter2@h/x", "postgres://"),
            ("postgres://u:hunter2@h/x?schema=Web", "lower-case"),
            ("postgres://u:hunter2@h/x?schema=pg_web", "pg_"),
            ("postgres://u:hunter2@h/x?schema=a\"b", "lower-case"),
            ("postgres://u:hunter2@h/x?deadline=2", "2s"),
            ("postgres://u:hunter2@h/x?deadline=0s", "2s"),
            ("postgres://u:hunter2@h/x?deadline=1000h", "3600s"),
            ("postgres://u:hunter2@h/x?deadline=3601s", "3600s"),
            ("postgres://u:hunter2@h/x?writers=0", "1 to 1000"),
            ("postgres://u:hunter2@h/x?sslmode=yes", "verify-full"),
            ("postgres://u:hunter2@h/x?sslrootcert=%2", "%25"),
            ("postgres://u:hunter2@h/x?shema=web", "shema"),
            ("postgres://u:hunter2@h/x?schema", "key=value"),
            ("postgres://u:x?hunter2@h/x", "%3F"),
            ("postgres://u:x?hunter2@h/x?schema=web", "%3F"),
            ("postgres://u:hunter2@h:port/x", "postgres://"),
            ("postgres:///x", "host"),
        ] {
            let message = parse(url).unwrap_err().to_string();
            assert!(message.contains(expected) && !message.contains("hunter2"), "{url}: {message}");
        }
    }

    #[test]
    fn the_password_is_not_in_the_debug_output() {
        let options = parse("postgres://u:hunter2@h/x?options=-c%20a%3Db").unwrap();
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
