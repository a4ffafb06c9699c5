//! What goes wrong in here, and what kind of failure that is for a caller.

use std::time::Duration;

use cloakroom_store::{CodecError, ErrorKind, StoreError, Verb};
use redis::RedisError;

use crate::NAME;

/// What went wrong, without the verb it happened to: the source of a [`StoreError`].
///
/// None of them carries an address's user or password: neither the driver nor anything in here puts them into a text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("cannot connect to {address}")]
    Connect { address: String, source: Cause },
    #[error("{address} refused the user or password: check both in the store's URL")]
    Refused { address: String, source: Cause },
    #[error("the connection to {address} broke")]
    Broken { address: String, source: Cause },
    #[error("{address} answered an error")]
    Server { address: String, source: Cause },
    #[error("{address} is a replica: writes go to its primary")]
    Replica { address: String },
    #[error("{address} is away; it is tried again in a moment")]
    Away { address: String },
    #[error("no answer within {0:?}")]
    Overdue(Duration),
    #[error("{acknowledged} of {demanded} replicas acknowledged it in time")]
    Replicas { acknowledged: i64, demanded: u32 },
    #[error("no sentinel knows a reachable primary called {name:?}: {detail}")]
    NoPrimary { name: String, detail: String },
    #[error("no node of the cluster tells who serves what: {detail}")]
    NoMap { detail: String },
    #[error("no node of the cluster can be asked: {detail}")]
    NoneAnswers { detail: String },
    #[error("the slot of bucket {bucket} is served by nobody: see `redis-cli --cluster check`")]
    Uncovered { bucket: String },
    #[error("the slot of bucket {bucket} moved {hops} times during one call")]
    Wandering { bucket: String, hops: u32 },
    #[error(
        "{address} does not let this user follow changes: allow it +client|tracking +ping, in a Cluster also \
         +cluster|nodes"
    )]
    Deaf { address: String, source: Cause },
    #[error("the changes of {address} are not followed: {detail}")]
    Unfollowed { address: String, detail: String, is_gone: bool },
    #[error(
        "the sentinels do not agree that {address} is the primary and well, only {agreed} of them say so: {detail}"
    )]
    Contested { address: String, agreed: usize, detail: String },
    #[error("{address} leads to another server than the one whose changes are followed")]
    Elsewhere { address: String },
    #[error("{address} leads to two servers: what one acknowledged the other does not know")]
    Ambiguous { address: String },
    #[error("no node of the cluster is confirmed by most of its primaries to serve what it says")]
    Unconfirmed,
    #[error("{0}")]
    Unusable(String),
    #[error("cannot read {path}")]
    File { path: String, source: std::io::Error },
    #[error("a damaged record")]
    Record(#[from] CodecError),
    #[error("a value with an impossible {0}")]
    Value(&'static str),
    #[error("an answer of an unexpected form to {0}")]
    Answer(&'static str),
    #[error("a request with {0}")]
    Misuse(&'static str),
    #[error("the script and the code that reads disagree on a session: a defect")]
    Disagreement,
}

impl Problem {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Server { source, .. } => server_kind(&source.0),
            Self::Replica { .. } => ErrorKind::ReadOnly,
            Self::Overdue(_) => ErrorKind::Timeout,
            Self::Record(_) | Self::Value(_) => ErrorKind::Corrupt,
            Self::Answer(_) | Self::Misuse(_) | Self::Disagreement => ErrorKind::Internal,
            _ => ErrorKind::Unavailable,
        }
    }

    /// Whether its sentence ends with what to do about it.
    fn has_remedy(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Uncovered { .. } | Self::Deaf { .. } | Self::Unusable(_))
    }

    /// Whether somebody has to correct something: an address, a user, a file, a database's number.
    fn is_for_good(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::File { .. } | Self::Unusable(_) => true,
            // What a server says to a new connection and does not take back.
            Self::Connect { source: Cause(error), .. } => {
                error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::ResponseError)
                    && error.detail().is_some_and(|detail| detail.contains("DB index"))
            }
            _ => false,
        }
    }

    /// Whether it is one server's: in a Cluster the others go on.
    pub(crate) fn is_of_one_server(&self) -> bool {
        match self {
            Self::Server { source: Cause(error), .. } => error.code() != Some("CLUSTERDOWN"),
            Self::Connect { .. }
            | Self::Refused { .. }
            | Self::Broken { .. }
            | Self::Away { .. }
            | Self::Replica { .. }
            | Self::Replicas { .. }
            | Self::Uncovered { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn into_error(self, verb: Verb) -> StoreError {
        let error = StoreError::new(self.kind(), NAME, verb).with_remedy_in_source(self.has_remedy());
        error.for_good(self.is_for_good()).caused_by(self)
    }
}

/// A problem with its cause, for a list of what was tried.
pub(crate) fn said(problem: &Problem) -> String {
    match std::error::Error::source(problem) {
        Some(source) => format!("{problem}: {source}"),
        None => problem.to_string(),
    }
}

/// What the driver says, once: its errors repeat their sources.
#[derive(Debug)]
pub(crate) struct Cause(pub(crate) RedisError);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {}

impl From<RedisError> for Cause {
    fn from(error: RedisError) -> Self {
        Self(error)
    }
}

fn server_kind(error: &RedisError) -> ErrorKind {
    match error.code() {
        // A script that may make the server larger is not begun while it is full.
        Some("OOM") => ErrorKind::Full,
        Some("READONLY") => ErrorKind::ReadOnly,
        // A disk that cannot be written to (`stop-writes-on-bgsave-error`, a full append-only file); too few replicas; a
        // script that runs too long; a server that still reads its file; a cluster without a majority.
        Some("MISCONF") if error.detail().is_some_and(|detail| detail.contains("No space left")) => {
            ErrorKind::Full
        }
        Some(
            "MISCONF" | "NOREPLICAS" | "BUSY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "ASK"
            | "MOVED" | "NOAUTH" | "WRONGPASS" | "NOPERM" | "UNKILLABLE",
        ) => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// Whether a server that answered this error has certainly changed nothing: it never began.
pub(crate) fn never_began(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some(
            "OOM"
                | "READONLY"
                | "MISCONF"
                | "NOREPLICAS"
                | "BUSY"
                | "LOADING"
                | "MASTERDOWN"
                | "CLUSTERDOWN"
                | "TRYAGAIN"
                | "ASK"
                | "MOVED"
                | "NOAUTH"
                | "NOSCRIPT"
                | "CROSSSLOT"
        )
    )
}

#[cfg(test)]
mod tests {
    use redis::{ErrorKind as Driver, ServerErrorKind};

    use super::*;

    fn answered(code: &str, detail: &str) -> Problem {
        let source = redis::make_extension_error(code.to_owned(), Some(detail.to_owned()));
        Problem::Server { address: "127.0.0.1:6379".to_owned(), source: source.into() }
    }

    #[test]
    fn every_answer_of_a_server_is_of_the_kind_that_says_what_to_do() {
        for (code, detail, kind) in [
            ("OOM", "allow-oom flag is not set on the script", ErrorKind::Full),
            ("MISCONF", "Errors writing to the AOF file: No space left on device", ErrorKind::Full),
            ("MISCONF", "Redis is configured to save RDB snapshots", ErrorKind::Unavailable),
            ("NOREPLICAS", "Not enough good replicas to write.", ErrorKind::Unavailable),
            ("BUSY", "Redis is busy running a script", ErrorKind::Unavailable),
            ("NOAUTH", "Authentication required.", ErrorKind::Unavailable),
            ("WRONGTYPE", "Operation against a key holding the wrong kind of value", ErrorKind::Internal),
        ] {
            assert_eq!(answered(code, detail).kind(), kind, "{code}");
        }
        let loading = RedisError::from((Driver::Server(ServerErrorKind::BusyLoading), "loading"));
        assert_eq!(
            Problem::Server { address: String::new(), source: loading.into() }.kind(),
            ErrorKind::Unavailable
        );
    }

    #[test]
    fn an_error_names_its_verb_and_leaves_the_rest_to_its_source() {
        let error = Problem::Overdue(Duration::from_secs(2)).into_error(Verb::End);
        assert_eq!(error.to_string(), "redis store: end failed: the store did not answer in time");
        assert!(std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("2s")));
    }
}
