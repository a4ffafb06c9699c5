//! What PostgreSQL and the way to it can fail with, and of which kind that is.

use std::time::Duration;

use cloakroom_store::{Applied, CodecError, ErrorKind, StoreError, Verb};
use tokio_postgres::error::{Severity, SqlState};

use crate::NAME;

/// What happened: the source of a [`StoreError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    // Without the server's detail: that of a violated constraint quotes the row.
    #[error("{message} (SQLSTATE {})", code.code())]
    Server { code: SqlState, message: String, ends_connection: bool },
    #[error("the connection failed")]
    Connection(#[source] tokio_postgres::Error),
    // The driver's error is in the sentence already, without its wrapping.
    #[error("cannot connect to {place}: {}: {remedy}", cause(error))]
    Connect { place: String, remedy: &'static str, error: tokio_postgres::Error },
    #[error("the certificate authorities in {path} cannot be used: {cause}: set sslrootcert to a PEM file")]
    Authorities { path: String, cause: String },
    #[error("this computer has no certificate authorities: set sslrootcert to a PEM file")]
    NoAuthorities,
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("a record that is no record")]
    Record(#[from] CodecError),
    #[error("a row with an impossible {0}")]
    Column(&'static str),
    #[error("a request with {0}")]
    Misuse(&'static str),
    #[error(
        "schema {schema} has version {found} and this version of Cloakroom knows version {known}: \
         run the version that migrated it, or a later one"
    )]
    Newer { schema: String, found: i32, known: i32 },
    #[error(
        "schema {schema} has version {found} and this version of Cloakroom needs version {known}, but migrating is \
         switched off: start it once with migrate=on and a role that owns the schema"
    )]
    Older { schema: String, found: i32, known: i32 },
    #[error(
        "this role may not use schema {schema}: {message}: GRANT USAGE ON SCHEMA, and SELECT, INSERT, UPDATE and DELETE ON \
         ALL TABLES IN SCHEMA, {schema} TO it"
    )]
    Forbidden { schema: String, message: String },
    #[error("schema {schema} cannot be brought to version {version}: {message} (SQLSTATE {}): {remedy}", code.code())]
    Migration { schema: String, version: i32, message: String, code: SqlState, remedy: &'static str },
    #[error("the database is encoded in {0}: create one with ENCODING 'UTF8'")]
    Encoding(String),
    // Whoever waited for a lock has to see what was committed meanwhile: limits would not be exact.
    #[error("transactions are {0}: set default_transaction_isolation to 'read committed' for this role")]
    Isolation(String),
    #[error("the server is PostgreSQL {0}: use 14 or later")]
    OldServer(i32),
    #[error("the server is a standby: name the primary in the URL")]
    Standby,
    #[error(
        "schema {0} does not tell of changes: its triggers told_of_… are missing or disabled; enable them (ALWAYS)"
    )]
    Silent(String),
    #[error("the list of changes has no name, though it was given one")]
    Nameless,
    #[error(
        "the server takes no changes, so that it may be a standby, which is behind: name the primary in the URL"
    )]
    MayLag,
    #[error("the list of ends has no head: its table revocation_head was emptied; INSERT its row again")]
    Headless,
    #[error("a row that changed while it was looked at, again and again")]
    Restless,
    #[error("no connection became free within {0:?}")]
    Crowded(Duration),
    #[error("no answer within {0:?}")]
    Overdue(Duration),
    #[error("the store is closed")]
    Closed,
}

/// Whether a request had been sent when something failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    Nothing,
    Reading,
    Writing,
}

impl Problem {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Server { code, .. } => kind_of(code),
            Self::Migration { code, .. } => match kind_of(code) {
                ErrorKind::Internal => ErrorKind::Unavailable,
                kind => kind,
            },
            Self::Connect { error, .. } => {
                error.code().map_or(ErrorKind::Unavailable, |code| match kind_of(code) {
                    ErrorKind::Internal => ErrorKind::Unavailable,
                    kind => kind,
                })
            }
            Self::Record(_) | Self::Column(_) => ErrorKind::Corrupt,
            Self::Misuse(_) => ErrorKind::Internal,
            Self::Standby | Self::MayLag => ErrorKind::ReadOnly,
            Self::Overdue(_) | Self::Crowded(_) | Self::Restless => ErrorKind::Timeout,
            _ => ErrorKind::Unavailable,
        }
    }

    /// Whether the same may be asked again at once: the server has given this one up, and nothing was applied.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Server { code, ends_connection: false, .. } => {
                *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE
            }
            Self::Restless => true,
            _ => false,
        }
    }

    /// Whether the connection it happened on is of no more use: gone, overdue, or to a server that is a standby now.
    pub(crate) fn spoils_connection(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Overdue(_) | Self::MayLag => true,
            Self::Server { ends_connection, .. } => *ends_connection || self.kind() == ErrorKind::ReadOnly,
            _ => false,
        }
    }

    /// Whether the connection it happened on is gone.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::Server { ends_connection: true, .. })
    }

    /// Whether the digest or the id was taken, by a row that was written at the same moment.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Server { code, .. } if *code == SqlState::UNIQUE_VIOLATION)
    }

    /// What is known of a write that this happened to. An error that the server reports and survives has undone it; where
    /// the connection ends, the commit may have come before the end.
    pub(crate) fn applied(&self, sent: Sent) -> Applied {
        let in_doubt = match self {
            Self::Connection(_) | Self::Overdue(_) => true,
            Self::Server { ends_connection, .. } => *ends_connection,
            _ => false,
        };
        if in_doubt && sent == Sent::Writing { Applied::Unknown } else { Applied::No }
    }

    /// Whether its sentence ends with what to do about it.
    fn has_remedy(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Authorities { .. }
                | Self::NoAuthorities
                | Self::Newer { .. }
                | Self::Older { .. }
                | Self::Forbidden { .. }
                | Self::Migration { .. }
                | Self::Encoding(_)
                | Self::Isolation(_)
                | Self::OldServer(_)
                | Self::Standby
                | Self::Silent(_)
                | Self::MayLag
                | Self::Headless
        )
    }

    /// Whether somebody has to correct something: who may enter, what there is, what is set.
    fn is_for_good(&self) -> bool {
        match self {
            Self::Authorities { .. }
            | Self::NoAuthorities
            | Self::Tls(_)
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Forbidden { .. }
            | Self::Encoding(_)
            | Self::Isolation(_)
            | Self::OldServer(_) => true,
            Self::Connect { error, .. } => error.code().is_some_and(is_refusal),
            Self::Server { code, .. } | Self::Migration { code, .. } => is_refusal(code),
            _ => false,
        }
    }

    pub(crate) fn into_error(self, verb: Verb, sent: Sent) -> StoreError {
        let error = StoreError::new(self.kind(), NAME, verb).with_remedy_in_source(self.has_remedy());
        let error = error.for_good(self.is_for_good());
        match self.applied(sent) {
            Applied::No => error.caused_by(self),
            Applied::Unknown => error.maybe_applied().caused_by(self),
        }
    }
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(answer) => Self::Server {
                code: answer.code().clone(),
                message: answer.message().to_owned(),
                ends_connection: !matches!(answer.parsed_severity(), Some(Severity::Error)),
            },
            None => Self::Connection(error),
        }
    }
}

/// What to do about a server that cannot be connected to.
pub(crate) fn remedy(error: &tokio_postgres::Error) -> &'static str {
    match error.code() {
        Some(code) if code.code().starts_with("28") => {
            "check user and password in the URL, and pg_hba.conf on the server"
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            "create the database, or name another one in the URL"
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => {
            "raise max_connections on the server, or lower readers and writers in the URL"
        }
        Some(_) => "see the log of the server",
        None if cause(error).contains("TLS") || cause(error).contains("certificate") => {
            "check sslmode and sslrootcert in the URL"
        }
        None => "start the server, or correct host and port in the URL",
    }
}

/// The innermost reason, on one line and without the server's detail.
fn cause(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return answer.message().to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Whether the server refuses for good: a user or a password, a database or a schema that is not there, a right.
fn is_refusal(code: &SqlState) -> bool {
    matches!(code.code(), "42501" | "3F000") || matches!(code.code().get(..2), Some("28" | "3D"))
}

fn kind_of(code: &SqlState) -> ErrorKind {
    match code.code() {
        "53100" => ErrorKind::Full,
        "25006" => ErrorKind::ReadOnly,
        "57014" | "55P03" | "40P01" | "40001" => ErrorKind::Timeout,
        // Gone, or not that of this version: another node, or a person, has changed it.
        "42P01" | "42883" | "42703" | "3F000" | "42501" => ErrorKind::Unavailable,
        code => match code.get(..2) {
            // Connections, rights, missing databases, resources, operators, the system below, damaged files.
            Some("08" | "28" | "3D" | "53" | "57" | "58" | "XX") => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &SqlState, ends_connection: bool) -> Problem {
        Problem::Server { code: code.clone(), message: "it failed".to_owned(), ends_connection }
    }

    #[test]
    fn every_failure_of_the_server_is_of_the_kind_that_says_what_to_do() {
        for (code, kind) in [
            (SqlState::DISK_FULL, ErrorKind::Full),
            (SqlState::READ_ONLY_SQL_TRANSACTION, ErrorKind::ReadOnly),
            (SqlState::QUERY_CANCELED, ErrorKind::Timeout),
            (SqlState::LOCK_NOT_AVAILABLE, ErrorKind::Timeout),
            (SqlState::T_R_DEADLOCK_DETECTED, ErrorKind::Timeout),
            (SqlState::ADMIN_SHUTDOWN, ErrorKind::Unavailable),
            (SqlState::CRASH_SHUTDOWN, ErrorKind::Unavailable),
            (SqlState::CANNOT_CONNECT_NOW, ErrorKind::Unavailable),
            (SqlState::TOO_MANY_CONNECTIONS, ErrorKind::Unavailable),
            (SqlState::OUT_OF_MEMORY, ErrorKind::Unavailable),
            (SqlState::IO_ERROR, ErrorKind::Unavailable),
            (SqlState::DATA_CORRUPTED, ErrorKind::Unavailable),
            (SqlState::UNDEFINED_FUNCTION, ErrorKind::Unavailable),
            (SqlState::INSUFFICIENT_PRIVILEGE, ErrorKind::Unavailable),
            (SqlState::CHECK_VIOLATION, ErrorKind::Internal),
            (SqlState::SYNTAX_ERROR, ErrorKind::Internal),
        ] {
            assert_eq!(server(&code, false).kind(), kind, "{code:?}");
        }
    }

    #[test]
    fn a_write_is_in_doubt_only_where_the_connection_ended_or_nobody_answered() {
        let doubtful = [Problem::Overdue(Duration::from_secs(2)), server(&SqlState::ADMIN_SHUTDOWN, true)];
        for problem in doubtful {
            assert_eq!(problem.applied(Sent::Writing), Applied::Unknown, "{problem}");
            assert_eq!(problem.applied(Sent::Reading), Applied::No, "{problem}");
            assert_eq!(problem.applied(Sent::Nothing), Applied::No, "{problem}");
        }
        for problem in [server(&SqlState::DISK_FULL, false), Problem::Crowded(Duration::from_secs(2))] {
            assert_eq!(problem.applied(Sent::Writing), Applied::No, "{problem}");
        }
    }

    #[test]
    fn an_error_names_its_verb_and_leaves_the_rest_to_its_source() {
        let error = server(&SqlState::DISK_FULL, false).into_error(Verb::Insert, Sent::Writing);
        assert_eq!(error.to_string(), "postgres store: insert failed: the store is full");
        assert!(std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("53100")));
    }
}
