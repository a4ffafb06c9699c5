//! Sessions in the memory of this node, believed only while they are provably current.
//!
//! The promise: no node accepts a session later than one lease after its end was acknowledged, on whichever node. It rests on
//! four things.
//!
//! - **Proofs.** A part of the sessions is trusted until a lease after a probe of the feed was *sent*, once the probe is
//!   answered. What had ended before the probe was sent is known here before the lease is published ([`Feed::prove`]); what
//!   ends later is accepted no longer than the lease, counted from an instant before its end.
//! - **Marks.** An answer of the store may be older than news that overtook it. Before the store is asked a mark is taken; the
//!   answer is kept only if nothing was told of its digest, and its part was not lost, since then.
//! - **Generations.** After a gap in the news, everything that was known of the parts is of another generation: it is never
//!   used again, nor are answers that were on their way.
//! - **Floors.** What this node ended itself is refused by it at once: until a proof that began after the acknowledgement, the
//!   store is asked.
//!
//! [`protocol`] is these decisions as plain values; [`cache`] the same among threads; [`store`] a [`Store`] that uses it.
//!
//! [`Feed::prove`]: cloakroom_store::Feed::prove
//! [`Store`]: cloakroom_store::Store

mod cache;
mod cells;
mod entry;
mod observe;
mod policy;
mod protocol;
mod sabotage;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::policy::{InvalidNearCache, NearCachePolicy};
#[cfg(any(test, feature = "sabotage"))]
pub use self::sabotage::Sabotage;

pub(crate) use self::observe::{LAG, describe};
pub(crate) use self::protocol::Proof;
pub(crate) use self::sabotage::Harm;
pub(crate) use self::store::NearStore;

/// A reading of a monotonic clock as the protocol counts: nanoseconds, 584 years of them.
pub(crate) fn nanos(reading: Duration) -> u64 {
    u64::try_from(reading.as_nanos()).unwrap_or(u64::MAX)
}
