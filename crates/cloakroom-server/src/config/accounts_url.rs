//! Where the built-in accounts and the audit log are kept, as an address.

use std::fmt;
use std::path::PathBuf;

use super::remote::{RemoteUrl, StoreKind};
use super::store_url::{StoreUrl, StoreUrlError};

/// The address of the database with the built-in accounts and the audit log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AccountsUrl {
    /// `sqlite:` or `sqlite:PATH`: on this machine.
    Sqlite {
        /// The database file; `None` for `accounts.db` in the data directory.
        path: Option<PathBuf>,
    },
    /// `postgres://…` or `mysql://…`: shared by any number of nodes.
    Remote(RemoteUrl),
}

impl AccountsUrl {
    /// Reads an address, as a store's is read.
    ///
    /// # Errors
    /// Cause and remedy, where this build has no such database or the address has something wrong.
    pub fn parse(text: &str) -> Result<Self, AccountsUrlError> {
        let scheme = text
            .split_once(':')
            .map(|(scheme, _)| scheme.to_ascii_lowercase())
            .ok_or_else(|| AccountsUrlError { cause: "has no scheme".to_owned(), remedy: supported() })?;
        if scheme == "sqlite" {
            return match StoreUrl::sqlite(text.get(scheme.len() + 1..).unwrap_or_default())? {
                StoreUrl::Sqlite { path } => Ok(Self::Sqlite { path }),
                _ => Ok(Self::Sqlite { path: None }),
            };
        }
        match StoreKind::of_scheme(&scheme) {
            Some(kind @ (StoreKind::Postgres | StoreKind::Mysql)) if kind.is_built_in() => {
                Ok(Self::Remote(RemoteUrl::parse(kind, text)?))
            }
            Some(kind @ (StoreKind::Postgres | StoreKind::Mysql)) => {
                let cause = format!("names a {} database, which this build cannot reach", kind.as_str());
                Err(AccountsUrlError { cause, remedy: supported() })
            }
            Some(kind) => {
                let cause = format!("names {}, which keeps sessions but no accounts", kind.as_str());
                Err(AccountsUrlError { cause, remedy: supported() })
            }
            None => {
                let cause = format!("has the unknown scheme `{}`", scheme.escape_debug());
                Err(AccountsUrlError { cause, remedy: supported() })
            }
        }
    }
}

impl fmt::Display for AccountsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path: None } => f.write_str("sqlite:"),
            Self::Sqlite { path: Some(path) } => write!(f, "sqlite:{}", path.display()),
            // Masks what may be secret.
            Self::Remote(url) => url.fmt(f),
        }
    }
}

/// A text is no address of a database that this build can keep accounts in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address of the accounts {cause}")]
pub struct AccountsUrlError {
    cause: String,
    remedy: String,
}

impl AccountsUrlError {
    /// What to do about it, in one line.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl From<StoreUrlError> for AccountsUrlError {
    fn from(error: StoreUrlError) -> Self {
        Self { cause: error.cause, remedy: error.remedy }
    }
}

/// Where this build can keep accounts.
fn supported() -> String {
    let remote = [StoreKind::Postgres, StoreKind::Mysql].into_iter().filter(|kind| kind.is_built_in());
    let places: Vec<&str> =
        ["`sqlite:`, `sqlite:PATH`"].into_iter().chain(remote.map(StoreKind::example)).collect();
    format!("this build keeps accounts in {}", places.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_written() {
        for (text, shown) in [
            ("sqlite:", "sqlite:"),
            ("SQLite:a b.db", "sqlite:a b.db"),
            ("sqlite:///var/lib/a.db", "sqlite:/var/lib/a.db"),
        ] {
            assert_eq!(AccountsUrl::parse(text).unwrap().to_string(), shown);
        }
    }

    #[cfg(all(feature = "postgres", feature = "mysql"))]
    #[test]
    fn a_database_on_a_server_is_shown_without_its_password() {
        for (text, shown) in [
            ("postgres://u:hunter2@h/x?schema=web", "postgres://u:********@h/x?schema=web"),
            ("mariadb://u:hunter2@h/x", "mariadb://u:********@h/x"),
        ] {
            let url = AccountsUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2"));
        }
    }

    #[test]
    fn what_keeps_no_accounts_is_refused_by_name_and_without_its_password() {
        for (text, cause) in [
            ("accounts.db", "no scheme"),
            ("memory:", "unknown scheme `memory`"),
            ("mongodb://hunter2@h", "unknown scheme `mongodb`"),
            ("redis://:hunter2@h", "redis, which keeps sessions but no accounts"),
            ("memcached://h", "memcached"),
            ("sqlite:x?mode=ro", "options"),
            #[cfg(feature = "postgres")]
            ("postgres://u:hunter2@h/x?shema=web", "shema"),
            #[cfg(not(feature = "postgres"))]
            ("postgres://u:hunter2@h/x", "names a postgres database"),
            #[cfg(feature = "mysql")]
            ("mysql://u:hunter2@h", "database"),
            #[cfg(not(feature = "mysql"))]
            ("mysql://u:hunter2@h/x", "names a mysql database"),
        ] {
            let error = AccountsUrl::parse(text).unwrap_err();
            assert!(error.to_string().contains(cause), "{text}: {error}");
            assert!(!error.remedy().is_empty() && !format!("{error} {}", error.remedy()).contains("hunter2"));
        }
    }
}
