//! What goes wrong when accounts cannot be asked.

use std::fmt;
use std::path::{Path, PathBuf};

/// The accounts could not be read or written. Never a "no": nobody may be let in or refused because of it.
#[derive(Debug, thiserror::Error)]
#[error("accounts: {op} failed: {kind} ({place})")]
pub struct AccountError {
    kind: AccountErrorKind,
    op: &'static str,
    place: Place,
    is_in_doubt: bool,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Where accounts are, for messages: never with a password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In this file.
    File(PathBuf),
    /// On a server: its kind and its hosts.
    Server(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(place) => f.write_str(place),
        }
    }
}

impl AccountError {
    /// `op` failed at `place`, after which nothing has changed.
    #[must_use]
    pub fn new(kind: AccountErrorKind, op: &'static str, place: &Place) -> Self {
        Self { kind, op, place: place.clone(), is_in_doubt: false, source: None }
    }

    /// The same error, caused by `source`.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The same error, after which a change may have been made, whole, or not at all.
    #[must_use]
    pub fn in_doubt(self) -> Self {
        Self { is_in_doubt: true, ..self }
    }

    /// The error of SQLite as the kind of failure that it means.
    pub(super) fn from_sqlite(error: rusqlite::Error, op: &'static str, path: &Path) -> Self {
        use rusqlite::ErrorCode as Code;
        let kind = match error.sqlite_error_code() {
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => AccountErrorKind::Busy,
            Some(Code::DiskFull) => AccountErrorKind::Full,
            Some(Code::ReadOnly | Code::PermissionDenied) => AccountErrorKind::ReadOnly,
            Some(Code::NotADatabase | Code::DatabaseCorrupt) => AccountErrorKind::Corrupt,
            Some(Code::CannotOpen | Code::SystemIoFailure | Code::OutOfMemory) => {
                AccountErrorKind::Unavailable
            }
            _ => AccountErrorKind::Internal,
        };
        Self::new(kind, op, &Place::File(path.to_owned())).caused_by(error)
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> AccountErrorKind {
        self.kind
    }

    /// Whether a change may have been made all the same: the answer was lost, not the question. Otherwise nothing has
    /// changed.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Whether the same may go well in a moment, without anybody doing anything here.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self.place, Place::Server(_)) && self.kind == AccountErrorKind::Unavailable
            || matches!(self.kind, AccountErrorKind::Busy | AccountErrorKind::Overloaded)
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        let is_file = matches!(self.place, Place::File(_));
        match self.kind {
            AccountErrorKind::Busy => "another process holds the accounts; try again",
            AccountErrorKind::Overloaded => "many people are signing in; try again in a moment",
            AccountErrorKind::Unavailable if is_file => {
                "check that the data directory exists and can be read and written"
            }
            AccountErrorKind::Unavailable => {
                "check that the database of `accounts` can be reached, read and written"
            }
            AccountErrorKind::Full => "make room on the disk",
            AccountErrorKind::ReadOnly if is_file => "make the data directory writable for this user",
            AccountErrorKind::ReadOnly => "name the primary in `accounts`",
            AccountErrorKind::Corrupt if is_file => "restore the file from a backup",
            AccountErrorKind::Corrupt => "restore the tables from a backup",
            AccountErrorKind::Newer => "use the version of Cloakroom that wrote them, or a newer one",
            AccountErrorKind::Unsupported => "use a build that has it, or name another place in `accounts`",
            AccountErrorKind::Internal => "report this, with the log around it",
        }
    }
}

/// Kinds of failure, by what can be done about them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AccountErrorKind {
    /// Another process holds the file. Try again.
    Busy,
    /// More passwords wait to be hashed than would be done in reasonable time. Try again.
    Overloaded,
    /// The file cannot be opened or read; the database cannot be reached, or did not answer in time.
    Unavailable,
    /// The disk is full.
    Full,
    /// The file accepts no writes; the database is a standby.
    ReadOnly,
    /// What is there are no accounts, or damaged ones.
    Corrupt,
    /// A newer version of this program wrote them.
    Newer,
    /// This build knows no such place.
    Unsupported,
    /// A defect.
    Internal,
}

impl fmt::Display for AccountErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "another process holds the accounts",
            Self::Overloaded => "too many passwords wait to be checked",
            Self::Unavailable => "the accounts are unavailable",
            Self::Full => "the disk is full",
            Self::ReadOnly => "the accounts are read-only",
            Self::Corrupt => "there are no accounts, or damaged ones",
            Self::Newer => "a newer version wrote the accounts",
            Self::Unsupported => "this build has no such place for accounts",
            Self::Internal => "internal error",
        })
    }
}
