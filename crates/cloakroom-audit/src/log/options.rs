//! How a log is kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Clock, OsRandom, Random, SystemClock};

use crate::{SealingKey, Sink, TrustedKeys};

/// What happens to events that find no room in the queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OnFull {
    /// They are dropped and counted, and an event tells how many.
    #[default]
    Count,
    /// New requests wait for room; events of requests that run are taken all the same, up to four times the queue.
    Block,
}

impl OnFull {
    /// The word in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Block => "block",
        }
    }
}

/// How a log is kept.
#[derive(Debug)]
#[non_exhaustive]
pub struct AuditOptions {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Names this process among the writers.
    pub random: Arc<dyn Random>,
    /// Most events that wait to be written.
    pub queue: usize,
    /// What happens to more.
    pub on_full: OnFull,
    /// For how long a new request waits for room, where it waits.
    pub wait: Duration,
    /// Seals the log and signs what is left of removed events; without it nothing is sealed and nothing removed.
    pub key: Option<SealingKey>,
    /// Whose seals are believed, besides those of [`key`](Self::key).
    pub trusted: TrustedKeys,
    /// A file of this node with its last seal: what a copy of the database put in place of it cannot have.
    pub anchor: Option<PathBuf>,
    /// For how long events are kept.
    pub retention: Duration,
    /// Most events kept.
    pub events_max: u64,
    /// Where events go besides.
    pub sinks: Vec<Sink>,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(OsRandom),
            queue: DEFAULT_QUEUE,
            on_full: OnFull::Count,
            wait: DEFAULT_WAIT,
            key: None,
            trusted: TrustedKeys::default(),
            anchor: None,
            retention: DEFAULT_RETENTION,
            events_max: DEFAULT_EVENTS_MAX,
            sinks: Vec::new(),
        }
    }
}

/// Some 30 MB of memory, and seconds of a busy server.
pub const DEFAULT_QUEUE: usize = 65_536;
/// As long as a request waits for a store.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// A year, and time to look back at it.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(400 * 86_400);
/// Some 4 GB with its indexes.
pub const DEFAULT_EVENTS_MAX: u64 = 10_000_000;
