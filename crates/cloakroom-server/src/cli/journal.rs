//! What the operator does is in the audit log before it happens, and before the command says so.

use std::sync::Arc;

use cloakroom::{Clock, Timestamp};
use cloakroom_audit::{AuditError, AuditLog, names};

use super::{CliError, Host};
use crate::acts::{Act, Done, Unacknowledged, operators, perform};
use crate::config::Config;
use crate::serve::make_data_dir;
use crate::{accounts, audit};

/// The audit log, open for one act.
#[derive(Debug)]
pub(super) struct Journal {
    log: AuditLog,
    clock: Arc<dyn Clock>,
}

impl Journal {
    /// Opens the log that is configured.
    ///
    /// # Errors
    /// [`CliError`] where it cannot be opened; nothing was done then.
    pub(super) async fn open(config: &Config, host: &Host<'_>) -> Result<Self, CliError> {
        // Its key is there, and so are the keys that seal sessions, wherever the accounts are.
        make_data_dir(&config.data_dir).map_err(|error| CliError::failed(error.cause(), error.remedy()))?;
        // The log is where the accounts are, which make the file.
        drop(Box::pin(accounts::open(config)).await?);
        let log = Box::pin(audit::open(config, host.clock.clone(), host.random.clone())).await;
        Ok(Self { log: log.map_err(|error| unwritable(&error))?, clock: host.clock.clone() })
    }

    /// The instant by the command's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The log, for an engine to tell it what ends.
    pub(super) fn log(&self) -> &AuditLog {
        &self.log
    }

    /// Does `work` as the command's only act. When this returns, everything that it noted lasts.
    ///
    /// # Errors
    /// Why `work` failed; or that the log cannot be written, and whether it was done all the same.
    pub(super) async fn act<T>(
        &self,
        act: Act,
        done: &Done,
        work: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        let draft = || operators(names::AUTHZ_ADMIN, self.clock.now());
        // Boxed: the writer that runs beside it is large.
        let acted = Box::pin(perform(&self.log, &act, done, draft, |_| "command_failed", work));
        Box::pin(audit::during(&self.log, acted)).await.map_err(|why| match why {
            Unacknowledged::Failed(error) => error,
            Unacknowledged::NotBegun(error) => unwritable(&error).after("nothing was done"),
            Unacknowledged::NotRecorded(error) => {
                unwritable(&error).after("it was done, and that it began is recorded")
            }
        })
    }
}

fn unwritable(error: &AuditError) -> CliError {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    let remedy = "what is not recorded is not done: check the disk and the permissions of the data directory";
    CliError::failed(format!("{error}{cause}").replace('\n', " "), remedy)
}
