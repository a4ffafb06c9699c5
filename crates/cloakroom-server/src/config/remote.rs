//! Addresses of stores on servers. They may hold passwords.

use std::collections::HashSet;
use std::fmt;

use super::store_url::StoreUrlError;

/// The address of a store on a server, as it was written.
///
/// # Security
/// `Display` and `Debug` mask passwords; what shows them is [`expose`](Self::expose).
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    kind: StoreKind,
    text: String,
}

/// Kinds of stores on servers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum StoreKind {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// Redis and Valkey: one server, behind Sentinel, or a Cluster.
    Redis,
    /// One memcached, or several.
    Memcached,
}

impl StoreKind {
    pub(super) const ALL: [Self; 4] = [Self::Postgres, Self::Mysql, Self::Redis, Self::Memcached];

    /// The kind whose addresses begin with `scheme`.
    pub(super) fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::Mysql),
            "memcached" => Some(Self::Memcached),
            _ => {
                let (server, arrangement) = scheme.split_once('+').unwrap_or((scheme, ""));
                let is_redis = matches!(server, "redis" | "rediss" | "valkey" | "valkeys")
                    && matches!(arrangement, "" | "sentinel" | "cluster")
                    && !scheme.ends_with('+');
                is_redis.then_some(Self::Redis)
            }
        }
    }

    /// Whether this build has such a store.
    pub(super) const fn is_built_in(self) -> bool {
        match self {
            Self::Postgres => cfg!(feature = "postgres"),
            Self::Mysql => cfg!(feature = "mysql"),
            Self::Redis => cfg!(feature = "redis"),
            Self::Memcached => cfg!(feature = "memcached"),
        }
    }

    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Postgres => "`postgres://HOST/DATABASE`",
            Self::Mysql => "`mysql://HOST/DATABASE`",
            Self::Redis => "`redis://HOST`, `redis+sentinel://HOSTS/NAME`, `redis+cluster://HOSTS`",
            Self::Memcached => "`memcached://HOSTS`",
        }
    }

    /// The name of the store, as in errors and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Memcached => "memcached",
        }
    }
}

impl RemoteUrl {
    /// Reads the address as the store itself will.
    pub(super) fn parse(kind: StoreKind, text: &str) -> Result<Self, StoreUrlError> {
        if let Some((scheme, rest)) = text.split_once(':')
            && !rest.starts_with("//")
        {
            // What follows may be a password: it is not repeated.
            return Err(StoreUrlError {
                cause: format!("has no `//` behind `{scheme}:`, and so names no host"),
                remedy: format!("write {}", kind.example()),
            });
        }
        let read = match kind {
            #[cfg(feature = "postgres")]
            StoreKind::Postgres => cloakroom_postgres::PostgresOptions::from_url(text)
                .map(drop)
                .map_err(|error| complaint(&error.cause, &error.remedy)),
            #[cfg(feature = "mysql")]
            StoreKind::Mysql => cloakroom_mysql::MysqlOptions::from_url(text)
                .map(drop)
                .map_err(|error| complaint(&error.cause, &error.remedy)),
            #[cfg(feature = "redis")]
            StoreKind::Redis => cloakroom_redis::RedisOptions::from_url(text)
                .map(drop)
                .map_err(|error| complaint(error.cause(), error.remedy())),
            #[cfg(feature = "memcached")]
            StoreKind::Memcached => cloakroom_memcached::MemcachedOptions::from_url(text)
                .map(drop)
                .map_err(|error| complaint(error.cause(), error.remedy())),
            #[cfg(not(all(
                feature = "postgres",
                feature = "mysql",
                feature = "redis",
                feature = "memcached"
            )))]
            _ => Ok(()),
        };
        read?;
        match named_twice(text) {
            None => Ok(Self { kind, text: text.to_owned() }),
            Some(name) => Err(StoreUrlError {
                cause: format!("says `{name}` more than once"),
                remedy: "leave one of them".to_owned(),
            }),
        }
    }

    /// What kind of store it is.
    #[must_use]
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// The address with everything secret in it, for the store alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

/// The first option that an address has twice: whoever wrote it meant one of them, and nobody knows which.
fn named_twice(url: &str) -> Option<&str> {
    let place = url.rsplit_once('@').map_or(url, |(_, place)| place);
    let (_, query) = place.split_once('?')?;
    let mut names = HashSet::new();
    query
        .split('&')
        .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
        .find(|name| !names.insert(*name))
}

/// What a store says of an address is told as it is: it never repeats a password.
#[cfg(any(feature = "postgres", feature = "mysql", feature = "redis", feature = "memcached"))]
fn complaint(cause: &str, remedy: &str) -> StoreUrlError {
    StoreUrlError { cause: format!("cannot be used: {cause}"), remedy: remedy.to_owned() }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.text))
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteUrl({self})")
    }
}

/// The address without what may be secret. A password with `/`, `?` or `@` in it, which had to be escaped and was not, is
/// masked too: what stands before the last `@` is never a host.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let (user, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    let user = match user.map(|credentials| credentials.split_once(':')) {
        None => String::new(),
        Some(Some((name, _))) => format!("{name}:{MASK}@"),
        // A name alone; Redis takes such a thing for a password.
        Some(None) => format!("{MASK}@"),
    };
    let (place, query) = match place.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (place, None),
    };
    let query = query.map_or_else(String::new, |query| {
        let pairs: Vec<String> = query.split('&').map(masked_pair).collect();
        format!("?{}", pairs.join("&"))
    });
    format!("{scheme}://{user}{place}{query}")
}

fn masked_pair(pair: &str) -> String {
    let Some((name, value)) = pair.split_once('=') else { return pair.to_owned() };
    let lower = name.to_ascii_lowercase();
    let is_secret = ["pass", "secret", "token", "pwd"].iter().any(|word| lower.contains(word));
    // Where a secret is kept is none.
    if is_secret && !lower.ends_with("_file") { format!("{name}={MASK}") } else { format!("{name}={value}") }
}

/// What stands for a secret.
const MASK: &str = "********";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_of_the_contract_names_its_kind() {
        for (kind, schemes) in [
            (Some(StoreKind::Postgres), &["postgres", "postgresql"][..]),
            (Some(StoreKind::Mysql), &["mysql", "mariadb"]),
            (
                Some(StoreKind::Redis),
                &[
                    "redis",
                    "rediss",
                    "redis+sentinel",
                    "rediss+sentinel",
                    "redis+cluster",
                    "rediss+cluster",
                    "valkey",
                    "valkeys",
                    "valkey+sentinel",
                    "valkey+cluster",
                    "valkeys+cluster",
                ],
            ),
            (Some(StoreKind::Memcached), &["memcached"]),
            (None, &["memory", "sqlite", "mongodb", "redis+", "redis+x", "redis+cluster+x", "http"]),
        ] {
            for scheme in schemes {
                assert_eq!(StoreKind::of_scheme(scheme), kind, "{scheme}");
            }
        }
    }

    #[test]
    fn an_address_that_says_something_twice_is_refused() {
        for (url, twice) in [
            ("redis://h?prefix=a&prefix=b", Some("prefix")),
            ("postgres://u:p?a=1&a=2@h/db?schema=a&deadline=2s&schema=a", Some("schema")),
            ("postgres://u:p?a=1&a=2@h/db?schema=a&deadline=2s", None),
            ("memcached://h?prefix=a=a", None),
            ("redis://h", None),
        ] {
            assert_eq!(named_twice(url), twice, "{url}");
        }
        let error = RemoteUrl::parse(StoreKind::Redis, "redis://h?prefix=a&prefix=b").unwrap_err();
        assert!(error.to_string().contains("`prefix` more than once"), "{error}");
    }

    #[test]
    fn no_secret_of_an_address_is_ever_shown() {
        for (url, shown) in [
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://:hunter2@h", "redis://:********@h"),
            ("redis://hunter2@h", "redis://********@h"),
            (
                "postgres://shop:hunter2@h:5432/db?sslmode=require",
                "postgres://shop:********@h:5432/db?sslmode=require",
            ),
            ("mysql://u:hun/ter2?hunter2@h/db", "mysql://u:********@h/db"),
            ("mysql://u:h@hunter2@h/db", "mysql://u:********@h/db"),
            (
                "redis+sentinel://u:hunter2@a,b/m?sentinel_password=hunter2&x=1",
                "redis+sentinel://u:********@a,b/m?sentinel_password=********&x=1",
            ),
            ("postgres://h/db?PASSWORD=hunter2", "postgres://h/db?PASSWORD=********"),
            ("postgres://h/db?password_file=/run/p", "postgres://h/db?password_file=/run/p"),
            ("postgres:hunter2", "********"),
        ] {
            let url = RemoteUrl { kind: StoreKind::Redis, text: url.to_owned() };
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2"));
        }
    }
}
