//! Cloakroom sessions in Redis or Valkey: one server, the primary behind sentinels, or a Cluster.
//!
//! ```no_run
//! use cloakroom_redis::{RedisOptions, RedisStore};
//!
//! # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
//! let options = RedisOptions::from_url("redis+sentinel://a:26379,b:26379,c:26379/mymaster?wait_replicas=2")?;
//! let store = RedisStore::connect(options).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Redis 7.0 or later, or Valkey.
//!
//! # What it keeps
//! - Each change is one script (`src/scripts`), which the server runs whole or not at all, and which nothing runs
//!   beside. A limit is decided in it, an end is done in it, a token is exchanged in it.
//! - All sessions of a principal lie in one slot, by their route: what is true of one server is true of a Cluster. Only
//!   what is about *everything* ([`Selector::All`](cloakroom_store::Selector::All),
//!   [`IssuedBefore`](cloakroom_store::Selector::IssuedBefore), lists without a principal, counts, sweeps, exports) is asked
//!   of each of a Cluster's 256 buckets there, in one pipeline for each node: bucket by bucket it happens whole, and where
//!   it fails half-way, the error says that it may have been applied. Asking again is safe.
//! - Every verb ends within the deadline, in whatever state the servers are. Connections heal by themselves; fail-overs of
//!   Sentinel and of a Cluster, and slots that move, are followed.
//! - Nothing is sent twice where once may have been enough: a write whose answer was lost is an error that says so. Only
//!   look-ups and activity are asked again.
//! - Instants come from the caller. The server's clock decides nothing: its own expiry is set to at least an hour after
//!   everything is over, and only collects what no sweep came for.
//!
//! # What is durable
//! What Redis is told to persist. With `appendonly yes` and `appendfsync always` an acknowledged change survives a crash of
//! the machine; with `everysec`, the default, up to a second of changes may be undone by that, ends included. Without an
//! append-only file, minutes may. [`facts`](RedisStore::facts) tell which it is.
//!
//! Replication is asynchronous: a fail-over undoes what no replica had heard of. [`RedisOptions::with_replicas`] makes ends
//! and exchanges of tokens wait for replicas: with as many as there are, none that was acknowledged is undone, whichever of
//! them takes over. Where fewer answer, the caller gets an error that says that it may have been applied; it is, on the
//! primary; an exchange of which nobody was told costs the session. Nothing else waits: a sign-in that a fail-over undoes is
//! a sign-in again, and whom its limit put out may be back.
//!
//! # When it is full
//! With `maxmemory-policy noeviction`, filing and changing records is refused
//! ([`Full`](cloakroom_store::ErrorKind::Full)); look-ups, activity, ends and sweeps go on. With an eviction policy, sessions
//! are forgotten. None that was ended lives again by that, nor does one escape its end: whatever is needed to end a session
//! is needed to look it up.
//!
//! | key that vanished (`cloakroom:` in front) | what follows |
//! |---|---|
//! | `record:DIGEST` of a live session | that session is unknown |
//! | `record:DIGEST` of an ended one, or of an exchanged token | unknown: the reason is forgotten |
//! | `session:ID` | that session is unknown: without it, it could not be ended |
//! | `principal:NAME` | all sessions of that principal are unknown: without it, they could not be ended |
//! | `epoch:current` | all sessions of its bucket are unknown: what everything ended is no longer known |
//! | `index:live:N` or `index:ended` | lists, counts and exports miss those sessions until sweeps have put them back by `index:due` |
//! | `index:due` | nobody is due until sweeps have put them back by the other two, and dropped from those who expired meanwhile |
//! | `index:due` and one of the others | only a principal's list shows those sessions, and nobody reports when they expire; they can be ended |
//! | `index:retired` | native expiry takes the exchanged tokens that were in it |
//! | `ends:list` | the list is lost as a whole, and says so |
//! | `sweeper:lease`, `sweeper:place` | two nodes may sweep at once, a walk begins anew: neither does harm |
//! | `ping:…` | nothing |
//!
//! # News of changes
//! [`watch`](cloakroom_store::Store::watch) follows records and ends of everything on a connection of its own to each primary
//! (`CLIENT TRACKING ON BCAST`): whoever changes them, this product, an operator, eviction or expiry. Keys that each touch or
//! sign-in changes are not followed by name; that one of them vanished is known by the count of evictions, by the end that
//! does not find it, or by the next touch of its session. A [proof](cloakroom_store::Feed::prove) is two round trips on that
//! connection, and with sentinels one question to each; `src/feed/line.rs` says why that is one. Connections heal by
//! themselves. A Cluster proves node by node: its parts are its buckets. A user needs `+ping +client|tracking` for it, in a
//! Cluster `+cluster|nodes`; without, `watch` fails and says so, and all else works.
//!
//! # A list of ends
//! [`RedisRevocations`] keeps what was ended of sessions that travel in their tokens, at the same addresses. What it loses is said to
//! whoever had read it, and a read counts only where others agree that it was the primary who answered.
//!
//! # Cost
//! One command each: `insert` with its limit, `get`, `replace`, `rekey`, `touch` (up to 500 sessions), `end` of one or of all
//! of a principal, a page of a list (more where an address is looked for, which no index knows), `import`, a page of an
//! export; on one server also the end of everything, `count` and `sweep`. On a Cluster, those about everything are 256 small
//! commands in a pipeline for each primary, a page of a list or a sweep twice that. `wait_replicas` adds two to an end, in
//! the same round trip.
//!
//! A look-up takes 5.6 µs of the server's time: it is a script because it looks at four keys, three of which only its first
//! one names. A session of a principal with two, with a device and a small attribute, takes 1.2 kB of the server's memory.
//!
//! # Layout
//! In a Cluster, `{3f}:` stands in front of each name, the first byte of the route. Record and activity lie under different
//! prefixes, so that activity disturbs nobody who follows records.
//!
//! | key | type | what | time to live |
//! |---|---|---|---|
//! | `record:DIGEST` | string | the record, or what is left of it (`L`, `T`, `R` in front) | its life, retention, 2 h |
//! | `session:ID` | string | its present digest, last activity, and when it is due | the same |
//! | `principal:NAME` | sorted set | a principal's sessions, live (`L`) and ended (`E`), by instant of issue | the longest of theirs |
//! | `epoch:current` | string | how often everything ended, when and why | none |
//! | `ends:list` | sorted set | the list of ends; in a Cluster with the tag `{00}` | none: pruned |
//! | `news:PART` | string | written and removed at once: news of a part | none: never there |
//! | `index:live:N` | sorted set | live sessions of the Nth generation, by instant of issue | none: swept |
//! | `index:ended` | sorted set | ended sessions, by instant of issue | none: swept |
//! | `index:due`, `index:retired` | sorted set | what to look at when | none: swept |
//!
//! A session is in `index:due` once, and in `index:live:N` or `index:ended` once. Each round of sweeping compares how many they
//! are. Where one key was lost, it walks as many places as it has left of its bound, and the next one goes on from there
//! (`src/scripts/mend.lua`).
//!
//! `redis-cli DEL cloakroom:record:DIGEST` signs that session out, and no other.

mod answer;
mod call;
mod client;
mod cluster;
mod ends;
mod epoch;
mod error;
mod facts;
mod feed;
mod greeting;
mod keys;
mod link;
mod many;
mod map;
mod neighbours;
mod node;
mod nonce;
mod options;
mod progress;
mod rest;
mod script;
mod sentinel;
mod store;
mod url;
mod verb;
mod warning;

pub use ends::RedisRevocations;
pub use facts::{RedisFacts, ServerFacts};
pub use options::RedisOptions;
pub use store::RedisStore;
pub use url::UrlError;
pub use warning::RedisWarning;

/// The name of this store in errors, logs and metrics.
const NAME: &str = "redis";
