//! Where the log is kept: what a backend has to do, and no more.

use std::fmt::{self, Debug};
use std::future::Future;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;

use cloakroom_core::Timestamp;

use crate::{AuditError, AuditRow, ChainHash, Checkpoint, Draft, Seal};

/// An answer of the log's store.
pub type AuditFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AuditError>> + Send + 'a>>;

/// Where the log is kept. Events are only ever appended; the oldest are removed behind a signed checkpoint.
///
/// A backend moves rows. Chaining ([`AuditRow::chain`]), searching, verifying, signing and pruning are done above it, once
/// for all of them. Every backend passes [`suite`](crate::suite).
pub trait AuditStore: Debug + Send + Sync + 'static {
    /// Appends a batch behind whatever was appended last, by whichever process, and returns its rows; they last when this
    /// returns. In the same transaction it adds their [`times`](AuditRow::times) to the counts of their
    /// [`minute`](AuditRow::minute), event and reason.
    ///
    /// A batch that was appended already (same writer, number not above the writer's last) changes nothing: its rows are
    /// read and returned. So whoever does not know what became of a batch hands it in again.
    fn append(&self, batch: Arc<Batch>) -> AuditFuture<'_, Vec<AuditRow>>;

    /// The rows along an index, in its order: at most [`limit`](Walk::limit), none of them read in vain.
    fn walk(&self, walk: Walk) -> AuditFuture<'_, Vec<AuditRow>>;

    /// The last event's place and hash; the checkpoint's where every event was removed; [`Head::START`] where there never
    /// was one.
    fn head(&self) -> AuditFuture<'_, Head>;

    /// Between which numbers events of a period lie. Events outside of the period may lie there too; one of the period
    /// lies elsewhere only where clocks differed by hours.
    fn span(&self, period: Period) -> AuditFuture<'_, Span>;

    /// How many events of each kind there were per minute, from `since` on, in order of time, event, reason.
    fn counts(&self, since: Timestamp) -> AuditFuture<'_, Vec<Count>>;

    /// Keeps samples; of two with the same minute, node and series the later one.
    fn put_samples(&self, samples: Vec<Sample>) -> AuditFuture<'_, ()>;

    /// The samples of a series from `since` on, in order of time and node.
    fn samples(&self, series: String, since: Timestamp) -> AuditFuture<'_, Vec<Sample>>;

    /// Keeps a seal, and of the seals of the same key the latest [`SEALS_KEPT`]: a later one covers what an earlier one
    /// did.
    fn put_seal(&self, seal: Seal) -> AuditFuture<'_, ()>;

    /// Every seal, in order of number and key.
    fn seals(&self) -> AuditFuture<'_, Vec<Seal>>;

    /// The checkpoint behind which events were removed, if any were.
    fn checkpoint(&self) -> AuditFuture<'_, Option<Checkpoint>>;

    /// Removes every event up to the new checkpoint's, with the seals up to there, puts the checkpoint in place of the
    /// one before and appends the batch that tells of it: all of it in one transaction. Returns the batch's rows; `None`,
    /// with nothing done, where the present checkpoint is not the one that this prune [`follows`](Prune::follows).
    fn prune(&self, prune: Arc<Prune>) -> AuditFuture<'_, Option<Vec<AuditRow>>>;

    /// Removes counts and samples of minutes before `before`, and what is known of writers that were silent since.
    fn forget(&self, before: Timestamp) -> AuditFuture<'_, ()>;
}

/// Events that are appended together or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Who appends.
    pub writer: WriterId,
    /// The number of the batch among those of its writer; each has a higher one than the one before.
    pub number: u64,
    /// When it was put together.
    pub at: Timestamp,
    /// The events, in this order; at least one.
    pub drafts: Vec<Draft>,
}

/// A process that appends, for as long as it runs: random.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriterId([u8; WriterId::LENGTH]);

impl WriterId {
    /// How many bytes it has.
    pub const LENGTH: usize = 16;

    /// A writer with these random bytes.
    #[must_use]
    pub const fn from_random(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl Debug for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The end of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The number of the last event; 0 where there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: ChainHash,
}

impl Head {
    /// The head of an empty log.
    pub const START: Self = Self { seq: 0, hash: ChainHash::START };
}

/// A walk along one index of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walk {
    /// Which index.
    pub along: Along,
    /// Between which numbers.
    pub span: Span,
    /// In which order of their numbers.
    pub order: Order,
    /// Most rows.
    pub limit: NonZeroU16,
}

/// An index of the log: rows with this very text in that column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Along {
    /// All of them.
    Log,
    /// About this principal.
    Principal(String),
    /// Done by this actor.
    Actor(String),
    /// About this session.
    Session(String),
    /// Of this kind.
    Event(String),
}

/// Numbers between two that do not belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Only events after this number.
    pub after: u64,
    /// Only events before this number.
    pub before: u64,
}

impl Span {
    /// Every number that a log can have. Databases count up to this one.
    pub const ALL: Self = Self { after: 0, before: i64::MAX.unsigned_abs() };
    /// No number.
    pub const NONE: Self = Self { after: 0, before: 0 };

    /// What both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { after: self.after.max(other.after), before: self.before.min(other.before) }
    }

    /// Whether no number lies in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.before <= self.after.saturating_add(1)
    }
}

/// In which order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The lowest number first.
    OldestFirst,
    /// The highest number first.
    LatestFirst,
}

/// From when on and until when.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Period {
    /// At or after this instant.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

/// How many events of a kind there were in one minute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Count {
    /// The beginning of the minute.
    pub at: Timestamp,
    /// Of which kind.
    pub event: String,
    /// For which reason, where the kind has one.
    pub reason: Option<String>,
    /// How many.
    pub count: u64,
}

/// How high something was in one minute, as one node saw it.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// The beginning of the minute.
    pub at: Timestamp,
    /// Which node saw it.
    pub node: String,
    /// What.
    pub series: String,
    /// How high.
    pub value: f64,
}

/// A removal of the oldest events.
#[derive(Clone, Debug)]
pub struct Prune {
    /// Up to which event they were removed before: the number in the present checkpoint.
    pub follows: Option<u64>,
    /// The checkpoint that takes its place.
    pub checkpoint: Checkpoint,
    /// The events that tell of it.
    pub batch: Batch,
}

/// How many seals of one key are kept.
pub const SEALS_KEPT: u16 = 32;
/// How many minutes in which something happened are looked at to find the numbers of a period's events: so far may clocks
/// of nodes be apart, and events be late.
pub const SPAN_MINUTES: u16 = 240;
