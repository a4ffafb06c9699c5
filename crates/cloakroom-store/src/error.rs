//! What went wrong where nothing could be found out.

use std::collections::HashSet;
use std::fmt;

use cloakroom_core::TokenDigest;

use crate::{Touch, TouchReport};

/// A store could not answer.
///
/// Never a "no": a missing session, a conflict or a reached limit are outcomes. Whoever gets this error knows nothing
/// about the session, and must neither let anyone in nor sign anyone out.
#[derive(Debug, thiserror::Error)]
#[error("{store} store: {verb} failed: {kind}")]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct StoreError {
    kind: ErrorKind,
    store: &'static str,
    verb: Verb,
    applied: Applied,
    has_remedy: bool,
    is_of_a_part: bool,
    is_for_good: bool,
    noted: Option<Box<PartlyNoted>>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error of `kind` in `store` during `verb`, after which nothing has changed.
    #[must_use]
    pub fn new(kind: ErrorKind, store: &'static str, verb: Verb) -> Self {
        Self {
            kind,
            store,
            verb,
            applied: Applied::No,
            has_remedy: false,
            is_of_a_part: false,
            is_for_good: false,
            noted: None,
            source: None,
        }
    }

    /// The same error, caused by `source`.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The same error, after which the change may have been applied or not.
    #[must_use]
    pub fn maybe_applied(self) -> Self {
        Self { applied: Applied::Unknown, ..self }
    }

    /// The same error, whose source says what to do about it, or does not.
    #[must_use]
    pub fn with_remedy_in_source(self, has_remedy: bool) -> Self {
        Self { has_remedy, ..self }
    }

    /// Whether its source says what to do about it: then general advice would only be in the way.
    #[must_use]
    pub fn has_remedy(&self) -> bool {
        self.has_remedy
    }

    /// The same error, of a part of the store alone, or of the whole. One of several servers is a part: other sessions are
    /// served as ever, and the store itself sees to it that nobody waits for that part again and again.
    #[must_use]
    pub fn of_a_part(self, is_of_a_part: bool) -> Self {
        Self { is_of_a_part, ..self }
    }

    /// The same error, which waiting does not mend, or does: where a password is refused, a database or a right is missing, a
    /// file is none of this store's, somebody has to correct it.
    #[must_use]
    pub fn for_good(self, is_for_good: bool) -> Self {
        Self { is_for_good, ..self }
    }

    /// The same error of a [`touch`](crate::Store::touch), after which the activity of all but some sessions is noted.
    #[must_use]
    pub fn partly_noted(self, noted: PartlyNoted) -> Self {
        Self { noted: Some(Box::new(noted)), ..self }
    }

    /// What a [`touch`](crate::Store::touch) came to all the same; nothing where it may not have been noted for anybody.
    #[must_use]
    pub fn noted(&self) -> Option<&PartlyNoted> {
        self.noted.as_deref()
    }

    /// Whether it says nothing of the store as a whole.
    #[must_use]
    pub fn is_of_a_part(&self) -> bool {
        self.is_of_a_part
    }

    /// Whether somebody has to correct something before the store can answer.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        self.is_for_good
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The name of the store, for example `sqlite`.
    #[must_use]
    pub fn store(&self) -> &'static str {
        self.store
    }

    /// What the store was asked to do.
    #[must_use]
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Whether the change was applied.
    #[must_use]
    pub fn applied(&self) -> Applied {
        self.applied
    }
}

/// What a [`touch`](crate::Store::touch) came to that failed for some of its sessions alone: their server is away, the
/// others' are not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartlyNoted {
    /// How the others' touches fared.
    pub report: TouchReport,
    /// Whose activity is to be noted again.
    pub missed: HashSet<TokenDigest>,
}

impl PartlyNoted {
    /// Those of `touches` that need not be repeated, and those that have to be.
    #[must_use]
    pub fn split(&self, touches: &[Touch]) -> (Vec<Touch>, Vec<Touch>) {
        touches.iter().partition(|touch| !self.missed.contains(&touch.digest))
    }
}

/// Kinds of failure, by what can be done about them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached, or answers that it cannot serve now. Try again later.
    Unavailable,
    /// The store did not answer in time. Try again later.
    Timeout,
    /// There is no room left. Make room.
    Full,
    /// The store accepts no writes (a replica, a read-only file system).
    ReadOnly,
    /// A record exists but cannot be decoded. The rest of the store is unharmed.
    Corrupt,
    /// The store does not claim to be able to do this ([`Capabilities`](crate::Capabilities)).
    Unsupported,
    /// A defect, in the store's code or in what it was asked.
    Internal,
}

impl ErrorKind {
    /// The name of this kind, for a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the store is unavailable",
            Self::Timeout => "the store did not answer in time",
            Self::Full => "the store is full",
            Self::ReadOnly => "the store is read-only",
            Self::Corrupt => "a record cannot be decoded",
            Self::Unsupported => "the store does not support this",
            Self::Internal => "internal error",
        })
    }
}

/// Whether a change was applied before an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Applied {
    /// Nothing has changed.
    No,
    /// It may have been applied, whole, or not at all; or it may yet be: what a network holds back arrives late. An end of
    /// all that a principal has, or of everything, ends then whoever has signed in meanwhile as well.
    Unknown,
}

/// The verbs of a store, for errors, spans and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is the method of `Store` of the same name")]
pub enum Verb {
    Open,
    Insert,
    Get,
    Replace,
    Rekey,
    Touch,
    End,
    List,
    Sweep,
    Count,
    Export,
    Import,
    Watch,
    Ping,
}

impl Verb {
    /// The name of this verb, for a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Insert => "insert",
            Self::Get => "get",
            Self::Replace => "replace",
            Self::Rekey => "rekey",
            Self::Touch => "touch",
            Self::End => "end",
            Self::List => "list",
            Self::Sweep => "sweep",
            Self::Count => "count",
            Self::Export => "export",
            Self::Import => "import",
            Self::Watch => "watch",
            Self::Ping => "ping",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
