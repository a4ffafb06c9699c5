//! What MySQL and the way to it can fail with, and of which kind that is.

use std::time::Duration;

use cloakroom_store::{Applied, CodecError, ErrorKind, StoreError, Verb};

use crate::NAME;

/// What happened: the source of a [`StoreError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{message} (error {code})")]
    Server { code: u16, message: String },
    #[error("the connection failed")]
    Connection(#[source] mysql_async::Error),
    #[error("cannot connect to {place}: {cause}: {remedy}")]
    Connect { place: String, code: Option<u16>, cause: String, remedy: &'static str },
    #[error("the certificate authorities in {path} cannot be used: {cause}: set sslrootcert to a PEM file")]
    Authorities { path: String, cause: String },
    #[error("this computer has no certificate authorities: set sslrootcert to a PEM file")]
    NoAuthorities,
    #[error("a record that is no record")]
    Record(#[from] CodecError),
    #[error("a row with an impossible {0}")]
    Column(&'static str),
    #[error("an answer without {0}: the procedures are not those of this version")]
    Answer(&'static str),
    #[error("a request with {0}")]
    Misuse(&'static str),
    #[error(
        "database {database} has schema {found} and this version of Cloakroom knows schema {known}: \
         run the version that migrated it, or a later one"
    )]
    Newer { database: String, found: i64, known: i64 },
    #[error(
        "database {database} has schema {found} and this version of Cloakroom needs schema {known}, but migrating is \
         switched off: start it once with migrate=on and a user who may create tables and routines"
    )]
    Older { database: String, found: i64, known: i64 },
    #[error(
        "database {database} has a {object} that is not Cloakroom's: give Cloakroom a database of its own"
    )]
    Foreign { database: String, object: String },
    #[error("another process has been migrating database {database} for {patience:?}: see what holds it up")]
    Migrating { database: String, patience: Duration },
    #[error(
        "step {step} to schema {version} of database {database} failed: {message} (error {code}): {remedy}"
    )]
    Migration {
        database: String,
        version: i64,
        step: usize,
        code: u16,
        message: String,
        remedy: &'static str,
    },
    #[error("the list of ends has no head: its table revocation_head was emptied; INSERT its row again")]
    Headless,
    #[error(
        "the server accepts no changes, so that it may be a replica, which is behind: name the primary in the URL, or set \
         read_only to 0 there"
    )]
    Replica,
    #[error("a row that changed while it was looked at, again and again")]
    Restless,
    #[error("no connection within {0:?}: the server does not answer, or all connections are busy")]
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
            Self::Server { code, .. } | Self::Migration { code, .. } => kind_of(*code),
            Self::Connect { code, .. } => code.map_or(ErrorKind::Unavailable, |code| match kind_of(code) {
                ErrorKind::Internal => ErrorKind::Unavailable,
                kind => kind,
            }),
            Self::Record(_) | Self::Column(_) => ErrorKind::Corrupt,
            Self::Misuse(_) => ErrorKind::Internal,
            Self::Replica => ErrorKind::ReadOnly,
            Self::Overdue(_) | Self::Crowded(_) | Self::Restless => ErrorKind::Timeout,
            _ => ErrorKind::Unavailable,
        }
    }

    /// Whether the same may be asked again at once: the server has given this one up, and nothing was applied.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Server { code: DEADLOCK | LOCK_WAIT_TIMEOUT, .. } | Self::Restless)
    }

    /// Whether the connection may be used again on which the server said this.
    ///
    /// Only after what leaves no transaction behind for certain. Whatever ends a procedure without its handler having
    /// run (a kill, a time limit) may leave one open, and the next one on the connection would commit it.
    pub(crate) fn spares_connection(&self) -> bool {
        self.is_passing()
    }

    /// What is known of a write that this happened to. An error that the server reports has undone it, unless it is one
    /// that may come from the commit itself.
    pub(crate) fn applied(&self, sent: Sent) -> Applied {
        let in_doubt = match self {
            Self::Connection(_) | Self::Overdue(_) | Self::Closed | Self::Answer(_) => true,
            Self::Server { code, .. } => IN_DOUBT.contains(code),
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
                | Self::Foreign { .. }
                | Self::Migrating { .. }
                | Self::Migration { .. }
                | Self::Headless
                | Self::Replica
        )
    }

    /// Whether somebody has to correct something: who may enter, what there is, what it belongs to.
    fn is_for_good(&self) -> bool {
        match self {
            Self::Authorities { .. }
            | Self::NoAuthorities
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Foreign { .. } => true,
            Self::Connect { code: Some(code), .. }
            | Self::Server { code, .. }
            | Self::Migration { code, .. } => REFUSALS.contains(code),
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

impl From<mysql_async::Error> for Problem {
    fn from(error: mysql_async::Error) -> Self {
        match error {
            // The message of the server quotes the value.
            mysql_async::Error::Server(answer) if answer.code == DUPLICATE_KEY => {
                Self::Server { code: answer.code, message: "a value that is there already".to_owned() }
            }
            mysql_async::Error::Server(answer) => Self::Server { code: answer.code, message: answer.message },
            error => Self::Connection(error),
        }
    }
}

/// What to do about a server that cannot be connected to.
pub(crate) fn remedy(code: Option<u16>, cause: &str) -> &'static str {
    match code {
        Some(1044 | 1045 | 1698) => "check user, password and grants",
        Some(1049) => "create the database, or name another one in the URL",
        Some(1040 | 1203) => "raise max_connections on the server, or lower connections in the URL",
        Some(1129) => "run FLUSH HOSTS on the server",
        Some(_) => "see the log of the server",
        None if cause.contains("SSL") || cause.contains("TLS") || cause.contains("certificate") => {
            "check sslmode and sslrootcert in the URL"
        }
        None => "start the server, or correct host and port in the URL",
    }
}

/// What to do about a migration that the server refuses.
pub(crate) fn migration_remedy(code: u16) -> &'static str {
    match code {
        1044 | 1142 | 1227 | 1370 | 1419 => {
            "grant CREATE, ALTER, INDEX, DROP, CREATE VIEW, CREATE ROUTINE and ALTER ROUTINE on it, or migrate as another user"
        }
        _ => "starting again goes on with this step",
    }
}

/// The innermost reason, on one line.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn kind_of(code: u16) -> ErrorKind {
    match code {
        // A full table, disk or file; temporary space; the log; binary log cache.
        1021 | 1114 | 1041 | 1038 | 1197 | 1534 | 3675 => ErrorKind::Full,
        // read_only, a read-only transaction, InnoDB in read-only mode, a table in read-only mode, a standby.
        1290 | 1792 | 1836 | 1874 | 1036 | 3100 => ErrorKind::ReadOnly,
        DEADLOCK | LOCK_WAIT_TIMEOUT | 1317 | 1969 | 3024 => ErrorKind::Timeout,
        // Connections, a cluster's member that is not ready, rights, what is not there (another version, or a person, has changed it), the system below,
        // damaged or unreadable files, engines, replication.
        1040
        | 1044
        | 1045
        | 1047
        | 1049
        | 1129
        | 1130
        | 1142
        | 1143
        | 1146
        | 1152..=1161
        | 1184
        | 1203
        | 1227
        | 1305
        | 1370
        | 1053
        | 1054
        | 1077
        | 1079
        | 1030
        | 1033..=1035
        | 1037
        | 1180
        | 1181
        | 1194
        | 1195
        | 1226
        | 1286
        | 1356
        | 1412
        | 1698
        | 1712
        | 1877
        | 1927
        | 2002..=2013
        | 3032
        | 3168
        | 4031 => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// A user, a password, a database or a right that the server does not have.
const REFUSALS: [u16; 9] = [1044, 1045, 1049, 1142, 1143, 1227, 1370, 1419, 1698];
const DUPLICATE_KEY: u16 = 1062;
const DEADLOCK: u16 = 1213;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// Shutting down, killed, interrupted, out of time, an error of the commit itself.
const IN_DOUBT: [u16; 7] = [1053, 1180, 1317, 1927, 1969, 3024, 4031];

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16) -> Problem {
        Problem::Server { code, message: "it failed".to_owned() }
    }

    #[test]
    fn every_failure_of_the_server_is_of_the_kind_that_says_what_to_do() {
        for (code, kind) in [
            (1021, ErrorKind::Full),
            (1041, ErrorKind::Full),
            (1114, ErrorKind::Full),
            (1290, ErrorKind::ReadOnly),
            (1792, ErrorKind::ReadOnly),
            (1836, ErrorKind::ReadOnly),
            (1205, ErrorKind::Timeout),
            (1213, ErrorKind::Timeout),
            (1969, ErrorKind::Timeout),
            (3024, ErrorKind::Timeout),
            (1040, ErrorKind::Unavailable),
            (1047, ErrorKind::Unavailable),
            (1053, ErrorKind::Unavailable),
            (1146, ErrorKind::Unavailable),
            (1305, ErrorKind::Unavailable),
            (1370, ErrorKind::Unavailable),
            (1927, ErrorKind::Unavailable),
            (1064, ErrorKind::Internal),
            (4025, ErrorKind::Internal),
        ] {
            assert_eq!(server(code).kind(), kind, "{code}");
        }
    }

    #[test]
    fn a_write_is_in_doubt_where_the_connection_or_the_commit_may_have_ended_it() {
        for problem in [Problem::Overdue(Duration::from_secs(2)), server(1053), server(1180), server(1927)] {
            assert_eq!(problem.applied(Sent::Writing), Applied::Unknown, "{problem}");
            assert_eq!(problem.applied(Sent::Reading), Applied::No, "{problem}");
            assert_eq!(problem.applied(Sent::Nothing), Applied::No, "{problem}");
        }
        for problem in [server(1213), server(1290), server(1114), Problem::Crowded(Duration::from_secs(2))] {
            assert_eq!(problem.applied(Sent::Writing), Applied::No, "{problem}");
        }
    }

    #[test]
    fn a_connection_is_used_again_only_after_what_left_no_transaction_behind() {
        for (code, spared) in [(1213, true), (1205, true), (1317, false), (1969, false), (1114, false)] {
            assert_eq!(server(code).spares_connection(), spared, "{code}");
        }
    }

    #[test]
    fn what_the_server_quotes_of_a_row_is_not_repeated() {
        let duplicate = mysql_async::ServerError {
            code: 1062,
            message: "Duplicate entry 'secret' for key".to_owned(),
            state: "23000".to_owned(),
        };
        let problem = Problem::from(mysql_async::Error::Server(duplicate));
        assert!(!format!("{problem} {problem:?}").contains("secret"));
    }

    #[test]
    fn an_error_names_its_verb_and_leaves_the_rest_to_its_source() {
        let error = server(1114).into_error(Verb::Insert, Sent::Writing);
        assert_eq!(error.to_string(), "mysql store: insert failed: the store is full");
        assert!(std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("1114")));
    }
}
