//! The files that a configuration names.

use std::fs::File;
use std::path::Path;

use super::CliError;
use crate::audit;
use crate::config::Config;
use crate::detection::{Detection, DetectionError};
use crate::doors;

/// What keeps the server from using files that `config` names: certificate and key, the accounts, the key of the audit log,
/// what detection reads. What is made where it is missing may be missing.
pub(super) async fn unusable(config: &Config) -> Vec<CliError> {
    let mut found = Vec::new();
    if let Some(tls) = &config.tls
        && let Err(error) = doors::rustls_config(tls).await
    {
        found.push(CliError::failed(error.cause(), error.remedy()));
    }
    found.extend(audit::trusted(config).await.err().map(CliError::from));
    let made_if_missing = [("accounts", config.accounts_path()), ("store", config.sessions_path())];
    for (what, path) in made_if_missing.into_iter().filter_map(|(what, path)| Some((what, path?))) {
        found.extend(unreadable(what, &path));
    }
    found.extend(unusable_keys(config));
    if let Err(DetectionError { cause, remedy }) = Detection::open(&config.detection) {
        found.push(CliError::failed(cause, remedy));
    }
    found
}

/// Why the keys that seal sessions cannot be used, where any do.
#[cfg(feature = "sealed")]
fn unusable_keys(config: &Config) -> Option<CliError> {
    let is_unmade = config.sealed_keys_path().is_some_and(|path| !path.exists());
    if !config.store.is_sealed() || is_unmade {
        return None;
    }
    crate::sealing::Keys::of(config).and_then(|keys| keys.ring()).err().map(CliError::from)
}

#[cfg(not(feature = "sealed"))]
fn unusable_keys(_: &Config) -> Option<CliError> {
    None
}

/// Why a file that is there cannot be read.
fn unreadable(what: &str, path: &Path) -> Option<CliError> {
    match File::open(path) {
        Ok(file) if file.metadata().is_ok_and(|about| about.is_file()) => None,
        Ok(_) => {
            let cause = format!("{what}: {} is no file", path.display());
            Some(CliError::failed(cause, "name a file"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let cause = format!("{what}: {} cannot be read: {error}", path.display());
            Some(CliError::failed(cause, "let the user that the server runs as read it"))
        }
    }
}
