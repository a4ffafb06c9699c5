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
}

impl StoreUrl {
    /// Reads a store's address.
    ///
    /// # Errors
    /// Cause and remedy, where this build has no such store or the address has something wrong.
    pub fn parse(text: &str) -> Result<Self, StoreUrlError> {
        let (scheme, rest) = text.split_once(':').ok_or_else(|| StoreUrlError {
            cause: "has no scheme".into(),
            remedy: format!("this build supports {}", supported()),
        })?;
        match scheme.to_ascii_lowercase().as_str() {
            "memory" if cfg!(feature = "memory") => Self::memory(rest),
            "sqlite" if cfg!(feature = "sqlite") => Self::sqlite(rest),
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

fn unknown(scheme: &str) -> StoreUrlError {
    let is_known = matches!(scheme, "memory" | "sqlite" | "sealed") || StoreKind::of_scheme(scheme).is_some();
    let cause = if is_known {
        format!("names a {scheme} store, which this build does not have")
    } else {
        format!("has the unknown scheme `{}`", scheme.escape_debug())
    };
    StoreUrlError { cause, remedy: format!("this build supports {}", supported()) }
}

/// The stores that are compiled in.
fn supported() -> String {
    let embedded =
        [("`sqlite:`, `sqlite:PATH`", cfg!(feature = "sqlite")), ("`memory:`", cfg!(feature = "memory"))];
    let remote = StoreKind::ALL.map(|kind| (kind.example(), kind.is_built_in()));
    let stores = embedded.into_iter().chain(remote);
    stores.filter_map(|(store, built_in)| built_in.then_some(store)).collect::<Vec<_>>().join(", ")
}

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
            ("sealed:", "names a sealed store"),
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
}
