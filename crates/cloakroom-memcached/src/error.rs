//! What goes wrong in here, and what kind of failure that is for a caller.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::{CodecError, ErrorKind, StoreError, Verb};

use crate::NAME;
use crate::client::Malformed;

/// What went wrong, without the verb it happened to: the source of a [`StoreError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("cannot reach memcached at {server}: check that it runs and that the address is right")]
    Unreachable { server: Arc<str>, source: io::Error },
    #[error("memcached at {server} was silent for {patience:?}: it hangs, or the network does")]
    Silent { server: Arc<str>, patience: Duration },
    #[error("memcached at {server} is away; it is tried again in the background")]
    Away { server: Arc<str>, source: Arc<Problem> },
    #[error("the connection to memcached at {server} was lost")]
    Lost { server: Arc<str> },
    #[error("what answers at {server} is no memcached that this store can use")]
    Protocol { server: Arc<str>, source: Malformed },
    #[error("memcached at {server} refused: {why}")]
    Refused { server: Arc<str>, why: String },
    #[error("no room: {what} would take {bytes} bytes, and {most} is the most")]
    TooLarge { what: &'static str, bytes: usize, most: usize },
    #[error("a record that is no record")]
    Record(#[from] CodecError),
    #[error("an item of this store that is none: {0}")]
    Damaged(&'static str),
    #[error("an item written by a later version of Cloakroom (format {0})")]
    Later(u8),
    #[error("a request with {0}")]
    Misuse(&'static str),
    #[error("no answer within {0:?}")]
    Overdue(Duration),
    #[error("memcached keeps no list of what it has: {0} is not possible")]
    Unsupported(&'static str),
    #[error("the store is closed")]
    Closed,
}

impl Problem {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. }
            | Self::Away { .. }
            | Self::Lost { .. }
            | Self::Protocol { .. }
            | Self::Closed => ErrorKind::Unavailable,
            Self::Silent { .. } | Self::Overdue(_) => ErrorKind::Timeout,
            Self::Refused { why, .. } if why.contains("memory") || why.contains("too large") => {
                ErrorKind::Full
            }
            Self::Refused { .. } => ErrorKind::Unavailable,
            Self::TooLarge { .. } => ErrorKind::Full,
            Self::Record(_) | Self::Damaged(_) | Self::Later(_) => ErrorKind::Corrupt,
            Self::Misuse(_) => ErrorKind::Internal,
            Self::Unsupported(_) => ErrorKind::Unsupported,
        }
    }

    /// Whether the server could not be asked: another may be.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
    }

    /// Whether its sentence, or that of its source, ends with what to do about it.
    fn has_remedy(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Away { source, .. } => source.has_remedy(),
            _ => false,
        }
    }

    /// Whether somebody has to correct something: the address leads to something else.
    fn is_for_good(&self) -> bool {
        match self {
            Self::Protocol { .. } => true,
            Self::Away { source, .. } => source.is_for_good(),
            _ => false,
        }
    }

    /// Whether it is one server's: the others go on.
    pub(crate) fn is_of_one_server(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Silent { .. }
                | Self::Away { .. }
                | Self::Lost { .. }
                | Self::Protocol { .. }
                | Self::Refused { .. }
                | Self::Overdue(_)
        )
    }

    pub(crate) fn into_error(self, verb: Verb) -> StoreError {
        let error = StoreError::new(self.kind(), NAME, verb).with_remedy_in_source(self.has_remedy());
        error.for_good(self.is_for_good()).caused_by(self)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn every_failure_has_the_kind_that_says_what_can_be_done() {
        let server: Arc<str> = Arc::from("a:11211");
        let refused = |why: &str| Problem::Refused { server: Arc::clone(&server), why: why.to_owned() };
        for (problem, kind) in [
            (refused("out of memory storing object"), ErrorKind::Full),
            (refused("object too large for cache"), ErrorKind::Full),
            (refused("no writable replica"), ErrorKind::Unavailable),
            (Problem::Silent { server: Arc::clone(&server), patience: Duration::ZERO }, ErrorKind::Timeout),
            (Problem::Lost { server: Arc::clone(&server) }, ErrorKind::Unavailable),
            (Problem::Damaged("ledger"), ErrorKind::Corrupt),
        ] {
            assert_eq!(problem.kind(), kind, "{problem}");
        }
    }

    #[test]
    fn an_error_names_its_verb_and_leaves_the_rest_to_its_source() {
        let error = Problem::Lost { server: Arc::from("a:11211") }.into_error(Verb::Insert);
        assert_eq!(error.to_string(), "memcached store: insert failed: the store is unavailable");
        assert!(error.source().is_some_and(|source| source.to_string().contains("a:11211")));
    }
}
