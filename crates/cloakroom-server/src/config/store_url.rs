//! Where sessions live, as an address.

use std::fmt;
use std::path::PathBuf;

use super::remote::{RemoteUrl, StoreKind};
use super::units::{format_bytes, parse_bytes};

/// The address of a session store.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreUrl {
    /// `memory:`, in this process; gone when it ends.
    Memory {
        /// Most bytes of sessions kept (`?max_bytes=256MiB`); `None` leaves it to the store.
        max_bytes: Option<u64>,
    },
    /// `sqlite:` or `sqlite:PATH`.
    Sqlite {
        /// The database file; `None` for `sessions.db` in the data directory.
        path: Option<PathBuf>,
    },
    /// A server: `postgres://…`, `mysql://…`, `redis://…`, `memcached://…` and their kin.
    Remote(RemoteUrl),
    /// `sealed:`, in the clients' cookies.
    Sealed {
        /// Where what was ended is written down (`?revocations=STORE-URL`): never itself sealed, and never memcached. `None`:
        /// nothing can be ended before its time.
        revocations: Option<Box<StoreUrl>>,
    },
}

impl StoreUrl {
    /// Reads a store's address.
    ///
    /// # Errors
    /// Cause and remedy, where this build has no such store or the address has something wrong.
    pub fn parse(text: &str) -> Result<Self, StoreUrlError> {
        let (scheme, rest) = text
            .split_once(':')
            .ok_or_else(|| StoreUrlError { cause: "has no scheme".into(), remedy: is_supported() })?;
        match scheme.to_ascii_lowercase().as_str() {
            "memory" if cfg!(feature = "memory") => Self::memory(rest),
            "sqlite" if cfg!(feature = "sqlite") => Self::sqlite(rest),
            "sealed" if cfg!(feature = "sealed") => sealed(rest),
            other => match StoreKind::of_scheme(other).filter(|kind| kind.is_built_in()) {
                Some(kind) => RemoteUrl::parse(kind, text).map(Self::Remote),
                None => Err(unknown(other)),
            },
        }
    }

    /// Whether sessions live inside the server, where they end with it and no other process sees them.
    #[must_use]
    pub fn is_in_the_server(&self) -> bool {
        matches!(self, Self::Memory { .. })
    }

    /// Whether sessions travel in their cookies.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed { .. })
    }

    /// Where the ends of sealed sessions are written down; `None` where sessions are not sealed, or nowhere.
    #[must_use]
    pub fn revocations(&self) -> Option<&Self> {
        match self {
            Self::Sealed { revocations } => revocations.as_deref(),
            Self::Memory { .. } | Self::Sqlite { .. } | Self::Remote(_) => None,
        }
    }

    fn memory(rest: &str) -> Result<Self, StoreUrlError> {
        let remedy = || "write `memory:` or `memory:?max_bytes=256MiB`".to_owned();
        let query = match rest.split_once('?') {
            _ if rest.is_empty() => return Ok(Self::Memory { max_bytes: None }),
            Some(("", query)) => query,
            _ => {
                return Err(StoreUrlError {
                    cause: "has a path, but memory has none".into(),
                    remedy: remedy(),
                });
            }
        };
        let mut max_bytes = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name != "max_bytes" {
                let cause = format!("has the unknown option `{}`", name.escape_debug());
                return Err(StoreUrlError { cause, remedy: remedy() });
            }
            let bytes = parse_bytes(&value).map_err(|why| StoreUrlError {
                cause: format!("has a `max_bytes` that {why}"),
                remedy: remedy(),
            })?;
            if bytes < MEMORY_MIN_BYTES {
                let cause = format!("has a `max_bytes` below {}", format_bytes(MEMORY_MIN_BYTES));
                return Err(StoreUrlError { cause, remedy: remedy() });
            }
            max_bytes = Some(bytes);
        }
        Ok(Self::Memory { max_bytes })
    }

    pub(super) fn sqlite(rest: &str) -> Result<Self, StoreUrlError> {
        if rest.contains('?') {
            return Err(StoreUrlError {
                cause: "has options, but a SQLite store takes none".into(),
                remedy: "write `sqlite:` or `sqlite:PATH`".into(),
            });
        }
        // `sqlite:///var/lib/x.db` is how other programs write an absolute path.
        let path = match rest.strip_prefix("//") {
            Some(path) if path.starts_with('/') => path,
            _ => rest,
        };
        Ok(Self::Sqlite { path: (!path.is_empty()).then(|| path.into()) })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { max_bytes: None } => f.write_str("memory:"),
            Self::Memory { max_bytes: Some(bytes) } => {
                write!(f, "memory:?max_bytes={}", format_bytes(*bytes))
            }
            Self::Sqlite { path: None } => f.write_str("sqlite:"),
            Self::Sqlite { path: Some(path) } => write!(f, "sqlite:{}", path.display()),
            // Masks what may be secret.
            Self::Remote(url) => url.fmt(f),
            Self::Sealed { revocations: None } => f.write_str("sealed:"),
            Self::Sealed { revocations: Some(list) } => write!(f, "sealed:?{REVOCATIONS}={list}"),
        }
    }
}

/// A text is no address of a store that this build has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store address {cause}")]
pub struct StoreUrlError {
    pub(super) cause: String,
    pub(super) remedy: String,
}

impl StoreUrlError {
    /// What to do about it, in one line.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

/// Reads what follows `sealed:`: nothing, or the address of the list.
///
/// An address with its colon in clear is taken as it stands, to the end: its own `?` and `&` belong to it. Without one it was
/// escaped, as a program does that puts queries together, and other options may follow: there are none.
fn sealed(rest: &str) -> Result<StoreUrl, StoreUrlError> {
    let refused = |cause: &str| {
        Err(StoreUrlError {
            cause: cause.to_owned(),
            remedy: "write `sealed:?revocations=STORE-URL`, such as `sealed:?revocations=postgres://HOST/DATABASE`"
                .to_owned(),
        })
    };
    let query = match rest.split_once('?') {
        _ if rest.is_empty() => return Ok(StoreUrl::Sealed { revocations: None }),
        Some(("", query)) => query,
        _ => return refused("has a path, but sealed sessions are in their cookies"),
    };
    let Some(value) = query.strip_prefix(REVOCATIONS).and_then(|rest| rest.strip_prefix('=')) else {
        // What stands there instead may be a password: it is not repeated.
        return refused("has an option that is not `revocations`");
    };
    let is_plain = value.split(['?', '&']).next().is_some_and(|head| head.contains(':'));
    let inner = if is_plain {
        value.to_owned()
    } else {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let inner = pairs.next().map(|(_, value)| value.into_owned()).unwrap_or_default();
        if pairs.next().is_some() {
            return refused("has an option that is not `revocations`");
        }
        inner
    };
    if inner.is_empty() {
        return refused("names no place for the list of ends");
    }
    list(&inner).map(|list| StoreUrl::Sealed { revocations: Some(Box::new(list)) })
}

/// Reads the address of a list of ends.
fn list(text: &str) -> Result<StoreUrl, StoreUrlError> {
    let url = StoreUrl::parse(text).map_err(|error| StoreUrlError {
        cause: format!("names a list of ends whose address {}", error.cause),
        remedy: match error.remedy == is_supported() {
            true => format!("this build keeps lists in {}", lists()),
            false => error.remedy,
        },
    })?;
    let refused =
        |cause: &str, remedy: &str| Err(StoreUrlError { cause: cause.to_owned(), remedy: remedy.to_owned() });
    let lasting = "keep it in `sqlite:`, PostgreSQL, MySQL or Redis";
    match &url {
        StoreUrl::Sealed { .. } => refused("keeps the list of ends in cookies", lasting),
        StoreUrl::Remote(remote) if remote.kind() == StoreKind::Memcached => refused(
            "keeps the list of ends in memcached, which may forget an end at any time: the session would live again",
            lasting,
        ),
        StoreUrl::Memory { max_bytes: Some(_) } => refused(
            "bounds a list in memory by bytes, which it does not know",
            "write `sealed:?revocations=memory:`",
        ),
        StoreUrl::Memory { max_bytes: None } | StoreUrl::Sqlite { .. } | StoreUrl::Remote(_) => Ok(url),
    }
}

fn unknown(scheme: &str) -> StoreUrlError {
    let is_known = matches!(scheme, "memory" | "sqlite" | "sealed") || StoreKind::of_scheme(scheme).is_some();
    let cause = if is_known {
        format!("names a {scheme} store, which this build does not have")
    } else {
        format!("has the unknown scheme `{}`", scheme.escape_debug())
    };
    StoreUrlError { cause, remedy: is_supported() }
}

fn is_supported() -> String {
    let sealed = [("`sealed:?revocations=STORE-URL`", cfg!(feature = "sealed"))];
    format!("this build supports {}", named(stores(|_| true).chain(sealed)))
}

/// The stores that are compiled in and can keep a list of ends.
fn lists() -> String {
    named(stores(|kind| kind != StoreKind::Memcached))
}

/// Every store but a sealed one, how its addresses look, and whether it is compiled in.
fn stores(is_meant: fn(StoreKind) -> bool) -> impl Iterator<Item = (&'static str, bool)> {
    let embedded =
        [("`sqlite:`, `sqlite:PATH`", cfg!(feature = "sqlite")), ("`memory:`", cfg!(feature = "memory"))];
    let remote = StoreKind::ALL.into_iter().filter(move |kind| is_meant(*kind));
    embedded.into_iter().chain(remote.map(|kind| (kind.example(), kind.is_built_in())))
}

fn named(stores: impl Iterator<Item = (&'static str, bool)>) -> String {
    stores.filter_map(|(store, built_in)| built_in.then_some(store)).collect::<Vec<_>>().join(", ")
}

/// The one option of a sealed store's address.
const REVOCATIONS: &str = "revocations";
/// Less than this holds no meaningful number of sessions.
const MEMORY_MIN_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_stores_read_back_as_written() {
        for text in
            ["memory:", "memory:?max_bytes=256MiB", "sqlite:", "sqlite:/var/lib/a.db", "sqlite:a b.db"]
        {
            assert_eq!(StoreUrl::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(StoreUrl::parse("sqlite:///x.db").unwrap().to_string(), "sqlite:/x.db");
        assert_eq!(StoreUrl::parse("SQLite:").unwrap(), StoreUrl::Sqlite { path: None });
    }

    #[test]
    fn what_is_no_store_of_this_build_is_refused_with_the_ones_it_has() {
        for (text, cause) in [
            ("sqlite", "no scheme"),
            ("mongodb://h", "unknown scheme `mongodb`"),
            ("memory:x", "has a path"),
            ("memory:?size=1", "unknown option `size`"),
            ("memory:?max_bytes=1KiB", "below 1MiB"),
            ("sqlite:a.db?mode=ro", "takes none"),
        ] {
            let error = StoreUrl::parse(text).unwrap_err();
            assert!(error.cause.contains(cause), "{text}: {error}");
            assert!(!error.to_string().contains("secret") && !error.remedy.contains("secret"), "{error}");
        }
    }

    #[cfg(feature = "redis")]
    #[test]
    fn an_address_without_a_host_is_refused_with_what_is_missing_and_repeats_nothing() {
        for text in ["rediss:/secret", "rediss:secret@h", "redis:"] {
            let error = StoreUrl::parse(text).unwrap_err();
            let scheme = text.split(':').next().unwrap();
            let expected = format!("the store address has no `//` behind `{scheme}:`, and so names no host");
            assert_eq!(error.to_string(), expected);
            assert!(
                error.remedy.contains("redis://HOST") && !error.remedy.contains("secret"),
                "{}",
                error.remedy
            );
        }
    }

    #[cfg(feature = "sealed")]
    #[test]
    fn a_list_of_what_was_ended_is_named_as_it_is_or_escaped() {
        let sqlite = |path: Option<&str>| Box::new(StoreUrl::Sqlite { path: path.map(PathBuf::from) });
        for (text, revocations) in [
            ("sealed:", None),
            ("sealed:?revocations=memory:", Some(Box::new(StoreUrl::Memory { max_bytes: None }))),
            ("sealed:?revocations=sqlite:", Some(sqlite(None))),
            ("SEALED:?revocations=sqlite%3A", Some(sqlite(None))),
            ("sealed:?revocations=sqlite:/a b%20&c.db", Some(sqlite(Some("/a b%20&c.db")))),
            ("sealed:?revocations=sqlite%3A%2Fa+b%2520%26c.db", Some(sqlite(Some("/a b%20&c.db")))),
        ] {
            let url = StoreUrl::parse(text).unwrap();
            assert_eq!(url, StoreUrl::Sealed { revocations }, "{text}");
            assert_eq!(StoreUrl::parse(&url.to_string()).unwrap(), url, "{text}");
        }
    }

    #[cfg(all(feature = "sealed", feature = "postgres"))]
    #[test]
    fn the_address_of_a_list_keeps_its_own_options_and_its_password_to_itself() {
        for text in [
            "sealed:?revocations=postgres://u:hunter2@h/d?sslmode=require&schema=web",
            "sealed:?revocations=postgres%3A%2F%2Fu%3Ahunter2%40h%2Fd%3Fsslmode%3Drequire%26schema%3Dweb",
        ] {
            let url = StoreUrl::parse(text).unwrap();
            let shown = "sealed:?revocations=postgres://u:********@h/d?sslmode=require&schema=web";
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2"));
            let Some(StoreUrl::Remote(list)) = url.revocations() else { panic!("{url:?}") };
            assert_eq!(list.expose(), "postgres://u:hunter2@h/d?sslmode=require&schema=web");
        }
    }

    #[cfg(feature = "sealed")]
    #[test]
    fn a_list_that_could_not_be_relied_on_is_refused() {
        for (text, cause) in [
            ("sealed:x", "has a path"),
            ("sealed:?", "not `revocations`"),
            ("sealed:?revocation=postgres://u:secret@h/d", "not `revocations`"),
            ("sealed:?revocations=sqlite%3A&x=secret", "not `revocations`"),
            ("sealed:?revocations=", "names no place"),
            ("sealed:?revocations=secret", "whose address has no scheme"),
            ("sealed:?revocations=mongodb://u:secret@h", "unknown scheme `mongodb`"),
            ("sealed:?revocations=sealed:", "in cookies"),
            ("sealed:?revocations=sealed:?revocations=sqlite:", "in cookies"),
            ("sealed:?revocations=memory:?max_bytes=1MiB", "by bytes"),
            #[cfg(feature = "memcached")]
            ("sealed:?revocations=memcached://h", "may forget an end"),
        ] {
            let error = StoreUrl::parse(text).unwrap_err();
            assert!(error.cause.contains(cause), "{text}: {error}");
            assert!(!format!("{error} {}", error.remedy()).contains("secret"), "{error}");
        }
        let stranger = StoreUrl::parse("sealed:?revocations=mongodb://h").unwrap_err();
        let remedy = stranger.remedy();
        assert!(
            remedy.starts_with("this build keeps lists in `sqlite:`") && !remedy.contains("memcached"),
            "{remedy}"
        );
    }
}
