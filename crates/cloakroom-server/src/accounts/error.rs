//! What goes wrong when accounts cannot be asked.

use std::path::{Path, PathBuf};

/// The accounts could not be read or written. Never a "no": nobody may be let in or refused because of it.
#[derive(Debug, thiserror::Error)]
#[error("accounts: {op} failed: {kind} ({})", path.display())]
pub struct AccountError {
    kind: AccountErrorKind,
    op: &'static str,
    path: PathBuf,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl AccountError {
    pub(super) fn new(kind: AccountErrorKind, op: &'static str, path: &Path) -> Self {
        Self { kind, op, path: path.to_owned(), source: None }
    }

    pub(super) fn caused_by(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
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
        Self::new(kind, op, path).caused_by(error)
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> AccountErrorKind {
        self.kind
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.kind {
            AccountErrorKind::Busy => "another process holds the accounts; try again",
            AccountErrorKind::Overloaded => "many people are signing in; try again in a moment",
            AccountErrorKind::Unavailable => {
                "check that the data directory exists and can be read and written"
            }
            AccountErrorKind::Full => "make room on the disk",
            AccountErrorKind::ReadOnly => "make the data directory writable for this user",
            AccountErrorKind::Corrupt => "restore the file from a backup",
            AccountErrorKind::Newer => "use the version of Cloakroom that wrote the file, or a newer one",
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
    /// The file cannot be opened or read.
    Unavailable,
    /// The disk is full.
    Full,
    /// The file accepts no writes.
    ReadOnly,
    /// The file is no account database, or a damaged one.
    Corrupt,
    /// A newer version of this program wrote the file.
    Newer,
    /// A defect.
    Internal,
}

impl std::fmt::Display for AccountErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Busy => "the file is busy",
            Self::Overloaded => "too many passwords wait to be checked",
            Self::Unavailable => "the file is unavailable",
            Self::Full => "the disk is full",
            Self::ReadOnly => "the file is read-only",
            Self::Corrupt => "the file is no account database or is damaged",
            Self::Newer => "the file was written by a newer version",
            Self::Internal => "internal error",
        })
    }
}
