//! Options from a URL.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use crate::options::{DEADLINES, MysqlOptions, Place, TlsMode, UrlError};

pub(crate) fn parse(text: &str) -> Result<MysqlOptions, UrlError> {
    let known = ["mysql://", "mariadb://"].iter().any(|scheme| text.starts_with(scheme));
    if !known {
        return Err(UrlError::new("not a MySQL URL", "begin it with mysql:// or mariadb://"));
    }
    let url = Url::parse(text).map_err(|error| unreadable(&error.to_string()))?;
    let user = decoded("the user", url.username())?;
    if user.is_empty() {
        return Err(UrlError::new("the URL names no user", "write mysql://user@host/database"));
    }
    let password = url.password().map(|password| decoded("the password", password)).transpose()?;
    let database = decoded("the database", url.path().trim_start_matches('/'))?;
    if database.is_empty() || database.contains('/') {
        return Err(UrlError::new("the URL names no database", "write mysql://user@host/database"));
    }
    let mut options = MysqlOptions::new(place(&url)?, user, password, database);
    for pair in url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| UrlError::new(format!("{pair:?} has no value"), "write key=value"))?;
        options = apply(options, key, &decoded(key, value)?)?;
    }
    if options.tls() == TlsMode::Require && options.authorities().is_some() {
        return Err(UrlError::new(
            "sslmode=require trusts anybody, whatever is in sslrootcert",
            "use sslmode=verify-full, or leave sslrootcert out",
        ));
    }
    Ok(options)
}

fn place(url: &Url) -> Result<Place, UrlError> {
    let socket = url.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("socket="));
    if let Some(path) = socket {
        return Ok(Place::Socket(PathBuf::from(decoded("socket", path)?)));
    }
    let name = match url.host() {
        // The scheme is none that the parser knows, so that it leaves an address of version 4 a name.
        Some(Host::Domain(name)) => decoded("the host", name)?,
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err(UrlError::new("the URL names no host", "write mysql://user@host/database")),
    };
    Ok(Place::Host { name, port: url.port().unwrap_or(DEFAULT_PORT) })
}

fn apply(options: MysqlOptions, key: &str, value: &str) -> Result<MysqlOptions, UrlError> {
    match (key, value) {
        ("socket", _) => Ok(options),
        ("deadline", text) => Ok(options.with_deadline(duration(text)?)),
        ("connections", text) => Ok(options.with_connections(number(key, text)?)),
        ("migrate", "on") => Ok(options),
        ("migrate", "off") => Ok(options.without_migration()),
        ("sslrootcert", path) => Ok(options.with_authorities(path)),
        ("sslmode", "disable") => Ok(options.with_tls(TlsMode::Disable)),
        ("sslmode", "require") => Ok(options.with_tls(TlsMode::Require)),
        ("sslmode", "verify-full") => Ok(options.with_tls(TlsMode::VerifyFull)),
        ("sslmode", value) => {
            Err(UrlError::new(format!("sslmode cannot be {value:?}"), "use disable, require or verify-full"))
        }
        ("migrate", value) => Err(UrlError::new(format!("migrate cannot be {value:?}"), "use on or off")),
        (key, _) => Err(UrlError::new(
            format!("{key:?} is no option of a MySQL URL"),
            "use sslmode, sslrootcert, socket, deadline, connections or migrate",
        )),
    }
}

fn unreadable(cause: &str) -> UrlError {
    UrlError::new(
        format!("the URL cannot be read: {cause}"),
        "write mysql://user:password@host:port/database?key=value, with %-escapes in user and password",
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
    text.parse()
        .ok()
        .filter(|number: &NonZeroUsize| number.get() <= MOST_CONNECTIONS)
        .ok_or_else(|| UrlError::new(format!("{key} cannot be {text:?}"), "use a number from 1 to 1000"))
}

/// What stands in a URL without its escapes. A plus sign is a plus sign.
fn decoded(what: &str, text: &str) -> Result<String, UrlError> {
    let wrong = || UrlError::new(format!("{what} has a broken escape"), "write % as %25");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
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

const DEFAULT_PORT: u16 = 3306;
/// More than a server takes; a typing mistake.
const MOST_CONNECTIONS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Place {
        Place::Host { name: name.to_owned(), port }
    }

    #[test]
    fn a_url_says_everything() {
        let options = parse(
            "mariadb://sh%40p:s%3Acr+et@db1:3307/web%20shop?deadline=500ms&connections=3&sslmode=verify-full\
             &sslrootcert=%2Fetc%2Fca.pem&migrate=off",
        )
        .unwrap();
        assert_eq!(options.place, host("db1", 3307));
        assert_eq!((options.user.as_str(), options.password.as_deref()), ("sh@p", Some("s:cr+et")));
        assert_eq!(options.database(), "web shop");
        assert_eq!(options.deadline(), Duration::from_millis(500));
        assert_eq!(options.connections.get(), 3);
        assert_eq!(options.tls(), TlsMode::VerifyFull);
        assert_eq!(options.authorities(), Some(std::path::Path::new("/etc/ca.pem")));
    }

    #[test]
    fn a_host_may_be_a_name_an_address_or_a_socket() {
        for (url, place) in [
            ("mysql://u@db.example.org/x", host("db.example.org", 3306)),
            ("mysql://u@192.0.2.1:3310/x", host("192.0.2.1", 3310)),
            ("mysql://u@[2001:db8::1]:3310/x", host("2001:db8::1", 3310)),
            ("mysql://u@localhost/x?socket=%2Frun%2Fmysqld.sock", Place::Socket("/run/mysqld.sock".into())),
        ] {
            assert_eq!(parse(url).unwrap().place, place, "{url}");
        }
    }

    #[test]
    fn the_way_to_another_computer_is_protected_unless_it_is_said_otherwise() {
        for (url, mode) in [
            ("mysql://u@db.example.org/x", TlsMode::VerifyFull),
            ("mysql://u@192.0.2.1/x", TlsMode::VerifyFull),
            ("mysql://u@localhost/x", TlsMode::Disable),
            ("mysql://u@127.0.0.1/x", TlsMode::Disable),
            ("mysql://u@[::1]/x", TlsMode::Disable),
            ("mysql://u@h/x?socket=/run/mysqld.sock", TlsMode::Disable),
            ("mysql://u@db.example.org/x?sslmode=disable", TlsMode::Disable),
            ("mysql://u@127.0.0.1/x?sslmode=verify-full", TlsMode::VerifyFull),
        ] {
            assert_eq!(parse(url).unwrap().tls(), mode, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_remedy_and_without_the_password() {
        for (url, expected) in [
            ("postgres://u:hunter2@h/x", "mysql://"),
            ("mysql://:hunter2@h/x", "user"),
            ("mysql://u:hunter2@h", "database"),
            ("mysql://u:hunter2@h/", "database"),
            ("mysql://u:hunter2@h/a/b", "database"),
            ("mysql://u:hunter2@h/x?deadline=2", "2s"),
            ("mysql://u:hunter2@h/x?deadline=0s", "2s"),
            ("mysql://u:hunter2@h/x?deadline=1000h", "3600s"),
            ("mysql://u:hunter2@h/x?deadline=3601s", "3600s"),
            ("mysql://u:hunter2@h/x?connections=0", "1 to 1000"),
            ("mysql://u:hunter2@h/x?sslmode=yes", "verify-full"),
            ("mysql://u:hunter2@h/x?sslmode=require&sslrootcert=a", "verify-full"),
            ("mysql://u:hunter2@h/x?sslrootcert=%2", "%25"),
            ("mysql://u:hunter2@h/x?migrate=maybe", "on or off"),
            ("mysql://u:hunter2@h/x?conections=5", "conections"),
            ("mysql://u:hunter2@h/x?deadline", "key=value"),
            ("mysql://u:hunter2@h:port/x", "mysql://"),
        ] {
            let message = parse(url).unwrap_err().to_string();
            assert!(message.contains(expected) && !message.contains("hunter2"), "{url}: {message}");
        }
    }

    #[test]
    fn the_password_is_not_in_the_debug_output() {
        let options = parse("mysql://u:hunter2@h/x").unwrap();
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
