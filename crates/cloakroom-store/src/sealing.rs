//! Sessions without a record: what is known of one travels, sealed, in its token.

use std::fmt::Debug;
use std::sync::Arc;

use cloakroom_core::{SessionRecord, SessionToken, Timestamp, TokenCore};

use crate::Version;

/// Turns what is known of a session into the token that its client carries, and back.
///
/// Another promise than [`Store`](crate::Store)'s: nothing here can be listed, counted or limited, whoever keeps an older
/// token has the session as it was then, and of parallel changes the last one to reach the client stays. That a session
/// can be ended all the same is a [`RevocationList`](crate::RevocationList)'s doing.
///
/// Neither reads a clock, nor makes random bytes, nor waits for anything.
pub trait Sealing: Debug + Send + Sync + 'static {
    /// Seals `contents` with the key in force at `now`.
    ///
    /// `nonce` must be random.
    ///
    /// # Errors
    /// [`SealError`]; nothing was made.
    fn seal(
        &self,
        contents: &SealedContents,
        nonce: [u8; NONCE_BYTES],
        now: Timestamp,
    ) -> Result<SessionToken, SealError>;

    /// Opens a token, whoever presents it.
    ///
    /// # Errors
    /// [`SealRefusal`] where it was not sealed by a key that is accepted at `now`, for this application and this cookie, in
    /// a format that is still read.
    ///
    /// # Security
    /// Only that the contents are ours is decided here. Whether the session still lives is to be judged: by time, and by
    /// what was revoked.
    fn open(&self, token: &SessionToken, now: Timestamp) -> Result<OpenedSeal, SealRefusal>;
}

/// What a sealed token holds.
#[derive(Clone, Debug)]
pub struct SealedContents {
    /// What a store would keep.
    pub record: Arc<SessionRecord>,
    /// One more with each change.
    pub version: Version,
    /// The last activity that was sealed.
    pub last_seen_at: Timestamp,
    /// The number of the last entry of the revocation list that was known when the session was issued; zero without one.
    /// A principal's end, or everything's, covers every session that did not know of it, whatever any clock says.
    pub known: u64,
    /// Stays the same while the token is sealed anew, changes when it is exchanged: to end a token is to end all that were
    /// sealed around this.
    pub core: TokenCore,
}

/// A token that was opened.
#[derive(Clone, Debug)]
pub struct OpenedSeal {
    /// What it holds.
    pub contents: SealedContents,
    /// Whether it should be sealed anew at the next answer: its key is not the one that seals now, or its format is older.
    pub is_stale: bool,
}

/// Why a token was not opened. None of these says anything to the client but "unknown", or "unavailable" where it is
/// [undecided](Self::Undecided).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealRefusal {
    /// It is no sealed token at all, or cut short.
    #[error("malformed")]
    Malformed,
    /// Nobody here has its key: it is foreign, or was forgotten after its time.
    #[error("sealed with an unknown key")]
    UnknownKey,
    /// Its key is no longer accepted.
    #[error("sealed with a key that is over")]
    ExpiredKey,
    /// It was changed, made by somebody else, or belongs to another cookie or application.
    #[error("forged, or of another place")]
    Forged,
    /// It is authentic, but its format is not read any more, or not yet.
    #[error("of a format that is not read")]
    Format,
    /// Nobody knows whether there is a key for it: where keys are kept could not be looked at in time. Unlike the others this is no
    /// answer: its client keeps it, and tries again.
    #[error("sealed with a key that may not have been read yet")]
    Undecided,
}

impl SealRefusal {
    /// The name of this refusal, for a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::ExpiredKey => "expired_key",
            Self::Forged => "forged",
            Self::Format => "format",
            Self::Undecided => "undecided",
        }
    }
}

/// Why nothing was sealed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The cookie would be larger than browsers keep, or could become so without any further change of attributes.
    #[error(
        "the cookie would come to {size} bytes, and at most {limit} are kept by browsers; the largest part is {largest}, {largest_size} bytes of it"
    )]
    TooLarge {
        /// Bytes of name, value and attributes together, when what grows by itself has grown.
        size: usize,
        /// Bytes allowed.
        limit: usize,
        /// What is large, in words: ``attribute `cart` ``, `the roles`, `the user agent`.
        largest: Box<str>,
        /// How many bytes that takes.
        largest_size: usize,
    },
    /// There is no key that may seal now.
    #[error("there is no key that may seal")]
    NoKey,
}

/// Random bytes for one sealing.
pub const NONCE_BYTES: usize = 12;
