//! The audit log: what happened to sessions and accounts, by whom and why.
//!
//! Append-only and chained by hashes, so that a changed, removed or reordered event is found and named. Written beside
//! the hot path through a bounded queue ([`AuditLog::note`]); what must not happen unrecorded waits until its event
//! lasts ([`AuditLog::write`]).

mod error;
mod event;
mod log;
mod memory;
pub mod names;
mod store;

pub use error::AuditError;
pub use event::{AuditEvent, ChainHash, Draft, MalformedHash};
pub use log::{AuditLog, Tail};
pub use memory::MemoryAudit;
pub use store::{AuditFuture, AuditPage, AuditQuery, AuditStore, Count, Head};
