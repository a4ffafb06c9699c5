//! Where the file is, and how much may be spent on it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the file is, and how much may be spent on it.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_sqlite::SqliteOptions;
///
/// let options = SqliteOptions::new("/var/lib/shop/sessions.db").with_busy_timeout(Duration::from_secs(1));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SqliteOptions {
    path: PathBuf,
    readers: NonZeroUsize,
    busy_timeout: Duration,
    answer_timeout: Duration,
    cache_bytes: usize,
}

impl SqliteOptions {
    /// The file at `path`, which is created where it does not exist; its directory has to exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: DEFAULT_READERS,
            busy_timeout: DEFAULT_BUSY_TIMEOUT,
            answer_timeout: DEFAULT_ANSWER_TIMEOUT,
            cache_bytes: DEFAULT_CACHE_BYTES,
        }
    }

    /// The same with this many threads that answer `get`; two by default. More help only where the file is larger than
    /// the machine's memory and reads wait for the disk.
    #[must_use]
    pub fn with_readers(self, readers: NonZeroUsize) -> Self {
        Self { readers, ..self }
    }

    /// The same, waiting for at most this long while another process holds the file's write lock; two seconds by
    /// default.
    #[must_use]
    pub fn with_busy_timeout(self, timeout: Duration) -> Self {
        Self { busy_timeout: timeout, ..self }
    }

    /// The same, answering [`Timeout`](cloakroom_store::ErrorKind::Timeout) to whoever has waited for about this long
    /// (up to an eighth longer); five seconds by default. Bounds the wait where the disk itself hangs.
    #[must_use]
    pub fn with_answer_timeout(self, timeout: Duration) -> Self {
        Self { answer_timeout: timeout, ..self }
    }

    /// The same with this much memory for pages of the file, half of it for the writing thread, the rest for the
    /// others; 64 MiB by default. The operating system's own cache comes on top and needs no setting.
    #[must_use]
    pub fn with_cache_bytes(self, bytes: usize) -> Self {
        Self { cache_bytes: bytes, ..self }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn readers(&self) -> NonZeroUsize {
        self.readers
    }

    pub(crate) fn busy_timeout(&self) -> Duration {
        self.busy_timeout
    }

    pub(crate) fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    pub(crate) fn writer_cache_bytes(&self) -> usize {
        self.cache_bytes / 2
    }

    /// Of each thread that reads; one more than `readers` does, for lists and counts.
    pub(crate) fn reader_cache_bytes(&self) -> usize {
        self.cache_bytes / 2 / self.readers.saturating_add(1)
    }
}

/// Reads come from the file's pages in memory and take some ten microseconds of processor time: two threads answer
/// 150 000 a second.
const DEFAULT_READERS: NonZeroUsize = NonZeroUsize::new(2).expect("not zero");
/// Another process, the command line for example, holds the lock for milliseconds.
const DEFAULT_BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than the busy timeout, or that would never be seen.
const DEFAULT_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_CACHE_BYTES: usize = 64 * 1024 * 1024;
