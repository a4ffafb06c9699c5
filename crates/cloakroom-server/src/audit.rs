//! The audit log that is configured.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloakroom::{Clock, Random};
use cloakroom_audit::{
    Anchor, AuditError, AuditLog, AuditOptions, AuditStore, PublicKey, SealingKey, Sink, SqliteAudit,
    TrustedKeys,
};
use tokio::sync::oneshot;

#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::config::StoreKind;
use crate::config::{AccountsUrl, Config, RemoteUrl};

#[cfg(feature = "mysql")]
pub use mysql::MysqlAudit;
#[cfg(feature = "postgres")]
pub use postgres::PostgresAudit;

/// Opens the log where the accounts are, which have to be opened first; makes its tables, and the key that seals it, where
/// there are none.
///
/// # Errors
/// [`AuditError`] where the log, or the key, cannot be read or made.
pub async fn open(
    config: &Config,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<AuditLog, AuditError> {
    let store = open_store(config).await?;
    let (path, maker) = (key_path(config), Arc::clone(&random));
    let key = on_a_thread(move || SealingKey::load_or_create(&path, &*maker)).await?;
    let mut options = AuditOptions::default();
    let audit = &config.audit;
    options.clock = clock;
    options.random = random;
    options.queue = audit.queue;
    options.on_full = audit.on_full;
    options.wait = audit.wait;
    options.retention = audit.retention;
    options.events_max = audit.events_max;
    options.trusted = TrustedKeys::new(audit.trusted_keys.iter().copied());
    options.key = Some(key);
    options.anchor = Some(anchor_path(config));
    options.sinks = sinks(config);
    Ok(AuditLog::with_options(store, options))
}

/// The log as it stands, without making anything; `None` where there is none yet.
///
/// # Errors
/// [`AuditError`] where it cannot be opened.
pub async fn open_existing(config: &Config) -> Result<Option<Arc<dyn AuditStore>>, AuditError> {
    match &config.accounts {
        AccountsUrl::Sqlite { path } => {
            let path = path.clone().unwrap_or_else(|| config.default_accounts_path());
            let found = on_a_thread(move || SqliteAudit::open_existing(&path)).await?;
            Ok(found.map(|found| {
                let store: Arc<dyn AuditStore> = Arc::new(found);
                store
            }))
        }
        AccountsUrl::Remote(url) => connect(url).await.map(Some),
    }
}

/// Does `work` with a log that is written meanwhile: for a command. When this returns, everything that it noted lasts, or
/// the log has said why not.
pub async fn during<T>(log: &AuditLog, work: impl Future<Output = T>) -> T {
    let (done, is_done) = oneshot::channel::<()>();
    let writing = log.run(async {
        // Dropped, not sent: the work is over either way.
        let _ = is_done.await;
    });
    let work = async {
        let result = work.await;
        drop(done);
        result
    };
    tokio::join!(work, writing).0
}

/// The keys whose seals are believed: this node's and the configured ones; and this node's own, where it has one yet.
///
/// # Errors
/// [`AuditError`] where the key's file holds something else.
pub async fn trusted(config: &Config) -> Result<(TrustedKeys, Option<PublicKey>), AuditError> {
    let path = key_path(config);
    let own = on_a_thread(move || SealingKey::load(&path)).await?.map(|key| *key.public());
    let all = config.audit.trusted_keys.iter().copied().chain(own);
    Ok((TrustedKeys::new(all), own))
}

/// The last seal of this node, kept beside its key.
#[must_use]
pub fn anchor(config: &Config) -> Anchor {
    Anchor::new(anchor_path(config))
}

async fn open_store(config: &Config) -> Result<Arc<dyn AuditStore>, AuditError> {
    match &config.accounts {
        AccountsUrl::Sqlite { path } => {
            let path = path.clone().unwrap_or_else(|| config.default_accounts_path());
            Ok(Arc::new(on_a_thread(move || SqliteAudit::open(&path)).await?))
        }
        AccountsUrl::Remote(url) => connect(url).await,
    }
}

async fn connect(url: &RemoteUrl) -> Result<Arc<dyn AuditStore>, AuditError> {
    match url.kind() {
        #[cfg(feature = "postgres")]
        StoreKind::Postgres => {
            let options = cloakroom_postgres::PostgresOptions::from_url(url.expose());
            let options = options.map_err(|error| AuditError::new("open", error))?;
            Ok(Arc::new(PostgresAudit::connect(&options).await?))
        }
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => {
            let options = cloakroom_mysql::MysqlOptions::from_url(url.expose());
            let options = options.map_err(|error| AuditError::new("open", error))?;
            Ok(Arc::new(MysqlAudit::connect(&options).await?))
        }
        // Reading an address refuses these already, by name.
        _ => Err(AuditError::new("open", format!("this build keeps no audit log at {url}"))),
    }
}

fn key_path(config: &Config) -> PathBuf {
    config.audit.key_file.clone().unwrap_or_else(|| config.data_dir.join("audit.key"))
}

fn anchor_path(config: &Config) -> PathBuf {
    config.data_dir.join("audit.sealed")
}

fn sinks(config: &Config) -> Vec<Sink> {
    let audit = &config.audit;
    let file = audit.file.clone().map(Sink::File);
    let syslog = audit.syslog.clone().map(|to| Sink::Syslog { to, host: host_name() });
    let journald = audit.journald.clone().map(Sink::Journald);
    file.into_iter().chain(syslog).chain(journald).collect()
}

/// The machine's name, for messages that leave it.
fn host_name() -> String {
    // The kernel's own word; where there is none, messages name nobody.
    let name = std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
    name.trim().to_owned()
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(AuditError::new("working on a thread", error)),
    }
}
