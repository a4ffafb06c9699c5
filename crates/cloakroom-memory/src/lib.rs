//! Sessions in this process: the fastest store, for one process, bounded in bytes.
//!
//! ```
//! use cloakroom_memory::{MemoryOptions, MemoryStore};
//! use cloakroom_store::Store;
//!
//! let store = MemoryStore::new(MemoryOptions::default().with_max_bytes(64 << 20));
//! assert!(!store.capabilities().durable, "a restart signs everybody out");
//! ```
//!
//! Every verb answers before it returns: nothing to wait for but a mutex that is held for microseconds.
//!
//! # Shape
//!
//! The store is 64 shards, each behind a lock. A shard is chosen by the [route](cloakroom_core::Route), so that all
//! sessions of a principal lie in one and a limit is decided exactly under one lock. In a shard, sessions are slots of
//! 176 bytes in chunks that never move. Tables of four-byte indices lead to them by digest, by id and by principal;
//! links through the slots themselves order them by last activity and hang them into a timing wheel; leaves of indices
//! keep them in the order of their issue. Ending a session
//! turns its slot into a tombstone on the spot. There is no scan for what has expired, and growing copies nothing but
//! one shard's table of indices.
//!
//! A record is kept packed, in its slot but for device and attributes. Those of sessions that are asked for twice within
//! a while are also kept unpacked, in a fixed share of the store, and shared with every caller: a warm
//! [`get`](cloakroom_store::Store::get) allocates nothing. A cold one unpacks, which takes three small allocations.
//!
//! # Memory
//!
//! | what | bytes |
//! |---|---|
//! | slot | 176 |
//! | places in the three tables (five bytes each, tables 7/16 to 7/8 full) | 18 to 35 |
//! | place in the order of lists (four bytes, leaves 1/3 to wholly full) | 5 to 16 |
//! | principal, limits and proofs | 0 up to 54 bytes of them; beyond, their length and about 16 |
//! | device and attributes | their length and about 16 |
//! | tombstone, retired token | a slot and its places |
//! | empty store | 230 KiB |
//!
//! So a minimal session takes about 220 bytes, signed in or not, and 256 MiB hold a million of them.
//!
//! Of [`max_bytes`](MemoryOptions::max_bytes), one eighth is set aside for unpacked records. The rest bounds, by the
//! store's own account that errs upwards, everything else; a verb may pass it by the one record it files until it makes
//! room before it returns, and ends that no sweep has told of yet count but cannot go. What the account leaves out: a
//! chunk of 64 slots is given back only when none of its slots is in use, and tables never shrink, so a store that was
//! full of small sessions and then of few large ones may take almost twice its bound.
//!
//! # When it is full
//!
//! Then it makes room in this order, across all shards:
//!
//! 1. what is over: expired sessions become tombstones, tombstones and retired tokens past their retention are
//!    forgotten (no more than some thousand looks in one call);
//! 2. other tombstones and retired tokens, those first that ended first, down to a sixteenth of the store;
//! 3. anonymous sessions, the one first that has been idle for longest;
//! 4. signed-in sessions likewise;
//! 5. the remaining tombstones.
//!
//! A session that goes this way ends with [`StoreFull`](cloakroom_core::EndReason::StoreFull) and leaves a tombstone,
//! as far as the sixteenth goes; after that its token is unknown. It is never live again. The session just filed, or
//! whose record just grew, does not make room for itself. Those that end for an `insert` are reported in its answer;
//! those that end for a `replace` or `rekey`, in the answer of the next `sweep`. A record that does not fit even alone
//! is refused with [`Full`](cloakroom_store::ErrorKind::Full).
//!
//! # Costs
//!
//! | verb | cost |
//! |---|---|
//! | `get`, `touch`, `replace`, `rekey`, `end` of one | constant |
//! | `insert` with a limit, `end` of a principal | that principal's live sessions |
//! | `end` of everything | the number of shards; sweeps carry it out |
//! | `end` of what was issued before an instant | a glance at every slot, to say how many; sweeps carry it out |
//! | `list` by session | constant |
//! | `list` by principal | a glance at each of its sessions, where they are fewer than a thousand |
//! | `list` otherwise | its limit, where most sessions meet the filter; at most 2000 slots. Each shard is locked for its part of it |
//! | `export` | its limit, but no more than 1000; each shard is locked for its part of it |
//! | `import` | like `insert` without a limit |
//! | `sweep` | its limit |
//! | `count` | the number of shards |
//!
//! # News
//!
//! Whoever [watches](cloakroom_store::Store::watch) is told by the thread that changed something, after it let go of the
//! shard and before its call returns. A session that is buried for whatever reason is told of, time and want of room
//! included. Where nobody watches, a change costs one comparison more and a look-up none.
//!
//! # Guarantees beyond the contract
//!
//! - A session that any verb but `list` finds to be over is buried at once: a clock that steps back does not revive it.
//! - The end of what was issued before an instant also holds for sessions that arrive later but say that they were
//!   issued before it.

mod cell;
mod change;
mod clearing;
mod directory;
mod epochs;
mod feed;
mod finish;
mod insert;
mod kin;
mod list;
mod listing;
mod moving;
mod options;
mod order;
mod packed;
mod reports;
mod revocations;
mod room;
mod shard;
mod slab;
mod slot;
mod store;
mod warm;
mod wheel;

#[cfg(test)]
mod audit;

pub use options::MemoryOptions;
pub use revocations::MemoryRevocations;
pub use store::MemoryStore;

/// The name of this store in errors, logs and metrics.
const NAME: &str = "memory";
