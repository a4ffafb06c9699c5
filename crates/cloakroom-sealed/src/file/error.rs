//! What can be wrong with a key file.

use std::io;
use std::path::{Path, PathBuf};

use crate::key::KeyTextProblem;
use crate::ring::RingError;

/// Keys could not be read, or written. Nothing was changed; a ring that was read before is still good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is no file.
    #[error("{}: there is no such file of keys", .path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("{}: the keys cannot be read", .path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("{}: the keys cannot be written", .path.display())]
    Write {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a directory, a pipe, a device.
    #[error("{}: this is no ordinary file", .path.display())]
    NotAFile {
        /// Where it is.
        path: PathBuf,
    },
    /// Others may read it. A file of root's may be read by its group, where this process is not root's.
    #[error("{path}: others than its owner have rights to these keys (mode {mode:04o}); run: chmod 600 {path}", path = .path.display())]
    Exposed {
        /// Where it is.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{path}: these keys belong to user {owner}, and this process is user {user}; run: chown {user} {path}", path = .path.display())]
    Foreign {
        /// Where it is.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this process.
        user: u32,
    },
    /// It is far larger than keys are.
    #[error("{}: this is larger than a file of keys can be", .path.display())]
    TooLarge {
        /// Where it is.
        path: PathBuf,
    },
    /// It is no text.
    #[error("{}: this is no text", .path.display())]
    NotText {
        /// Where it is.
        path: PathBuf,
    },
    /// A line is none of a key.
    #[error("{}, line {line}: {problem}", .path.display())]
    Line {
        /// Where it is.
        path: PathBuf,
        /// Which line, from one.
        line: usize,
        /// What is wrong with it.
        problem: KeyTextProblem,
    },
    /// The keys are no ring.
    #[error("{}: {source}", .path.display())]
    Ring {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: RingError,
    },
    /// Another process changes the keys just now.
    #[error("{}: another process changes the keys just now; try again", .path.display())]
    Busy {
        /// Where it is.
        path: PathBuf,
    },
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> KeyFileError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path },
        _ => KeyFileError::Read { path, source },
    }
}
