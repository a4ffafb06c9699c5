//! The accounts that are configured.

use std::sync::Arc;

use super::error::{AccountError, AccountErrorKind, Place};
use super::sqlite::SqliteAccounts;
use super::store::AccountStore;
#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::config::StoreKind;
use crate::config::{AccountsUrl, Config, RemoteUrl};

/// Opens the accounts that the configuration names. A file, or the tables in a database, are made where there are none, and
/// brought up to date where they are older; several nodes may do so at once.
///
/// # Errors
/// [`AccountError`] where they cannot be opened, or reached: [`may_pass`](AccountError::may_pass) says whether to try again.
pub async fn open(config: &Config) -> Result<Arc<dyn AccountStore>, AccountError> {
    match &config.accounts {
        AccountsUrl::Sqlite { path } => {
            let path = path.clone().unwrap_or_else(|| config.default_accounts_path());
            match tokio::task::spawn_blocking(move || SqliteAccounts::open(&path)).await {
                Ok(opened) => Ok(Arc::new(opened?)),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        AccountsUrl::Remote(url) => connect(url).await,
    }
}

async fn connect(url: &RemoteUrl) -> Result<Arc<dyn AccountStore>, AccountError> {
    match url.kind() {
        #[cfg(feature = "postgres")]
        StoreKind::Postgres => {
            let options = cloakroom_postgres::PostgresOptions::from_url(url.expose());
            let options = options.map_err(|error| malformed(url, error))?;
            Ok(Arc::new(super::PostgresAccounts::connect(options, url.to_string()).await?))
        }
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => {
            let options = cloakroom_mysql::MysqlOptions::from_url(url.expose());
            let options = options.map_err(|error| malformed(url, error))?;
            Ok(Arc::new(super::MysqlAccounts::connect(options, url.to_string()).await?))
        }
        // Reading an address refuses these already, by name.
        _ => Err(AccountError::new(AccountErrorKind::Unsupported, "open", &Place::Server(url.to_string()))),
    }
}

/// An address that was read when the configuration was cannot fail to be read again, but for a file it names.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn malformed(url: &RemoteUrl, error: impl std::error::Error + Send + Sync + 'static) -> AccountError {
    AccountError::new(AccountErrorKind::Internal, "open", &Place::Server(url.to_string())).caused_by(error)
}
