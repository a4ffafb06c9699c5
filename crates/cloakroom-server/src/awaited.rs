//! What the server needs before it can begin, waited for: services that start together come up in any order.

use std::sync::Arc;
use std::time::Duration;

use crate::accounts::{self, AccountStore};
use crate::cli::with_sources;
use crate::config::Config;
use crate::serve::ServeError;
use crate::stores::{self, Opened};

/// Everything that lasts.
#[derive(Debug)]
pub(crate) struct Databases {
    pub(crate) store: Opened,
    pub(crate) accounts: Arc<dyn AccountStore>,
}

/// Opens everything that lasts, and waits a little for what is not there yet. What waiting cannot mend (a refused password,
/// a broken file) ends the start at once.
pub(crate) async fn open_databases(config: &Config) -> Result<Databases, ServeError> {
    Ok(Databases { store: open_store(config).await?, accounts: open_accounts(config).await? })
}

async fn open_store(config: &Config) -> Result<Opened, ServeError> {
    let mut tries = 0;
    loop {
        let error = match stores::open(config).await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let cause = with_sources(&error);
        tries += 1;
        if !stores::may_come_up(&error) || tries >= TRIES {
            let url = config
                .store_moving_from
                .as_ref()
                .map_or_else(|| config.store.to_string(), |from| format!("{} and {from}", config.store));
            return Err(ServeError::new(cause, format!("check that {url} can be reached, read and written")));
        }
        let what = match config.store.is_sealed() {
            true => "the list of ends cannot be reached yet",
            false => "the session store is not there yet",
        };
        tracing::warn!(event = "session_store_awaited", store = %config.store, cause, "{what}");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn open_accounts(config: &Config) -> Result<Arc<dyn AccountStore>, ServeError> {
    let mut tries = 0;
    loop {
        let error = match accounts::open(config).await {
            Ok(accounts) => return Ok(accounts),
            Err(error) => error,
        };
        let cause = with_sources(&error);
        tries += 1;
        if !error.may_pass() || tries >= TRIES {
            return Err(ServeError::new(cause, error.remedy()));
        }
        tracing::warn!(event = "accounts_awaited", accounts = %config.accounts, cause, "the accounts are not there yet");
        tokio::time::sleep(PAUSE).await;
    }
}

/// How often what cannot be reached is tried before the start is given up, and the pause in between: half a minute and some,
/// as a supervisor's or an orchestrator's own patience.
const TRIES: u32 = 16;
const PAUSE: Duration = Duration::from_secs(2);
