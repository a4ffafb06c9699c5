//! Cloakroom sessions on memcached servers: several of them, any number of which may be lost. They may forget a session,
//! so that somebody has to sign in again; they never bring one back.
//!
//! ```no_run
//! use cloakroom_memcached::{MemcachedOptions, MemcachedStore};
//!
//! # async fn connected() -> Result<(), Box<dyn std::error::Error>> {
//! let options = MemcachedOptions::from_url("memcached://cache1,cache2,cache3?prefix=shop:")?;
//! let store = MemcachedStore::connect(options).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What decides
//! The *ledger* of a route: one item that lists who lives on one of 65 536 routes of a server, with the digest of each
//! one's present token, their last activity and their lifetime. All sessions of a principal have one route. To begin, to
//! end, to be touched or to get another token is one swap (check-and-set) of that item; a limit is kept by the same swap
//! that lists the newcomer. Whoever is not listed is dead, whatever else is still there of them. So it does no harm if any
//! other item is lost, and if the ledger itself is lost, everybody on it is forgotten: what makes it anew lists nobody.
//!
//! | item | key | holds | if it is lost |
//! |---|---|---|---|
//! | ledger | `l` route | who lives here, and what ended and is not written down yet | everybody on the route is forgotten |
//! | record | `r` digest | the record and its version; afterwards what is left of it | that session is forgotten |
//! | epochs | `e` | the server's era, and its ends of everything | everybody on the server is forgotten |
//! | used id | `i` session id | that the id was used, for the retention | the id, which is random, could be used again |
//! | directory | `d` page | which routes have ledgers, for sweeps | it is made anew |
//! | lease, probe | `s`, `p` | who sweeps; what a ping adds | nothing |
//!
//! Each ledger names the *era* it was written in, which is in the epochs' item and never has the same name twice. An end
//! of everything is a line in that item, compared with at every look; it cannot be forgotten without the era, and without
//! its era a ledger is void.
//!
//! There is no command here that overwrites: items are added where there is none, swapped and deleted where they are
//! still what was read, through the connection they were read through. The protocol's unconditional store is not
//! implemented.
//!
//! # Steps
//! Every prefix of a verb's steps leaves something that is right:
//!
//! | verb | steps | if the node dies in between |
//! |---|---|---|
//! | insert | add the record; **swap the ledger** | a record that nobody is listed for |
//! | replace | **swap the record**; where its lifetime changed, swap the ledger | the stricter of both lifetimes holds |
//! | rekey | hold the record and add the new one; **swap the ledger** | the old token lives; a record that nobody is listed for |
//! | touch, end | **swap the ledger** | |
//! | end of everything | **swap the epochs**, on every server | an error; ended on some: done again, on all |
//! | afterwards, in the background | write what is left where the token points; let the ledger go of it | the ledger answers for it; a sweep goes on |
//!
//! A record that is held can be replaced by whoever swaps the ledger first, so that the exchange, which swaps the ledger
//! it saw before, comes to nothing.
//!
//! # Several servers
//! A route's home is the first server in its order (rendezvous hashing by the servers' names). A session is on exactly
//! one server: its home, or, where that could not be reached when it was issued, the next that could. It is looked up at
//! its home; where that does not know it or is away, on the others at the same time. Where its home is away and nobody
//! else knows it, the answer is *unavailable*. An end of one session is done where the session is; where it is found
//! nowhere and a server could not be asked, it is an error. Ends by principal and of everything have to be acknowledged
//! by every server; else they are an error, after they were done wherever that was possible. So an end that was
//! acknowledged holds, whichever of the servers on the list comes back with whatever memory. A server that was off the
//! list when something ended has not heard of it: it has to be emptied before it is put on again.
//!
//! # What is weaker than elsewhere
//! - A limit is exact on each server: who signed in on another while their home was away does not count at home.
//! - A session of another server is unknown, not unavailable, while its home answers and that other one is away.
//! - There are no lists, counts or exports. A sweep finds and reports what is over as long as its ledger is there.
//! - `import` needs the home of what it files.
//! - A server that lost its memory has forgotten its ends of everything, too: what is filed there afterwards, by a clock
//!   that is behind or from another store, is not compared with them.
//!
//! # Cost
//! `get` one round trip of three items; `insert`, `touch`, `end` two; `replace` one and `rekey` two where this store has
//! just looked at the session, as a request that writes has, else one more. Besides its record a session takes 230 bytes
//! of a server, 310 where it is alone on its route, with what memcached keeps beside each item.
//!
//! # Security
//! The protocol has no encryption and no authentication worth the name, and this client has no TLS: whoever reaches a
//! server can read records and sign anybody in. Servers belong on a network, or a local address, of their own.

mod client;
mod error;
mod layout;
mod options;
mod place;
mod recent;
mod ring;
mod servers;
mod stake;
mod store;
mod url;
mod verb;

pub use options::MemcachedOptions;
pub use store::MemcachedStore;
pub use url::UrlError;

/// The name of this store in errors, logs and metrics.
const NAME: &str = "memcached";
