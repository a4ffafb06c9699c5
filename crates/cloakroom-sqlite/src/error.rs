//! What goes wrong in here, and what kind of failure that is for a caller.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::{Applied, CodecError, ErrorKind, StoreError, Verb};
use rusqlite::ErrorCode;

use crate::NAME;

/// What went wrong, without the verb it happened to: the source of a [`StoreError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("a record that is no record")]
    Record(#[from] CodecError),
    #[error("a row with an impossible {0}")]
    Column(&'static str),
    #[error("a request with {0}")]
    Misuse(&'static str),
    #[error("the directory {} does not exist: create it, or configure another", .0.display())]
    NoDirectory(PathBuf),
    #[error("the database file {} is gone: it is used again as soon as it is back", .0.display())]
    NoFile(PathBuf),
    #[error("the database file {} is empty where sessions were before: put the right one back, or restart", .0.display())]
    Emptied(PathBuf),
    #[error("{} is a database of another program: configure another file", .0.display())]
    Foreign(PathBuf),
    #[error(
        "the database has schema {found} and this version of Cloakroom knows schema {known}: \
         run the version that wrote it, or a later one"
    )]
    Schema { found: i64, known: i64 },
    #[error("the file system of {} has no write-ahead log (journal mode {mode:?}): use a local disk", path.display())]
    NoLog { path: PathBuf, mode: String },
    #[error(
        "the database lacks the triggers that write changes down: dump what is in it into a new file, \
         or restore a backup"
    )]
    NoTriggers,
    #[error("cannot create {}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error("{0} operations are waiting already")]
    QueueFull(usize),
    #[error("the store is closed")]
    Closed,
    #[error(
        "the operation, or one that it was together with, panicked: a defect, see the log of the process"
    )]
    Panicked,
    #[error("an operation in the same transaction failed: {0}")]
    Together(ErrorKind),
    #[error("no answer within {0:?}")]
    Overdue(Duration),
}

impl Problem {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Sql(error) => sql_kind(error),
            Self::Record(_) | Self::Column(_) => ErrorKind::Corrupt,
            Self::Together(kind) => *kind,
            Self::Misuse(_) | Self::Panicked => ErrorKind::Internal,
            Self::Overdue(_) => ErrorKind::Timeout,
            _ => ErrorKind::Unavailable,
        }
    }

    /// Whether the connection is to be given up: what it says about its file may be wrong from now on.
    pub(crate) fn spoils_connection(&self) -> bool {
        match self {
            Self::Sql(error) => !matches!(
                error.sqlite_error_code(),
                None | Some(
                    ErrorCode::ConstraintViolation | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked
                )
            ),
            Self::Together(_) => true,
            _ => false,
        }
    }

    /// Whether a failed COMMIT for this reason has certainly committed nothing: the last frame of the transaction,
    /// without which none counts, was never written. Where that frame was written and only its `fsync` failed,
    /// recovery after a crash may yet find it.
    pub(crate) fn certainly_rolled_back(&self) -> bool {
        !matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::Internal)
    }

    /// Whether its sentence ends with what to do about it.
    fn has_remedy(&self) -> bool {
        matches!(
            self,
            Self::NoDirectory(_)
                | Self::NoFile(_)
                | Self::Emptied(_)
                | Self::Foreign(_)
                | Self::Schema { .. }
                | Self::NoLog { .. }
                | Self::NoTriggers
        )
    }

    /// Whether somebody has to correct something: another file, another place, another version.
    fn is_for_good(&self) -> bool {
        match self {
            Self::Foreign(_) | Self::Schema { .. } | Self::NoLog { .. } | Self::NoTriggers => true,
            Self::Create { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::Sql(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::PermissionDenied)
            ),
            _ => false,
        }
    }

    pub(crate) fn into_error(self, verb: Verb) -> StoreError {
        let error = StoreError::new(self.kind(), NAME, verb).with_remedy_in_source(self.has_remedy());
        error.for_good(self.is_for_good()).caused_by(self)
    }

    /// One of several errors that a shared problem causes.
    pub(crate) fn shared(problem: &Arc<Self>, verb: Verb, applied: Applied) -> StoreError {
        let error = StoreError::new(problem.kind(), NAME, verb).caused_by(Arc::clone(problem));
        match applied {
            Applied::No => error,
            Applied::Unknown => error.maybe_applied(),
        }
    }
}

fn sql_kind(error: &rusqlite::Error) -> ErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            ErrorKind::Timeout
        }
        Some(ErrorCode::DiskFull) => ErrorKind::Full,
        Some(ErrorCode::ReadOnly) => ErrorKind::ReadOnly,
        // A damaged file is not one damaged record: nothing it says can be relied upon.
        Some(
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::SchemaChanged
            | ErrorCode::NoLargeFileSupport
            | ErrorCode::AuthorizationForStatementDenied
            | ErrorCode::OperationInterrupted
            | ErrorCode::OperationAborted,
        ) => ErrorKind::Unavailable,
        Some(_) => ErrorKind::Internal,
        None => match error {
            // The value in a column is not what the schema lets in.
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => ErrorKind::Corrupt,
            _ => ErrorKind::Internal,
        },
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn sql(code: i32) -> Problem {
        Problem::Sql(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn every_failure_of_sqlite_is_of_the_kind_that_says_what_to_do() {
        for (code, kind) in [
            (ffi::SQLITE_BUSY, ErrorKind::Timeout),
            (ffi::SQLITE_BUSY_SNAPSHOT, ErrorKind::Timeout),
            (ffi::SQLITE_PROTOCOL, ErrorKind::Timeout),
            (ffi::SQLITE_FULL, ErrorKind::Full),
            (ffi::SQLITE_READONLY_DBMOVED, ErrorKind::ReadOnly),
            (ffi::SQLITE_CORRUPT, ErrorKind::Unavailable),
            (ffi::SQLITE_NOTADB, ErrorKind::Unavailable),
            (ffi::SQLITE_CANTOPEN, ErrorKind::Unavailable),
            (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Unavailable),
            (ffi::SQLITE_CONSTRAINT, ErrorKind::Internal),
        ] {
            assert_eq!(sql(code).kind(), kind, "{code}");
        }
    }

    #[test]
    fn a_failed_commit_is_only_certain_where_its_last_frame_was_never_written() {
        assert!(sql(ffi::SQLITE_FULL).certainly_rolled_back());
        assert!(sql(ffi::SQLITE_BUSY).certainly_rolled_back());
        assert!(sql(ffi::SQLITE_READONLY).certainly_rolled_back());
        assert!(!sql(ffi::SQLITE_IOERR_FSYNC).certainly_rolled_back());
    }

    #[test]
    fn an_error_names_its_verb_and_leaves_the_rest_to_its_source() {
        let error = sql(ffi::SQLITE_FULL).into_error(Verb::Insert);
        assert_eq!(error.to_string(), "sqlite store: insert failed: the store is full");
        assert!(std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("full")));
    }
}
