//! The audit log: what happened to sessions and accounts, by whom and why.
//!
//! Append-only and chained by hashes ([`AuditRow`]), sealed by signatures ([`Seal`]), so that a changed, removed or
//! reordered event is found and named ([`verify`]). Written beside the hot path through a bounded queue
//! ([`AuditLog::note`]); what must not happen unrecorded waits until its event lasts ([`AuditLog::write`],
//! [`AuditLog::witness`]). Where it is kept is a backend's business ([`AuditStore`]): [`SqliteAudit`], or one of another
//! crate that passes [`suite`].

mod anchor;
mod error;
mod event;
mod hash;
mod keys;
mod log;
mod memory;
pub mod names;
mod query;
mod row;
mod seal;
mod sink;
mod sqlite;
mod store;
pub mod suite;
mod tally;
mod verify;
mod wire;

pub use anchor::Anchor;
pub use error::AuditError;
pub use event::{AuditEvent, Draft};
pub use hash::{ChainHash, MalformedHash};
pub use keys::{KeyId, MalformedKey, PublicKey, SEED_BYTES, SealingKey, Signature, TrustedKeys};
pub use log::metrics::describe_metrics;
pub use log::{
    AuditHealth, AuditLog, AuditOptions, DEFAULT_EVENTS_MAX, DEFAULT_QUEUE, DEFAULT_RETENTION, DEFAULT_WAIT,
    OnFull, Tail,
};
pub use memory::MemoryAudit;
pub use query::{AuditPage, AuditQuery, PAGE_READS, page};
pub use row::{AuditRow, minute_of};
pub use seal::{Checkpoint, Seal};
pub use sink::{MalformedSyslogAddress, Sink, SyslogAddress};
pub use sqlite::SqliteAudit;
pub use store::{
    Along, AuditFuture, AuditStore, Batch, Count, Head, Order, Period, Prune, SEALS_KEPT, SPAN_MINUTES,
    Sample, Span, Walk, WriterId,
};
pub use tally::Tally;
pub use verify::{Broken, Damage, Follower, Verdict, Verified, verify};
pub use wire::{ActorObject, EventDevice, EventObject, MalformedEvent};
