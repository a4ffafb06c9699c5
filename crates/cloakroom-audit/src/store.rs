//! Where the log is kept.

use std::fmt::Debug;
use std::future::Future;
use std::num::NonZeroU16;
use std::pin::Pin;

use cloakroom_core::{PrincipalId, SessionId, Timestamp};

use crate::{AuditError, AuditEvent, ChainHash, Draft};

/// An answer of the log's store.
pub type AuditFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AuditError>> + Send + 'a>>;

/// Where the log is kept. Events are only ever appended; the oldest are removed behind a signed checkpoint.
pub trait AuditStore: Debug + Send + Sync + 'static {
    /// Appends events in this order behind whatever was appended last, by whichever process; they last when this returns.
    fn append(&self, drafts: Vec<Draft>) -> AuditFuture<'_, Vec<AuditEvent>>;

    /// A page of events.
    fn page<'a>(&'a self, query: &'a AuditQuery) -> AuditFuture<'a, AuditPage>;

    /// The last event's place and hash.
    fn head(&self) -> AuditFuture<'_, Head>;

    /// How many events of each kind there were per minute, from `since` on.
    fn counts(&self, since: Timestamp) -> AuditFuture<'_, Vec<Count>>;
}

/// The end of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The number of the last event; 0 where there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: ChainHash,
}

/// Which events: those that meet every condition given, the latest first.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AuditQuery {
    /// About this principal, or done by it.
    pub principal: Option<PrincipalId>,
    /// About this session.
    pub session: Option<SessionId>,
    /// Of this kind; with a `*` at its end, of every kind that begins so.
    pub event: Option<String>,
    /// At or after this instant.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
    /// Only events after this number, the first of them first: for whoever follows the log.
    pub after: Option<u64>,
    /// Only events before this number: where the page before ended.
    pub before: Option<u64>,
    /// Most events on a page.
    pub limit: NonZeroU16,
}

impl AuditQuery {
    /// The latest 50 events.
    #[must_use]
    pub fn latest() -> Self {
        Self {
            principal: None,
            session: None,
            event: None,
            since: None,
            until: None,
            after: None,
            before: None,
            limit: NonZeroU16::new(50).expect("not zero"),
        }
    }
}

/// A page of events.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AuditPage {
    /// The events.
    pub events: Vec<AuditEvent>,
    /// Pass it back as `before`; `None` where this was the last page.
    pub next: Option<u64>,
    /// How many rows were looked at.
    pub read: u64,
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
