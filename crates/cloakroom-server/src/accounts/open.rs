//! The accounts that are configured.

use std::sync::Arc;

use super::error::{AccountError, AccountErrorKind, Place};
use super::sqlite::SqliteAccounts;
use super::store::AccountStore;
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
    let place = Place::Server(url.to_string());
    Err(AccountError::new(AccountErrorKind::Unsupported, "open", &place))
}
